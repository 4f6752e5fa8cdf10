"""Stage 2: the prompt, as XML or from plain words."""

from __future__ import annotations

from dataclasses import replace

from comfy_api.latest import io

from ..xml_prompt import Message, PromptError, PromptWarning, Scene, convert, parse
from .common import CATEGORY, check_layout, checked, problem_of, scene_output, scene_outputs

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
