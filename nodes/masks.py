"""Painted masks: the boxes of the characters that they are painted for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from ..xml_prompt import GRID, Box, Scene

INSIDE = 0.5


def box_of_mask(mask: Tensor) -> Box:
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


def masks_of(masks: Tensor | None, characters: int) -> tuple[Tensor | None, ...]:
    """A batch [B, H, W] -> one mask [H, W] a character; None where it is empty.

    Raises ValueError for too many, and for one that is painted so faintly that it has no inside.
    """
    if masks is None:
        return ()
    batch = masks.reshape(-1, *masks.shape[-2:])
    if len(batch) > characters:
        raise ValueError(
            f"There are {len(batch)} masks for {characters} characters: connect one per character, in the prompt's "
            "order."
        )
    for number, mask in enumerate(batch, start=1):
        if 0 < mask.max() <= INSIDE:
            raise ValueError(
                f"Mask {number} is too faint (nowhere above {INSIDE:g}): paint it brighter, or leave it empty to use "
                f"the character's box."
            )
    return tuple(mask if (mask > INSIDE).any() else None for mask in batch)


def with_mask_boxes(scene: Scene, masks: Sequence[Tensor | None]) -> Scene:
    """The scene with the box around each mask stated for its character, in place of all its boxes."""
    characters = list(scene.characters)
    for index, mask in enumerate(masks):
        if mask is not None:
            characters[index] = replace(characters[index], box=box_of_mask(mask), more_boxes=())
    return replace(scene, characters=tuple(characters))
