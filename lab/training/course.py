"""How long each stage of the training takes, on how much, at which rate."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Course:
    """Seconds, counts and rates of a run; batches are each GPU's own."""

    world: str = "plain"  # of dataset.WORLDS: how alike a picture's people are, and how much their prompts say
    groups: int = 12  # of the world's groups, the first so many
    pictures: int = 90000
    chunk: int = 200  # pictures drawn at a time
    workers: int = 12
    drawing_seconds: float = math.inf  # from the start; training goes with what is drawn by then
    seed: int = 23
    autoencoder_seconds: float = 210.0
    autoencoder_batch: int = 64
    judge_seconds: float = 100.0
    picture_judge_seconds: float = 20.0
    judge_batch: int = 256
    diffusion_seconds: float = 860.0
    diffusion_from: float = 0.0  # this run is a part of the course of the learning rate: it goes from here ...
    diffusion_to: float = 1.0  # ... to there
    diffusion_batch: int = 256  # of 512 tokens; of longer ones fewer
    diffusion_rate: float = 1e-3
    decoder_seconds: float = 40.0  # on what the finished diffusion model makes; 0: not at all
    total_seconds: float = math.inf  # from the start; the diffusion model gets what is left of it, if that is less


SMOKE = Course(groups=1, pictures=1, chunk=2, workers=2, autoencoder_seconds=0.5, autoencoder_batch=1,
               judge_seconds=0.5, picture_judge_seconds=0.5, judge_batch=2, diffusion_seconds=0.5, diffusion_batch=2,
               decoder_seconds=0.5)
