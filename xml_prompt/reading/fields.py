"""One thing said of a character or of the whole picture, whichever form it was written in: an element or a JSON key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from ..messages import Message
from ..scene import Tag
from ..words import (
    CHARACTER_ELEMENTS,
    GENERAL_ELEMENTS,
    MAX_NAME,
    THOUGHTS,
    is_field_name,
    is_name,
    is_negative,
    nearest,
    word_key,
)
from .draft import (
    Draft,
    Reading,
    StatedInteraction,
    add,
    check_gender,
    check_position,
    placed_tags,
    state_box,
    tags_in,
)
from .markup import Text

_CAPTION_LABEL = re.compile(
    r"\W*(?:natural language )?(?:caption|description|自然语言描述|描述|说明|キャプション)\W{0,3}?[:：]\s*",
    re.IGNORECASE,
)
_QUOTED = re.compile(r'["“]([^"“”]*)["”]\s*,?')
_NAME_ESCAPE = re.compile(r"\\([()\[\]{}（）\\:：,，、;；])")


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

    @property
    def words_at(self) -> int:
        """Where the first of the words stands."""
        said = (text.offset(len(text.words) - len(text.words.lstrip())) for text in self.texts if text.words.strip())
        return next(said, self.offset)


def unescaped_name(text: str) -> str:
    r"""`rem \(re:zero\)` is rem (re:zero), as a tag would be."""
    return _NAME_ESCAPE.sub(r"\1", text) if "\\" in text else text


def picture_field(key: str) -> str | None:
    """The known name of a field of the whole picture, whatever its spelling."""
    return GENERAL_ELEMENTS.get(key.lower()) or (
        "negative" if is_negative(key) else GENERAL_ELEMENTS.get(word_key(key))
    )


def character_field(key: str) -> str | None:
    return CHARACTER_ELEMENTS.get(key.lower()) or (
        "negative" if is_negative(key) else CHARACTER_ELEMENTS.get(word_key(key))
    )


def state_of_picture(reading: Reading, stated: Stated) -> None:
    name = picture_field(stated.key)
    if name == "interaction":
        kinds = tuple(tags_in(reading, stated.texts))
        reading.interactions.append(StatedInteraction(kinds, stated.between, reading.source, stated.offset))
    elif name == "caption":
        reading.captions += [stated.words] if stated.words else []
    elif name == "spacing":
        reading.spacing, reading.spacing_place = stated.words, (reading.source, stated.words_at)
    elif name == "system":
        reading.system = "\n".join(filter(None, [reading.system, stated.words]))
    elif name == "negative":
        if stated.words:
            message = Message(
                "{element} is outside any character. Put it inside one, or use the negative prompt.",
                element=stated.spelled,
            )
            raise reading.source.error(message, stated.offset)
    else:
        refuse_misspelt_character(reading, stated.key, stated.spelled, stated.offset)
        _add_field(reading, None, reading.general, stated, name, GENERAL_ELEMENTS)


def caption_of(words: str) -> str:
    """The caption without a label that a language model put before it, and the quotes of one."""
    while label := _CAPTION_LABEL.match(words):
        words = words[label.end() :].strip()
        quoted = _QUOTED.fullmatch(words)
        words = quoted.group(1).strip() if quoted else words
    return words


def state_of_character(reading: Reading, draft: Draft, stated: Stated) -> None:
    name = character_field(stated.key)
    if name == "name":
        words = unescaped_name(stated.words)
        if draft.name and words and words != draft.name:
            reading.warn(stated.offset, Message("{id} has two names; both are kept.", id=draft.id))
            words = f"{draft.name}, {words}"
        draft.name = words or draft.name
    elif name == "bbox":
        if stated.words:
            state_box(reading, draft, stated.words, stated.offset)
    elif name == "negative":
        draft.negative += tags_in(reading, stated.texts, stated.weight)
    else:
        _add_field(reading, draft, draft.fields, stated, name, CHARACTER_ELEMENTS)


def _add_field(
    reading: Reading,
    draft: Draft | None,
    fields: dict[str, list[Tag]],
    stated: Stated,
    name: str | None,
    known: Mapping[str, str],
) -> None:
    if name is None:
        if word_key(stated.key) in THOUGHTS:
            message = Message("This is a language model's reasoning, not part of the prompt; it is ignored.")
            reading.warn(stated.offset, message)
            return
        if not is_field_name(stated.key, known):
            raise reading.source.error(not_a_field(stated.key), stated.offset)
        _warn_unknown(reading, stated, known)
    name = name or stated.key
    if fields.get(name):
        message = Message("{element} appears more than once; all of its tags are kept.", element=stated.spelled)
        reading.warn(stated.offset, message)
    if name not in ("position", "gender"):
        add(fields, name, tags_in(reading, stated.texts, stated.weight))
        return
    position = name == "position"
    tags = placed_tags(reading, stated.texts, 1.0 if position else stated.weight, weights=not position)
    add(fields, name, [placed.tag for placed in tags])
    if position:
        check_position(reading, draft, tags)
    else:
        check_gender(reading, tags)


def not_a_field(name: str) -> Message:
    if is_name(name):
        return Message('"{name}" is a reserved word and can\'t name a field. Choose another name.', name=name)
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
