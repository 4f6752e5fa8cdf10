"""Stage 3: scene -> conditioning, every character kept apart."""

from __future__ import annotations

from typing import Any

from comfy.sd import CLIP
from comfy_api.latest import io

from ..isolation.encode import encode, encode_negative
from ..isolation.modes import AUTO, MODES
from ..xml_prompt import Scene
from .common import CATEGORY, SceneSocket, boxes_of


class NewBieEncodeCharacters(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NewBieEncodeCharacters",
            display_name="NewBie Encode Characters",
            category=CATEGORY,
            description="Encodes every character and keeps its text to its own place in the picture.",
            search_aliases=["encode", "conditioning", "isolate characters", "clip text encode newbie"],
            inputs=[
                io.Clip.Input(
                    "clip",
                    tooltip="NewBie's text encoders, from NewBie Loader; or Lumina 2's, or those of an SD1.5, SD2 or "
                    "SDXL checkpoint.",
                ),
                SceneSocket.Input("scene", tooltip="The scene from a prompt node."),
                io.Latent.Input(
                    "latent", optional=True, tooltip="The picture's size; without it the layout is made for a square."
                ),
                io.Combo.Input(
                    "mode",
                    options=list(MODES),
                    default=AUTO,
                    tooltip="auto: what the model was trained for. strict: every character encoded alone and isolated "
                    "throughout. gentle: one encode, isolated for the first half. off: as ComfyUI does it. For SD "
                    "checkpoints auto is strict.",
                ),
                io.String.Input(
                    "negative",
                    default="",
                    multiline=True,
                    dynamic_prompts=False,
                    tooltip="What the whole picture must not have. Empty is neutral.",
                ),
            ],
            outputs=[
                io.Conditioning.Output("positive", display_name="positive"),
                io.Conditioning.Output("negative_conditioning", display_name="negative"),
            ],
        )

    @classmethod
    def execute(
        cls, clip: CLIP, scene: Scene, mode: str, negative: str, latent: dict[str, Any] | None = None
    ) -> io.NodeOutput:
        boxes = boxes_of(scene, latent)
        return io.NodeOutput(
            encode(clip, scene, boxes, mode), encode_negative(clip, scene, boxes, mode, negative)
        )
