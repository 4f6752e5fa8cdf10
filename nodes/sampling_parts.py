"""Stage 4 in parts: NewBie Sample's guider and sampler, for SamplerCustomAdvanced and other packs' samplers."""

from __future__ import annotations

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ..sampling.guidance import guider_for
from ..sampling.samplers import sampler_for
from . import sampling_inputs as inputs
from .common import CATEGORY


class NewBieGuider(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NewBieGuider",
            display_name="NewBie Guider",
            category=CATEGORY,
            description="NewBie Sample's guidance as a GUIDER: for a part of the schedule, and with a bound.",
            search_aliases=["guider", "cfg guider", "guidance interval", "renorm cfg"],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="The model. Its shift is not set here: put ModelSamplingAuraFlow, shift 6, before this "
                    "node and before the scheduler.",
                ),
                io.Conditioning.Input("positive", tooltip="What to draw."),
                io.Conditioning.Input("negative", tooltip="What to avoid."),
                inputs.guidance(),
                inputs.guidance_start(),
                inputs.guidance_end(),
                inputs.renorm(),
            ],
            outputs=[io.Guider.Output()],
        )

    @classmethod
    def validate_inputs(cls, guidance_start: float | None, guidance_end: float | None) -> bool | str:
        return inputs.interval_problem(guidance_start, guidance_end) or True

    @classmethod
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
        return io.NodeOutput(guider_for(model, positive, negative, guidance, guidance_start, guidance_end, renorm))


class NewBieSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NewBieSampler",
            display_name="NewBie Sampler",
            category=CATEGORY,
            description="NewBie Sample's sampler as a SAMPLER: one of the host's, with eta and s_noise.",
            search_aliases=["sampler select", "ksampler select", "euler ancestral", "eta"],
            inputs=[inputs.sampler(), inputs.eta(), inputs.s_noise()],
            outputs=[io.Sampler.Output()],
        )

    @classmethod
    def validate_inputs(cls, sampler: str | None, eta: float | None) -> bool | str:
        return inputs.sampler_problem(sampler, eta) or True

    @classmethod
    def execute(cls, sampler: str, eta: float, s_noise: float = 1.0) -> io.NodeOutput:
        return io.NodeOutput(sampler_for(sampler, eta, s_noise))
