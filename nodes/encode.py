"""Stage 3: scene -> conditioning, every character kept apart."""

from __future__ import annotations

from typing import Any

from comfy.sd import CLIP
from comfy_api.latest import io
from torch import Tensor

from ..isolation.encode import encode, encode_negative
from ..isolation.options import AUTO, MODES, NEUTRAL, OFF, Options
from ..isolation.plan import SQUARE
from ..xml_prompt import Scene
from .common import CATEGORY, OptionsSocket, SceneSocket, boxes_of
from .inputs import checked
from .masks import masks_of, with_mask_boxes


class NewBieEncodeCharacters(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NewBieEncodeCharacters",
            display_name="NewBie Encode Characters",
            category=CATEGORY,
            description="Encodes each character and confines its text to its own place in the picture.",
            search_aliases=["encode", "conditioning", "isolate characters", "clip text encode newbie"],
            inputs=[
                io.Clip.Input(
                    "clip",
                    tooltip="NewBie's text encoders, from NewBie Loader; or the CLIP of Lumina 2 or of an SD1.5, SD2 "
                    "or SDXL checkpoint.",
                ),
                SceneSocket.Input("scene", tooltip="The scene from a prompt node."),
                io.Latent.Input(
                    "latent",
                    optional=True,
                    tooltip="The latent that will be drawn on: boxes are laid out for its shape. Unconnected: for a "
                    "square.",
                ),
                io.Combo.Input(
                    "mode",
                    options=list(MODES),
                    default=AUTO,
                    tooltip="auto: what the model was trained for (SD checkpoints: strict). strict: each character is "
                    "encoded alone and isolated throughout. gentle: encoded together, isolated in the layers that "
                    "draw. off: plain ComfyUI.",
                ),
                io.String.Input(
                    "negative",
                    default="",
                    multiline=True,
                    dynamic_prompts=False,
                    tooltip="What the whole picture must not show. Empty (neutral) suits the mini. The full model "
                    "was never trained on an empty negative: give it some words. The system prompt is put in front "
                    "of them.",
                ),
                io.Mask.Input(
                    "masks",
                    optional=True,
                    tooltip="Painted areas instead of boxes: a batch with one mask per character, in the prompt's "
                    "order. A character whose mask is empty or missing keeps its box.",
                ),
                OptionsSocket.Input(
                    "isolation",
                    optional=True,
                    tooltip="From NewBie Isolation Options: how strictly characters are kept apart. Unconnected: the "
                    "mode's own settings.",
                ),
            ],
            outputs=[
                io.Conditioning.Output("positive", display_name="positive"),
                io.Conditioning.Output("negative_conditioning", display_name="negative"),
            ],
        )

    @classmethod
    @checked
    def execute(
        cls,
        clip: CLIP,
        scene: Scene,
        mode: str,
        negative: str,
        latent: dict[str, Any] | None = None,
        masks: Tensor | None = None,
        isolation: Options = NEUTRAL,
    ) -> io.NodeOutput:
        painted = () if mode == OFF else masks_of(masks, len(scene.characters))  # off is the prompt as written
        scene = with_mask_boxes(scene, painted)
        boxes = boxes_of(scene, latent)
        size = SQUARE if latent is None else tuple(latent["samples"].shape[-2:])
        return io.NodeOutput(
            encode(clip, scene, boxes, mode, isolation, painted, size),
            encode_negative(clip, scene, boxes, mode, negative, isolation, painted, size),
        )
