"""Words that say where someone stands -> anchors on the 0..1000 grid. English, Chinese, percentages, four numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from .scene import GRID, Box
from .words import nearest, word_key

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
_KNOWN = frozenset({*_SIDES, *_MIDDLES, *_HEIGHTS, *_DEPTHS, "far", "x", "y", "full-frame"})
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
    ("中左", "center left"), ("中右", "center right"), ("正中间", "center"), ("正中", "center"),
    ("中央", "center"), ("中间", "center"),
    ("居中", "center"), ("中部", "center"), ("中心", "center"), ("左", "left"), ("右", "right"), ("上", "top"),
    ("顶", "top"), ("下", "bottom"), ("底", "bottom"), ("中", "center"), ("边", ""), ("侧", ""), ("方", ""),
    ("面", ""), ("部", ""), ("角", ""), ("半", ""), ("端", ""), ("在", ""), ("的", ""), ("靠", ""), ("位于", ""),
)  # fmt: skip
_PERCENT = re.compile(r"(?:([xy])\s*[=:]?\s*)?([0-9]{1,3}(?:\.[0-9]{1,4})?)\s*[%％]", re.IGNORECASE)
_NUMBER = re.compile(r"[\[(（]?\s*(-?[0-9]{1,4}(?:\.[0-9]{1,4})?)\s*[\])）]?")

# Axes; on each, what comes first is further left, higher up, further away.
ACROSS, DOWN, DEPTH = "across", "down", "depth"
_LONGEST = 120  # no position is longer, and none is looked for in what is


def _relation_pattern(english: str, chinese: str) -> re.Pattern[str]:
    """Both as word_key() spells them; "other" is whom it is about."""
    english = english.replace("OTHER", "(?P<english>.+)")
    return re.compile(rf"(?:[a-z]+ing_|is_)?(?:{english})|(?:站?在|位于)?(?P<chinese>.+?)_?的?_?(?:{chinese})")


def _side_pattern(side: str, chinese: str) -> re.Pattern[str]:
    side = f"{side}(?:_hand)?(?:_side)?"
    english = rf"(?:(?:on|to|at)_)?(?:the_)?{side}_(?:of|from)_OTHER|(?:on|to|at)_(?P<owner>.+)['’]s?_{side}"
    return _relation_pattern(english, f"{chinese}手?[边侧面方]?")


_RELATIONS = (
    (ACROSS, True, _side_pattern("left", "左")),
    (ACROSS, False, _side_pattern("right", "右")),
    (DEPTH, True, _relation_pattern("behind_OTHER", "[身背]后|后[面方边]")),
    (DEPTH, False, _relation_pattern("in_front_of_OTHER", "[身面]前|前[面方边]")),
    (DOWN, True, _relation_pattern("(?:above|over|on_top_of)_OTHER", "上[面方边]|之上|头顶")),
    (DOWN, False, _relation_pattern("(?:below|under|underneath|beneath)_OTHER", "下[面方边]|之下")),
)


@dataclass(frozen=True)
class Relation:
    """Someone's place against another's: before it on this axis, or behind it. `other` is the id or name as typed."""

    axis: str
    before: bool
    other: str


@dataclass(frozen=True)
class Place:
    """What a position field says; None where it says nothing."""

    x: float | None = None  # the middle, on the grid
    y: float | None = None  # the middle, stated as a number
    side: str = ""  # the word behind x; empty for a number: words leave some play, numbers none
    row: str | None = None  # "top", "center", "bottom"
    depth: str | None = None  # "foreground", "background"
    box: Box | None = None  # four numbers, or the full frame
    relations: tuple[Relation, ...] = ()


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
        words = _words(text) if len(text) <= _LONGEST else None
        if words is None:
            relation = _relation(text) if len(text) <= _LONGEST else None
            if relation is None:
                unknown.append(text)
            else:
                place = replace(place, relations=(*place.relations, relation))
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
    return nearest(word_key(text), WORDS, 0.75)


@lru_cache(maxsize=1024)
def _relation(text: str) -> Relation | None:
    """`left of miku`, `behind character_2`, `在初音的右边`: whether there is such a person is for the scene to say."""
    key = word_key(text)
    for axis, before, pattern in _RELATIONS:
        match = pattern.fullmatch(key)
        if match:
            other = next(filter(None, match.groups()))
            return Relation(axis, before, other.strip("_").removeprefix("the_"))
    return None


@lru_cache(maxsize=1024)
def _words(text: str) -> tuple[str, ...] | None:
    """The known words of one tag, fillers left out; None if it has any other."""
    key = text.strip()
    for chinese, english in _CHINESE:
        key = key.replace(chinese, f" {english} ")
    key = word_key(key)
    for full in _FULL:
        key = key.replace(full, "full-frame")
    words = [word for word in key.split("_") if word and word not in _FILLERS]
    return tuple(words) if words and _KNOWN.issuperset(words) and words != ["far"] else None


def _with_words(place: Place, words: tuple[str, ...]) -> tuple[Place, bool]:
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
    x, side = (ANCHORS[side], side) if side else (place.x, place.side)
    return replace(place, x=x, side=side, row=row or place.row, depth=depth or place.depth), center


def _box(texts: list[str]) -> Box | None:
    """Four numbers that make a box inside the grid."""
    matches = [_NUMBER.fullmatch(text.strip()) for text in texts]
    if len(matches) != 4 or not all(matches):
        return None
    left, top, right, bottom = (float(match.group(1)) for match in matches if match)
    inside = all(math.isfinite(edge) and 0 <= edge <= GRID for edge in (left, top, right, bottom))
    return Box(left, top, right, bottom) if inside and left < right and top < bottom else None
