"""The template's JSON, which the released weights were trained on, and what people make of it.

{"character_1": {"bbox": [...], "name": "..."}, "image": {"tags": "<the XML>", "caption": "..."}}

Every key is read as the element of its name would be. Texts that hold the prompt itself ("tags", "prompt") are read
first, so that the keys complete what they say.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..layout.places import Place, read_position
from ..messages import Message
from ..scene import GRID, Box, PromptError, Tag
from ..tags import MAX_WEIGHT, MIN_WEIGHT, tag_list
from ..words import (
    GENERAL_BLOCK,
    LISTS,
    LORA_ELEMENTS,
    ROOTS,
    character_id,
    is_negative,
    is_person,
    speaks_of_person,
    word_key,
)
from .document import FORBIDDEN, Document, Edit, Source, cleaned, decoded, edited, invisible, stripped
from .fields import Draft, Reading, character_field, picture_field
from .markup import LORA, Node, Text
from .parse import apart_from_loras, read_body, read_general
from .plain_words import people_in

# As text: the one object, and where in the prompt each of its keys and texts stands

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


# The template

_PEOPLE = LISTS | {"角色", "人物", "キャラクター"}
_BODIES = ROOTS | GENERAL_BLOCK | {"tags", "text", "xml_tags", "标签", "base_caption", "v4_prompt"}
_SETTING_WORDS = """
    seed steps cfg cfg_scale guidance guidance_scale sampler sampler_name scheduler width height size resolution
    aspect_ratio model batch_size denoise use_coords use_order
"""
_SETTINGS = frozenset(_SETTING_WORDS.split())
NEARLY = 0.95
_WHOLE = Box(0, 0, GRID, GRID)


@dataclass
class _Json:
    """The object's text, where its keys are, and the prompts that stand in it as texts."""

    reading: Reading
    source: Source
    end: int
    places: dict[Path, int]
    start: int
    bodies: list[Source] = field(default_factory=list)

    def at(self, path: Path) -> int:
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, self.start)

    def text(self, path: Path, words: str) -> Source:
        """The text at this path as a source of its own, cleaned as a whole prompt would be."""
        at = self.at(path)
        if bad := FORBIDDEN.search(words):
            raise self.source.error(invisible(bad), at)
        words = words.replace("\r", "\n")
        found = json_text(self.source, at, self.end) if path in self.places else None
        if found is None or found.text != words:
            found = Source(words, self.source, [at] * (len(words) + 1))
        return cleaned(found, 0, len(words), self.reading.warnings)[0]


def read_template(reading: Reading, document: Document) -> None:
    source, end = with_raw_backslashes(document.source, document.start, document.end)
    value = read_json(source, document.start, end)
    reading.source, reading.marked_up = source, True
    read = _Json(reading, source, end, json_places(source.text, document.start, end), document.start)
    content = _listed_people(read, value) if isinstance(value, list) else _nodes(read, value, ())
    root = Node("", {}, document.start, tuple(content), is_key=True)
    for body in read.bodies:
        reading.source = body
        read_body(reading, 0, len(body.text))
    reading.source = source
    read_general(reading, apart_from_loras(reading, root, reading.loras), beside=True)
    for draft in reading.drafts.values():
        _leave_out_default_box(reading, draft)


def _is_whole(box: Box) -> bool:
    return min(box.width, box.height) >= NEARLY * GRID


def _leave_out_default_box(reading: Reading, draft: Draft) -> None:
    """The template's own example has the whole picture for a box: where others or a position say more, it counts less.

    As it stands there it says nothing of this character.
    """
    if draft.boxes_of_key is None or len(draft.boxes) != 1 or not _is_whole(draft.boxes[0]):
        return
    place, _ = read_position(tag.text for tag in draft.fields.get("position", ()))
    if place not in (Place(), Place(box=_WHOLE)):
        message = Message("The bbox of {id} covers the whole picture; its position is used instead.",
                          id=draft.id)  # fmt: skip
    elif len(reading.drafts) > 1:
        message = Message(
            "The bbox of {id} covers the whole picture despite other characters; it is ignored.", id=draft.id
        )
    else:
        return
    draft.boxes, draft.box_place = [], None
    reading.warnings.warn(*draft.boxes_of_key, message)


# JSON -> nodes


