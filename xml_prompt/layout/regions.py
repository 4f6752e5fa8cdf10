"""Which part of the picture belongs to whom: a character's boxes, and the gap that an interaction opens to both."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product

from ..scene import Box, Scene


def gap(a: Box, b: Box) -> Box | None:
    """The space between two boxes that stand beside each other, over the height that both share; None if they touch."""
    first, second = (a, b) if a.left <= b.left else (b, a)
    top, bottom = max(a.top, b.top), min(a.bottom, b.bottom)
    if first.right >= second.left or top >= bottom:
        return None
    return Box(first.right, top, second.left, bottom)


def distance(a: Box, b: Box) -> float:
    """Squared, from edge to edge; 0 where they touch."""
    across = max(0.0, a.left - b.right, b.left - a.right)
    down = max(0.0, a.top - b.bottom, b.top - a.bottom)
    return across**2 + down**2


def without(whole: Box, hole: Box) -> list[Box]:
    """What is left of a box, in up to four: left and right of the hole over the full height, above and below it."""
    left, right = max(whole.left, hole.left), min(whole.right, hole.right)
    top, bottom = max(whole.top, hole.top), min(whole.bottom, hole.bottom)
    if left >= right or top >= bottom:
        return [whole]
    parts = (
        Box(whole.left, whole.top, left, whole.bottom),
        Box(right, whole.top, whole.right, whole.bottom),
        Box(left, whole.top, right, top),
        Box(left, bottom, right, whole.bottom),
    )
    return [part for part in parts if part.width > 0 and part.height > 0]


def regions(scene: Scene, boxes: Sequence[Box]) -> tuple[tuple[Box, ...], ...]:
    """Every character's rectangles, in the scene's order: its box, its further ones, the gaps of its interactions.

    A gap is between the nearest boxes of two, less the boxes of everyone else.
    """
    places = [[box, *character.more_boxes] for character, box in zip(scene.characters, boxes, strict=True)]
    own = [list(some) for some in places]
    index = {character.id: i for i, character in enumerate(scene.characters)}
    for interaction in scene.interactions:
        for i, j in combinations(sorted(index[c] for c in interaction.between if c in index), 2):
            between = gap(*min(product(places[i], places[j]), key=lambda pair: distance(*pair)))
            parts = [] if between is None else [between]
            for hole in (box for k, some in enumerate(places) if k not in (i, j) for box in some):
                parts = [left for part in parts for left in without(part, hole)]
            for one in (own[i], own[j]):
                one += [part for part in parts if part not in one]
    return tuple(tuple(rectangles) for rectangles in own)
