"""Words that say where someone stands -> anchors on the 0..1000 grid. English, Chinese, percentages, four numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from .names import joined, nearest
from .scene import GRID, Box

# Where a person's middle stands. Plain left and right are quarters: two people fill the picture between them.
ANCHORS = {
    "far_left": 150.0, "left": 250.0, "center_left": 375.0, "center": 500.0, "center_right": 625.0, "right": 750.0,
    "far_right": 850.0,
}  # fmt: skip

_SIDES = {"left": "left", "right": "right"}
_MIDDLES = {"center": "center", "centre": "center", "middle": "center", "mid": "center", "central": "center"}
_HEIGHTS = {"top": "top", "upper": "top", "bottom": "bottom", "lower": "bottom"}
_DEPTHS = {
    "foreground": "foreground", "front": "foreground", "near": "foreground",
    "background": "background", "back": "background", "distance": "background", "distant": "background",
}  # fmt: skip
_FILLER_WORDS = "on in at the of to side part area half third corner edge frame image picture screen hand"
_FILLERS = frozenset(_FILLER_WORDS.split())
_FULL = frozenset({"full_frame", "fullframe", "whole_picture", "whole_image", "full_screen", "full_image"})
WORDS = sorted(
    {*ANCHORS, *_MIDDLES, *_HEIGHTS, *_DEPTHS, "left_side", "right_side", "center_x", "center_y", "full_frame"}
)

# Longest first: 左上 is read as 左 and 上.
_CHINESE = (
    ("水平居中", "center_x"), ("垂直居中", "center_y"), ("画面", ""), ("全屏", "full frame"), ("全幅", "full frame"),
    ("满屏", "full frame"), ("整个", "full frame"), ("前景", "foreground"), ("前面", "foreground"),
    ("前方", "foreground"), ("背景", "background"), ("后景", "background"), ("远景", "background"),
    ("后面", "background"), ("后方", "background"), ("远处", "background"), ("最左", "far left"), ("最右", "far right"),
    ("极左", "far left"), ("极右", "far right"), ("偏左", "center left"), ("偏右", "center right"),
    ("中左", "center left"), ("中右", "center right"), ("正中", "center"), ("中央", "center"), ("中间", "center"),
    ("居中", "center"), ("中部", "center"), ("中心", "center"), ("左", "left"), ("右", "right"), ("上", "top"),
    ("顶", "top"), ("下", "bottom"), ("底", "bottom"), ("中", "center"), ("边", ""), ("侧", ""), ("方", ""),
    ("面", ""), ("部", ""), ("角", ""), ("半", ""), ("端", ""), ("在", ""), ("的", ""), ("靠", ""), ("位于", ""),
)  # fmt: skip
_PERCENT = re.compile(r"(?:([xy])\s*[=:]?\s*)?([0-9]{1,3}(?:\.[0-9]{1,4})?)\s*[%％]", re.IGNORECASE)
_NUMBER = re.compile(r"[\[(（]?\s*(-?[0-9]{1,4}(?:\.[0-9]{1,4})?)\s*[\])）]?")


@dataclass(frozen=True)
class Place:
    """What a position field says; None where it says nothing."""

    x: float | None = None  # the middle, on the grid
    y: float | None = None  # the middle, stated as a number
    side: str = ""  # the word behind x; empty for a number: words leave some play, numbers none
    row: str | None = None  # "top", "center", "bottom"
    depth: str | None = None  # "foreground", "background"
    box: Box | None = None  # four numbers, or the full frame


def read_position(texts: Iterable[str]) -> tuple[Place, tuple[str, ...]]:
    """The place that these tags state together, and those of them that say nothing about a place."""
    texts = list(texts)
    box = _box(texts)
    if box is not None:
        return Place(box=box), ()
    place, unknown, loose_center = Place(), [], False
    for text in texts:
        percent = _PERCENT.fullmatch(text.strip())
        if percent and float(percent.group(2)) <= 100:
            value = float(percent.group(2)) * GRID / 100
            axis = (percent.group(1) or ("x" if place.x is None else "y")).lower()
            place = replace(place, x=value, side="") if axis == "x" else replace(place, y=value)
            continue
        words = _words(text)
        if words is None:
            unknown.append(text)
            continue
        place, center = _with_words(place, words)
        loose_center = loose_center or center
    if loose_center:  # "left, center" is about the height, "top, center" about the side, "center" alone about both
        if place.x is None:
            place = replace(place, x=ANCHORS["center"], side="center")
        elif place.row is None and place.y is None:
            place = replace(place, row="center")
    return place, tuple(unknown)


def nearest_position(text: str) -> str:
    return nearest(joined(text), WORDS, 0.75)


def _words(text: str) -> list[str] | None:
    """The known words of one tag, fillers left out; None if it has any other."""
    key = text.strip()
    for chinese, english in _CHINESE:
        key = key.replace(chinese, f" {english} ")
    key = joined(key)
    for full in _FULL:
        key = key.replace(full, "full-frame")
    words = [word for word in key.split("_") if word and word not in _FILLERS]
    known = {*_SIDES, *_MIDDLES, *_HEIGHTS, *_DEPTHS, "far", "x", "y", "full-frame"}
    return words if words and set(words) <= known and words != ["far"] else None


def _with_words(place: Place, words: list[str]) -> tuple[Place, bool]:
    """The place with what one tag adds, and whether it says "center" without saying of what."""
    if "full-frame" in words:
        return replace(place, box=Box(0, 0, GRID, GRID)), False
    side = next((_SIDES[word] for word in words if word in _SIDES), "")
    row = next((_HEIGHTS[word] for word in words if word in _HEIGHTS), None)
    depth = next((_DEPTHS[word] for word in words if word in _DEPTHS), None)
    center = any(word in _MIDDLES for word in words)
    if center and "x" in words:
        side, center = "center", False
    elif center and "y" in words:
        row, center = "center", False
    elif center and side:
        side, center = f"center_{side}", False
    elif center and row:
        side, center = "center", False
    elif side and "far" in words:
        side = f"far_{side}"
    if side:
        place = replace(place, x=ANCHORS[side], side=side)
    return replace(place, row=row or place.row, depth=depth or place.depth), center


def _box(texts: list[str]) -> Box | None:
    """Four numbers that make a box inside the grid."""
    matches = [_NUMBER.fullmatch(text.strip()) for text in texts]
    if len(matches) != 4 or not all(matches):
        return None
    left, top, right, bottom = (float(match.group(1)) for match in matches if match)
    inside = all(math.isfinite(edge) and 0 <= edge <= GRID for edge in (left, top, right, bottom))
    return Box(left, top, right, bottom) if inside and left < right and top < bottom else None