def _nodes(read: _Json, value: dict[str, Any], path: Path) -> list[Node | Text]:
    """The keys of an object that speaks of the whole picture."""
    found: list[Node | Text] = []
    for key, entry in value.items():
        here, name = (*path, key), word_key(key)
        if name in _SETTINGS:
            message = Message("{element} is a setting, not part of the prompt; it is ignored.", element=f'"{key}"')
            read.reading.warnings.warn(read.source, read.at(here), message)
        elif (name in _PEOPLE or is_person(name)) and isinstance(entry, list | dict):
            found += [_person(read, key, entry, here)] if _is_one(name, entry) else _people(read, entry, here)
        elif (name in _BODIES or (name == "caption" and isinstance(entry, dict))) and not is_negative(key):
            found += _body(read, key, entry, here)
        elif picture_field(key) == "interaction" and isinstance(entry, list):
            found += [node for index, one in enumerate(entry) for node in _field(read, key, one, (*here, index))]
        elif isinstance(entry, dict) and not character_id(key) and speaks_of_person(entry):
            found.append(_person(read, "character", {"name": key} | entry, here))
        elif isinstance(entry, dict) and character_id(key):
            found.append(_person(read, key, entry, here))
        else:
            found += _field(read, key, entry, here)
    return found


def _body(read: _Json, key: str, entry: Any, path: Path) -> list[Node | Text]:
    """A prompt within the JSON: a text of its own, or an object or list of what it says."""
    if entry is None:
        return []
    if isinstance(entry, str):
        read.bodies.append(read.text(path, entry))
        return []
    if isinstance(entry, dict):
        return [Node("scene", {}, read.at(path), tuple(_nodes(read, entry, path)), is_key=True)]
    tags = _tags_of(entry)
    if tags is None or not any(isinstance(one, str | dict) for one in entry):
        message = Message('"{key}" is not an object. Write "{key}": {{"tags": "...", "caption": "..."}}.', key=key)
        raise read.source.error(message, read.at(path))
    read.bodies.append(read.text((*path, ""), tags))  # no place but the list's
    return []


def _listed_people(read: _Json, entry: list[Any]) -> list[Node]:
    """A list alone: of characters, or, where its texts name nobody, of tags."""
    texts = all(isinstance(one, str) for one in entry)
    if texts and not all(any(map(people_in, one.split(","))) for one in entry):
        read.bodies.append(read.text(("",), ", ".join(entry)))
        return []
    return _people(read, entry, ())


def _is_one(name: str, entry: list[Any] | dict[str, Any]) -> bool:
    """Whether the object is a character, and not several by id or name."""
    if not isinstance(entry, dict):
        return False
    of_one = is_person(name) and not all(isinstance(said, dict) for said in entry.values())
    return of_one or any(map(character_field, entry))


def _people(read: _Json, entry: list[Any] | dict[str, Any], path: Path) -> list[Node]:
    """A list of characters, numbered in order where they state no id; or an object of them, by id or name."""
    named = entry.items() if isinstance(entry, dict) else enumerate(entry)
    found = []
    for number, (key, one) in enumerate(named, start=1):
        if not isinstance(one, dict):
            one = {"other": one}
        stated = str(one.get("id", key if isinstance(key, str) else ""))
        id = next(filter(None, map(character_id, (stated, f"character_{stated}"))), None)
        if id in (None, "character_"):
            id = f"character_{number}"
            if isinstance(key, str) and not {"name", "n"} & set(map(str.lower, one)):
                one = {"name": key} | one
        found.append(_person(read, id, {k: v for k, v in one.items() if k != "id"}, (*path, key)))
    return found


def _person(read: _Json, key: str, entry: dict[str, Any], path: Path) -> Node:
    content = [node for name, value in entry.items() for node in _field(read, name, value, (*path, name))]
    return Node(key, {}, read.at(path), tuple(content), is_key=True)


