"""Text -> Scene. Every mistake is a PromptError with its place; everything guessed or repaired is a warning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..layout.boxes import place_of
from ..layout.places import read_position, strangers
from ..layout.side_by_side import read_spacing
from ..messages import Message
from ..scene import GRID, Box, Field, Scene, Tag
from .document import Document, Warnings, find_document, source_of
from .elements import read_body
from .fields import Reading, caption_of
from .interactions import interactions_of
from .panels import read_panels
from .template import read_template


def parse(text: str) -> Scene:
    """The scene that a prompt describes: XML in all its forms, the template's JSON, plain tags or plain language.

    Raises PromptError, and nothing else, for text that can't be read.
    """
    return scene_of(read_prompt(text)[0])


def read_prompt(text: str, plain: bool = False) -> tuple[Reading, Document]:
    """plain: words without any element are read again, with their labels."""
    source, warnings = source_of(text), Warnings()
    document = find_document(source, warnings)
    reading = Reading(document.source, warnings, system=document.system, plain=plain)
    if document.is_json:
        read_template(reading, document)
    else:
        read_body(reading, document.start, document.end)
    if reading.panels:
        read_panels(reading)
    return reading, document


def scene_of(reading: Reading) -> Scene:
    characters = tuple(draft.finished() for draft in reading.drafts.values())
    general = tuple(Field(name, tuple(tags)) for name, tags in reading.general.items() if tags)
    interactions = interactions_of(reading, characters)
    if not (characters or general or reading.captions or interactions or reading.loras):
        reading.warn(0, Message("The prompt has no content."))
    caption = caption_of(" ".join(filter(None, reading.captions)))
    scene = Scene(
        characters, general, caption, reading.system, interactions, reading.spacing, loras=tuple(reading.loras)
    )
    warn_of_what_layout_ignores(reading, scene)
    return replace(scene, warnings=reading.warnings.sorted())


def _disagree(box: Box, position: Sequence[Tag]) -> bool:
    """Whether the words say one side, and the box is not on it."""
    side, middle = read_position(tag.text for tag in position)[0].side, box.left + box.right
    return ("left" in side and middle >= GRID) or ("right" in side and middle <= GRID)


def warn_of_what_layout_ignores(reading: Reading, scene: Scene) -> None:
    """A spacing that is no spacing, and someone who stands beside nobody in the scene; both are kept as typed."""
    if scene.spacing and read_spacing(scene.spacing) is None:
        message = Message(
            'The spacing "{spacing}" is not understood. Write box widths (2), a percentage (30%) or metres (1.5m).',
            spacing=scene.spacing,
        )
        reading.warnings.warn(*reading.spacing_place, message)
    for id, draft in reading.drafts.items():
        if draft.box_place and _disagree(draft.boxes[0], draft.fields.get("position", ())):
            message = Message("The bbox and the position of {id} disagree; the bbox is used.", id=id)
            reading.warnings.warn(*draft.box_place, message)
    for index, name in strangers(scene, [place_of(character) for character in scene.characters]):
        id = scene.characters[index].id
        message = Message('{id} is placed relative to "{name}", but no character has that name.', id=id, name=name)
        reading.warnings.warn(*reading.drafts[id].relations[name], message)
