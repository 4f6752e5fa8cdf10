"""Tells by pixels whether a figure has a thing of attributes.CONCEPT.

Its drawing says where the thing's paint would be. The figure has it where most of those places have that paint: nearer
to it than any other colour of the mini is, and nearer than what is there without the thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..drawing.concepts import PAINT
from ..drawing.draw import render
from ..drawing.scenes import Picture
from ..training.lora import with_concept

CELL = 4  # pixels along a side of a place
NEAR = 0.25  # of a colour; red, green and blue are 0..1 each
MOST = 0.45
SHIFTS = [(x, y) for y in (-1, 0, 1) for x in (-1, 0, 1)]  # places by which a whole figure may be off
STILL = SHIFTS.index((0, 0))


@dataclass(frozen=True)
class Traces:
    """Where the things would be of M pairs of figure and thing: cells [C], colours with and without it [C, 3]."""

    figures: list[tuple[int, int]]  # picture, and person in it
    things: list[str]
    cells: list[Tensor]
    painted: list[Tensor]
    bare: list[Tensor]

    def shares(self, images: Tensor) -> Tensor:
        """images [P, 3, H, W] in 0..1 -> [M]: of the places, those with the thing's paint."""
        seen = F.pad(pooled(images.cpu().float()), (1, 1, 1, 1), mode="replicate")
        rows, columns = (side - 2 for side in seen.shape[2:])
        moved = [seen[..., 1 + y : 1 + y + rows, 1 + x : 1 + x + columns].flatten(2) for x, y in SHIFTS]
        found = []
        for (picture, _), cells, painted, bare in zip(self.figures, self.cells, self.painted, self.bare, strict=True):
            here = torch.stack([one[picture][:, cells].T for one in moved])  # [shifts, C, 3]
            off, off_bare = (here - painted).norm(dim=-1), (here[STILL] - bare).norm(dim=-1)
            has = (off < NEAR) & (off < off_bare)
            found.append(has.float().mean(1).amax())
        return torch.stack(found)

    def has(self, images: Tensor) -> Tensor:
        """[M] bool"""
        return self.shares(images) > MOST


def pooled(images: Tensor) -> Tensor:
    return F.avg_pool2d(images, CELL)


def drawing(picture: Picture) -> Tensor:
    """[3, h, w] in 0..1, of places."""
    return pooled(torch.from_numpy(np.ascontiguousarray(render(picture))).permute(2, 0, 1).float() / 255)


def traces(pictures: Sequence[Picture]) -> Traces:
    """Of every figure, each thing that anybody in its picture has."""
    found = Traces([], [], [], [], [])
    for number, picture in enumerate(pictures):
        there = [one for one in (figure.look.get("concept") for figure in picture.figures) if one]
        for person in range(len(picture.figures)) if there else ():
            bare = drawing(with_concept(picture, person, "")).flatten(1).T
            for thing in there:
                painted = drawing(with_concept(picture, person, thing)).flatten(1).T  # [cells, 3]
                palette = torch.tensor(PAINT[thing]) / 255
                its = torch.cdist(painted, palette).amin(1) < NEAR
                changed = (painted - bare).norm(dim=1) > NEAR
                cells = (its & changed).nonzero()[:, 0]
                if not len(cells):
                    continue
                found.figures.append((number, person))
                found.things.append(thing)
                found.cells.append(cells)
                found.painted.append(painted[cells])
                found.bare.append(bare[cells])
    return found
