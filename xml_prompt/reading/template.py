"""The template's JSON, which the released weights were trained on.

{"character_1": {"bbox": [...], "name": "..."}, "image": {"tags": "<the XML>", "caption": "..."}}
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from ..messages import Message
from ..scene import GRID
from ..words import CHARACTER_ELEMENTS, character_id
from .document import Document, json_places, json_tags, read_json
from .draft import Reading, add_box, checked_box, new_draft
from .elements import read_body
from .fields import Stated, refuse_misspelt_character, state_of_character, state_of_picture
from .markup import Text
from .prompt_text import FORBIDDEN, Source, invisible


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
        message = Message('"image" is not an object. Write "image": {{"tags": "...", "caption": "..."}}.')
        raise source.error(message, at("image"))
    for key, words in image.items():
        place = at("image", key) if ("image", key) in places else at("image")
        text = _json_text(source, words, place, key)
        if key == "tags":
            inner = json_tags(source, start, document.end, text)
            inside = replace(reading, source=inner or Source(text, source, [place] * (len(text) + 1)))
            read_body(inside, 0, len(inside.source.text))
            reading = replace(inside, source=source)
        else:
            state_of_picture(reading, _stated(key, text, place))
    for key, entry in value.items():
        if (id := character_id(key)) and id != "character_":
            _read_json_character(reading, id, entry, at(key), {name: at(key, name) for name in _keys(entry)})
        elif key != "image":
            refuse_misspelt_character(reading, key, f'"{key}"', at(key))
            state_of_picture(reading, _stated(key, _json_text(source, entry, at(key), key), at(key)))
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
        message = Message('"{id}" is not an object. Write "{id}": {{"bbox": [...], "name": "..."}}.', id=id)
        raise source.error(message, at)
    draft = reading.drafts.get(id) or new_draft(reading, id, at)
    for key, value in entry.items():
        start = places[key]
        name = CHARACTER_ELEMENTS.get(key.lower())
        if name == "bbox":
            several = isinstance(value, list) and any(isinstance(one, list) for one in value)
            lists = value if several else [value]
            boxes = [checked_box(source, _numbers(one), start, reading.warnings) for one in lists]
            if draft.boxes and any(box not in draft.boxes for box in boxes):
                reading.warn(start, Message("{id} already has another box; this one is ignored.", id=id))
            elif not draft.boxes:
                for box in boxes:
                    add_box(reading, draft, box, start)
            continue
        stated = _stated(key, _json_text(source, value, start, key), start)
        if name == "name" and draft.name and stated.words:
            if draft.name != stated.words:
                reading.warn(start, Message("{id} already has another name; this one is ignored.", id=id))
        else:
            state_of_character(reading, draft, stated)


def _stated(key: str, words: str, start: int) -> Stated:
    return Stated(key, f'"{key}"', (Text(words, ((start, "", True),)),), start)


def _json_text(source: Source, value: Any, start: int, key: str) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = ", ".join(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        value = json.dumps(value)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise source.error(Message('The value of "{key}" is not text. Write text in quotes.', key=key), start)
    if bad := FORBIDDEN.search(value):
        raise source.error(invisible(bad), start)
    return value.replace("\r", "\n")
