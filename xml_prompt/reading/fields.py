"""One thing said of a character or of the whole picture, whichever form it was written in: an element or a JSON key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from ..messages import Message
from ..scene import Tag
from ..words import CHARACTER_ELEMENTS, GENERAL_ELEMENTS, MAX_NAME, is_field_name, is_name, nearest
from .draft import Draft, Reading, StatedInteraction, add, check_position, state_box, tags_in
from .markup import Text


class Stated(NamedTuple):
    """What an element or a key says."""

    key: str  # as typed
    spelled: str  # as messages show it: <key> or "key"
    texts: tuple[Text, ...]
    offset: int
    weight: float = 1.0
    between: str | None = None

    @property
    def words(self) -> str:
        return "".join(text.words for text in self.texts).strip()


def state_of_picture(reading: Reading, stated: Stated) -> None:
    name = GENERAL_ELEMENTS.get(stated.key.lower())
    if name == "interaction":
        kinds = tuple(tags_in(reading, stated.texts))
        reading.interactions.append(StatedInteraction(kinds, stated.between, reading.source, stated.offset))
    elif name == "caption":
        reading.captions += [stated.words] if stated.words else []
    elif name == "spacing":
        reading.spacing = stated.words
    elif name == "system":
        reading.system = "\n".join(filter(None, [reading.system, stated.words]))
    elif name == "negative":
        message = Message(
            "{element} is outside any character. Put it inside one, or use the negative prompt.",
            element=stated.spelled,
        )
        raise reading.source.error(message, stated.offset)
    else:
        refuse_misspelt_character(reading, stated.key, stated.spelled, stated.offset)
        _add_field(reading, reading.general, stated, GENERAL_ELEMENTS)


def state_of_character(reading: Reading, draft: Draft, stated: Stated) -> None:
    name = CHARACTER_ELEMENTS.get(stated.key.lower())
    if name == "name":
        words = stated.words
        if draft.name and words and words != draft.name:
            reading.warn(stated.offset, Message("{id} has two names; both are kept.", id=draft.id))
            words = f"{draft.name}, {words}"
        draft.name = words or draft.name
    elif name == "bbox":
        state_box(reading, draft, stated.words, stated.offset)
    elif name == "negative":
        draft.negative += tags_in(reading, stated.texts, stated.weight)
    else:
        _add_field(reading, draft.fields, stated, CHARACTER_ELEMENTS)


def _add_field(reading: Reading, fields: dict[str, list[Tag]], stated: Stated, known: Mapping[str, str]) -> None:
    name = known.get(stated.key.lower())
    if name is None:
        if not is_field_name(stated.key, known):
            raise reading.source.error(not_a_field(stated.key), stated.offset)
        _warn_unknown(reading, stated, known)
    name = name or stated.key
    if fields.get(name):
        message = Message("{element} appears more than once; all of its tags are kept.", element=stated.spelled)
        reading.warn(stated.offset, message)
    position = name == "position"
    add(fields, name, tags_in(reading, stated.texts, 1.0 if position else stated.weight, weights=not position))
    if position:
        check_position(reading, fields.get(name, []), stated.offset)


def not_a_field(name: str) -> Message:
    if is_name(name):
        return Message('"{name}" has a meaning of its own and can\'t name a field. Choose another name.', name=name)
    return Message(
        '"{name}" can\'t name a field. Use letters, digits and underscores, up to {limit}.', name=name, limit=MAX_NAME
    )


def refuse_misspelt_character(reading: Reading, key: str, spelled: str, offset: int) -> None:
    """It would be lost among the fields."""
    if looks_like_character(key):
        number = re.search("[1-9][0-9]*", key)
        message = Message(
            "{element} looks like a misspelt {id}. Write {id}; every character has a number of its own.",
            element=spelled,
            id=f"character_{number.group() if number else 1}",
        )
        raise reading.source.error(message, offset)


def looks_like_character(key: str) -> bool:
    return key.lower() not in GENERAL_ELEMENTS and bool(nearest(key, ["character_1"], 0.8))


def _warn_unknown(reading: Reading, stated: Stated, known: Mapping[str, str]) -> None:
    message = Message("{element} is not a known field; it is kept as typed.", element=stated.spelled)
    elsewhere = stated.key.lower() in {*CHARACTER_ELEMENTS, *GENERAL_ELEMENTS}
    if near := "" if elsewhere else nearest(stated.key, known):
        message = Message("{message} Did you mean {near}?", message=message, near=near)
    reading.warn(stated.offset, message)
