"""Elements and the words between them -> what is known of the scene and its characters."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..messages import Message
from ..scene import PromptError
from ..tags import MAX_WEIGHT, MIN_WEIGHT, SEPARATORS
from ..words import CHARACTER_ELEMENTS, GENERAL_BLOCK, GENERAL_ELEMENTS, ROOTS, UNSTATED, character_id, gender_of
from .draft import MAX_CHARACTERS, Draft, Reading, add, new_draft, state_box, tags_in
from .fields import Stated, looks_like_character, state_of_character, state_of_picture
from .loras import take_loras
from .markup import Node, Text, read_markup
from .prompt_text import Warnings

# A run without a comma is language, not a tag, if it has so many words or Chinese characters, or ends like a sentence.
SENTENCE_WORDS, SHORT_SENTENCE_WORDS, SENTENCE_SIGNS = 6, 3, 16

_CHINESE_END = re.compile(r"[。！？]")
_ENGLISH_END = re.compile(r"\w[\"')]*[.!?](?=\s|$)")
_CHINESE = re.compile("[\u3400-\u9fff]")
_RUN = re.compile(f"[^{re.escape(SEPARATORS)}]+")


def read_body(reading: Reading, start: int, end: int) -> None:
    noted = Warnings()
    root = take_loras(reading, read_markup(reading.source, start, end, noted), reading.loras)
    if root.children:  # without any element nothing was repaired: `&` and `<3` are words there
        reading.warnings.extend(noted)
    read_general(reading, root, beside=bool(root.children))


def is_language(text: str) -> bool:
    """Whether words outside of any element are sentences rather than a list of tags."""

    def sentence(run: str) -> bool:
        words = SHORT_SENTENCE_WORDS if _ENGLISH_END.search(run) else SENTENCE_WORDS
        return len(run.split()) >= words or len(_CHINESE.findall(run)) >= SENTENCE_SIGNS

    return bool(_CHINESE_END.search(text)) or any(map(sentence, _RUN.findall(text)))


def read_general(reading: Reading, node: Node, beside: bool) -> None:
    """What stands in a root, in general_tags, or in no element at all. beside: words here stand beside elements."""
    for part in node.content:
        if isinstance(part, Text):
            _read_stray(reading, part, beside)
        elif character_id(part.name):
            _read_character(reading, part)
        else:
            _read_general_element(reading, part)


def _read_stray(reading: Reading, text: Text, warn: bool) -> None:
    words = text.words.strip()
    if not words:
        return
    if warn:
        offset = text.offset(len(text.words) - len(text.words.lstrip()))
        reading.warn(offset, Message("This text is outside any element; it is read as part of the whole picture."))
    if is_language(words):
        reading.captions.append(words)
    else:
        add(reading.general, "other", tags_in(reading, (text,)))


def _read_general_element(reading: Reading, node: Node) -> None:
    key = node.name.lower()
    if key in ROOTS or key in GENERAL_BLOCK:
        _attributes(reading, node, ())
        read_general(reading, node, beside=bool(node.children))
    elif key not in GENERAL_ELEMENTS and node.children and not looks_like_character(node.name):
        _read_unknown_frame(reading, node)
        read_general(reading, node, beside=True)
    else:
        stated, beside = _stated(reading, node, _LEAVES_OF_PICTURE.get(GENERAL_ELEMENTS.get(key, "")))
        state_of_picture(reading, stated)
        for child in beside:
            if character_id(child.name):
                raise _inside(reading, child, node.name)
            _read_general_element(reading, child)


# Characters


def _read_character(reading: Reading, node: Node) -> None:
    id = character_id(node.name) or ""
    if id == "character_":
        stated = node.attributes.get("id", "")
        id = character_id(stated) or character_id(f"character_{stated}") or id
    if id == "character_":
        number = next(n for n in range(1, MAX_CHARACTERS + 2) if f"character_{n}" not in reading.drafts)
        id = f"character_{number}"
        reading.warn(node.offset, Message("<{name}> has no number; it is read as <{id}>.", name=node.name, id=id))
    if id in reading.drafts:
        line, column = reading.source.place(reading.drafts[id].offset)
        message = Message(
            "{id} appears twice, first at line {line}, column {column}. Give this one another number.",
            id=id, line=line, column=column,
        )  # fmt: skip
        raise reading.source.error(message, node.offset)
    draft = new_draft(reading, id, node.offset)
    node = take_loras(reading, node, draft.loras)
    draft.name = node.attributes.get("name", "").strip()
    attributes = _attributes(reading, node, ("id", "name", "gender", "bbox"))
    if "bbox" in attributes:
        state_box(reading, draft, attributes["bbox"], node.offset)
    if "gender" in attributes:
        _read_stated_gender(reading, draft, attributes["gender"], node.offset)
    _read_character_parts(reading, draft, node)


def _read_stated_gender(reading: Reading, draft: Draft, value: str, offset: int) -> None:
    """The attribute to_xml writes where no word of the character says its gender."""
    draft.gender = gender_of(value)
    draft.gender_stated = draft.gender is not None or value == UNSTATED
    if not draft.gender_stated:
        reading.warn(offset, Message('gender="{value}" is not known. Write girl, boy or other.', value=value))


def _read_character_parts(reading: Reading, draft: Draft, node: Node) -> None:
    for part in node.content:
        if isinstance(part, Text):
            add(draft.fields, "other", tags_in(reading, (part,)))
        else:
            _read_character_element(reading, draft, part)


def _read_character_element(reading: Reading, draft: Draft, node: Node) -> None:
    key = node.name.lower()
    if character_id(node.name) or key in GENERAL_BLOCK:
        raise _inside(reading, node, draft.id)
    if key not in CHARACTER_ELEMENTS and node.children:
        _read_unknown_frame(reading, node)
        _read_character_parts(reading, draft, node)
        return
    stated, beside = _stated(reading, node, _LEAVES_OF_CHARACTER.get(CHARACTER_ELEMENTS.get(key, "")))
    state_of_character(reading, draft, stated)
    for child in beside:
        _read_character_element(reading, draft, child)


# What an element says. Leaves hold words alone; these are the attributes they take.

_LEAVES_OF_PICTURE = {"interaction": ("between",), "caption": (), "spacing": (), "system": (), "negative": ()}
_LEAVES_OF_CHARACTER = {"name": (), "bbox": (), "negative": ("weight",)}


def _stated(reading: Reading, node: Node, leaf: tuple[str, ...] | None) -> tuple[Stated, tuple[Node, ...]]:
    """What the element says, and which elements inside it are fields of their own: all, unless it is a leaf."""
    attributes = _attributes(reading, node, ("weight",) if leaf is None else leaf)
    texts = node.texts if leaf is None else node.all_texts
    weight = _weight_of(reading, attributes, node.offset)
    for child in node.children:
        names = {"inner": child.name, "outer": node.name}
        message = (
            Message("<{inner}> is inside <{outer}>; it is read as if beside it.", **names)
            if leaf is None
            else Message("<{inner}> inside <{outer}> is ignored; its text is kept.", **names)
        )
        reading.warn(child.offset, message)
    stated = Stated(node.name, f"<{node.name}>", texts, node.offset, weight, attributes.get("between"))
    return stated, node.children if leaf is None else ()


def _read_unknown_frame(reading: Reading, node: Node) -> None:
    reading.warn(node.offset, Message("<{name}> is not a known element; its content is read.", name=node.name))
    _attributes(reading, node, ())


def _inside(reading: Reading, node: Node, outer: str) -> PromptError:
    message = Message("<{inner}> is inside <{outer}>. Close <{outer}> first.", inner=node.name, outer=outer)
    return reading.source.error(message, node.offset)


def _attributes(reading: Reading, node: Node, known: Sequence[str]) -> dict[str, str]:
    for name in node.attributes:
        if name.lower() not in known:
            message = Message("<{element}> has no attribute {name}; it is ignored.", element=node.name, name=name)
            reading.warn(node.offset, message)
    return {name.lower(): value for name, value in node.attributes.items() if name.lower() in known}


def _weight_of(reading: Reading, attributes: dict[str, str], offset: int) -> float:
    if "weight" not in attributes:
        return 1.0
    text = attributes["weight"].strip()
    weight = float(text) if re.fullmatch(r"[0-9]{0,4}\.?[0-9]{1,8}", text) else 0.0
    if not MIN_WEIGHT <= weight <= MAX_WEIGHT:
        message = Message(
            '"{text}" is not a weight. Write a number from {lowest} to {highest:g}, as in weight="1.2".',
            text=text, lowest=MIN_WEIGHT, highest=MAX_WEIGHT,
        )  # fmt: skip
        raise reading.source.error(message, offset)
    return weight
