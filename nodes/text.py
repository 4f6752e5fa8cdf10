"""Stage 2 from plain words: tags or sentences become a scene, and XML to go on with."""

from __future__ import annotations

from comfy_api.latest import io

from ..xml_prompt import convert
from .common import CATEGORY, SceneSocket, check_layout, problem_of, scene_output
from .inputs import checked

EXAMPLE = "A: 1girl, blue hair, smile, left\nB: 1boy, black hair, glasses, right"


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
                    "text",
                    multiline=True,
                    default=EXAMPLE,
                    dynamic_prompts=False,
                    tooltip="One part for each character: A: blue hair, smile; B: ... or 1girl, blue hair; 1boy, ... "
                    "Guesses are shown on the node. XML is read unchanged.",
                ),
            ],
            outputs=[
                SceneSocket.Output("scene", display_name="scene", tooltip="The scene for Encode Characters."),
                io.String.Output("xml_text", display_name="xml", tooltip="The same scene as XML."),
            ],
        )

    @classmethod
    def validate_inputs(cls, text: str | None = None) -> bool | str:
        """As for XML: told before any model is loaded."""
        return text is None or problem_of(lambda: check_layout(convert(text)))

    @classmethod
    @checked
    def execute(cls, text: str) -> io.NodeOutput:
        return scene_output(convert(text))
