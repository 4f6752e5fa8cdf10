"""Stage 4 in parts: NewBie Sample's guidance, for SamplerCustomAdvanced and other packs' samplers."""

from __future__ import annotations

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ..sampling.guidance import guider_for
from ..sampling.steps import GUIDANCE_END
from .arrival import HIDDEN, lost
from .common import CATEGORY
from .doubts import with_doubts
from .inputs import checked


def guidance_input() -> io.Float.Input:
    return io.Float.Input(
        "guidance",
        default=7.5,
        min=0.0,
        max=100.0,
        step=0.1,
        round=0.01,
        tooltip="How closely to follow the prompt. 1 (neutral): no negative, twice as fast (not with cfg_pp).",
    )


def guidance_start_input() -> io.Float.Input:
    return io.Float.Input(
        "guidance_start",
        default=0.0,
        min=0.0,
        max=1.0,
        step=0.01,
        advanced=True,
        tooltip="The fraction of the steps at which guidance begins. 0 (neutral): with the first step.",
    )


def guidance_end_input() -> io.Float.Input:
    return io.Float.Input(
        "guidance_end",
        default=GUIDANCE_END,
        min=0.0,
        max=1.0,
        step=0.01,
        tooltip="The fraction of the steps at which guidance ends. 1 (neutral): guide every step. 0.75 keeps colours "
        "clean at strong guidance and halves the time of the remaining steps (not with cfg_pp).",
    )


def renorm_input() -> io.Float.Input:
    return io.Float.Input(
        "renorm",
        default=0.0,
        min=0.0,
        max=10.0,
        step=0.05,
        round=0.01,
        advanced=True,
        tooltip="Caps the guided prediction at this multiple of the positive prediction's norm, to avoid burnt "
        "pictures; Lumina-Image-2.0 uses 1. 0 (neutral): no cap.",
    )


class NewBieGuider(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NewBieGuider",
            display_name="NewBie Guider",
            category=CATEGORY,
            description="NewBie Sample's guidance as a GUIDER: for part of the steps, and with a cap.",
            has_intermediate_output=True,  # warnings stay on the node when it is not run again
            search_aliases=["guider", "cfg guider", "guidance interval", "renorm cfg"],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="The model. Its shift is not set here: put ModelSamplingAuraFlow, shift 6, before this "
                    "node and before the scheduler.",
                ),
                io.Conditioning.Input("positive", tooltip="What to draw."),
                io.Conditioning.Input("negative", tooltip="What to avoid."),
                guidance_input(),
                guidance_start_input(),
                guidance_end_input(),
                renorm_input(),
            ],
            outputs=[io.Guider.Output()],
            hidden=HIDDEN,
        )

    @classmethod
    @checked
    def execute(
        cls,
        model: ModelPatcher,
        positive: list,
        negative: list,
        guidance: float,
        guidance_start: float,
        guidance_end: float,
        renorm: float,
    ) -> io.NodeOutput:
        guider = guider_for(model, positive, negative, guidance, guidance_start, guidance_end, renorm)
        return with_doubts(lost(cls.hidden, positive), guider)
