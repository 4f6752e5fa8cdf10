"""How long each stage of the training takes, on how much, at which rate."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Seconds, counts and rates of a run."""

    world: str = "plain"  # of dataset.WORLDS: how alike a picture's people are, and how much their prompts say
    groups: int = 6  # of the world's groups, the first so many
    pictures: int = 90000
    chunk: int = 200  # pictures drawn at a time
    workers: int = 12
    seed: int = 23
    autoencoder_seconds: float = 210.0
    autoencoder_batch: int = 64
    judge_seconds: float = 100.0
    picture_judge_seconds: float = 20.0
    judge_batch: int = 256
    diffusion_seconds: float = 860.0
    diffusion_from: float = 0.0  # where the learning rate is on its course at the start: above 0 to go on with a run
    diffusion_batch: int = 256
    diffusion_rate: float = 1e-3
    total_seconds: float = math.inf  # from the start; the diffusion model gets what is left of it, if that is less
    compiled: bool = True


SMOKE = Plan(groups=1, pictures=1, chunk=2, workers=2, autoencoder_seconds=0.5, autoencoder_batch=1, judge_seconds=0.5,
             picture_judge_seconds=0.5, judge_batch=2, diffusion_seconds=0.5, diffusion_batch=2, compiled=False)
