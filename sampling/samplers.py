"""The host's samplers with eta and s_noise set, and which of them have eta in its form for rectified flow.

eta is the share of fresh noise in every step; 0 is none. A sampler's form for rectified flow keeps the latent on
x = (1 - sigma) data + sigma noise; the older form, for noise added to the whole picture, leaves too much or too little.

Every picture of a batch has noise of its own, so that it is the same drawn alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import comfy.samplers
import torch
from comfy.k_diffusion.sampling import BrownianTreeNoiseSampler, default_noise_sampler
from torch import Tensor

NoiseSampler = Callable[[Tensor, Tensor], Tensor]  # sigma, next sigma -> noise of the latent's shape

SEEDS = 2**64
SPREAD = 0x9E3779B97F4A7C15  # odd and far from any two seeds that a user tries one after the other
LAST = SEEDS - 2  # the host adds one on a CPU, where torch takes no seed above SEEDS - 1
BROWNIAN = ("dpmpp_sde", "dpmpp_2m_sde", "dpmpp_2m_sde_heun", "dpmpp_3m_sde")  # their noise is a path, not steps apart
WITH_ETA = (
    "euler_ancestral",
    "dpmpp_2s_ancestral",
    "dpm_2_ancestral",
    *BROWNIAN,
    "seeds_2",
    "seeds_3",
    "exp_heun_2_x0_sde",
    "euler_ancestral_cfg_pp",
)
NOISELESS = {  # what they are at eta 0
    "euler_ancestral": "euler",
    "dpm_2_ancestral": "dpm_2",
    "exp_heun_2_x0_sde": "exp_heun_2_x0",
    "euler_ancestral_cfg_pp": "euler_cfg_pp",
}
WITHOUT_ETA = (
    "euler", "res_multistep", "dpmpp_2m", "heun", "dpm_2", "deis", "uni_pc", "exp_heun_2_x0", "euler_cfg_pp",
)
SAMPLERS = WITH_ETA + WITHOUT_ETA


def samplers() -> list[str]:
    """Those of ours that this host has."""
    return [name for name in SAMPLERS if name in comfy.samplers.KSampler.SAMPLERS]


def check_eta(sampler: Any, eta: Any) -> None:
    """Raises ValueError for what is not a sampler or a share of noise, and where eta would be ignored.

    None is not known yet; that eta is not a number is the host's to say.
    """
    if sampler is not None and sampler not in SAMPLERS:
        raise ValueError(f"sampler is {sampler!r}: choose one of {', '.join(SAMPLERS)}.")
    if not isinstance(eta, int | float):
        return
    if not 0 <= eta <= 1:
        raise ValueError(f"eta is {eta!r}: enter a number from 0 to 1.")
    if eta > 0 and sampler in WITHOUT_ETA:
        raise ValueError(
            f"The sampler {sampler} adds no noise and can't use eta {eta:g}: "
            f"set eta to 0, or choose one of {', '.join(WITH_ETA)}."
        )


def picture_seed(seed: int, index: int) -> int:
    """Of the picture with this index in its batch; the first one's is the host's own."""
    return min((seed + index * SPREAD) % SEEDS, LAST)


def gaussian(x: Tensor, seeds: Sequence[int]) -> NoiseSampler:
    """The host's default, once for every picture of x [B, ...]."""
    each = [default_noise_sampler(x[i : i + 1], seed=seed) for i, seed in enumerate(seeds)]
    return lambda sigma, after: torch.cat([noise(sigma, after) for noise in each])


def brownian(x: Tensor, sigmas: Tensor, seeds: Sequence[int]) -> NoiseSampler:
    """What the host gives its SDE samplers, once for every picture of x [B, ...]."""
    positive = sigmas[sigmas > 0]
    if positive.min() == positive.max():  # a tree needs a way to go; a single step to zero draws no noise anyway
        return gaussian(x, seeds)
    return BrownianTreeNoiseSampler(x, positive.min(), positive.max(), seed=list(seeds), cpu=True)


def own_noise(sampler: str, function: Callable[..., Tensor], index: Sequence[int] | None) -> Callable[..., Tensor]:
    """The host's sampler function, every picture of a batch with noise of its own. index: the host's batch_index."""

    @wraps(function)
    def sample(model: Any, x: Tensor, sigmas: Tensor, extra_args: dict[str, Any], **options: Any) -> Tensor:
        seed = extra_args.get("seed")
        if seed is not None and len(sigmas) > 1:
            seeds = [picture_seed(seed, i) for i in index or range(len(x))]
            noise = brownian(x, sigmas, seeds) if sampler in BROWNIAN else gaussian(x, seeds)
            options["noise_sampler"] = noise
        return function(model, x, sigmas, extra_args=extra_args, **options)

    return sample


def sampler_for(
    sampler: str, eta: float, s_noise: float = 1.0, index: Sequence[int] | None = None
) -> comfy.samplers.Sampler:
    """The host's sampler with eta and s_noise, a factor on the noise that eta asks for.

    At eta 0 the deterministic twin: Euler bit for bit, and no NaN, which the host's dpm_2_ancestral makes of eta 0 (it
    multiplies noise by the root of a rounding error).
    """
    check_eta(sampler, eta)
    if eta == 0:
        sampler = NOISELESS.get(sampler, sampler)
    if sampler not in WITH_ETA:
        return comfy.samplers.sampler_object(sampler)
    hosts = comfy.samplers.ksampler(sampler, {"eta": eta, "s_noise": s_noise})
    return comfy.samplers.KSAMPLER(own_noise(sampler, hosts.sampler_function, index), hosts.extra_options)
