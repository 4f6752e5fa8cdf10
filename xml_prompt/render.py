"""Scene + layout -> text: segments that each have one owner, for the encoders; one document, for parsers (to_xml).

The order and the element names are those the released weights were trained on: system prompt, characters, general tags.
The encoders' text is not escaped, as no parser reads it. Weights are not in the text of
the xml and json forms, and parentheses stand there as they are: the encoders of these forms are told to take no weights
from the text, and would read `(red eyes:1.2)` as words. Their segments say beside the text where weighted tags stand in
it. In the tags form the host takes weights from the text, so they are written there, and every parenthesis that belongs
to a tag is escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from xml.sax.saxutils import escape, quoteattr

from .messages import Message
from .reading.document import FORBIDDEN, ends_with_marker, invisible
from .reading.fields import not_a_field, stated_gender
from .scene import Box, Character, Field, Interaction, Lora, PromptError, Scene, Tag
from .tags import SEPARATORS, TagError, spelled, tag_list, tags_of
from .words import (
    CHARACTER_ELEMENTS,
    CHARACTER_FIELDS,
    GENERAL_ELEMENTS,
    GENERAL_FIELDS,
    INVISIBLE,
    UNSTATED,
    is_field_name,
    is_panel,
)

SHARED = 0

# How the name of a field that the models don't know stands beside its tags where there is no XML.
_QUALITY_WORDS = "color colour style length type tone"
_QUALITIES = frozenset(_QUALITY_WORDS.split())  # of what stands before them
_BEFORE_WORDS = "age height weight species race job occupation name jp en alias facing direction gaze"
_BEFORE = frozenset(_BEFORE_WORDS.split())
_WHOLE_WORDS = """
    accessories accessory props prop items item weapon weapons features details tags extra misc traits top bottom
    upper lower
"""
_WHOLE = frozenset(_WHOLE_WORDS.split())  # their tags say all
_ALWAYS_WORDS = "hair eyes eye skin ears tail wings horns"
_ALWAYS = frozenset(_ALWAYS_WORDS.split())  # `very long` says too little too
BOX_STEP = 25  # a 40th of the picture: as fine as the models place people, and few enough numbers to learn


@dataclass(frozen=True)
class WeightedSpan:
    """text[start:end] of a segment is a tag with this weight."""

    start: int
    end: int
    weight: float


@dataclass(frozen=True)
class Segment:
    """A run of text; owner 0 is shared, r the r-th character of the scene."""

    owner: int
    text: str
    weighted: tuple[WeightedSpan, ...] = ()  # neutral tags are not listed


@dataclass(frozen=True)
class TagRun:
    """Plain tags of one owner, as in Segment."""

    owner: int
    tags: tuple[Tag, ...]


def text_of(segments: Iterable[Segment]) -> str:
    return "".join(segment.text for segment in segments)


def tag_text(tags: Sequence[Tag]) -> str:
    return ", ".join(tag.text for tag in tags)


def box_numbers(box: Box) -> list[int]:
    """[x0, y0, x1, y1] in steps of BOX_STEP."""
    return [round(edge / BOX_STEP) * BOX_STEP for edge in (box.left, box.top, box.right, box.bottom)]


def weighted_spans(fields: Sequence[Field], at: int) -> tuple[WeightedSpan, ...]:
    """The weighted tags of fields whose lines, as field_line writes them, stand one after the other from `at` on."""
    if all(tag.weight == 1.0 for field in fields for tag in field.tags):
        return ()
    found = []
    for field in fields:
        place = at + len(field.name) + 2  # behind <name>
        for tag in field.tags:
            if tag.weight != 1.0:
                found.append(WeightedSpan(place, place + len(tag.text), tag.weight))
            place += len(tag.text) + 2  # and the comma
        at += len(field_line(field)) + 1
    return tuple(found)


def field_line(field: Field) -> str:
    return element(field.name, tag_text(field.tags))


def element(name: str, content: str) -> str:
    return f"<{name}>{content}</{name}>"


def character_lines(character: Character, box: Box | None, interactions: Sequence[Interaction]) -> list[str]:
    """The block's elements, one a line: name, fields as the prompt orders them, what it does with others, its box."""
    lines = [element("n", character.name)] if character.name else []
    lines += map(field_line, filled(character.fields))
    if not character.tags("interaction"):
        kinds = dict.fromkeys(i.kind for i in interactions if character.id in i.between)
        lines += [element("interaction", ", ".join(kinds))] if kinds else []
    if box is not None:
        lines.append(element("bbox", json.dumps(box_numbers(box))))
    return lines


