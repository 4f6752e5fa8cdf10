"""Stage 2 without XML: characters one by one, then the scene around them."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import replace
from itertools import count

import torch
from comfy_api.latest import io

from ..xml_prompt import UNSTATED, Box, Field, Message, PromptError, PromptWarning, Scene, Tag, at_line, parse, to_xml
from .boxes import box_of_mask
from .common import CATEGORY, SceneSocket, checked, scene_output, scene_outputs

FIELDS = ("name", "gender", "appearance", "clothing", "expression", "action", "position", "negative")
GENDERS = (UNSTATED, "girl", "boy", "other")
LINE_END = re.compile(r"\r\n|\r|\n")


def read_fields(block: str, fields: dict[str, str]) -> Scene:
    """The filled fields as one block of a prompt, so that tags mean the same here as there.

    Places in warnings are those in the field that the user typed. Raises PromptError, with such a place.
    """
    lines, starts = [f"<{block}>"], [(0, "")]
    for name, content in fields.items():
        if content.strip():
            starts.append((len(lines) + 2, name))
            lines += [f"<{name}>", *LINE_END.split(content), f"</{name}>"]

    def in_field(told: PromptError | PromptWarning) -> Message:
        start, field = max(item for item in starts if item[0] - 1 <= told.line)
        if told.line >= start > 0:
            message = at_line(told.message, told.line - start + 1, told.column)
            return Message("{field}, {message}", field=field, message=message)
        return Message("{field}: {message}", field=field, message=told.message) if field else told.message

    try:
        read = parse("\n".join([*lines, f"</{block}>"]))
    except PromptError as problem:
        raise PromptError(in_field(problem)) from None
    return replace(read, warnings=tuple(PromptWarning(0, 0, in_field(warning)) for warning in read.warnings))


def with_character(previous: Scene | None, fields: dict[str, str], box: Box | None = None) -> Scene:
    """The previous characters and one more, numbered after them; box: where it is, and nowhere else.

    A <bbox> typed into a field gives way to it, with a warning. Raises PromptError.
    """
    before = previous or Scene()
    taken = {character.id for character in before.characters}
    number = next(n for n in count(len(taken) + 1) if f"character_{n}" not in taken)
    read = read_fields(f"character_{number}", fields)
    if box is not None:
        if any(character.box not in (None, box) or character.more_boxes for character in read.characters):
            message = Message("The mask decides where this character is; the <bbox> in its fields is ignored.")
            read = replace(read, warnings=(*read.warnings, PromptWarning(0, 0, message)))
        placed = (replace(character, box=box, more_boxes=()) for character in read.characters)
        read = replace(read, characters=tuple(placed))
    return both(before, read)


def with_surroundings(characters: Scene | None, fields: dict[str, str], system: str) -> Scene:
    """A scene, and what the whole picture shares besides; its system prompt counts. Raises PromptError."""
    before = characters or Scene()
    read = read_fields("general_tags", fields) if any(map(str.strip, fields.values())) else Scene()
    everyone = tuple(character.id for character in before.characters)
    together = tuple(replace(interaction, between=everyone) for interaction in read.interactions)
    return both(before, replace(read, system=system.strip(), interactions=together))


def both(before: Scene, added: Scene) -> Scene:
    """All that the two say, as a prompt that says it is read: with its bounds, and what two people do together."""
    said = {field.name: getattr(before, field.name) + getattr(added, field.name) for field in dataclasses.fields(Scene)}
    if before.system and added.system:
        said["system"] = added.system
        if before.system != added.system:
            message = Message("The system prompt typed here replaces the connected scene's.")
            said["warnings"] += (PromptWarning(0, 0, message),)
    tags: dict[str, tuple[Tag, ...]] = {}
    for field in said["general"]:
        tags[field.name] = tags.get(field.name, ()) + field.tags
    said["general"] = tuple(Field(name, all_tags) for name, all_tags in tags.items())
    said["caption"] = " ".join(filter(None, (before.caption, added.caption)))
    said["spacing"] = added.spacing or before.spacing
    everyone = tuple(character.id for character in said["characters"])
    said["interactions"] = tuple(  # what one person did alone is now done together
        one if len(one.between) > 1 else replace(one, between=everyone) for one in said["interactions"]
    )
    try:
        return replace(parse(to_xml(Scene(**said))), warnings=said["warnings"])
    except PromptError as problem:
        raise PromptError(problem.message) from None  # its place is in a text that nobody has seen


def text(name: str, tooltip: str, multiline: bool = False) -> io.String.Input:
    return io.String.Input(name, default="", multiline=multiline, dynamic_prompts=False, tooltip=tooltip)


class NewBieCharacter(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NewBieCharacter",
            display_name="NewBie Character",
            category=CATEGORY,
            description="One character. Chain several of these; the first is character_1.",
            search_aliases=["character", "person", "girl", "boy", "character builder"],
            has_intermediate_output=True,  # warnings stay on the node when it is not run again
            inputs=[
                SceneSocket.Input("previous", optional=True, tooltip="The characters before this one."),
                text("name", "A known character such as miku, any other name, or empty."),
                io.Combo.Input(
                    "gender", options=list(GENDERS), default=UNSTATED,
                    tooltip="unstated: taken from the name and the tags.",
                ),
                text("appearance", "Hair, eyes, ears, accessories: comma-separated tags."),
                text("clothing", "What the character wears: comma-separated tags."),
                text("expression", "The face: smile, sad, surprised ..."),
                text("action", "Pose and direction: standing, facing_right, waving ..."),
                text("position", "Where in the picture: left, right, center, top, bottom, or a combination."),
                text("negative", "What to keep out of this character's area: comma-separated tags."),
                io.Mask.Input(
                    "mask", optional=True,
                    tooltip="Places the character in the box around the mask's bright part, overriding position and "
                    "any bbox. To use the mask's exact shape, connect it to Encode Characters instead.",
                ),
            ],
            outputs=scene_outputs(scene="All characters so far."),
        )

    @classmethod
    @checked
    def execute(
        cls, gender: str, previous: Scene | None = None, mask: torch.Tensor | None = None, **fields: str
    ) -> io.NodeOutput:
        stated = {**fields, "gender": "" if gender == UNSTATED else gender}
        box = None if mask is None else box_of_mask(mask)
        return scene_output(with_character(previous, {name: stated.get(name, "") for name in FIELDS}, box), previous)


class NewBieScene(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NewBieScene",
            display_name="NewBie Scene",
            category=CATEGORY,
            description="What the whole picture shares: background, style, and what the characters do together.",
            search_aliases=["scene", "background", "general tags", "scene builder"],
            has_intermediate_output=True,  # warnings stay on the node when it is not run again
            inputs=[
                SceneSocket.Input("characters", optional=True, tooltip="The characters, from NewBie Character."),
                text("caption", "The picture in a sentence.", multiline=True),
                text("style", "The style: comma-separated tags."),
                text("background", "The place: night_sky, beach, forest ..."),
                text("atmosphere", "The mood: comma-separated tags."),
                text("quality", "Quality tags such as masterpiece."),
                text("interaction", "What all characters do together, e.g. handshake."),
                text(
                    "system_prompt",
                    "Replaces the connected scene's system prompt. Leave it empty if unsure.",
                    multiline=True,
                ),
            ],
            outputs=scene_outputs(),
        )

    @classmethod
    @checked
    def execute(cls, system_prompt: str, characters: Scene | None = None, **fields: str) -> io.NodeOutput:
        return scene_output(with_surroundings(characters, fields, system_prompt), characters)
