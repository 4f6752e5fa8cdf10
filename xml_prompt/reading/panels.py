"""Pictures within the picture: `<inset_panel>`, `<panel_2>`. Their people are laid out inside the panel's place.

Where nothing says where a panel is, all that is in it is kept as its text.
"""

from __future__ import annotations

import re
from dataclasses import replace

from ..layout.boxes import layout
from ..layout.places import read_position
from ..messages import Message
from ..scene import GRID, Box, Interaction, PromptError, Scene, Tag
from ..words import CHARACTER_ELEMENTS, GENERAL_ELEMENTS, character_id, is_field_name, panel_place
from .fields import Reading, add, box_in, interactions_of, next_id, tags_in
from .markup import Node, Text
from .parse import read_general

_PLACES = ("position", "place", "location", "bbox", "位置", "边框", "場所")
_HALVES = {"left": (0.0, 0.5), "right": (0.5, 1.0), "top": (0.0, 0.5), "bottom": (0.5, 1.0), "center": (0.25, 0.75)}
_ID = re.compile(r"character_[0-9]+")


def read_panels(reading: Reading) -> None:
    """After everything else has been read, so that the picture's own characters keep their numbers."""
    for source, node in reading.panels:
        reading.source = source
        box, rest = _place(reading, node)
        if box is not None and any(character_id(child.name) for child in rest.children):
            _read_scene(reading, rest, box)
        else:
            _keep_text(reading, node)


def _place(reading: Reading, node: Node) -> tuple[Box | None, Node]:
    """The panel's box, from its attributes, its elements or its own name; and what else is in it."""
    stated = {key.lower(): value for key, value in node.attributes.items()}
    content: list[Node | Text] = []
    for part in node.content:
        if isinstance(part, Node) and part.name.lower() in _PLACES and not part.children:
            stated[part.name.lower()] = "".join(text.words for text in part.texts)
        else:
            content.append(part)
    words = next((stated[name] for name in _PLACES if stated.get(name, "").strip()), panel_place(node.name))
    return _box(reading, words, node.offset), replace(node, content=tuple(content), attributes={})


def _box(reading: Reading, words: str, offset: int) -> Box | None:
    if re.fullmatch(r"[\s\[(]*[0-9.]+%?\s*(?:[,，\s]\s*[0-9.]+%?\s*){3}[\s\])]*", words):
        return box_in(reading, words, offset)
    place, _ = read_position(part.strip() for part in re.split(r"[,，、;；]", words) if part.strip())
    if place.box is not None:
        return place.box
    if place.x is None and place.row is None:
        return None
    side = place.side.removeprefix("far_").removeprefix("center_")
    left, right = _HALVES.get(side, (0.0, 1.0)) if place.row in (None, "center") or side != "center" else (0.0, 1.0)
    top, bottom = _HALVES.get(place.row or "", (0.0, 1.0))
    return Box(left * GRID, top * GRID, right * GRID, bottom * GRID)


def _read_scene(reading: Reading, node: Node, box: Box) -> None:
    """The panel as a scene of its own, whose people become further characters with boxes inside the panel's."""
    inner = Reading(reading.source, reading.warnings, tags=reading.tags)
    read_general(inner, node, beside=True)
    reading.tags = inner.tags
    people = tuple(draft.finished() for draft in inner.drafts.values())
    acts = interactions_of(inner, people)
    try:
        boxes = layout(Scene(people, interactions=acts))
    except PromptError as error:
        raise reading.source.error(error.message, node.offset) from None
    ids: dict[str, str] = {}
    for (id, draft), place in zip(inner.drafts.items(), boxes, strict=True):
        draft.id = ids[id] = next_id(reading)
        draft.boxes = [_inside(place, box)]
        reading.drafts[draft.id] = draft
        if draft.id != id:
            message = Message("{id} in {element} is read as {new}.", id=id, element=node.spelled, new=draft.id)
            reading.warn(draft.offset, message)
    for draft in inner.drafts.values():
        where = draft.fields.get("position", [])
        where[:] = [replace(tag, text=_ID.sub(lambda id: ids.get(id.group(), id.group()), tag.text)) for tag in where]
        draft.relations = {}
    reading.settled += [Interaction(act.kind, tuple(ids[id] for id in act.between)) for act in acts]
    reading.loras += inner.loras
    said = [tag for tags in inner.general.values() for tag in tags] + [Tag(caption) for caption in inner.captions]
    add(reading.general, _name(node), said)


def _inside(box: Box, panel: Box) -> Box:
    across, down = panel.width / GRID, panel.height / GRID
    edges = panel.left + box.left * across, panel.top + box.top * down
    return Box(*map(round, (*edges, panel.left + box.right * across, panel.top + box.bottom * down)))


def _keep_text(reading: Reading, node: Node) -> None:
    message = Message(
        "{element} has no position or no characters, so its content is kept as text. Give it a <bbox> or a <position>.",
        element=node.spelled,
    )
    reading.warn(node.offset, message)
    texts = tuple(text for text in node.all_texts if text.words.strip())
    add(reading.general, _name(node), tags_in(reading, texts))


def _name(node: Node) -> str:
    known = {**CHARACTER_ELEMENTS, **GENERAL_ELEMENTS}
    return node.name if is_field_name(node.name, known) else "panel"
