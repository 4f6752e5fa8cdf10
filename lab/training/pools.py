"""The drawn data on its way from the drawing processes to the device, one pool a group."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from .dataset import Drawing, Group


@dataclass
class Pool:
    """The drawn data of one group, on the device."""

    group: Group
    arrays: dict[str, list]  # name -> one tensor a chunk; "corner": the figures' boxes as lists, for choosing crops

    @property
    def chunks(self) -> int:
        """How many have arrived."""
        return len(self.arrays.get("image", []))

    def __len__(self) -> int:
        return sum(len(part) for part in self.arrays.get("image", []))


def gather(pools: list[Pool], drawing: Drawing, device: torch.device, most: int = 1000) -> None:
    """Moves newly drawn chunks into their pools."""
    for index, arrays in drawing.arrived(most):
        for name, array in arrays.items():
            pools[index].arrays.setdefault(name, []).append(torch.from_numpy(array).to(device))
        corners = [[box for box in boxes if box[2] > 0] for boxes in arrays["box"].tolist()]
        pools[index].arrays.setdefault("corner", []).append(corners)


def gather_until(enough: Callable[[], bool], pools: list[Pool], drawing: Drawing, device: torch.device) -> None:
    """Takes all that has been drawn, and waits for more while there isn't enough."""
    gather(pools, drawing, device)
    while not enough():
        time.sleep(0.1)
        gather(pools, drawing, device)
