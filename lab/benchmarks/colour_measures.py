"""Where a picture has a named colour, and what follows for people who were asked to have it. No network judges here.

Pictures are [H, W, 3] uint8 RGB; boxes are (left, top, right, bottom) as fractions of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

Rectangle = tuple[float, float, float, float]

HUES = {  # degrees, from and to; between them are colours that nobody is asked to have, as skin's
    "red": (350, 15),
    "blonde": (35, 65),
    "green": (85, 155),
    "aqua": (162, 195),
    "blue": (205, 245),
    "purple": (255, 300),
    "pink": (310, 350),
}
SATURATION, VALUE = 0.3, 0.3  # at the least, of 1: paler is skin or background, darker has no hue
ENOUGH = 0.01  # of a part's pixels: less is an eye or a ribbon
OBEYED = 0.5  # of a character's coloured pixels in its box: others' red mouths are soon a third of a small one's


def has_colour(picture: np.ndarray, colour: str) -> np.ndarray:
    """[H, W] bool: the pixels of this colour."""
    hue, saturation, value = np.moveaxis(cv2.cvtColor(picture, cv2.COLOR_RGB2HSV_FULL).astype(np.float32) / 255, 2, 0)
    first, last = HUES[colour]
    return ((hue * 360 - first) % 360 < (last - first) % 360) & (saturation >= SATURATION) & (value >= VALUE)


def within(values: np.ndarray, box: Rectangle) -> np.ndarray:
    """The part of [H, W, ...] that lies in the box."""
    height, width = values.shape[:2]
    left, top, right, bottom = box
    return values[round(top * height) : round(bottom * height), round(left * width) : round(right * width)]


def shares(picture: np.ndarray, colour: str, boxes: Sequence[Rectangle]) -> np.ndarray:
    """[R]: the colour's share of every box."""
    found = has_colour(picture, colour)
    return np.array([within(found, box).mean() for box in boxes])


def hair_part(box: Rectangle) -> Rectangle:
    """The upper half: of a chibi's head and of a grown figure's long hair."""
    left, top, right, bottom = box
    return left, top, right, (top + bottom) / 2


def clothes_part(box: Rectangle) -> Rectangle:
    """The lower half."""
    left, top, right, bottom = box
    return left, (top + bottom) / 2, right, bottom


@dataclass(frozen=True)
class Verdict:
    """Of one colour of one character. placed: it is in its part of the character's box, and more than in anybody
    else's box; elsewhere: it isn't, but as much of it is in the picture; leak: what lies in others' boxes, of what
    lies in all; None where none does."""

    placed: bool
    elsewhere: bool
    leak: float | None


def judge(picture: np.ndarray, colour: str, part: Rectangle, own: int, boxes: Sequence[Rectangle]) -> Verdict:
    """colour: one that only the character with boxes[own] was asked to have; part: where in its box."""
    found, share = has_colour(picture, colour), shares(picture, colour, boxes)
    everywhere, owned = share.sum(), within(found, part)
    placed = bool(owned.mean() >= ENOUGH and share[own] == share.max())
    return Verdict(
        placed=placed,
        elsewhere=bool(not placed and found.sum() >= ENOUGH * owned.size),
        leak=float(1 - share[own] / everywhere) if everywhere > 0 else None,
    )


def obeyed(picture: np.ndarray, colours: Sequence[str], box: Rectangle) -> bool:
    """Whether a character's colours keep to its box. Of one that is too small for its box hue can't tell."""
    found = np.logical_or.reduce([has_colour(picture, colour) for colour in colours])
    inside = within(found, box)
    return bool(inside.mean() >= ENOUGH and inside.sum() >= OBEYED * found.sum())


def bleed(before: np.ndarray, after: np.ndarray, changed: int, boxes: Sequence[Rectangle]) -> float:
    """One character's colours were changed, nothing else: the mean change in the others' boxes over that in its own."""
    change = np.abs(before.astype(np.float32) - after.astype(np.float32)).mean(2)
    own = within(change, boxes[changed]).mean()
    others = np.mean([within(change, box).mean() for i, box in enumerate(boxes) if i != changed])
    return float(others / own) if own > 0 else 0.0


def interval(values: Sequence[float], seed: int = 0, draws: int = 1000) -> tuple[float, float, float]:
    """Mean, and 95 % of a bootstrap over the values."""
    sample = np.asarray(values, float)
    index = np.random.default_rng(seed).integers(len(sample), size=(draws, len(sample)))
    low, high = np.percentile(sample[index].mean(1), (2.5, 97.5))
    return float(sample.mean()), float(low), float(high)
