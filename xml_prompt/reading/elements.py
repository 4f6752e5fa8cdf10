"""Elements and the words between them -> what is known of the scene and its characters."""

from __future__ import annotations

import re

from ..scene import Tag
from ..tags import SEPARATORS
from ..words import CHARACTER_ELEMENTS, GENERAL_BLOCK, GENERAL_ELEMENTS, ROOTS, character_id, gender_of, nearest
from .draft import (
    MAX_CHARACTERS,
    Draft,
    Reading,
    StatedInteraction,
    add,
    check_position,
    known_attributes,
    new_draft,
    state_box,
    tags_in,
    weight_of,
)
from .loras import take_loras
from .markup import Node, Text, all_texts, read_markup
from .prompt_text import Warnings

# A run without a comma is language, not a tag, if it has so many words or Chinese characters, or ends like a sentence.
SENTENCE_WORDS, SHORT_SENTENCE_WORDS, SENTENCE_SIGNS = 6, 3, 16
UNSTATED = "unstated"

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
        elif part.name.lower() in ROOTS or part.name.lower() in GENERAL_BLOCK:
            known_attributes(reading, part, ())
            read_general(reading, part, beside=bool(part.children))
        elif character_id(part.name):
            _read_character(reading, part)
        else:
            read_general_element(reading, part)


def _read_stray(reading: Reading, text: Text, warn: bool) -> None:
    words = text.words.strip()
    if not words:
        return
    if warn:
        offset = text.offset(len(text.words) - len(text.words.lstrip()))
        reading.warn(offset, "Words outside of any element are read as part of the whole picture.")
    if is_language(words):
        reading.captions.append(words)
    else:
        add(reading.general, "other", tags_in(reading, (text,)))


def read_general_element(reading: Reading, node: Node) -> None:
    name = GENERAL_ELEMENTS.get(node.name.lower())
    if name == "interaction":
        attributes = known_attributes(reading, node, ("between",))
        kinds = tuple(tags_in(reading, _texts(reading, node)))
        reading.interactions.append(StatedInteraction(kinds, attributes.get("between"), reading.source, node.offset))
    elif name == "caption":
        known_attributes(reading, node, ())
        _nothing_inside(reading, node)
        reading.captions += [node.words.strip()] if node.words.strip() else []
    elif name == "spacing":
        known_attributes(reading, node, ())
        _nothing_inside(reading, node)
        reading.spacing = node.words.strip()
    elif name == "system":
        known_attributes(reading, node, ())
        _nothing_inside(reading, node)
        reading.system = "\n".join(filter(None, [reading.system, node.words.strip()]))
    elif name == "negative":
        hint = "Put it into a character, or type it into the negative prompt."
        raise reading.source.error("<negative> stands outside of any character.", node.offset, hint)
    elif name:
        _read_field(reading, node, name, reading.general)
    elif character_id(near := nearest(node.name, ["character_1"], 0.8)):
        hint = f"Write <{near}> ... </{near}>, with a number of its own for each character."
        raise reading.source.error(f"<{node.name}> looks like a misspelt <{near}>.", node.offset, hint)
    elif node.children:
        reading.warn(node.offset, f"The element <{node.name}> is not known; what is in it is read.")
        known_attributes(reading, node, ())
        read_general(reading, node, beside=True)
    else:
        _warn_unknown(reading, node, GENERAL_ELEMENTS)
        _read_field(reading, node, node.name, reading.general)


# Characters


def _read_character(reading: Reading, node: Node) -> None:
    id = character_id(node.name) or ""
    if id == "character_":
        stated = node.attributes.get("id", "")
        id = character_id(stated) or character_id(f"character_{stated}") or id
    if id == "character_":
        number = next(n for n in range(1, MAX_CHARACTERS + 2) if f"character_{n}" not in reading.drafts)
        id = f"character_{number}"
        reading.warn(node.offset, f"<{node.name}> has no number; it is read as <{id}>.")
    if id in reading.drafts:
        line, column = reading.source.place(reading.drafts[id].offset)
        hint = f"It is first at line {line}, column {column}; give this one another number."
        raise reading.source.error(f"{id} is there twice.", node.offset, hint)
    draft = new_draft(reading, id, node.offset)
    node = take_loras(reading, node, draft.loras)
    draft.name = node.attributes.get("name", "").strip()
    attributes = known_attributes(reading, node, ("id", "name", "gender", "bbox"))
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
        reading.warn(offset, f'gender="{value[:40]}" is not known; write girl, boy or other.')


