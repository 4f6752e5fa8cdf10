"""Guidance that keeps to a part of the schedule and to a bound, so that a strong one does not burn the picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from comfy.model_patcher import ModelPatcher, create_model_options_clone, set_model_options_post_cfg_function
from comfy.samplers import CFGGuider, Sampler
from torch import Tensor

from .fit import check_drawn, check_fit, check_latent
from .steps import STEPS, WHOLE, Steps, check_interval, rehearse


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

    def sample(
        self, noise: Tensor, latent_image: Tensor, sampler: Sampler, sigmas: Tensor, *rest: Any, **kwargs: Any
    ) -> Tensor:
        """As the host's. Raises ValueError for what the model can't draw on, RuntimeError for a picture of NaN."""
        check_latent(self.model_patcher, latent_image)
        if not sigmas.isfinite().all():
            raise ValueError("The sigmas contain NaN or infinity: choose more steps, or another scheduler.")
        drawn = super().sample(noise, latent_image, sampler, sigmas, *rest, **kwargs)
        check_drawn(drawn)
        return drawn

    def inner_sample(
        self, noise: Tensor, latent_image: Tensor, device: torch.device, sampler: Sampler, sigmas: Tensor,
        denoise_mask: Tensor | None, callback: Callable | None, disable_pbar: bool, seed: int | None, **rest: Any,
    ) -> Tensor:
        """As the host's, with the steps of this run told beforehand."""
        self.steps = Steps(sigmas, lambda: rehearse(sampler, self, sigmas, len(noise), seed))

        def report(*step: Any) -> None:
            self.steps.report()
            if callback is not None:
                callback(*step)

        return super().inner_sample(
            noise, latent_image, device, sampler, sigmas, denoise_mask, report, disable_pbar, seed, **rest
        )

    def __call__(
        self, x: Tensor, timestep: Tensor, model_options: dict[str, Any] | None = None, seed: int | None = None
    ) -> Tensor:
        """timestep: sigma [B] -> denoised, of x's shape."""
        options = model_options or {}
        options.setdefault("transformer_options", {})[STEPS] = self.steps  # isolation goes by the same
        start, end = self.interval
        guidance = self.cfg
        if self.interval != WHOLE and not start <= self.steps.call(timestep) < end:
            self.cfg = 1.0
        try:
            return super().__call__(x, timestep, options, seed)
        finally:
            self.cfg = guidance


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
