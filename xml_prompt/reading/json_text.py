"""The template's JSON as text: its one object, and where in the prompt each of its keys and texts stands."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from ..messages import Message
from ..scene import PromptError
from .document import Edit, Source, decoded, edited, stripped

_VALUE = re.compile(r'("(?:[^"\\]|\\.)*+")(?:\s*+:\s*+("(?:[^"\\]|\\.)*+"))?(?!\s*+:)', re.DOTALL)
_BACKSLASH = re.compile(r'\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})|\\')
_TOKEN = re.compile(r'("(?:[^"\\]|\\.)*+")(\s*+:)?|[{}\[\],]', re.DOTALL)
_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*+"|-?Infinity|NaN', re.DOTALL)
_REASONS = {  # the decoder's words, and ours
    "Expecting value": Message("a value is missing"),
    "Expecting ':' delimiter": Message("a colon is missing"),
    "Expecting ',' delimiter": Message("a comma is missing"),
    "Expecting property name enclosed in double quotes": Message('a key in "..." is missing'),
    "Unterminated string starting at": Message("this string is never closed"),
    "Invalid \\escape": Message("this backslash does not begin a JSON escape"),
    "Invalid \\uXXXX escape": Message("this \\u is not followed by four hexadecimal digits"),
}

Path = tuple["str | int", ...]  # keys, and places in lists


def _key(token: re.Match[str]) -> str | None:
    return json.loads(token.group(1), strict=False) if token.group(2) else None


def read_json(source: Source, start: int, end: int) -> dict[str, Any]:
    """The template's object. Raises PromptError for text that is no single JSON object, and for keys stated twice."""
    text = source.text[:end]

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        again = next((key for key, count in Counter(keys).items() if count > 1), None)
        if again is not None:
            at = [match.start() for match in _TOKEN.finditer(source.text, start, end) if _key(match) == again]
            message = Message('The key "{key}" appears twice. Keep one of them.', key=again)
            raise source.error(message, at[-1] if at else start)
        return dict(pairs)

    def refuse(constant: str) -> None:
        message = Message("{constant} is not a JSON number. Write digits.", constant=constant)
        at = (m.start() for m in _CONSTANT.finditer(source.text, start, end) if m.group() == constant)
        raise source.error(message, next(at, start))

    decoder = json.JSONDecoder(object_pairs_hook=unique, parse_constant=refuse, strict=False)
    try:
        value, stop = decoder.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise _bad_json(source, error, start, end) from None
    except PromptError:
        raise
    except (RecursionError, ValueError) as error:
        raise source.error(Message("The JSON is nested too deeply, or a number in it is too long."), start) from error
    rest, _ = stripped(text, stop, end)
    if rest < end:
        second = Message("A second JSON object follows the first. Keep one of them.")
        raise source.error(second if text[rest] == "{" else Message("Text follows the JSON object. Delete it."), rest)
    return value


def _bad_json(source: Source, error: json.JSONDecodeError, start: int, end: int) -> PromptError:
    """The mistake behind the decoder's words, where it is one of the common ones."""
    text, at = source.text, min(error.pos, end)
    _, before = stripped(text, start, at)
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
        reason = _REASONS.get(error.msg, Message("something is not JSON here"))
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
    for token in _TOKEN.finditer(text, start, end):
        mark = token.group()
        path, in_list = open_at[-1] if open_at else ((), False)
        if token.group(2):
            here = (*path, _key(token) or "")
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
    literal = _VALUE.match(source.text, at, end)
    if literal is None:
        return None
    group = 2 if literal.group(2) is not None else 1
    words, offsets = decoded(literal.group(group)[1:-1], literal.start(group) + 1)
    return Source(words, source, (*offsets, literal.end(group) - 1))


def with_raw_backslashes(source: Source, start: int, end: int) -> tuple[Source, int]:
    r"""JSON in which every backslash that escapes nothing stands for itself: people write `\(` there. And its end."""
    found: list[Edit] = [
        (*match.span(), "\\\\") for match in _BACKSLASH.finditer(source.text, start, end) if len(match.group()) == 1
    ]
    return edited(source, found), end + len(found)
