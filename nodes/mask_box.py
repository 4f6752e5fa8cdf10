"""A painted mask -> the box of the character it is painted for."""

from __future__ import annotations

import math

import torch

from ..xml_prompt import GRID, Box

INSIDE = 0.5


def box_of_mask(mask: torch.Tensor) -> Box:
    """The smallest box of whole grid lines around all of [B, H, W] or [H, W] above INSIDE. Raises ValueError."""
    height, width = mask.shape[-2:]
    inside = (mask > INSIDE).reshape(-1, height, width).any(0)
    rows, columns = (inside.any(axis).nonzero().flatten().tolist() for axis in (1, 0))
    if not rows:
        raise ValueError("The mask is empty: paint where the character is, or disconnect the mask.")
    left, right = _around(columns[0], columns[-1] + 1, width)
    top, bottom = _around(rows[0], rows[-1] + 1, height)
    return Box(left, top, right, bottom)


def _around(first: int, last: int, size: int) -> tuple[float, float]:
    return float(first * GRID // size), float(math.ceil(last * GRID / size))
