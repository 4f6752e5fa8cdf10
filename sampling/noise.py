"""Fresh noise for the steps of a sampler: every picture of a batch has its own, so that it is the same drawn alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from comfy.k_diffusion.sampling import BrownianTreeNoiseSampler, default_noise_sampler
from torch import Tensor

NoiseSampler = Callable[[Tensor, Tensor], Tensor]  # sigma, next sigma -> noise of the latent's shape

SEEDS = 2**64
SPREAD = 0x9E3779B97F4A7C15  # odd and far from any two seeds that a user tries one after the other
LAST = SEEDS - 2  # the host adds one on a CPU, where torch takes no seed above SEEDS - 1


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
