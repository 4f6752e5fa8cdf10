"""Guidance that keeps to a part of the schedule and to a bound, so that a strong one does not burn the picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from comfy.model_patcher import ModelPatcher, create_model_options_clone, set_model_options_post_cfg_function
from comfy.samplers import CFGGuider, sampling_function
from torch import Tensor

from .fit import check_fit
from .progress import progress

WHOLE = (0.0, 1.0)  # of the steps
GUIDANCE_END = 0.75  # at 7.5 to the end, the built-in model loses three points of its attributes (mini/README.md)


def check_interval(start: float, end: float) -> None:
    """Raises ValueError for fractions of the schedule that hold nothing."""
    if not 0 <= start < end <= 1:
        raise ValueError(
            f"guidance_start {start:g} and guidance_end {end:g} leave no part of the schedule: "
            "choose a start from 0 to 1 and a larger end, or set guidance to 1 for none at all."
        )


class IntervalGuider(CFGGuider):
    """The host's guider with guidance from `start` to `end` of the steps alone; outside, steps cost half.

    Kynkäänniemi et al. 2024, "Applying Guidance in a Limited Interval Improves Sample and Distribution Quality in
    Diffusion Models". Fractions of the steps that are run: by noise, as the host's start_percent counts, a run that
    begins in the middle (denoise 0.2) or a scheduler that hurries through the noise would hardly be guided at all.
    The host's RenormCFG has a cfg_trunc, which is something else: it leaves guidance to the steps whose sigma is below
    it, the late ones, while the authors of Lumina-Image-2.0 count from noise to data and so guide the early ones; and
    it computes the unguided side all the same.
    """

    def __init__(self, model: ModelPatcher, start: float = 0.0, end: float = 1.0) -> None:
        check_interval(start, end)
        super().__init__(model)
        self.interval = (start, end)

    def strength(self, options: dict[str, Any]) -> float:
        """options: the host's transformer_options, with the sigmas of this step."""
        if self.interval == WHOLE:
            return self.cfg
        start, end = self.interval
        return self.cfg if start <= progress(options) < end else 1.0

    def predict_noise(
        self, x: Tensor, timestep: Tensor, model_options: dict[str, Any] | None = None, seed: int | None = None
    ) -> Tensor:
        """timestep: sigma [B] -> denoised, of x's shape."""
        conds = self.conds.get("negative"), self.conds.get("positive")
        options = model_options or {}
        strength = self.strength({**options.get("transformer_options", {}), "sigmas": timestep})
        return sampling_function(self.inner_model, x, timestep, *conds, strength, options, seed)


def bounded(renorm: float) -> Callable[[dict[str, Any]], Tensor]:
    """A post-guidance function: the norm of the guided velocity is at most renorm times the conditional one's.

    As the authors of Lumina-Image-2.0 sample (models/model.py, forward_with_cfg), picture by picture of a batch. The
    host's RenormCFG bounds the denoised picture instead, which takes its contrast.
    """

    def bound(arguments: dict[str, Any]) -> Tensor:
        x, guided = arguments["input"], arguments["denoised"]
        if arguments["cond_scale"] == 1:
            return guided
        dims = tuple(range(1, guided.ndim))
        away = x - guided  # sigma times the velocity
        limit = renorm * torch.linalg.vector_norm(x - arguments["cond_denoised"], dim=dims, keepdim=True)
        norm = torch.linalg.vector_norm(away, dim=dims, keepdim=True)
        return torch.where(norm > limit, x - away * (limit / norm), guided)

    return bound


def guider_for(
    model: ModelPatcher, positive: list, negative: list, guidance: float, start: float, end: float, renorm: float
) -> IntervalGuider:
    """renorm: the bound; 0 is none. Raises ValueError for an interval that holds nothing and another model's text."""
    check_fit(model, [*positive, *negative])
    guider = IntervalGuider(model, start, end)
    if renorm > 0:  # in the guider's options: a clone of the model would be loaded anew in every run
        options = create_model_options_clone(model.model_options)
        guider.model_options = set_model_options_post_cfg_function(options, bounded(renorm))
    guider.set_conds(positive, negative)
    guider.set_cfg(guidance)
    return guider