def filled(fields: Sequence[Field]) -> list[Field]:
    return [field for field in fields if field.tags]


def character_segment(
    owner: int, character: Character, box: Box | None, interactions: Sequence[Interaction]
) -> Segment:
    lines = character_lines(character, box, interactions)
    text = "\n".join([f"<{character.id}>", *lines, f"</{character.id}>\n"])
    before = len(character.id) + 3 + (len(lines[0]) + 1 if character.name else 0)  # <id>, and the name's line
    return Segment(owner, text, weighted_spans(filled(character.fields), before))


def general_segment(
    general: Sequence[Field], interactions: Sequence[Interaction], caption: str, people: int
) -> Segment:
    """The shared block after the characters; an interaction names its characters only where not everyone takes part."""
    lines = [field_line(field) for field in filled(general)]
    for interaction in interactions:
        everyone = len(interaction.between) == people
        between = "" if everyone else f' between="{" ".join(interaction.between)}"'
        lines.append(f"<interaction{between}>{interaction.kind}</interaction>")
    lines += [element("caption", caption)] if caption else []
    text = "\n".join(["<general_tags>", *lines, "</general_tags>\n"])
    return Segment(SHARED, text, weighted_spans(filled(general), len("<general_tags>\n")))


def render_xml(scene: Scene, boxes: Sequence[Box | None] = ()) -> tuple[Segment, ...]:
    """[system | character_1 | ... | general tags]. boxes: one for each character, or none to leave them unsaid."""
    stated = list(boxes) or [None] * len(scene.characters)
    segments = [Segment(SHARED, f"{scene.system}\n")] if scene.system else []
    for owner, (character, box) in enumerate(zip(scene.characters, stated, strict=True), start=1):
        segments.append(character_segment(owner, character, box, scene.interactions))
    if scene.general or scene.interactions or scene.caption or not scene.characters:
        segments.append(general_segment(scene.general, scene.interactions, scene.caption, len(scene.characters)))
    return tuple(segments)


def render_negatives(scene: Scene, boxes: Sequence[Box | None], text: str) -> tuple[Segment, ...]:
    """[text | what character_1 must not have, as if it were its appearance | ...], only of those who state some."""
    segments = [Segment(SHARED, text)] if text else []
    for owner, (character, box) in enumerate(zip(scene.characters, boxes, strict=True), start=1):
        if character.negative:
            unwanted = Character(character.id, "", (Field("appearance", character.negative),))
            segments.append(character_segment(owner, unwanted, box, ()))
    return tuple(segments)


def render_json(scene: Scene, boxes: Sequence[Box | None]) -> tuple[Segment, ...]:
    """The template the released weights were trained on, each box on the 0..1000 grid.

    {"character_1": {"bbox": [...], "name": "..."}, "image": {"tags": "<the XML>", "caption": "..."}}

    It leaves out, because the template has no place for it: negatives, the stated spacing. The system prompt stands
    before the object. A character without a box states none.
    """
    segments = [Segment(SHARED, f"{scene.system}\n{{" if scene.system else "{")]
    for owner, (character, box) in enumerate(zip(scene.characters, boxes, strict=True), start=1):
        entry = ({"bbox": box_numbers(box)} if box else {}) | ({"name": character.name} if character.name else {})
        segments.append(Segment(owner, f'"{character.id}": {json.dumps(entry, ensure_ascii=False)}, '))
    segments.append(Segment(SHARED, '"image": {"tags": "'))
    for segment in render_xml(Scene(scene.characters, scene.general, "", "", scene.interactions)):
        segments.append(in_quotes(segment))
    segments.append(Segment(SHARED, f'", "caption": {json.dumps(scene.caption, ensure_ascii=False)}}}}}'))
    return tuple(segments)


