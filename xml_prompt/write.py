"""Scene -> the canonical XML document: what parse reads back as the same scene."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

from .reading.document import FORBIDDEN, ends_with_marker, invisible
from .reading.fields import not_a_field, stated_gender
from .scene import Box, Character, Field, Interaction, Lora, PromptError, Scene, Tag
from .tags import spelled, tag_list
from .words import CHARACTER_ELEMENTS, GENERAL_ELEMENTS, INVISIBLE, UNSTATED, is_field_name


def to_xml(scene: Scene) -> str:
    """One <scene>, escaped, two spaces a level. A system prompt that ends with its marker stands before it as typed.

    Raises PromptError for text that no XML can hold and field names that are no element names.
    """
    before = f"{scene.system}\n" if ends_with_marker(scene.system) else ""
    lines = [] if before or not scene.system else [_element("system", scene.system)]
    for character in scene.characters:
        lines += _character(character)
    general = [_field(field, GENERAL_ELEMENTS) for field in scene.general if field.tags]
    if general:
        lines += ["<general_tags>", *_indented(general), "</general_tags>"]
    lines += [_interaction(interaction, scene.characters) for interaction in scene.interactions]
    lines += map(_lora, scene.loras)
    lines += [_element("spacing", scene.spacing)] if scene.spacing else []
    lines += [_element("caption", scene.caption)] if scene.caption else []
    text = before + "\n".join(["<scene>", *_indented(lines), "</scene>", ""])
    if bad := FORBIDDEN.search(text):
        raise PromptError(invisible(bad))
    return text


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]


# What a text box's user would mean by these, the reader leaves out or mends (reading/document.py): here they are meant.
_CLEANED = re.compile(rf'(?<=/)[/*]|(?<!\\)\\(?=[nrt"])|\\(?=u003[cC])|{INVISIBLE.pattern}')
_NAME_MARK = re.compile(r"\\(?=[()\[\]{}（）\\:：,，、;；])")


def _escaped(text: str) -> str:
    return _CLEANED.sub(lambda match: f"&#{ord(match.group())};", escape(text, {"\r": "&#13;"}))


def _element(name: str, text: str, attributes: str = "") -> str:
    return f"<{name}{attributes}>{_escaped(text)}</{name}>"


def _field(field: Field, known: dict[str, str]) -> str:
    if not is_field_name(field.name, known):
        raise PromptError(not_a_field(field.name))
    return _element(field.name, tag_list(field.tags, weights=field.name != "position"))


def _character(character: Character) -> list[str]:
    gender = "" if character.gender == stated_gender(character.fields) else f' gender="{character.gender or UNSTATED}"'
    lines = [_element("n", _NAME_MARK.sub(r"\\\\", character.name))] if character.name else []
    lines += [_field(field, CHARACTER_ELEMENTS) for field in character.fields if field.tags]
    lines += [_element("bbox", _numbers(box)) for box in (character.box, *character.more_boxes) if box]
    lines += [_element("negative", tag_list(character.negative))] if character.negative else []
    lines += map(_lora, character.loras)
    return [f"<{character.id}{gender}>", *_indented(lines), f"</{character.id}>"]


def _lora(lora: Lora) -> str:
    text = "" if lora.text is None else f":{lora.text:.8g}"
    return _element("lora", f"{lora.name}:{lora.strength:.8g}{text}")


def _numbers(box: Box) -> str:
    edges = (box.left, box.top, box.right, box.bottom)
    return f"[{', '.join(str(int(edge)) if edge == int(edge) else repr(float(edge)) for edge in edges)}]"


def _interaction(interaction: Interaction, characters: Sequence[Character]) -> str:
    everyone = tuple(character.id for character in characters)
    between = "" if interaction.between == everyone else f' between="{" ".join(interaction.between)}"'
    return _element("interaction", spelled(Tag(interaction.kind)), between)
