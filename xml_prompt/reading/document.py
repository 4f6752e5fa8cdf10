"""What stands around the prompt's XML: a system prompt, a code fence, braces, the template's JSON."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from ..messages import Message
from ..scene import PromptError, PromptWarning
from ..words import INVISIBLE
from .cleaning import Edit, cleaned, edited, visible, without_thoughts
from .prompt_text import Source, Warnings

_MARKER = re.compile(r"<\s*prompt[\s_\-]*start\s*/?>", re.IGNORECASE)
_ESCAPED_MARKER = re.compile(r"[^<]*&lt;\s*prompt[\s_\-]*start\s*/?&gt;", re.IGNORECASE)
_END_MARKER = re.compile(r"<\s*/?\s*prompt[\s_\-]*(?:end|start)\s*/?>\s*$", re.IGNORECASE)
_FENCE = re.compile(r"```[ \t]*+[A-Za-z]*+[ \t]*+(?:\n|(?=[<{])|$)")
_BRACES = re.compile(r"\{\s*[<{]")
_MARKED_UP = re.compile(r'(?:\\n|\s)*+(?:<|\{\s*+\\?")')
_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_REMARK = re.compile(
    r"(?:sure|certainly|of course|okay|ok|here|below|this is|the following|以下|这是|好的|当然|下面|はい|こちら)"
    r"[^<{\[\n]{0,200}[:：.!。！]\s*\n\s*(?=<[^\W\d]|\{)", re.IGNORECASE
)
_OBJECT = re.compile(r'\{\s*"')
_JSON_VALUE = re.compile(r'("(?:[^"\\]|\\.)*+")(?:\s*+:\s*+("(?:[^"\\]|\\.)*+"))?(?!\s*+:)', re.DOTALL)
_BACKSLASH = re.compile(r'\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})|\\')
_JSON_CHARACTER = re.compile(r"\\u([0-9A-Fa-f]{4})|\\(.)|[^\\]+", re.DOTALL)
_JSON_TOKEN = re.compile(r'("(?:[^"\\]|\\.)*+")(\s*+:)?|[{}\[\],]', re.DOTALL)
_JSON_REASONS = {  # the decoder's words, and ours
    "Expecting value": Message("a value is missing"),
    "Expecting ':' delimiter": Message("a colon is missing"),
    "Expecting ',' delimiter": Message("a comma is missing"),
    "Expecting property name enclosed in double quotes": Message('a key in "..." is missing'),
    "Unterminated string starting at": Message("this string is never closed"),
    "Invalid \\escape": Message("this backslash escapes nothing that JSON knows"),
    "Invalid \\uXXXX escape": Message("this \\u is not followed by four hexadecimal digits"),
}
_JSON_ESCAPES = {"n": "\n", "t": "\t", "r": "\n", "b": "\b", "f": "\f"}

Path = tuple["str | int", ...]  # keys, and places in lists


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
    start, end = _stripped(source.text, start, len(source.text))
    start, end = _without_end_marker(source, start, end, warnings)
    if not _OBJECT.match(source.text, start, end):
        source, start, end = without_thoughts(source, start, end, warnings)
        start, end = _stripped(source.text, start, end)
    start, end = _unfenced(source, start, end, warnings)
    if not _OBJECT.match(source.text, start, end):
        source, start, end = _unquoted(source, start, end, warnings)
        start = _behind_remark(source, start, end, warnings)
    if not _OBJECT.match(source.text, start, end):
        source, start, end = cleaned(source, start, end, warnings)
        start, end = _stripped(source.text, start, end)
    while _BRACES.match(source.text, start, end) and source.text[end - 1] == "}":
        start, end = _stripped(source.text, start + 1, end - 1)
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
            warnings.warn(source, end, Message("The system prompt is there twice; it is read once."))
        else:
            message = Message("<Prompt Start> is there twice; everything before the last one is the system prompt.")
            warnings.warn(source, more.start(), message)
        parts += [part] if part not in parts else []
        end = more.end()
    return "\n".join(parts), end


def _without_end_marker(source: Source, start: int, end: int, warnings: Warnings) -> tuple[int, int]:
    marker = _END_MARKER.search(source.text, max(start, end - 64), end)
    if marker is None or source.text[start : marker.start()].strip() == "":
        return start, end
    message = Message("{marker} is at the prompt's end; it is ignored.", marker=marker.group().strip())
    warnings.warn(source, marker.start(), message)
    return _stripped(source.text, start, marker.start())


def _unquoted(source: Source, start: int, end: int, warnings: Warnings) -> tuple[Source, int, int]:
    """A whole prompt in quotes, as a JSON string or as it was copied from a program."""
    text = source.text
    for mark, closes in (('"""', '"""'), ("'''", "'''"), ('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’")):
        if text.startswith(mark, start, end) and text.endswith(closes, start + len(mark), end):
            first, last = start + len(mark), end - len(closes)
            if not _MARKED_UP.match(text, first, last):
                continue
            warnings.warn(source, start, Message("The quotes around the prompt are not part of it and are ignored."))
            if mark == '"' and _JSON_STRING.fullmatch(text, start, end):
                words, offsets = _decoded(text[first:last], first)
                source = Source(words, source, (*offsets, last))
                return source, *_stripped(words, 0, len(words))
            return source, *_stripped(text, first, last)
    return source, start, end


def _behind_remark(source: Source, start: int, end: int, warnings: Warnings) -> int:
    """Where the prompt begins behind a language model's `Here is your prompt:`."""
    remark = _REMARK.match(source.text, start, end)
    if remark is None:
        return start
    warnings.warn(source, start, Message("The text before the prompt is not part of it and is ignored."))
    return remark.end()


