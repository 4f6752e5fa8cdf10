"""The template's JSON, which the released weights were trained on.

{"character_1": {"bbox": [...], "name": "..."}, "image": {"tags": "<the XML>", "caption": "..."}}
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from ..scene import GRID, Tag
from ..words import CHARACTER_ELEMENTS, GENERAL_BLOCK, GENERAL_ELEMENTS, ROOTS, character_id, nearest
from .document import Document, json_places, json_tags, read_json
from .draft import Reading, StatedInteraction, add, add_box, check_position, checked_box, new_draft, tags_in
from .elements import read_body
from .markup import Text
from .prompt_text import FORBIDDEN, Source


def read_template(reading: Reading, document: Document) -> Reading:
    """{"character_1": {"bbox": [...], "name": ...}, "image": {"tags": "<the XML>", "caption": ...}}"""
    source, start = reading.source, document.start
    value = read_json(source, start, document.end)
    places = json_places(source.text, start, document.end)

    def at(*keys: str) -> int:
        return places.get(keys, start)

    image = value.get("image", {})
    if isinstance(image, str):
        image = {"tags": image}
    if not isinstance(image, dict):
        raise source.error('"image" is no object.', at("image"), 'Write "image": {"tags": "...", "caption": "..."}.')
    for key, words in image.items():
        place = at("image", key) if ("image", key) in places else at("image")
        text = _json_text(source, words, place, key)
        if key == "tags":
            inner = json_tags(source, start, document.end, text)
            inside = replace(reading, source=inner or Source(text, source, [place] * (len(text) + 1)))
            read_body(inside, 0, len(inside.source.text))
            reading = replace(inside, source=source)
        elif key == "caption":
            reading.captions += [text.strip()] if text.strip() else []
        else:
            _read_json_field(reading, key, text, place)
    for key, entry in value.items():
        if (id := character_id(key)) and id != "character_":
            _read_json_character(reading, id, entry, at(key), {name: at(key, name) for name in _keys(entry)})
        elif key != "image":
            _refuse_misspelt(source, key, at(key))
            _read_json_field(reading, key, _json_text(source, entry, at(key), key), at(key))
    return reading


def _keys(entry: Any) -> tuple[str, ...]:
    return tuple(entry) if isinstance(entry, dict) else ()


def _numbers(value: Any) -> list[float]:
    """The numbers of a list; none where it is no list of numbers."""
    numbers = value if isinstance(value, list) else []
    plain = all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers)
    return [float(min(max(number, -GRID), 2 * GRID)) for number in numbers] if plain else []


def _read_json_character(reading: Reading, id: str, entry: Any, at: int, places: dict[str, int]) -> None:
    source = reading.source
    if not isinstance(entry, dict):
        raise source.error(f'"{id}" is no object.', at, f'Write "{id}": {{"bbox": [...], "name": "..."}}.')
    draft = reading.drafts.get(id) or new_draft(reading, id, at)
    for key, value in entry.items():
        start = places[key]
        name = CHARACTER_ELEMENTS.get(key.lower())
        if name == "bbox":
            several = isinstance(value, list) and any(isinstance(one, list) for one in value)
            lists = value if several else [value]
            boxes = [checked_box(source, _numbers(one), start, reading.warnings) for one in lists]
            if draft.boxes and any(box not in draft.boxes for box in boxes):
                reading.warn(start, f"{id} has two different boxes; that in the XML counts.")
            elif not draft.boxes:
                for box in boxes:
                    add_box(reading, draft, box, start)
        elif name == "name":
            text = _json_text(source, value, start, key).strip()
            if draft.name and text and draft.name != text:
                reading.warn(start, f"{id} has two different names; that in the XML counts.")
            draft.name = draft.name or text
        else:
            text = _json_text(source, value, start, key)
            if name == "negative":
                draft.negative += tags_in(reading, (_words(text, start),))
            else:
                if name is None:
                    reading.warn(start, f'The key "{key[:40]}" is not known; it is kept as a field of that name.')
                _add_field(reading, draft.fields, name or _field_name(source, key, start), text, start)


def _read_json_field(reading: Reading, key: str, text: str, start: int) -> None:
    name = GENERAL_ELEMENTS.get(key.lower())
    if name == "interaction":
        kinds = tuple(tags_in(reading, (_words(text, start),)))
        reading.interactions.append(StatedInteraction(kinds, None, reading.source, start))
    elif name == "caption":
        reading.captions += [text.strip()] if text.strip() else []
    elif name == "spacing":
        reading.spacing = text.strip()
    elif name == "system":
        reading.system = "\n".join(filter(None, [reading.system, text.strip()]))
    elif name == "negative":
        raise reading.source.error('"negative" stands outside of any character.', start, "Put it into a character.")
    else:
        if name is None:
            _refuse_misspelt(reading.source, key, start)
            reading.warn(start, f'The key "{key[:40]}" is not known; it is kept as a field of that name.')
        _add_field(reading, reading.general, name or _field_name(reading.source, key, start), text, start)


def _refuse_misspelt(source: Source, key: str, start: int) -> None:
    """A character whose key is misspelt would be lost among the fields."""
    if key.lower() not in GENERAL_ELEMENTS and nearest(key, ["character_1"], 0.8):
        hint = 'Write "character_1", with a number of its own for each character.'
        raise source.error(f'"{key[:40]}" looks like a misspelt "character_1".', start, hint)


def _add_field(reading: Reading, fields: dict[str, list[Tag]], name: str, text: str, start: int) -> None:
    position = name == "position"
    add(fields, name, tags_in(reading, (_words(text, start),), weights=not position))
    if position:
        check_position(reading, fields.get(name, []), start)


def _json_text(source: Source, value: Any, start: int, key: str) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = ", ".join(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        value = json.dumps(value)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise source.error(f'The value of "{key[:40]}" is no text.', start, "Write a text in quotes.")
    bad = FORBIDDEN.search(value)
    if bad:
        problem = f'The value of "{key[:40]}" holds the character U+{ord(bad.group()):04X}.'
        raise source.error(problem, start, "Delete it; it is invisible.")
    return value.replace("\r", "\n")


def _field_name(source: Source, key: str, start: int) -> str:
    if not re.fullmatch(r"[^\W\d][\w.\-]{0,63}", key):
        raise source.error(f'The key "{key[:40]}" is no name of a field.', start, "Use letters and underscores.")
    if key.lower() in ROOTS | GENERAL_BLOCK:  # as an element it would be a frame around fields, not one of them
        problem = f'The key "{key}" is the name of a frame, not of a field.'
        raise source.error(problem, start, 'The template has "image".')
    return key


def _words(text: str, start: int) -> Text:
    return Text(text, ((start, "", True),))
