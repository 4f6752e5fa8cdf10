"""Latent -> latent through the host's samplers, with what NewBie wants: guidance 7.5, eta 0.3, shift 6, 28 steps."""

from __future__ import annotations

from typing import Any

import comfy.model_management
import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
from comfy.model_patcher import ModelPatcher
from comfy.model_sampling import CONST, ModelSamplingDiscreteFlow
from comfy_extras.nodes_model_advanced import ModelSamplingSD3
from torch import Tensor

from .guidance import check_latent, guider_for
from .samplers import sampler_for
from .steps import GUIDANCE_END

LEAST_DENOISE = 0.001

Latent = dict[str, Any]  # the host's {"samples": [B, C, h, w], ...}


def check_flow(model: ModelPatcher) -> None:
    """Raises ValueError for a model that was not trained on rectified flow, as SD1.5 and SDXL were not."""
    if not isinstance(model.get_model_object("model_sampling"), CONST):
        raise ValueError(
            "NewBie Sample works only with rectified-flow models such as NewBie and Lumina 2: use KSampler, or NewBie "
            "Guider with SamplerCustomAdvanced."
        )


def check_batch_index(image: Tensor, batch_index: list[int] | None) -> None:
    """Raises ValueError where there is not one index a picture."""
    if batch_index is not None and len(batch_index) != len(image):
        raise ValueError(
            f"The latent holds {len(image)} images but {len(batch_index)} batch indices (batch_index): remove the node "
            "that changed only one."
        )


def with_shift(model: ModelPatcher, shift: float) -> ModelPatcher:
    """The model itself where its schedule has this shift, as NewBie's has 6; else a clone with the host's patch.

    Times stay as the model was made for: up to 1 for NewBie and Lumina 2, up to 1000 for SD3 and others.

    A clone that is new in every run makes the host load the model anew in every run, into dynamic memory as well.
    """
    present = model.get_model_object("model_sampling")
    multiplier = getattr(model.model.model_sampling, "multiplier", 1.0)
    if isinstance(present, ModelSamplingDiscreteFlow) and (present.shift, present.multiplier) == (shift, multiplier):
        return model
    return ModelSamplingSD3().patch(model, shift, multiplier)[0]


def schedulers() -> list[str]:
    """The host's, with those that other packs have added by now."""
    return list(comfy.samplers.KSampler.SCHEDULERS)


def schedule(model: ModelPatcher, sampler: str, scheduler: str, steps: int, denoise: float) -> Tensor:
    """Sigmas [steps + 1]; empty at denoise 0. Raises ValueError where the scheduler can't make so many."""
    if 0 < denoise < LEAST_DENOISE:  # the host makes a schedule of steps / denoise
        raise ValueError(f"denoise is {denoise:g}: use at least {LEAST_DENOISE:g}, or 0 to leave the latent as it is.")
    options = {"sampler": sampler, "scheduler": scheduler, "denoise": denoise, "model_options": model.model_options}
    sigmas = comfy.samplers.KSampler(model, steps=steps, device=model.load_device, **options).sigmas
    if denoise > 0 and (len(sigmas) < 2 or not sigmas.isfinite().all()):
        raise ValueError(
            f"The scheduler {scheduler} can't make a schedule of {steps} step{'s' * (steps > 1)}: use more steps, or "
            "another scheduler."
        )
    return sigmas


def sample(
    model: ModelPatcher,
    positive: list,
    negative: list,
    latent: Latent,
    *,
    seed: int,
    steps: int = 28,
    guidance: float = 7.5,
    eta: float = 0.3,
    shift: float = 6.0,
    sampler: str = "euler_ancestral",
    scheduler: str = "simple",
    denoise: float = 1.0,
    guidance_start: float = 0.0,
    guidance_end: float = GUIDANCE_END,
    renorm: float = 0.0,
    s_noise: float = 1.0,
) -> Latent:
    """As the host's KSampler node: previews, progress, interruption, noise_mask and batch_index included."""
    check_flow(model)
    chosen = sampler_for(sampler, eta, s_noise, latent.get("batch_index"))
    guider = guider_for(
        with_shift(model, shift), positive, negative, guidance, guidance_start, guidance_end, renorm
    )
    model = guider.model_patcher
    sigmas = schedule(model, sampler, scheduler, steps, denoise)
    ratios = (latent.get("downscale_ratio_spacial"), latent.get("downscale_ratio_temporal"))
    image = comfy.sample.fix_empty_latent_channels(model, latent["samples"], *ratios)
    check_latent(model, image)
    check_batch_index(image, latent.get("batch_index"))
    samples = guider.sample(
        comfy.sample.prepare_noise(image, seed, latent.get("batch_index")),
        image,
        chosen,
        sigmas,
        denoise_mask=latent.get("noise_mask"),
        callback=latent_preview.prepare_callback(model, max(len(sigmas) - 1, 1)),
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=seed,
    ).to(comfy.model_management.intermediate_device(), comfy.model_management.intermediate_dtype())
    kept = {key: value for key, value in latent.items() if not key.startswith("downscale_ratio_")}
    return {**kept, "samples": samples}
