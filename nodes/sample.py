"""Stage 4: sampling."""

from __future__ import annotations

from typing import Any

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ..sampling.sample import SCHEDULERS, sample
from . import sampling_inputs as inputs
from .common import CATEGORY


class NewBieSample(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NewBieSample",
            display_name="NewBie Sample",
            category=CATEGORY,
            description="Samples with NewBie's defaults: guidance 7.5, eta 0.3, shift 6, 28 steps.",
            search_aliases=["sampler", "ksampler", "eta", "guidance", "newbie sampler"],
            inputs=[
                io.Model.Input("model", tooltip="The model, from NewBie Loader. Its shift is set here."),
                io.Conditioning.Input("positive", tooltip="What to draw."),
                io.Conditioning.Input("negative", tooltip="What to avoid."),
                io.Latent.Input("latent", tooltip="An empty latent, or a picture's to change it."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="The same seed gives the same picture.",
                ),
                io.Int.Input("steps", default=28, min=1, max=1000, tooltip="More steps, finer picture, longer wait."),
                inputs.guidance(),
                inputs.eta(),
                io.Float.Input(
                    "shift",
                    default=6.0,
                    min=0.01,
                    max=100.0,
                    step=0.1,
                    round=0.01,
                    tooltip="How long the steps dwell on composition. 1 is neutral.",
                ),
                inputs.sampler(),
                io.Combo.Input(
                    "scheduler", options=list(SCHEDULERS), default="simple", tooltip="How the steps are spaced."
                ),
                io.Float.Input(
                    "denoise",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="How much of the latent is drawn anew. 1 is everything; less keeps a given picture.",
                ),
                inputs.guidance_start(),
                inputs.guidance_end(),
                inputs.renorm(),
                inputs.s_noise(),
            ],
            outputs=[io.Latent.Output()],
        )

    @classmethod
    def validate_inputs(
        cls,
        sampler: str | None,
        eta: float | None,
        guidance_start: float | None = None,
        guidance_end: float | None = None,
    ) -> bool | str:
        """What would be ignored is told before anything runs; linked values are checked when they arrive."""
        problem = inputs.sampler_problem(sampler, eta) or inputs.interval_problem(guidance_start, guidance_end)
        return problem or True

    @classmethod
    def execute(
        cls, model: ModelPatcher, positive: list, negative: list, latent: dict[str, Any], **settings: Any
    ) -> io.NodeOutput:
        return io.NodeOutput(sample(model, positive, negative, latent, **settings))
