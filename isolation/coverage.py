"""How much of every image token belongs to a region, at whatever size the latent arrives."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .plan import Rectangle, Region


def distances(rectangle: Rectangle, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """[rows], [columns]: from every row and column of cells to the rectangle's own, in cells; 0 where they overlap."""
    left, top, right, bottom = rectangle
    x, y = torch.arange(columns), torch.arange(rows)
    beside = torch.maximum(left * columns - (x + 1), x - right * columns)  # below 0 where they overlap
    above = torch.maximum(top * rows - (y + 1), y - bottom * rows)
    across = torch.where(beside < 0, 0.0, beside.clamp(min=1e-6))
    down = torch.where(above < 0, 0.0, above.clamp(min=1e-6))
    return down, across


def coverage(region: Region, rows: int, columns: int, soft_edge: float = 0.0) -> Tensor:
    """-> [rows * columns] in 0..1, the most that any part of the region covers.

    A token that a rectangle touches is covered whole; outside, coverage falls to 0 over `soft_edge` of the picture's
    shorter side. A mask covers a token by its mean there, soft_edge or not: it has edges of its own.
    """
    covered = torch.zeros(rows, columns)
    ramp = soft_edge * min(rows, columns)  # in cells
    for part in region:
        if isinstance(part, Tensor):
            one = F.interpolate(part[None, None].float().cpu(), size=(rows, columns), mode="area")[0, 0].clamp(0, 1)
        else:
            down, across = distances(part, rows, columns)
            if ramp > 0:
                one = (1 - torch.hypot(down[:, None], across) / ramp).clamp(min=0)
            else:
                one = ((down == 0)[:, None] & (across == 0)).float()
        covered = torch.maximum(covered, one)
    return covered.flatten()
