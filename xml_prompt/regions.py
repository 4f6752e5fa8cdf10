"""Which part of the picture belongs to whom: a character's boxes, and the gap that an interaction opens to both."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from .scene import Box, Scene


def gap(a: Box, b: Box) -> Box | None:
    """The space between two boxes that stand beside each other, over the height that both share; None if they touch."""
    first, second = (a, b) if a.left <= b.left else (b, a)
    top, bottom = max(a.top, b.top), min(a.bottom, b.bottom)
    if first.right >= second.left or top >= bottom:
        return None
    return Box(first.right, top, second.left, bottom)


def regions(scene: Scene, boxes: Sequence[Box]) -> tuple[tuple[Box, ...], ...]:
    """Every character's rectangles, in the scene's order: its box, its further ones, the gaps of its interactions."""
    own = [[box, *character.more_boxes] for character, box in zip(scene.characters, boxes, strict=True)]
    index = {character.id: i for i, character in enumerate(scene.characters)}
    for interaction in scene.interactions:
        for i, j in combinations(sorted(index[c] for c in interaction.between if c in index), 2):
            between = gap(boxes[i], boxes[j])
            if between is not None and between not in own[i]:
                own[i].append(between)
                own[j].append(between)
    return tuple(tuple(rectangles) for rectangles in own)
