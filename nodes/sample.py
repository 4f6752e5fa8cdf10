"""Stage 4: sampling."""

from __future__ import annotations

from typing import Any

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ..sampling.guidance import check_interval
from ..sampling.sample import SAMPLERS, SCHEDULERS, check_eta, sample
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
                io.Float.Input(
                    "guidance",
                    default=7.5,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    round=0.01,
                    tooltip="How closely to follow the prompt. 1 is neutral: no negative, twice as fast.",
                ),
                io.Float.Input(
                    "eta",
                    default=0.3,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    round=0.01,
                    tooltip="Fresh noise in every step. 0 is neutral: deterministic. "
                    "Only the samplers with ancestral in their name have it.",
                ),
                io.Float.Input(
                    "shift",
                    default=6.0,
                    min=0.01,
                    max=100.0,
                    step=0.1,
                    round=0.01,
                    tooltip="How long the steps dwell on composition. 1 is neutral.",
                ),
                io.Combo.Input(
                    "sampler",
                    options=list(SAMPLERS),
                    default="euler_ancestral",
                    tooltip="euler_ancestral uses eta; with eta 0 it is euler.",
                ),
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
                io.Float.Input(
                    "guidance_start",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Where guidance begins, as a fraction of the schedule. 0 is neutral: from pure noise on.",
                ),
                io.Float.Input(
                    "guidance_end",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Where guidance ends, as a fraction of the schedule. 1 is neutral. Around 0.7, strong "
                    "guidance keeps its colours clean, and the steps after it take half the time.",
                ),
                io.Float.Input(
                    "renorm",
                    default=0.0,
                    min=0.0,
                    max=10.0,
                    step=0.05,
                    round=0.01,
                    advanced=True,
                    tooltip="Bounds the guided prediction to so many times the unguided one's norm, against burnt "
                    "pictures; Lumina-Image-2.0 uses 1. 0 is neutral: no bound.",
                ),
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
        if sampler is not None and sampler not in SAMPLERS:
            return f"There is no sampler {sampler}: choose one of {', '.join(SAMPLERS)}."
        if eta is not None and not 0 <= eta <= 1:
            return f"eta is {eta:g}: choose a number from 0 to 1."
        try:
            check_eta(sampler or SAMPLERS[0], eta or 0.0)
            if guidance_start is not None and guidance_end is not None:
                check_interval(guidance_start, guidance_end)
        except ValueError as problem:
            return str(problem)
        return True

    @classmethod
    def execute(
        cls, model: ModelPatcher, positive: list, negative: list, latent: dict[str, Any], **settings: Any
    ) -> io.NodeOutput:
        return io.NodeOutput(sample(model, positive, negative, latent, **settings))
