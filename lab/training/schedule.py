"""What every stage of the training shares: the clock, the course of the learning rate, the average of the weights."""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor, nn


class Clock:
    def __init__(self) -> None:
        self.start = time.monotonic()

    def passed(self) -> float:
        """Seconds."""
        return time.monotonic() - self.start

    def say(self, *words: object) -> None:
        print(f"[{self.passed():7.1f}]", *words, flush=True)


def cosine(share: float, flat: float, floor: float = 0.003) -> float:
    """1 until `flat` of the time has passed, then half a cosine down to the floor."""
    return 1.0 if share < flat else 0.5 * (1 + math.cos(math.pi * (share - flat) / (1 - flat))) + floor


def average_into(slow: list[Tensor], fast: list[nn.Parameter], step: int, decay: float) -> None:
    """Exponential moving average of the weights, warming up; the averaged weights are the ones kept."""
    with torch.no_grad():
        torch._foreach_lerp_(slow, [p.detach() for p in fast], 1 - min(decay, (1 + step) / (10 + step)))
