"""Guidance that keeps to a part of the schedule and to a bound, so that a strong one does not burn the picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from comfy.model_patcher import ModelPatcher, create_model_options_clone, set_model_options_post_cfg_function
from comfy.samplers import CFGGuider, Sampler
from torch import Tensor

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


# Whether CONDITIONING, LATENT and MODEL belong together, told before the first step: they may come from anywhere


def check_fit(model: ModelPatcher, entries: list[tuple[Tensor, dict[str, Any]]]) -> None:
    """Raises ValueError if an entry lacks features that a Lumina-like model takes, or has them of another width.

    Other models state no such width, and are left alone.
    """
    takes = model.model.model_config.unet_config
    for features, values in entries:
        pooled = values.get("pooled_output")
        if pooled is None and takes.get("clip_text_dim") is not None:
            raise ValueError(
                "The text was encoded for another model (it has no vector from Jina): use the text encoders of the "
                "model's own release, in NewBie Loader or in DualCLIPLoader with the type newbie."
            )
        for name, gives, key in (("Gemma", features, "cap_feat_dim"), ("Jina", pooled, "clip_text_dim")):
            wanted = takes.get(key)
            if wanted is not None and gives is not None and gives.shape[-1] != wanted:
                raise ValueError(
                    f"The text features are {gives.shape[-1]} wide, but this model takes {wanted} from {name}: "
                    "use the text encoders of the model's own release, in NewBie Loader, or in DualCLIPLoader with the "
                    "type newbie."
                )


def check_latent(model: ModelPatcher, image: Tensor) -> None:
    """Raises ValueError if the model can't draw on this latent; an empty one has been made to fit before."""
    latent_format = model.get_model_object("latent_format")
    wanted, dimensions = latent_format.latent_channels, 2 + latent_format.latent_dimensions
    if image.is_nested or image.ndim != dimensions or image.shape[1] != wanted:
        shape = "has several parts" if image.is_nested else f"is {' x '.join(map(str, image.shape))}"
        raise ValueError(
            f"The latent {shape}, but this model draws images of {wanted} channels: use NewBie Size, or encode "
            "the picture with the model's own VAE."
        )
    if not image.isfinite().all():
        raise ValueError(
            "The latent contains NaN or infinity: the node that made it failed without an error. Check its settings."
        )


def check_drawn(samples: Tensor) -> None:
    """Raises RuntimeError for what would be decoded to a black picture."""
    if not samples.isfinite().all():
        raise RuntimeError(
            "Sampling produced NaN or infinity, which would give a black picture: choose another precision (bf16 "
            "rather than fp16), a lower guidance, or another sampler."
        )