def in_quotes(segment: Segment) -> Segment:
    """As the text stands inside of a JSON string."""

    def quoted(text: str) -> str:
        return json.dumps(text, ensure_ascii=False)[1:-1]

    text = segment.text
    spans = (replace(s, start=len(quoted(text[: s.start])), end=len(quoted(text[: s.end]))) for s in segment.weighted)
    return Segment(segment.owner, quoted(text), tuple(spans))


def tag_runs(scene: Scene) -> tuple[TagRun, ...]:
    """Plain tags for text encoders that never saw XML: what is shared first, then every character's own.

    What people do together is shared. Positions, negatives and the system prompt are left out; the caption is one tag.
    A field of another name lends it to what says too little alone: `<eyes>green</eyes>` is green eyes.
    """
    kinds = dict.fromkeys(interaction.kind for interaction in scene.interactions)
    shared = [tag for field in scene.general for tag in _told(field, GENERAL_FIELDS)] + [Tag(kind) for kind in kinds]
    runs = [TagRun(SHARED, (*shared, *([Tag(scene.caption)] if scene.caption else [])))]
    for owner, character in enumerate(scene.characters, start=1):
        fields = (field for field in character.fields if field.name != "position")
        tags = [tag for field in fields for tag in _told(field, CHARACTER_FIELDS)]
        runs.append(TagRun(owner, (*([Tag(character.name)] if character.name else []), *tags)))
    return tuple(runs)


def _told(field: Field, known: Sequence[str]) -> Iterable[Tag]:
    """The field's tags as they can be understood without its name."""
    if field.name in known or is_panel(field.name):
        return field.tags
    name = field.name.replace("_", " ").replace("hairstyle", "hair style").strip()
    *of, last = name.split()
    about = " ".join(of) if of and last in _QUALITIES else name  # hair_color: red is red hair
    about = "eyes" if about == "eye" else about
    return [_with_name(tag, about) for tag in field.tags]


def _with_name(tag: Tag, name: str) -> Tag:
    words, last = tag.text.split(), name.split()[-1].lower()
    if last in _WHOLE or last.rstrip("s") in tag.text.lower() or name.lower() in tag.text.lower():
        return tag
    if last.endswith("ing") or last in _BEFORE:
        return replace(tag, text=f"{name} {tag.text}")
    if not name.isascii():
        return replace(tag, text=f"{tag.text}{name}")
    return replace(tag, text=f"{tag.text} {name}") if len(words) == 1 or last in _ALWAYS else tag


def negative_tag_runs(scene: Scene, text: str) -> tuple[TagRun, ...]:
    """The tags of text, shared, then those that every character must not have. Raises PromptError."""
    own = (TagRun(owner, character.negative) for owner, character in enumerate(scene.characters, start=1))
    try:
        return (TagRun(SHARED, tags_of(text)), *own)
    except TagError as error:
        raise PromptError(Message("The negative prompt can't be read: {message}", message=error.message)) from None


def render_tags(scene: Scene) -> tuple[Segment, ...]:
    """The tag runs as text that the host reads weights from: (tag:1.2), and parentheses of a tag escaped."""
    segments: list[Segment] = []
    for run in tag_runs(scene):
        own = ", ".join(map(weighted, run.tags))
        if own or run.owner != SHARED:
            segments.append(Segment(run.owner, f"{', ' if own and any(s.text for s in segments) else ''}{own}"))
    return tuple(segments)


def escaped(text: str) -> str:
    r"""The text such that the host's weight syntax leaves it as it is. It knows `\(` and `\)`, no escaped backslash."""
    return text.replace("(", r"\(").replace(")", r"\)")


def weighted(tag: Tag) -> str:
    """The tag in the host's weight syntax; a neutral weight is not written."""
    return escaped(tag.text) if tag.weight == 1.0 else f"({escaped(tag.text)}:{tag.weight:g})"


# For parsers: the canonical XML document, which parse reads back as the same scene


