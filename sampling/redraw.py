"""One part of a picture drawn anew: where, and how it is put back so that nothing else changes. Pure torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

CELL = 16  # pixels a side of one token of the model, which is drawn as a whole


def dilated(mask: Tensor, pixels: int) -> Tensor:
    """mask [H, W] -> grown by so many pixels on every side."""
    return F.max_pool2d(mask[None, None], 2 * pixels + 1, 1, pixels)[0, 0] if pixels else mask


def region_of(masks: Sequence[Tensor], chosen: int, margin: int) -> Tensor:
    """[H, W] of 0 and 1: the chosen one's mask and a margin around it, which leaves out the others'. pixels."""
    own = (masks[chosen] > 0.5).float()
    grown = dilated(own, margin)
    for other, mask in enumerate(masks):
        if other != chosen:
            grown = grown * (mask <= 0.5)
    return (own + grown).clamp(max=1)


def share_of(region: Tensor, margin: int) -> Tensor:
    """region [H, W] of 0 and 1 -> how much of the new picture is taken: 0 outside, 1 from `margin` pixels inwards on.

    The picture's own edge is none.
    """
    left, total = region, region.clone()
    for _ in range(margin):
        left = -F.max_pool2d(-left[None, None], 3, 1, 1)[0, 0]
        total += left
    return total / (margin + 1)


def noise_mask(region: Tensor) -> Tensor:
    """[1, ceil(H / 8), ceil(W / 8)]: every token that the region touches is drawn anew."""
    height, width = region.shape
    tokens = F.max_pool2d(region[None], CELL, ceil_mode=True)  # [1, rows, columns]
    cells = tokens.repeat_interleave(CELL // 8, 1).repeat_interleave(CELL // 8, 2)
    return cells[:, : -(-height // 8), : -(-width // 8)]


def put_back(old: Tensor, new: Tensor, share: Tensor) -> Tensor:
    """old, new [B, H, W, 3], share [H, W] -> the new where share is 1; the old, to the last bit, where it is 0."""
    taken = share[None, :, :, None].to(old)
    return (old + taken * (new.to(old) - old)).where(taken > 0, old)
