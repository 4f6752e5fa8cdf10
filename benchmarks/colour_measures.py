"""Where a picture has a named colour, and what follows for people who were asked to have it. No network judges here.

Pictures are [H, W, 3] uint8 RGB; boxes are (left, top, right, bottom) as fractions of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

Rectangle = tuple[float, float, float, float]

HUES = {"red": 0, "blonde": 48, "green": 120, "aqua": 178, "blue": 225, "purple": 275, "pink": 335}  # degrees
WIDTH = 16  # degrees to either side
SATURATION, VALUE = 0.3, 0.3  # at the least, of 1: paler is skin or background, darker has no hue
ENOUGH = 0.01  # of a box's pixels: less is an eye or a ribbon


def has_colour(picture: np.ndarray, colour: str) -> np.ndarray:
    """[H, W] bool: the pixels of this colour."""
    hue, saturation, value = np.moveaxis(cv2.cvtColor(picture, cv2.COLOR_RGB2HSV_FULL).astype(np.float32) / 255, 2, 0)
    away = np.abs((hue * 360 - HUES[colour] + 180) % 360 - 180)
    return (away <= WIDTH) & (saturation >= SATURATION) & (value >= VALUE)


def within(values: np.ndarray, box: Rectangle) -> np.ndarray:
    """The part of [H, W, ...] that lies in the box."""
    height, width = values.shape[:2]
    left, top, right, bottom = box
    return values[round(top * height) : round(bottom * height), round(left * width) : round(right * width)]


def shares(picture: np.ndarray, colour: str, boxes: Sequence[Rectangle]) -> np.ndarray:
    """[R]: the colour's share of every box."""
    found = has_colour(picture, colour)
    return np.array([within(found, box).mean() for box in boxes])


@dataclass(frozen=True)
class Verdict:
    """Of one character. placed: its colour is in its box, and more than in any other's; leak: the part of the colour
    that lies in others' boxes, of what lies in all; inside: the colour's middle lies in its box."""

    placed: bool
    leak: float
    inside: bool


def judge(picture: np.ndarray, colour: str, own: int, boxes: Sequence[Rectangle]) -> Verdict:
    """colour: one that only the character with boxes[own] was asked to have."""
    share = shares(picture, colour, boxes)
    everywhere = share.sum()
    rows, columns = np.nonzero(has_colour(picture, colour))
    inside = False
    if len(columns):
        height, width = picture.shape[:2]
        x, y = np.median(columns) / width, np.median(rows) / height
        left, top, right, bottom = boxes[own]
        inside = left <= x <= right and top <= y <= bottom
    return Verdict(
        placed=bool(share[own] >= ENOUGH and share[own] == share.max()),
        leak=float(1 - share[own] / everywhere) if everywhere > 0 else 1.0,
        inside=bool(inside),
    )


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
