"""Stage 2: the prompt, as XML, from plain words, or character by character; and a LoRA for one character."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import replace
from itertools import count

import folder_paths
import torch
from comfy_api.latest import io

from ..xml_prompt import (
    UNSTATED,
    Box,
    Field,
    Lora,
    Message,
    PromptError,
    PromptWarning,
    Scene,
    Tag,
    at_line,
    convert,
    parse,
    to_xml,
)
from .common import CATEGORY, SceneSocket, check_layout, checked, problem_of, scene_output, scene_outputs
from .masks import box_of_mask

XML_EXAMPLE = """\
<scene>
  <character_1>
    <n>miku</n>
    <position>left, center_y</position>
    <pose>standing, facing_right</pose>
  </character_1>
  <character_2>
    <n>kaito</n>
    <position>right, center_y</position>
    <pose>standing, facing_left</pose>
  </character_2>
  <interaction>handshake</interaction>
</scene>"""
TEXT_EXAMPLE = "A: 1girl, blue hair, smile, left\nB: 1boy, black hair, glasses, right"
FIELDS = ("name", "gender", "appearance", "clothing", "expression", "action", "position", "negative")
GENDERS = (UNSTATED, "girl", "boy", "other")
LINE_END = re.compile(r"\r\n|\r|\n")
EVERYONE = 0  # instead of a character's number


def plain_tags_hint(text: str, scene: Scene) -> PromptWarning | None:
    """For XML Prompt: tags without any element are all of the whole picture's, which is seldom what was meant."""
    if scene.characters or "<" in text:
        return None
    try:
        people = convert(text).characters
    except PromptError:
        return None
    hint = Message("No characters found: use NewBie Text to XML for plain tags.")
    return PromptWarning(0, 0, hint) if people else None


class NewBieXMLPrompt(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NewBieXMLPrompt",
            display_name="NewBie XML Prompt",
            category=CATEGORY,
            description="Reads a scene from XML, from the JSON template, or from plain tags.",
            search_aliases=["xml", "prompt", "newbie prompt", "text", "characters"],
            has_intermediate_output=True,  # warnings stay on the node when it is not run again
            inputs=[
                io.String.Input(
                    "xml", multiline=True, default=XML_EXAMPLE, dynamic_prompts=False,
                    tooltip="One <character_N> block for each character, then <general_tags>. Mistakes are shown with "
                    "their line and column.",
                ),
            ],
            outputs=scene_outputs(xml="The prompt in its canonical form."),
        )

    @classmethod
    def validate_inputs(cls, xml: str | None = None) -> bool | str:
        """A prompt that can't be read or laid out is told here, before any model is loaded; a linked one later."""
        return xml is None or problem_of(lambda: check_layout(parse(xml)))

    @classmethod
    @checked
    def execute(cls, xml: str) -> io.NodeOutput:
        scene = parse(xml)
        hint = plain_tags_hint(xml, scene)
        return scene_output(scene if hint is None else replace(scene, warnings=(*scene.warnings, hint)))


class NewBieTextToXML(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NewBieTextToXML",
            display_name="NewBie Text to XML",
            category=CATEGORY,
            description="Turns plain tags or sentences into a scene with characters, and into XML that you can edit.",
            search_aliases=["text to xml", "convert prompt", "plain tags", "danbooru tags", "characters"],
            has_intermediate_output=True,  # warnings stay on the node when it is not run again
            inputs=[
                io.String.Input(
                    "text", multiline=True, default=TEXT_EXAMPLE, dynamic_prompts=False,
                    tooltip="One part for each character: A: blue hair, smile; B: ... or 1girl, blue hair; 1boy, ... "
                    "Guesses are shown on the node. XML is read unchanged.",
                ),
            ],
            outputs=scene_outputs(),
        )

    @classmethod
    def validate_inputs(cls, text: str | None = None) -> bool | str:
        """As for XML: told before any model is loaded."""
        return text is None or problem_of(lambda: check_layout(convert(text)))

    @classmethod
    @checked
    def execute(cls, text: str) -> io.NodeOutput:
        return scene_output(convert(text))


# Without XML: characters one by one, then the scene around them


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


# A LoRA for one character


def with_lora(scene: Scene, character: int, lora: Lora) -> Scene:
    """character: by its place in the prompt, from 1; EVERYONE: the whole picture. Raises ValueError."""
    if character == EVERYONE:
        return replace(scene, loras=(*scene.loras, lora))
    if character > len(scene.characters):
        raise ValueError(
            f"character is {character}, but the scene has {len(scene.characters)}: choose one of them, or "
            f"{EVERYONE} for the whole picture."
        )
    people = list(scene.characters)
    chosen = people[character - 1]
    people[character - 1] = replace(chosen, loras=(*chosen.loras, lora))
    return replace(scene, characters=tuple(people))


def strength(name: str, of: str) -> io.Float.Input:
    return io.Float.Input(
        name, default=1.0, min=-10.0, max=10.0, step=0.05, tooltip=f"How strongly the LoRA acts on {of}. 0: not at all."
    )


class NewBieCharacterLoRA(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NewBieCharacterLoRA",
            display_name="NewBie Character LoRA",
            category=CATEGORY,
            description="Applies a LoRA to one character alone.",
            search_aliases=["lora", "character lora", "regional lora", "lora for one character", "load lora"],
            inputs=[
                SceneSocket.Input("scene", tooltip="The scene from a prompt node, or from another of these nodes."),
                io.Int.Input(
                    "character", default=1, min=EVERYONE, max=99,
                    tooltip="Which character, in the prompt's order from 1. 0: the whole picture.",
                ),
                io.Combo.Input(
                    "lora", options=folder_paths.get_filename_list("loras"), tooltip="A file in models/loras."
                ),
                strength("strength_model", "the picture"),
                strength("strength_text", "how the character's text is read, if it has layers for that"),
            ],
            outputs=scene_outputs(id="scene_with_lora", scene="The scene with the LoRA."),
        )

    @classmethod
    @checked
    def execute(
        cls, scene: Scene, character: int, lora: str, strength_model: float, strength_text: float
    ) -> io.NodeOutput:
        added = Lora(lora, strength_model, None if strength_text == strength_model else strength_text)
        done = with_lora(scene, character, added)
        return io.NodeOutput(done, to_xml(done))
