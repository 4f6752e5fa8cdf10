"""Stage 3: scene -> conditioning, every character kept apart; and how strictly, for those who want to know."""

from __future__ import annotations

from typing import Any

from comfy.sd import CLIP
from comfy_api.latest import io
from torch import Tensor

from ..isolation.encode import Masks, encode, encode_negative
from ..isolation.plan import AUTO, BY_MODE, LEAKS, MODES, NEUTRAL, OFF, SQUARE, Options
from ..sampling.steps import check_interval
from ..xml_prompt import Scene
from .common import CATEGORY, OptionsSocket, SceneSocket, boxes_of, checked
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
                    "latent", optional=True,
                    tooltip="The latent that will be drawn on: boxes are laid out for its shape. Unconnected: for a "
                    "square.",
                ),
                io.Combo.Input(
                    "mode", options=list(MODES), default=AUTO,
                    tooltip="auto: what the model was trained for (SD checkpoints: strict). strict: each character is "
                    "encoded alone and isolated throughout. gentle: encoded together, isolated in the layers that "
                    "draw. off: plain ComfyUI.",
                ),
                io.String.Input(
                    "negative", default="", multiline=True, dynamic_prompts=False,
                    tooltip="What the whole picture must not show. Empty (neutral) suits the mini. The full model was "
                    "never trained on an empty negative: give it some words. The system prompt is put in front of "
                    "them.",
                ),
                io.Mask.Input(
                    "masks", optional=True,
                    tooltip="Painted areas instead of boxes: a batch with one mask per character, in the prompt's "
                    "order. A character whose mask is empty or missing keeps its box.",
                ),
                OptionsSocket.Input(
                    "isolation", optional=True,
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
        painted: Masks = ()
        if masks is not None and mode != OFF:  # off is the prompt as written
            painted = masks_of(masks, len(scene.characters))
            scene = with_mask_boxes(scene, painted)
        boxes = boxes_of(scene, latent)
        size = SQUARE if latent is None else tuple(latent["samples"].shape[-2:])
        return io.NodeOutput(
            encode(clip, scene, boxes, mode, isolation, painted, size),
            encode_negative(clip, scene, boxes, mode, negative, isolation, painted, size),
        )


def share(name: str, default: float, tooltip: str) -> io.Float.Input:
    return io.Float.Input(name, default=default, min=0.0, max=1.0, step=0.01, tooltip=tooltip)


def way(name: str, tooltip: str) -> io.Combo.Input:
    """From one character to another, to be closed or opened by itself."""
    return io.Combo.Input(
        name, options=list(LEAKS), default=BY_MODE, advanced=True, tooltip=f"{tooltip} Neutral: *{BY_MODE}*."
    )


class NewBieIsolationOptions(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NewBieIsolationOptions",
            display_name="NewBie Isolation Options",
            category=CATEGORY,
            description="How strictly NewBie Encode Characters keeps characters apart. All defaults are neutral.",
            search_aliases=["isolation strength", "soft edge", "gender", "swapped negative", "bleed"],
            inputs=[
                share("strength", 1.0, "How strictly characters are separated: 1 (neutral) fully, 0.9 lets 10 % "
                      "through."),
                share("start", 0.0, "Where isolation begins, as a fraction of the steps. 0 (neutral): with the first."),
                share("end", 1.0, "Where isolation ends, as a fraction of the steps. 1 (neutral): with the last."),
                share("soft_edge", 0.0, "Lets each box fade out beyond its edge, by this fraction of the picture's "
                      "shorter side. 0 (neutral): hard edges."),
                share("gender_strength", 0.0, "Hides words of the other gender inside a character's box: 0 (neutral) "
                      "not at all, 1 completely."),
                share("apart", 0.0, "Keeps a character's part of the picture from copying unstated details from "
                      "another's: 0 (neutral) not at all, 0.9 almost fully. At 1 the boxes' edges can show. Not for SD "
                      "checkpoints."),
                share("swapped", 0.0, "Share of the negative made of this prompt with its characters swapped, to "
                      "discourage mix-ups. 0 (neutral) is off; at 0.25 a guided step takes 1.5 times as long."),
                way("encoder", "closed: each character's text is encoded on its own. open: the whole prompt at once."),
                way("joint_layers", "closed: a character's text and its part of the picture do not see anyone else's."),
                way("context_refiner", "closed: the model's text layers are isolated, too."),
                way("pooled", "closed: the summary of the prompt is made from the shared text alone."),
            ],
            outputs=[OptionsSocket.Output(display_name="isolation")],
        )

    @classmethod
    @checked
    def execute(cls, **options: Any) -> io.NodeOutput:
        check_interval(options["start"], options["end"], ("start", "end"))
        return io.NodeOutput(Options(**options))
