"""The text as it was given, and where in it the prompt is. What is taken away or mended is said in a warning.

    places and bounds           every offset has a line and column; a prompt has a length
    invisible characters        left out
    system prompt, code fence, quotes, braces, a language model's remarks around the prompt
    <think> ... </think>        its reasoning: left out
    // ...   /* ... */          comments, as the host's own text box strips them: left out
    \\n  \\"                      of a text that was copied out of a string: a line end, a quote
    &lt;character_1&gt;         of a text that was copied out of HTML: a tag
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ..messages import Message
from ..scene import PromptError, PromptWarning
from ..words import INVISIBLE, THOUGHTS, is_element

MAX_BYTES = 256 * 1024
MAX_WARNINGS = 256  # a page of them helps nobody, and hostile text must not cost memory

# What XML 1.0 can't hold (https://www.w3.org/TR/xml/#charsets); NUL and lone surrogates among them.
FORBIDDEN = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Source:
    """A text whose offsets can be named as line and column.

    A text taken out of another (an XML string inside JSON) has `outer` and, for each of its characters and its end,
    the offset there: places are always those of the text the user sees.
    """

    text: str
    outer: Source | None = None
    offsets: Sequence[int] = ()

    @cached_property
    def line_starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer("\n", self.text))]

    def place(self, offset: int) -> tuple[int, int]:
        """1-based line and column."""
        if self.outer is not None:
            return self.outer.place(self.offsets[min(offset, len(self.offsets) - 1)])
        line = bisect_right(self.line_starts, offset)
        return line, offset - self.line_starts[line - 1] + 1

    def line(self, number: int) -> str:
        if self.outer is not None:
            return self.outer.line(number)
        start = self.line_starts[number - 1]
        return self.text[start:].split("\n", 1)[0]

    def error(self, message: Message, offset: int) -> PromptError:
        line, column = self.place(offset)
        return PromptError(message, line, column, self.line(line))


@dataclass
class Warnings:
    """Collects warnings in the order they were noticed."""

    found: list[PromptWarning] = field(default_factory=list)
    left_out: int = 0

    def warn(self, source: Source, offset: int, message: Message) -> None:
        if len(self.found) < MAX_WARNINGS:
            self.found.append(PromptWarning(*source.place(offset), message))
        else:
            self.left_out += 1

    def extend(self, other: Warnings) -> None:
        self.found += other.found
        self.left_out += other.left_out

    def sorted(self) -> tuple[PromptWarning, ...]:
        found = sorted(self.found, key=lambda warning: (warning.line, warning.column))
        if self.left_out:
            found.append(PromptWarning(0, 0, Message("{count} more warnings are not shown.", count=self.left_out)))
        return tuple(found)


def source_of(text: str) -> Source:
    """The prompt with line ends as \\n. Raises PromptError where it is no text, too long, or no XML could hold it."""
    if not isinstance(text, str):
        raise PromptError(Message("A prompt must be text, not {type}.", type=type(text).__name__))
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise PromptError(Message("The prompt is longer than {limit} KB. Shorten it.", limit=MAX_BYTES // 1024))
    source = Source(text.replace("\r\n", "\n").replace("\r", "\n"))
    if bad := FORBIDDEN.search(source.text):
        raise source.error(invisible(bad), bad.start())
    return source


def invisible(found: re.Match[str]) -> Message:
    """For a match of FORBIDDEN."""
    code = f"{ord(found.group()):04X}"
    return Message("The prompt contains the invisible character U+{code}. Delete it.", code=code)


def stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without the space around what it holds."""
    while start < end and (text[start].isspace() or text[start] == "\ufeff"):
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


Edit = tuple[int, int, str]  # from, to, and what stands there instead

# What is no part of a prompt, or stands in it in disguise

