"""Stage 4 in parts: NewBie Sample's guidance, for SamplerCustomAdvanced and other packs' samplers."""

from __future__ import annotations

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ..sampling.guidance import guider_for
from .common import (
    CUSTOM,
    HIDDEN,
    checked,
    guidance_end_input,
    guidance_input,
    guidance_start_input,
    lost,
    renorm_input,
    with_doubts,
)


class NewBieGuider(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NewBieGuider",
            display_name="NewBie Guider",
            category=CUSTOM,
            description="NewBie Sample's guidance as a GUIDER, with its start, end and cap.",
            has_intermediate_output=True,  # warnings stay on the node when it is not run again
            search_aliases=["guider", "cfg guider", "guidance interval", "renorm cfg"],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="The model. Its shift is not set here: put ModelSamplingAuraFlow (shift 6) before this "
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