def _read_character_parts(reading: Reading, draft: Draft, node: Node) -> None:
    for part in node.content:
        if isinstance(part, Text):
            add(draft.fields, "other", tags_in(reading, (part,)))
        else:
            _read_character_element(reading, draft, part)


def _read_character_element(reading: Reading, draft: Draft, node: Node) -> None:
    name = CHARACTER_ELEMENTS.get(node.name.lower())
    if character_id(node.name):
        hint = f"Close {draft.id} before it begins."
        raise reading.source.error(f"<{node.name}> stands inside of {draft.id}.", node.offset, hint)
    if name == "name":
        known_attributes(reading, node, ())
        _nothing_inside(reading, node)
        words = node.words.strip()
        if draft.name and words and words != draft.name:
            reading.warn(node.offset, f"{draft.id} has two names; both are kept.")
            words = f"{draft.name}, {words}"
        draft.name = words or draft.name
    elif name == "bbox":
        known_attributes(reading, node, ())
        _nothing_inside(reading, node)
        state_box(reading, draft, node.words, node.offset)
    elif name == "negative":
        attributes = known_attributes(reading, node, ("weight",))
        draft.negative += tags_in(reading, _texts(reading, node), weight_of(reading, attributes, node.offset))
    elif not name and node.name.lower() in GENERAL_BLOCK:
        raise reading.source.error(f"<{node.name}> stands inside of {draft.id}.", node.offset, "Close it first.")
    elif not name and node.children:
        reading.warn(node.offset, f"The element <{node.name}> is not known; what is in it is read.")
        known_attributes(reading, node, ())
        _read_character_parts(reading, draft, node)
    else:
        if not name:
            _warn_unknown(reading, node, CHARACTER_ELEMENTS)
        _read_field(reading, node, name or node.name, draft.fields, draft)


# Fields


def _read_field(
    reading: Reading,
    node: Node,
    name: str,
    fields: dict[str, list[Tag]],
    draft: Draft | None = None,
) -> None:
    """One field's tags. Elements inside of it become fields of their own: their names are part of what was said."""
    attributes = known_attributes(reading, node, ("weight",))
    if fields.get(name):
        reading.warn(node.offset, f"<{node.name}> is there more than once; all its tags are kept.")
    weight = weight_of(reading, attributes, node.offset)
    own = [part for part in node.content if isinstance(part, Text)]
    if name == "position":
        add(fields, name, tags_in(reading, own, weights=False))
        check_position(reading, fields.get(name, []), node.offset)
    else:
        add(fields, name, tags_in(reading, own, weight))
    for child in node.children:
        reading.warn(child.offset, f"<{child.name}> stands inside of <{node.name}>; it is read as if beside it.")
        if draft is not None:
            _read_character_element(reading, draft, child)
        else:
            read_general_element(reading, child)


def _texts(reading: Reading, node: Node) -> tuple[Text, ...]:
    _nothing_inside(reading, node)
    return all_texts(node)


def _nothing_inside(reading: Reading, node: Node) -> None:
    for child in node.children:
        reading.warn(child.offset, f"Of <{child.name}> inside of <{node.name}> only the words are kept.")


def _warn_unknown(reading: Reading, node: Node, known: dict[str, str]) -> None:
    near = nearest(node.name, known)
    hint = f" Did you mean <{near}>?" if near else ""
    reading.warn(node.offset, f"The element <{node.name}> is not known; it is kept as a field of that name.{hint}")