_THINKING = "|".join(sorted(THOUGHTS))
_THOUGHT = re.compile(rf"<(?:{_THINKING})(?:\s[^<>]*)?>", re.IGNORECASE)
_THOUGHT_END = re.compile(rf"</(?:{_THINKING})\s*>", re.IGNORECASE)
_COMMENT = re.compile(
    r"(?:(?<=[\s,，、;；])|(?<=[\w\"'/]>)|^)//(?!/|\S{0,2}<(?:[\s,，、)）]|$))", re.MULTILINE
)
_TAG_IN_LINE = re.compile(r"<(/?)[^\W\d][^<>\n]*?(/?)>")
_UNICODE = re.compile(r"\\u00(3c|3e|22|26|27)", re.IGNORECASE)
_INSIDE_TAG = re.compile(r"</?[^\W\d][^<>]*\Z")
_LONGEST_TAG = 1024
_LINE_END = re.compile(r"(?<!\\)(?:\\r\\n|\\[nt](?!/)|\\r(?![a-z]))")
_QUOTE = re.compile(r"(?<!\\)\\\"")
_BACKSLASHES = re.compile(r"(?<!\\)\\\\(?=[()\[\]{}])")
_ESCAPED_TAG = re.compile(r"&(?:amp;)*(?:lt|#0*60|#x0*3c);\s*/?\s*([^\W\d][\w.\-]*)", re.IGNORECASE)
_TAG = re.compile(r"<\s*/?\s*([^\W\d][\w.\-]*)")
_REFERENCES = {"lt": "<", "gt": ">", "quot": '"', "apos": "'", "amp": "&", "#39": "'", "#34": '"', "#60": "<",
               "#62": ">", "#x3c": "<", "#x3e": ">", "nbsp": " "}  # fmt: skip
_REFERENCE = re.compile(rf"&({'|'.join(_REFERENCES)});", re.IGNORECASE)
# Without any of these there is nothing to do: nearly always.
_SUSPECT = re.compile(r"//|/\*|\\(?:[nrt\"]|u003c|\\[()\[\]{}])|<!--|&(?:amp;)*(?:lt|#0*60|#x0*3c);", re.IGNORECASE)


def edited(source: Source, edits: Sequence[Edit]) -> Source:
    """The text with these changes, in order; every place stays that of the text it was made from."""
    if not edits:
        return source
    pieces, offsets, at = [], array("l"), 0
    for start, end, words in edits:
        pieces += (source.text[at:start], words)
        offsets.extend(range(at, start))
        offsets.extend([start] * len(words))
        at = end
    pieces.append(source.text[at:])
    offsets.extend(range(at, len(source.text) + 1))
    return Source("".join(pieces), source, offsets)


def visible(source: Source, warnings: Warnings) -> Source:
    if source.text.isascii():
        return source
    start = 1 if source.text[:1] == "\ufeff" else 0  # a byte order mark is nobody's
    edits = [(*match.span(), "") for match in INVISIBLE.finditer(source.text, start)]
    if edits:
        message = Message("The prompt contains {count} invisible characters, the first one here; they are ignored.",
                          count=len(edits))  # fmt: skip
        warnings.warn(source, edits[0][0], message)
    return edited(source, edits)


def cleaned(source: Source, start: int, end: int, warnings: Warnings) -> tuple[Source, int, int]:
    """A prompt's body without what is no part of it: the text, and where the body is in it now."""
    if not _SUSPECT.search(source.text, start, end):
        return source, start, end
    if "\\u003c" in source.text[start:end].lower():  # of JSON that was escaped once more
        edits = [(*m.span(), chr(int(m.group(1), 16))) for m in _UNICODE.finditer(source.text, start, end)]
        warnings.warn(source, start, Message("The tags of this prompt are escaped (\\u003c); they are read as tags."))
        source, start, end = _changed(source, edits, start, end)
    while _is_escaped(source.text, start, end):
        message = Message("The tags of this prompt are escaped (&lt;name&gt;); they are read as tags.")
        warnings.warn(source, start, message)
        edits = [
            (*match.span(), _REFERENCES[match.group(1).lower()])
            for match in _REFERENCE.finditer(source.text, start, end)
        ]
        source, start, end = _changed(source, edits, start, end)
    verbatim = list(_spans(source.text, "<![CDATA[", "]]>", start, end))
    found = sorted([*_comments(source, start, end), *_copied(source, start, end)])
    found = _apart([edit for edit in found if not any(first <= edit[0] < last for first, last in verbatim)])
    _warn(source, found, warnings)
    return _changed(source, found, start, end)


