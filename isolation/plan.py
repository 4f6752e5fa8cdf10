"""What isolates one prompt's characters: plain data, made once by encode and read by every forward of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from ..xml_prompt import GRID, Box

Rectangle = tuple[float, float, float, float]  # left, top, right, bottom as fractions of the picture
Region = tuple[Rectangle | Tensor, ...]  # all of its parts; a tensor is a mask [h, w], 0..1, of any size


@dataclass(frozen=True)
class Plan:
    """Owners of the caption tokens and the regions of the characters; independent of the picture's size."""

    owner: tuple[int, ...]  # one a caption token: 0 shared, r the r-th character
    regions: tuple[Region, ...]  # one a character
    refiner: bool = True  # isolate the context refiner
    joint: bool = True  # isolate the joint layers
    start: float = 0.0  # fraction of the steps before which there is no isolation; weights and genders hold always
    until: float = 1.0  # and after which there is none
    strength: float = 1.0  # 1 cuts what isolation forbids; less lets 1 - strength of it through; 0 is none
    soft_edge: float = 0.0  # of the picture's shorter side: how far a region's edge reaches out
    weight: tuple[float, ...] = ()  # one a caption token, above 0; none at all where every one is 1
    named: tuple[str, ...] = ()  # one a caption token: the gender that it names, or ""; none at all where none does
    genders: tuple[str, ...] = ()  # one a character: its gender, or "" where unknown
    gender_strength: float = 0.0  # 1 hides tokens of another gender from a character's region; 0 is none

    @property
    def divides(self) -> bool:
        """Whether owners matter at all."""
        return self.strength > 0 and any(self.owner)

    @property
    def masks_genders(self) -> bool:
        return self.gender_strength > 0 and any(self.named) and any(self.genders)

    @property
    def neutral(self) -> bool:
        """Whether the picture is the host's own under it, bit for bit."""
        return not ((self.divides and (self.joint or self.refiner)) or self.weight or self.masks_genders)

    def released(self) -> Plan:
        """What is left of it where isolation is off: everyone reads everything; weights and genders hold."""
        return replace(self, strength=0.0, start=0.0, until=1.0)


def fractions(regions: Sequence[Sequence[Box]]) -> tuple[tuple[Rectangle, ...], ...]:
    """Boxes on the 0..GRID grid -> fractions."""
    return tuple(
        tuple((b.left / GRID, b.top / GRID, b.right / GRID, b.bottom / GRID) for b in rectangles)
        for rectangles in regions
    )
