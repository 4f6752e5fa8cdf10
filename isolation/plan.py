"""What isolates one prompt's characters: plain data, made once by encode and read by every forward of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..xml_prompt.scene import GRID, Box

Rectangle = tuple[float, float, float, float]  # left, top, right, bottom as fractions of the picture


@dataclass(frozen=True)
class Plan:
    """Owners of the caption tokens and the regions of the characters; independent of the picture's size."""

    owner: tuple[int, ...]  # one a caption token: 0 shared, r the r-th character
    regions: tuple[tuple[Rectangle, ...], ...]  # one entry a character
    refiner: bool = True  # isolate the context refiner as well as the joint layers
    until: float = 1.0  # fraction of the steps after which isolation ends; weights stay
    weight: tuple[float, ...] = ()  # one a caption token, above 0; none at all where every one is 1

    def released(self) -> Plan:
        """What is left of it after `until`: everyone reads everything, weights hold."""
        return replace(self, owner=(0,) * len(self.owner), regions=(), refiner=False, until=1.0)


def fractions(regions: Sequence[Sequence[Box]]) -> tuple[tuple[Rectangle, ...], ...]:
    """Boxes on the 0..GRID grid -> fractions."""
    return tuple(
        tuple((b.left / GRID, b.top / GRID, b.right / GRID, b.bottom / GRID) for b in rectangles)
        for rectangles in regions
    )