def ends_with_marker(system: str) -> bool:
    """Whether a system prompt may stand before the XML as it is: read there, it is the same again."""
    found = _MARKER.search(system) and _system(Source(f"{system}\n<"), Warnings())
    return bool(found) and found == (system, len(system)) and not INVISIBLE.search(system)


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and (text[start].isspace() or text[start] == "\ufeff"):
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


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
    return _stripped(text, fence.end(), close)


def read_json(source: Source, start: int, end: int) -> dict[str, Any]:
    """The template's object. Raises PromptError for text that is no single JSON object, and for keys stated twice."""
    text = source.text[:end]

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        again = next((key for key, count in Counter(keys).items() if count > 1), None)
        if again is not None:
            at = source.text.rfind(json.dumps(again, ensure_ascii=False), start, end)
            raise source.error(Message('The key "{key}" appears twice. Keep one of them.', key=again), max(at, start))
        return dict(pairs)

    def refuse(constant: str) -> None:
        message = Message("{constant} is not a number that JSON knows. Write digits.", constant=constant)
        raise source.error(message, max(source.text.find(constant, start), start))

    decoder = json.JSONDecoder(object_pairs_hook=unique, parse_constant=refuse, strict=False)
    try:
        value, stop = decoder.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise _bad_json(source, error, start, end) from None
    except PromptError:
        raise
    except (RecursionError, ValueError) as error:
        raise source.error(Message("The JSON is nested too deeply, or a number in it is too long."), start) from error
    rest, _ = _stripped(text, stop, end)
    if rest < end:
        second = Message("A second JSON object follows the first. Keep one of them.")
        raise source.error(second if text[rest] == "{" else Message("Text follows the JSON object. Delete it."), rest)
    return value


def _bad_json(source: Source, error: json.JSONDecodeError, start: int, end: int) -> PromptError:
    """The mistake behind the decoder's words, where it is one of the common ones."""
    text, at = source.text, min(error.pos, end)
    _, before = _stripped(text, start, at)
    mark = text[at : at + 1]
    if mark == "," and text[at + 1 : end].lstrip()[:1] in ("}", "]"):
        before, mark = at + 1, "}"
    if mark in ("}", "]") and text[before - 1] == ",":
        message = Message("There is a comma before the end of the JSON object or list. Delete it.")
        return source.error(message, before - 1)
    if mark and mark in "'“”‘’＂「":
        message = Message(
            'The JSON can\'t be read: {mark} is not a JSON quote. Write "..." with straight quotes.', mark=mark
        )
    elif mark and mark in "，：；":
        message = Message("The JSON can't be read: {mark} is full-width. Write , and : half-width.", mark=mark)
    else:
        reason = _JSON_REASONS.get(error.msg, Message("something is not JSON here"))
        message = Message(
            "The JSON can't be read: {reason}. Inside a JSON string, write a quote as \\\" and a line break as \\n.",
            reason=reason,
        )
    return source.error(message, at)


def json_places(text: str, start: int, end: int) -> dict[Path, int]:
    """The offset of every key, and of every text in a list, of a JSON object that was read, by its path."""
    places: dict[Path, int] = {}
    open_at: list[tuple[Path, bool]] = []  # path of every object or list around, and whether it is a list
    counts: list[int] = []
    here: Path = ()
    for token in _JSON_TOKEN.finditer(text, start, end):
        mark = token.group()
        path, in_list = open_at[-1] if open_at else ((), False)
        if token.group(2):
            here = (*path, json.loads(token.group(1), strict=False))
            places[here] = token.start()
        elif mark in ("{", "["):
            inner = (*path, counts[-1]) if in_list else here
            if in_list:
                places[inner] = token.start()
            open_at.append((inner, mark == "["))
            counts.append(0)
        elif mark in ("}", "]"):
            open_at.pop()
            counts.pop()
            if not open_at:
                break
        elif mark == ",":
            counts[-1] += 1
        elif in_list:
            places[(*path, counts[-1])] = token.start()
    return places


def json_text(source: Source, at: int, end: int) -> Source | None:
    """The text behind the key at this offset, or the text there, as a source of its own; None where it is no text."""
    literal = _JSON_VALUE.match(source.text, at, end)
    if literal is None:
        return None
    group = 2 if literal.group(2) is not None else 1
    words, offsets = _decoded(literal.group(group)[1:-1], literal.start(group) + 1)
    return Source(words, source, (*offsets, literal.end(group) - 1))


def with_raw_backslashes(source: Source, start: int, end: int) -> tuple[Source, int]:
    r"""JSON in which every backslash that escapes nothing stands for itself: people write `\(` there. And its end."""
    found: list[Edit] = [
        (*match.span(), "\\\\") for match in _BACKSLASH.finditer(source.text, start, end) if len(match.group()) == 1
    ]
    return edited(source, found), end + len(found)


def _decoded(raw: str, start: int) -> tuple[str, list[int]]:
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
