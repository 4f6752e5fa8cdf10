"""What stands around the prompt's XML: a system prompt, a code fence, braces, the template's JSON."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from ..messages import Message
from ..scene import PromptError
from .prompt_text import Source, Warnings

_MARKER = re.compile(r"<\s*prompt\s+start\s*>", re.IGNORECASE)
_FENCE = re.compile(r"```[ \t]*+[A-Za-z]*+[ \t]*+(?:\n|(?=[<{])|$)")
_BRACES = re.compile(r"\{\s*[<{]")
_OBJECT = re.compile(r'\{\s*"')
_JSON_TAGS = re.compile(r'"tags"\s*:\s*"((?:[^"\\]|\\.)*)"', re.DOTALL)
_JSON_CHARACTER = re.compile(r"\\u([0-9A-Fa-f]{4})|\\(.)|[^\\]+", re.DOTALL)
_JSON_TOKEN = re.compile(r'("(?:[^"\\]|\\.)*+")(\s*+:)?|[{}\[\]]', re.DOTALL)
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


@dataclass(frozen=True)
class Document:
    """The parts of a prompt text: the body from start to end is XML, plain words, or (is_json) a JSON object."""

    system: str
    start: int
    end: int
    is_json: bool = False


def find_document(source: Source, warnings: Warnings) -> Document:
    """Where the prompt itself begins and ends."""
    # The template's JSON may quote the marker: it is none there.
    marker = None if _OBJECT.match(source.text.lstrip()[:64]) else _MARKER.search(source.text)
    system = source.text[: marker.end()].strip() if marker else ""
    start, end = _stripped(source.text, marker.end() if marker else 0, len(source.text))
    start, end = _unfenced(source, start, end, warnings)
    while _BRACES.match(source.text, start, end) and source.text[end - 1] == "}":
        start, end = _stripped(source.text, start + 1, end - 1)
    is_json = bool(_OBJECT.match(source.text, start, end))
    return Document(system, start, end, is_json)


def ends_with_marker(system: str) -> bool:
    """Whether a system prompt may stand before the XML as it is: its first marker is its end."""
    marker = _MARKER.search(system)
    return marker is not None and marker.end() == len(system) and system == system.strip()


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


def json_places(text: str, start: int, end: int) -> dict[tuple[str, ...], int]:
    """The offset of every key of a JSON object that was read, by its path: ("image", "tags")."""
    places: dict[tuple[str, ...], int] = {}
    path: list[str] = []
    key = ""
    for token in _JSON_TOKEN.finditer(text, start, end):
        if token.group(2):
            key = json.loads(token.group(1), strict=False)
            places[(*path[1:], key)] = token.start()
        elif token.group() in ("{", "["):
            path.append(key)
        elif token.group() in ("}", "]"):
            path.pop()
            if not path:
                break
    return places


def json_tags(source: Source, start: int, end: int, value: str) -> Source | None:
    """The text of the object's "tags" as a source of its own, with every place kept; None where it isn't found."""
    for literal in _JSON_TAGS.finditer(source.text, start, end):
        words, offsets = _decoded(literal.group(1), literal.start(1))
        if words == value.replace("\r", "\n"):
            return Source(words, source, (*offsets, literal.end(1)))
    return None


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
