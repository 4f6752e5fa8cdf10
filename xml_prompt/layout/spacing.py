"""How far apart neighbours stand, as a prompt states it: `2`, `30%`, `1.5m`, `80cm`, `2米`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..scene import GRID

PERSON_METRES = 1.6  # a length is taken against a person's height

_SPACING = re.compile(r"([0-9]{1,4}(?:\.[0-9]{1,4})?|\.[0-9]{1,4})\s*([a-z%％\u4e00-\u9fff ]*)", re.IGNORECASE)
_WIDTHS = frozenset({"", "x", "width", "widths", "box width", "box widths", "倍", "身位", "个身位", "人宽"})
_LENGTHS = {
    **dict.fromkeys(("m", "metre", "metres", "meter", "meters", "米", "公尺"), 1.0),
    **dict.fromkeys(("cm", "centimetre", "centimetres", "centimeter", "centimeters", "厘米", "公分"), 0.01),
}


@dataclass(frozen=True)
class Spacing:
    """The gap between two neighbours: the sum of these parts, one of which is stated."""

    text: str  # as typed
    widths: float = 0.0  # times a neighbour's width
    heights: float = 0.0  # times a neighbour's height, in pixels
    grid: float = 0.0


def read_spacing(text: str) -> Spacing | None:
    """The spacing that a text states, or None for a text that states none."""
    match = _SPACING.fullmatch(text.strip())
    if match is None:
        return None
    number, unit = float(match.group(1)), match.group(2).strip().lower()
    if unit in _WIDTHS:
        return Spacing(text, widths=number)
    if unit in ("%", "％"):
        return Spacing(text, grid=number * GRID / 100)
    return Spacing(text, heights=number * _LENGTHS[unit] / PERSON_METRES) if unit in _LENGTHS else None
