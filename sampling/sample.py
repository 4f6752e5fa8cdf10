"""Latent -> latent through the host's samplers, with what NewBie wants: guidance 7.5, eta 0.3, shift 6, 28 steps.

eta is the share of fresh noise in every step, in its rectified-flow form (the host's ..._RF samplers); 0 is none.
"""

from __future__ import annotations

from typing import Any

import comfy.model_management
import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
from comfy.model_patcher import ModelPatcher
from comfy_extras.nodes_model_advanced import ModelSamplingAuraFlow
from torch import Tensor

from .fit import check_fit
from .guidance import IntervalGuider, with_bound

WITH_ETA = ("euler_ancestral", "dpmpp_2s_ancestral", "dpm_2_ancestral")
NOISELESS = {"euler_ancestral": "euler", "dpm_2_ancestral": "dpm_2"}  # what they are at eta 0
WITHOUT_ETA = ("euler", "res_multistep", "dpmpp_2m", "heun", "dpm_2", "deis", "uni_pc")
SAMPLERS = WITH_ETA + WITHOUT_ETA
SCHEDULERS = tuple(comfy.samplers.SCHEDULER_NAMES)

Latent = dict[str, Any]  # the host's {"samples": [B, C, h, w], ...}


def check_eta(sampler: str, eta: float) -> None:
    """Raises ValueError where eta would be ignored."""
    if eta > 0 and sampler not in WITH_ETA:
        raise ValueError(
            f"The sampler {sampler} adds no noise and can't use eta {eta:g}: "
            f"set eta to 0, or choose one of {', '.join(WITH_ETA)}."
        )


def sampler_for(sampler: str, eta: float) -> comfy.samplers.Sampler:
    """The host's sampler with eta set.

    At eta 0 the deterministic twin: Euler bit for bit, and no NaN, which the host's dpm_2_ancestral makes of eta 0 (it
    multiplies noise by the root of a rounding error).
    """
    check_eta(sampler, eta)
    if eta == 0:
        sampler = NOISELESS.get(sampler, sampler)
    if sampler in WITH_ETA:
        return comfy.samplers.ksampler(sampler, {"eta": eta, "s_noise": 1.0})
    return comfy.samplers.sampler_object(sampler)


def with_shift(model: ModelPatcher, shift: float) -> ModelPatcher:
    """A clone whose schedule is shifted as the host's ModelSamplingAuraFlow node does it."""
    return ModelSamplingAuraFlow().patch_aura(model, shift)[0]


def schedule(model: ModelPatcher, sampler: str, scheduler: str, steps: int, denoise: float) -> Tensor:
    """Sigmas [steps + 1]; empty at denoise 0."""
    options = {"sampler": sampler, "scheduler": scheduler, "denoise": denoise, "model_options": model.model_options}
    return comfy.samplers.KSampler(model, steps=steps, device=model.load_device, **options).sigmas


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
    guidance_end: float = 1.0,
    renorm: float = 0.0,
) -> Latent:
    """As the host's KSampler node: previews, progress, interruption, noise_mask and batch_index included."""
    chosen = sampler_for(sampler, eta)
    check_fit(model, [*positive, *negative])
    model = with_bound(with_shift(model, shift), renorm)
    guider = IntervalGuider(model, guidance_start, guidance_end)
    guider.set_conds(positive, negative)
    guider.set_cfg(guidance)
    sigmas = schedule(model, sampler, scheduler, steps, denoise)
    ratios = (latent.get("downscale_ratio_spacial"), latent.get("downscale_ratio_temporal"))
    image = comfy.sample.fix_empty_latent_channels(model, latent["samples"], *ratios)
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