def _spans(text: str, opens: str, closes: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """From each opening mark to the closing one behind it."""
    at = text.find(opens, start, end)
    while at >= 0 and (close := text.find(closes, at + len(opens), end)) >= 0:
        yield at, close + len(closes)
        at = text.find(opens, close + len(closes), end)


def _changed(source: Source, edits: list[Edit], start: int, end: int) -> tuple[Source, int, int]:
    shorter = sum(last - first - len(words) for first, last, words in edits)
    return edited(source, edits), start, end - shorter


def _apart(edits: list[Edit]) -> list[Edit]:
    """Those that no earlier one holds."""
    found: list[Edit] = []
    for edit in edits:
        if not found or edit[0] >= found[-1][1]:
            found.append(edit)
    return found


def without_thoughts(source: Source, start: int, end: int, warnings: Warnings) -> tuple[Source, int, int]:
    """A prompt's body without a language model's reasoning."""
    edits: list[Edit] = []
    if source.text.find("</", start, end) < 0:
        return source, start, end
    at = start
    while opens := _THOUGHT.search(source.text, at, end):
        closes = _THOUGHT_END.search(source.text, opens.end(), end)
        if closes is None:
            break
        edits.append((opens.start(), closes.end(), ""))
        at = closes.end()
    if loose := _THOUGHT_END.search(source.text, at, end):  # what a model's template begins for it has no beginning
        edits = [(start, loose.end(), "")]
    for first, _, _ in edits:
        message = Message("This is a language model's reasoning, not part of the prompt; it is ignored.")
        warnings.warn(source, first, message)
    return _changed(source, edits, start, end)


def _is_escaped(text: str, start: int, end: int) -> bool:
    """Whether tags are spelled &lt;name&gt;, and no tag but frames around it all stands there as such."""
    if not any(is_element(match.group(1)) for match in _ESCAPED_TAG.finditer(text, start, end)):
        return False
    return not any(is_element(match.group(1), frames=False) for match in _TAG.finditer(text, start, end))


def _comments(source: Source, start: int, end: int) -> Iterator[Edit]:
    text = source.text
    yield from ((*span, "") for span in _spans(text, "<!--", "-->", start, end))
    for first, last in (*_spans(text, "/*", "*/", start, end), *_line_comments(text, start, end)):
        if not _INSIDE_TAG.search(text, max(start, first - _LONGEST_TAG), first):
            yield first, last, " "


def _line_comments(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """From each // to the end of its line, or to the end tag of what it stands in."""
    at = start
    while opens := _COMMENT.search(text, at, end):
        last, depth = text.find("\n", opens.end(), end), 0
        last = end if last < 0 else last
        for tag in _TAG_IN_LINE.finditer(text, opens.end(), last):
            depth += 0 if tag.group(2) else -1 if tag.group(1) else 1
            if depth < 0:
                last = tag.start()
                break
        yield opens.start(), last
        at = last


def _copied(source: Source, start: int, end: int) -> Iterator[Edit]:
    yield from ((*match.span(), "\n") for match in _LINE_END.finditer(source.text, start, end))
    yield from ((*match.span(), '"') for match in _QUOTE.finditer(source.text, start, end))
    yield from ((*match.span(), "\\") for match in _BACKSLASHES.finditer(source.text, start, end))


def _warn(source: Source, edits: Iterable[Edit], warnings: Warnings) -> None:
    """Of every comment, and of the first of what was copied out of a string."""
    said = set()
    for first, last, words in edits:
        typed = source.text[first:last]
        if words == " ":
            message = Message("The comment {comment} is ignored.", comment=" ".join(typed.split()))
            warnings.warn(source, first, message)
        elif words == "\n" and words not in said:
            warnings.warn(source, first, Message("{typed} is read as a line break.", typed=typed))
        elif words == '"' and words not in said:
            warnings.warn(source, first, Message('\\" is read as a plain quote.'))
        elif words == "\\" and words not in said:
            mark = source.text[last]
            message = Message("{typed} is read as {mark}.", typed=f"\\\\{mark}", mark=f"\\{mark}")
            warnings.warn(source, first, message)
        said.add(words)


# What stands around a prompt

_MARKER = re.compile(r"<\s*prompt[\s_\-]*start\s*/?>", re.IGNORECASE)
_ESCAPED_MARKER = re.compile(r"[^<]*&lt;\s*prompt[\s_\-]*start\s*/?&gt;", re.IGNORECASE)
_END_MARKER = re.compile(r"<\s*/?\s*prompt[\s_\-]*(?:end|start)\s*/?>\s*$", re.IGNORECASE)
_FENCE = re.compile(r"```[ \t]*+[A-Za-z]*+[ \t]*+(?:\n|(?=[<{])|$)")
_BRACES = re.compile(r"\{\s*[<{]")
_MARKED_UP = re.compile(r'(?:\\n|\s)*+(?:<|\{\s*+\\?")')
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_REMARK = re.compile(
    r"(?:sure|certainly|of course|okay|ok|here|below|this is|the following|以下|这是|好的|当然|下面|はい|こちら)"
    r"(?:[^<{\[\n]{0,200}[:：.!。！]\s*\n\s*(?=<[^\W\d]|\{)"
    r"|[^<{\[\n:：]{0,80}(?:prompts?|提示词|プロンプト)\s*[:：]\s*\n\s*(?=\S))",
    re.IGNORECASE,
)
_OBJECT = re.compile(  # or a list of them or of texts, or one with quotes that JSON doesn't know, or without any
    r"""(?:\[\s*)?\{\s*(?:"|['“‘”＂][^'’“”"＂\n]{1,40}['’“”＂]\s*[:：]|[A-Za-z_]\w{0,40}\s*:\s*[\[{'"])"""
    r"""|\[\s*"(?:[^"\\\n]|\\.)*+"(?:\s*,\s*"(?:[^"\\\n]|\\.)*+")+\s*\]\s*\Z"""
)


@dataclass(frozen=True)
class Document:
    """A prompt's parts: the body, from start to end of the source, is XML, plain words, or (is_json) a JSON object."""

    source: Source
    system: str
    start: int
    end: int
    is_json: bool = False
    warnings: tuple[PromptWarning, ...] = ()  # of what stands around the body, or in it in disguise


def find_document(source: Source, warnings: Warnings) -> Document:
    """Where the prompt itself begins and ends."""
    source = visible(source, warnings)
    system, start = _system(source, warnings)
    start, end = stripped(source.text, start, len(source.text))
    start, end = _without_end_marker(source, start, end, warnings)
    if not _OBJECT.match(source.text, start, end):
        source, start, end = without_thoughts(source, start, end, warnings)
        start, end = stripped(source.text, start, end)
    start, end = _unfenced(source, start, end, warnings)
    if not _OBJECT.match(source.text, start, end):
        source, start, end = _unquoted(source, start, end, warnings)
        start = _behind_remark(source, start, end, warnings)
    if not _OBJECT.match(source.text, start, end):
        source, start, end = cleaned(source, start, end, warnings)
        start, end = stripped(source.text, start, end)
    while _BRACES.match(source.text, start, end) and source.text[end - 1] == "}":
        start, end = stripped(source.text, start + 1, end - 1)
    is_json = bool(_OBJECT.match(source.text, start, end))
    return Document(source, system, start, end, is_json, tuple(warnings.found))


def _system(source: Source, warnings: Warnings) -> tuple[str, int]:
    """The system prompt, and where it ends: at its last marker. Of one that is there twice one is kept."""
    text = source.text
    # The template's JSON may quote the marker: it is none there.
    marker = None if _OBJECT.match(text.lstrip()[:64]) else (_MARKER.search(text) or _ESCAPED_MARKER.match(text))
    if marker is None:
        return "", 0
    parts, end = [text[: marker.end()].strip()], marker.end()
    while (more := _MARKER.search(text, end)) and "<" not in text[end : more.start()] and text[more.end() :].strip():
        part = text[end : more.end()].strip()
        if part in parts:
            warnings.warn(source, end, Message("The system prompt is repeated; the repetition is ignored."))
        else:
            message = Message("The system prompt is everything before the last <Prompt Start>.")
            warnings.warn(source, more.start(), message)
        parts += [part] if part not in parts else []
        end = more.end()
    return "\n".join(parts), end


def _without_end_marker(source: Source, start: int, end: int, warnings: Warnings) -> tuple[int, int]:
    marker = _END_MARKER.search(source.text, max(start, end - 64), end)
    if marker is None or source.text[start : marker.start()].strip() == "":
        return start, end
    message = Message("{marker} at the end of the prompt is ignored.", marker=marker.group().strip())
    warnings.warn(source, marker.start(), message)
    return stripped(source.text, start, marker.start())


def _unquoted(source: Source, start: int, end: int, warnings: Warnings) -> tuple[Source, int, int]:
    """A whole prompt in quotes, as a JSON string or as it was copied from a program."""
    text = source.text
    alike = ((mark, mark) for mark in ('"""', "'''", '"', "'", "`"))
    for mark, closes in (*alike, ("“", "”"), ("‘", "’"), ('["', '"]'), ("<![CDATA[", "]]>")):
        if text.startswith(mark, start, end) and text.endswith(closes, start + len(mark), end):
            first, last = start + len(mark), end - len(closes)
            if not _MARKED_UP.match(text, first, last):
                continue
            message = Message("The quotes around the prompt are not part of it and are ignored.")
            if mark == "<![CDATA[":
                message = Message("The whole prompt is a CDATA section; it is read as XML.")
            warnings.warn(source, start, message)
            if closes[0] == '"' and _STRING.fullmatch(text, first - 1, last + 1):
                words, offsets = decoded(text[first:last], first)
                source = Source(words, source, (*offsets, last))
                return source, *stripped(words, 0, len(words))
            return source, *stripped(text, first, last)
    return source, start, end


def _behind_remark(source: Source, start: int, end: int, warnings: Warnings) -> int:
    """Where the prompt begins behind a language model's `Here is your prompt:`."""
    remark = _REMARK.match(source.text, start, end)
    if remark is None:
        return start
    warnings.warn(source, start, Message("The text before the prompt is not part of it and is ignored."))
    return remark.end()


def with_system(system: str, text: str) -> str:
    """A negative prompt behind the system prompt, as the authors' reference has it; one with its own, or none, stays.

    Source: demo.py in NewBieAI-Lab/NewBie-image-Exp0.1, which leaves an empty negative empty.
    """
    return f"{system}\n{text}" if system and text.strip() and not _MARKER.search(text) else text


def without_system(text: str) -> str:
    """A negative prompt alone, for text encoders that never saw a system prompt."""
    return text[marker.end() :].lstrip() if (marker := _MARKER.search(text)) else text


def ends_with_marker(system: str) -> bool:
    """Whether a system prompt may stand before the XML as it is: read there, it is the same again."""
    found = _MARKER.search(system) and _system(Source(f"{system}\n<"), Warnings())
    return bool(found) and found == (system, len(system)) and not INVISIBLE.search(system)


def _unfenced(source: Source, start: int, end: int, warnings: Warnings) -> tuple[int, int]:
    """What a ``` fence holds. Words around it are somebody's remarks: left out, with a warning."""
    text = source.text
    # Behind the first tag or brace ``` are words like any other.
    fence = None if text[start : start + 1] in ("<", "{") else _FENCE.search(text, start, end)
    if fence is None:
        return start, end
    close = text.find("```", fence.end(), end)
    if text[start : fence.start()].strip():
        warnings.warn(source, start, Message("The text before the ``` fence is not part of the prompt and is ignored."))
    if close < 0:
        warnings.warn(source, fence.start(), Message("The ``` fence is never closed; everything after it is read."))
        close = end
    elif text[close + 3 : end].strip():
        after = close + 3 + len(text[close + 3 : end]) - len(text[close + 3 : end].lstrip())
        warnings.warn(source, after, Message("The text after the ``` fence is not part of the prompt and is ignored."))
    return stripped(text, fence.end(), close)


_JSON_CHARACTER = re.compile(r"\\u([0-9A-Fa-f]{4})|\\(.)|[^\\]+", re.DOTALL)
_JSON_ESCAPES = {"n": "\n", "t": "\t", "r": "\n", "b": "\b", "f": "\f"}


def decoded(raw: str, start: int) -> tuple[str, list[int]]:
    """A JSON string's words, and the offset each of its characters was written at."""
    units: list[str] = []
    offsets: list[int] = []
    for match in _JSON_CHARACTER.finditer(raw):
        code, escape = match.group(1), match.group(2)
        char = chr(int(code, 16)) if code else _JSON_ESCAPES.get(escape, escape) if escape else match.group()
        if code and units and "\ud800" <= units[-1] < "\udc00" <= char < "\ue000":
            units[-1] = (units[-1] + char).encode("utf-16", "surrogatepass").decode("utf-16")
        else:
            units.append(char)
            offsets += range(start + match.start(), start + match.start() + len(char))
    return "".join(units), offsets
