"""What is no part of a prompt, or stands in it in disguise, before anything is read. Each is said in a warning.

    invisible characters        left out
    <think> ... </think>        a language model's reasoning: left out
    // ...   /* ... */          comments, as the host's own text box strips them: left out
    \\n  \\"                      of a text that was copied out of a string: a line end, a quote
    &lt;character_1&gt;         of a text that was copied out of HTML: a tag
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence

from ..messages import Message
from ..words import INVISIBLE, THOUGHTS, is_element
from .prompt_text import Source, Warnings

Edit = tuple[int, int, str]  # from, to, and what stands there instead

_THINKING = "|".join(sorted(THOUGHTS))
_THOUGHT = re.compile(rf"<(?:{_THINKING})(?:\s[^<>]*)?>", re.IGNORECASE)
_THOUGHT_END = re.compile(rf"</(?:{_THINKING})\s*>", re.IGNORECASE)
_LINE = re.compile(r"(?:(?<=[\s,，、;；])|(?<=[\w\"'/]>)|^)//(?!/|.{0,3}[<>]).*?(?=\n|<|$)", re.MULTILINE)
_INSIDE_TAG = re.compile(r"</?[^\W\d][^<>]*\Z")
_LONGEST_TAG = 1024
_LINE_END = re.compile(r"(?<!\\)(?:\\r\\n|\\[nt](?!/)|\\r(?![a-z]))")
_QUOTE = re.compile(r"(?<!\\)\\\"")
_ESCAPED_TAG = re.compile(r"&(?:amp;)*(?:lt|#0*60|#x0*3c);\s*/?\s*([^\W\d][\w.\-]*)", re.IGNORECASE)
_TAG = re.compile(r"<\s*/?\s*([^\W\d][\w.\-]*)")
_REFERENCES = {"lt": "<", "gt": ">", "quot": '"', "apos": "'", "amp": "&", "#39": "'", "#34": '"', "#60": "<",
               "#62": ">", "#x3c": "<", "#x3e": ">", "nbsp": " "}  # fmt: skip
_REFERENCE = re.compile(rf"&({'|'.join(_REFERENCES)});", re.IGNORECASE)
# Without any of these there is nothing to do: nearly always.
_SUSPECT = re.compile(r"//|/\*|\\[nrt\"]|<!--|&(?:amp;)*(?:lt|#0*60|#x0*3c);", re.IGNORECASE)


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
    lines = (match.span() for match in _LINE.finditer(text, start, end))
    for first, last in (*_spans(text, "/*", "*/", start, end), *lines):
        if not _INSIDE_TAG.search(text, max(start, first - _LONGEST_TAG), first):
            yield first, last, " "


def _copied(source: Source, start: int, end: int) -> Iterator[Edit]:
    yield from ((*match.span(), "\n") for match in _LINE_END.finditer(source.text, start, end))
    yield from ((*match.span(), '"') for match in _QUOTE.finditer(source.text, start, end))


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
        said.add(words)