def to_xml(scene: Scene) -> str:
    """One <scene>, escaped, two spaces a level. A system prompt that ends with its marker stands before it as typed.

    Raises PromptError for text that no XML can hold and field names that are no element names.
    """
    before = f"{scene.system}\n" if ends_with_marker(scene.system) else ""
    lines = [] if before or not scene.system else [_xml_element("system", scene.system)]
    for character in scene.characters:
        lines += _xml_character(character)
    general = [_xml_field(field, GENERAL_ELEMENTS) for field in scene.general if field.tags]
    if general:
        lines += ["<general_tags>", *_indented(general), "</general_tags>"]
    lines += [_xml_interaction(interaction, scene.characters) for interaction in scene.interactions]
    lines += map(_xml_lora, scene.loras)
    lines += [_xml_element("spacing", scene.spacing)] if scene.spacing else []
    lines += [_xml_element("caption", scene.caption)] if scene.caption else []
    text = before + "\n".join(["<scene>", *_indented(lines), "</scene>", ""])
    if bad := FORBIDDEN.search(text):
        raise PromptError(invisible(bad))
    return text


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]


# What a text box's user would mean by these, the reader leaves out or mends (reading/document.py): here they are meant.
_CLEANED = re.compile(rf'(?<=/)[/*]|(?<!\\)\\(?=[nrt"]|\\[()\[\]{{}}])|\\(?=u003[cC])|{INVISIBLE.pattern}')
_PARTING = frozenset(SEPARATORS + ":：")  # what would end a LoRA's name
_NAME_MARK = re.compile(r"\\(?=[()\[\]{}（）\\:：,，、;；])")


def _xml_text(text: str) -> str:
    return _CLEANED.sub(lambda match: f"&#{ord(match.group())};", escape(text, {"\r": "&#13;"}))


def _xml_element(name: str, text: str, attributes: str = "") -> str:
    return f"<{name}{attributes}>{_xml_text(text)}</{name}>"


def _xml_field(field: Field, known: dict[str, str]) -> str:
    if not is_field_name(field.name, known):
        raise PromptError(not_a_field(field.name))
    return _xml_element(field.name, tag_list(field.tags, weights=field.name != "position"))


def _xml_character(character: Character) -> list[str]:
    gender = "" if character.gender == stated_gender(character.fields) else f' gender="{character.gender or UNSTATED}"'
    lines = [_xml_element("n", _NAME_MARK.sub(r"\\\\", character.name))] if character.name else []
    lines += [_xml_field(field, CHARACTER_ELEMENTS) for field in character.fields if field.tags]
    lines += [_xml_element("bbox", _exact_numbers(box)) for box in (character.box, *character.more_boxes) if box]
    lines += [_xml_element("negative", tag_list(character.negative))] if character.negative else []
    lines += map(_xml_lora, character.loras)
    return [f"<{character.id}{gender}>", *_indented(lines), f"</{character.id}>"]


def _xml_lora(lora: Lora) -> str:
    strength = f"{lora.strength:.8g}" + ("" if lora.text is None else f":{lora.text:.8g}")
    if set(lora.name) & _PARTING:
        return f"<lora name={quoteattr(lora.name)} strength=\"{strength}\"/>"
    return _xml_element("lora", f"{lora.name}:{strength}")


def _exact_numbers(box: Box) -> str:
    edges = (box.left, box.top, box.right, box.bottom)
    return f"[{', '.join(str(int(edge)) if edge == int(edge) else repr(float(edge)) for edge in edges)}]"


def _xml_interaction(interaction: Interaction, characters: Sequence[Character]) -> str:
    everyone = tuple(character.id for character in characters)
    between = "" if interaction.between == everyone else f' between="{" ".join(interaction.between)}"'
    return _xml_element("interaction", spelled(Tag(interaction.kind)), between)


# For the negative: the scene that a model confuses with the one that was asked for

OF_PLACES = ("position", "interaction")  # the scene's interactions name who is where, and stay as they are


def swapped(scene: Scene) -> Scene:
    """Everyone looks and acts as the next one does, and stays in their own place, beside those with whom they interact.

    Someone alone stays as they are.
    """

    def as_other(own: Character, other: Character) -> Character:
        fields = tuple(field for field in other.fields if field.name not in OF_PLACES)
        place = tuple(field for field in own.fields if field.name in OF_PLACES)
        return replace(own, name=other.name, gender=other.gender, negative=other.negative, fields=fields + place,
                       loras=other.loras)

    people = scene.characters
    return replace(scene, characters=tuple(map(as_other, people, (*people[1:], *people[:1]))))