def _field(read: _Json, key: str, entry: Any, path: Path) -> list[Node]:
    """One thing said, as an element of this name would say it. An object's keys are elements inside of it."""
    name = re.sub(r"\s+", "_", key.strip()) if "\n" not in key else key
    at = read.at(path)
    field = character_field(key)
    if name.lower() in LORA_ELEMENTS and (loras := _loras_of(entry)) is not None:
        named = [(read.text((*path, ""), one).text, strength) for one, strength in loras]
        return [Node(name, {"name": one, "strength": strength}, at, (), is_key=True) for one, strength in named]
    if field == "position" and isinstance(entry, list) and len(entry) == 1:
        entry = entry[0]
    if isinstance(entry, dict):
        inside = [node for inner, value in entry.items() for node in _field(read, inner, value, (*path, inner))]
        return [Node(name, {}, at, tuple(inside), is_key=True)]
    if isinstance(entry, list) and entry and all(isinstance(one, list) for one in entry):  # several boxes
        return [Node(name, {}, at, (Text.at(at, json.dumps(one)),), is_key=True) for one in entry]
    if isinstance(entry, str):
        inner = read.text(path, entry)
        return [Node(name, {}, at, tuple(_with_loras(_placed(inner, at, read.source))), is_key=True)]
    if isinstance(entry, list) and field == "bbox":
        return [Node(name, {}, at, (Text.at(at, json.dumps(entry)),), is_key=True)]
    if isinstance(entry, list) and entry and all(isinstance(one, str) for one in entry):
        return [Node(name, {}, at, tuple(_with_loras(_listed(read, entry, path))), is_key=True)]
    words = _tags_of(entry) if isinstance(entry, list) else _number(entry)
    if words is None:
        raise read.source.error(Message('The value of "{key}" is not text. Write text in quotes.', key=key), at)
    if words == "" and (picture_field(name) or character_field(name)):
        return []
    words = read.text((*path, ""), words).text
    return [Node(name, {}, at, (Text.at(at, words),), is_key=True)]


def _with_loras(text: Text) -> Iterator[Node | Text]:
    """The words, and as elements the `<lora:name:0.8>` between them."""
    start = 0
    for lora in LORA.finditer(text.words):
        yield text.part(start, lora.start())
        yield Node("lora", {}, text.offset(lora.start()), (text.part(*lora.span(1)),))
        start = lora.end()
    yield text.part(start, len(text.words))


def _listed(read: _Json, entry: list[str], path: Path) -> Text:
    """A list of texts as one list of tags, each at its own place."""
    words, pieces = "", ()
    for index, one in enumerate(entry):
        part = _placed(read.text((*path, index), one), read.at((*path, index)), read.source)
        between = ", " if words and part.words.strip() else ""
        words += between + part.words
        pieces += tuple((part.pieces[0][0], sign, True) for sign in between) + part.pieces
    return Text(words, pieces)


def _loras_of(entry: Any) -> list[tuple[str, str]] | None:
    """Names and strengths of LoRAs as objects, {"name": "film", "strength": 0.8} or {"film": 0.8}, or in a list."""
    if isinstance(entry, list):
        each = [[(one, "")] if isinstance(one, str) else _loras_of(one) for one in entry]
        return None if None in each else [lora for found in each for lora in found]
    if not isinstance(entry, dict):
        return None
    lower = {word_key(key): value for key, value in entry.items()}
    if isinstance(name := lower.get("name"), str) and {"name", "strength", "weight"}.issuperset(lower):
        entry = {name: lower.get("strength", lower.get("weight"))}
    numbers = {name: _number(strength) for name, strength in entry.items()}
    if None in numbers.values():
        return None
    return list(numbers.items())



def _placed(inner: Source, at: int, outer: Source) -> Text:
    """A text's words, each at the place where the outer text has it."""
    places = []
    for index, sign in enumerate(inner.text):
        offset, source = index, inner
        while source is not outer and source.outer is not None:
            offset, source = source.offsets[min(offset, len(source.offsets) - 1)], source.outer
        places.append((offset, sign, True))
    return Text(inner.text, tuple(places) or ((at, "", True),))


def _number(entry: Any) -> str | None:
    if entry is None:
        return ""
    return json.dumps(entry) if isinstance(entry, int | float) and not isinstance(entry, bool) else None


def _tags_of(entry: Any) -> str | None:
    """A list as one text: of texts and numbers, or of tags as objects ({"tag": "hat", "weight": 1.2})."""
    if not isinstance(entry, list):
        return None
    words = []
    for one in entry:
        if isinstance(one, dict):
            names = ("tag", "text", "name", "value")
            text = next((one[name] for name in names if isinstance(one.get(name), str)), None)
            weight = one.get("weight", one.get("strength", 1.0))
            weighted = isinstance(weight, int | float) and MIN_WEIGHT <= weight <= MAX_WEIGHT
            if text is None or not weighted or len(one) > 1 + ("weight" in one or "strength" in one):
                return None
            words.append(tag_list((Tag(text.strip(), float(weight)),)) if text.strip() else "")
        elif isinstance(one, str):
            words.append(one)
        elif (number := _number(one)) is not None:
            words.append(number)
        else:
            return None
    return ", ".join(filter(None, words))
