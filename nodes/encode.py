"""Stage 3: scene -> conditioning, every character kept apart."""

from __future__ import annotations

from typing import Any

from comfy.sd import CLIP
from comfy_api.latest import io
from torch import Tensor

from ..isolation.encode import encode, encode_negative
from ..isolation.options import AUTO, BY_MODE, LEAKS, MODES, OFF, Options
from ..xml_prompt import Scene
from .common import CATEGORY, SceneSocket, boxes_of
from .inputs import checked
from .masks import masks_of, with_mask_boxes


def share(name: str, default: float, tooltip: str) -> io.Float.Input:
    return io.Float.Input(
        name, optional=True, default=default, min=0.0, max=1.0, step=0.01, advanced=True, tooltip=tooltip
    )


def leak(name: str, tooltip: str) -> io.Combo.Input:
    """A way from one character to another, to be closed or opened by itself."""
    return io.Combo.Input(
        name, optional=True, options=list(LEAKS), default=BY_MODE, advanced=True,
        tooltip=f"As the mode is neutral. {tooltip}",
    )


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
                    "throughout. gentle: one encode, isolated in the layers that draw. off: as ComfyUI does it. For SD "
                    "checkpoints auto is strict.",
                ),
                io.String.Input(
                    "negative",
                    default="",
                    multiline=True,
                    dynamic_prompts=False,
                    tooltip="What the whole picture must not have. Empty is neutral.",
                ),
                io.Mask.Input(
                    "masks",
                    optional=True,
                    tooltip="Painted places instead of boxes: a batch, one mask a character in the prompt's order. "
                    "An empty mask, or none, leaves a character its box.",
                ),
                share("strength", 1.0, "1 cuts what isolation forbids, and is neutral; 0.9 lets a tenth through."),
                share("start", 0.0, "Where isolation begins, as a fraction of the steps. 0 is neutral."),
                share("end", 1.0, "Where it ends. 1 is neutral: with the last step."),
                share("soft_edge", 0.0, "How far a box's edge reaches out softly, as a fraction of the picture's "
                      "shorter side. 0 is neutral: hard."),
                share("gender_strength", 0.0, "How much words of another gender are hidden from where a character "
                      "stands. 0 is neutral: not at all; 1 hides them. Words of its own gender never are."),
                leak("encoder", "closed: every character's text is encoded alone. open: the prompt as a whole."),
                leak("joint_layers", "closed: a character's text and its place in the picture see no other's."),
                leak("context_refiner", "closed: the model's text layers are isolated too."),
                leak("pooled", "closed: the summary of the prompt is of the shared text alone."),
                share("swapped", 0.0, "How much of the negative is the same prompt with the characters exchanged: it "
                      "leads away from mix-ups. 0 is neutral; with 0.25 guided steps take half as long again."),
            ],
            outputs=[
                io.Conditioning.Output("positive", display_name="positive"),
                io.Conditioning.Output("negative_conditioning", display_name="negative"),
            ],
        )

    @classmethod
    def validate_inputs(cls, start: float | None = None, end: float | None = None) -> bool | str:
        if start is not None and end is not None and start >= end:
            return f"start {start:g} and end {end:g} leave no step isolated: choose a start below the end."
        return True

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
        **options: Any,
    ) -> io.NodeOutput:
        if clip is None:
            raise ValueError(
                "There is no CLIP here, as from a checkpoint without text encoders: connect that of NewBie Loader, or "
                "another loader's."
            )
        painted = () if mode == OFF else masks_of(masks, len(scene.characters))  # off is the prompt as written
        scene = with_mask_boxes(scene, painted)
        boxes, chosen = boxes_of(scene, latent), Options(**options)
        return io.NodeOutput(
            encode(clip, scene, boxes, mode, chosen, painted),
            encode_negative(clip, scene, boxes, mode, negative, chosen, painted),
        )
