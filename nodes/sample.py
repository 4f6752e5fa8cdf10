"""Stage 4: sampling."""

from __future__ import annotations

from typing import Any

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ..sampling.sample import sample, schedulers
from ..sampling.samplers import check_eta, samplers
from .common import (
    CATEGORY,
    HIDDEN,
    checked,
    doubts,
    eta_input,
    guidance_end_input,
    guidance_input,
    guidance_start_input,
    lost,
    problem_of,
    renorm_input,
    s_noise_input,
    sampler_input,
    with_doubts,
)


class NewBieSample(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NewBieSample",
            display_name="NewBie Sample",
            category=CATEGORY,
            description="Samples with NewBie's defaults: guidance 7.5, eta 0.3, shift 6, 28 steps.",
            search_aliases=["sampler", "ksampler", "eta", "guidance", "newbie sampler"],
            has_intermediate_output=True,  # warnings stay on the node when it is not run again
            inputs=[
                io.Model.Input("model", tooltip="The model, from NewBie Loader. Its shift is set here."),
                io.Conditioning.Input("positive", tooltip="What to draw."),
                io.Conditioning.Input("negative", tooltip="What to avoid."),
                io.Latent.Input("latent", tooltip="An empty latent, or a picture's latent to change that picture."),
                io.Int.Input(
                    "seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF, control_after_generate=True,
                    tooltip="The same seed gives the same picture.",
                ),
                io.Int.Input(
                    "steps", default=28, min=1, max=1000, tooltip="More steps give finer detail but take longer."
                ),
                guidance_input(),
                eta_input(),
                io.Float.Input(
                    "shift", default=6.0, min=0.01, max=100.0, step=0.1, round=0.01,
                    tooltip="How long sampling stays at high noise, where the composition is decided. 1 is neutral.",
                ),
                sampler_input(samplers()),
                io.Combo.Input(
                    "scheduler", options=schedulers(), default="simple",
                    tooltip="How the noise is spread over the steps.",
                ),
                io.Float.Input(
                    "denoise", default=1.0, min=0.0, max=1.0, step=0.01,
                    tooltip="How much of the latent is redrawn. 1: everything; lower values keep more of a given "
                    "picture.",
                ),
                guidance_start_input(),
                guidance_end_input(),
                renorm_input(),
                s_noise_input(),
            ],
            outputs=[io.Latent.Output()],
            hidden=HIDDEN,
        )

    @classmethod
    def validate_inputs(cls, sampler: str | None, eta: float | None) -> bool | str:
        return problem_of(lambda: check_eta(sampler, eta))

    @classmethod
    @checked
    def execute(
        cls, model: ModelPatcher, positive: list, negative: list, latent: dict[str, Any], **settings: Any
    ) -> io.NodeOutput:
        drawn = sample(model, positive, negative, latent, **settings)
        return with_doubts(doubts(model, positive, latent) + lost(cls.hidden, positive), drawn)
