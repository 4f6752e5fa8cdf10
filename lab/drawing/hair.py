"""Hair: behind the head, in front of it, and what holds it."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from .attributes import RGB
from .brush import Point, arc, mirrored, path, shade, tint
from .doll import CHIN, MAGENTA, Doll, darker

FRINGES: dict[tuple[bool, bool], tuple[Point, ...]] = {  # (girl, turned): tips and valleys from right to left
    (True, False): ((1.02, 0.1), (0.94, 0.76), (0.79, 0.18), (0.75, -0.18), (0.57, 0.02), (0.37, -0.22), (0.17, 0.0),
                    (0.0, -0.26), (-0.17, 0.0), (-0.37, -0.22), (-0.57, 0.02), (-0.75, -0.18), (-0.79, 0.18),
                    (-0.94, 0.76), (-1.02, 0.1)),
    (True, True): ((1.02, -0.1), (1.0, 0.36), (0.92, -0.18), (0.80, 0.02), (0.64, -0.22), (0.44, 0.0), (0.26, -0.26),
                   (0.04, 0.02), (-0.14, -0.24), (-0.36, 0.06), (-0.50, -0.14), (-0.55, 0.2), (-0.70, 0.84),
                   (-0.82, 0.52), (-0.97, 0.84), (-1.06, 0.1)),
    (False, False): ((1.03, -0.05), (0.97, 0.36), (0.82, -0.14), (0.66, 0.06), (0.50, -0.30), (0.28, 0.0),
                     (0.10, -0.34), (-0.18, 0.0), (-0.34, -0.32), (-0.62, 0.06), (-0.80, -0.14), (-0.97, 0.36),
                     (-1.03, -0.05)),
    (False, True): ((1.02, -0.1), (1.0, 0.2), (0.93, -0.14), (0.80, 0.06), (0.70, -0.30), (0.48, 0.0), (0.34, -0.34),
                    (0.04, 0.02), (-0.12, -0.32), (-0.36, 0.10), (-0.50, -0.10), (-0.62, 0.46), (-0.76, 0.16),
                    (-0.90, 0.62), (-1.06, 0.05)),
}


def paint_back_hair(doll: Doll) -> None:
    """Everything of the hair that lies behind body and face."""
    box, head, fill, line, style = doll.hanging_hair, doll.head, doll.hair, doll.hair_line, doll.look["style"]
    radius, y = 0.72, CHIN - 0.63  # of the head in the hanging hair's own frame
    back = -0.05 * doll.turn
    if style == "long_hair":
        side = path((0.4 * radius, y), ((0.98 * radius, y - 0.3), (0.99 * radius, y + 0.1)),
                    ((0.80, 1.5), (0.90, 2.28)),
                    ((0.78, 2.26), (0.70, 2.12)), ((0.64, 2.36), (0.5, 2.44)), ((0.42, 2.3), (0.34, 2.16)),
                    ((0.26, 2.34), (0.14, 2.40)), ((0.06, 2.3), (0, 2.18)))
        box.shape(np.concatenate([side, mirrored(side)[::-1]]), fill, line)
        for x in (-0.74, 0.74):
            box.stroke(path((x, 1.55), ((x * 1.06, 1.8), (x * 0.98, 2.05))), darker(fill), 1.2)
    elif style == "twintails":
        for side in (-1, 1):
            x, top = 0.72 * radius, y - 0.42 * radius
            tail = path((x, top), ((0.98, top - 0.3), (0.96, top + 0.7)), ((1.0, 1.9), (0.76, 2.56)),
                        ((0.78, 2.3), (0.68, 2.3)), ((0.6, 2.42), (0.52, 2.44)), ((0.66, 1.8), (0.6, 1.3)),
                        ((0.6, top + 0.4), (x, top)))
            box.shape(tail * (side, 1), fill, line)
            box.stroke(path((0.82, top + 0.25), ((0.86, 1.4), (0.77, 2.05))) * (side, 1), darker(fill), 1.4)
    elif style == "ponytail" and not doll.behind:
        x, top = -0.5 * radius, y - 0.8 * radius
        tail = path((x, top), ((-0.9, top - 0.34), (-0.93, top + 0.55)), ((-1.0, 1.5), (-0.78, 2.02)),
                    ((-0.76, 1.84), (-0.68, 1.84)), ((-0.62, 1.96), (-0.54, 1.96)), ((-0.6, 1.3), (-0.5, 0.9)),
                    ((-0.5, top + 0.2), (x, top)))
        box.shape(tail, fill, line)
        box.stroke(path((-0.74, top + 0.3), ((-0.86, 1.1), (-0.74, 1.6))), darker(fill), 1.4)
    if style == "hair_buns":
        spot = (0.93, -0.02) if doll.look["accessory"] == "hat" else (0.70, -0.82)
        for side in (-1, 1):
            head.oval(spot[0] * side + back, spot[1], 0.40, 0.40, fill, line)
            head.stroke(arc(spot[0] * side + back, spot[1], 0.22, 0.22, -2.4, 1.4), darker(fill), 1.2)
    if style == "short_hair" and doll.girl:
        side = np.concatenate([arc(0, -0.02, 1.0, 0.97, -math.pi / 2, 0), path((1.0, 0.05), ((1.12, 0.6), (0.96, 0.92)),
                               ((0.8, 1.02), (0.6, 0.9)), ((0.3, 0.8), (0, 0.8)))])
        head.shape(np.add(np.concatenate([side, mirrored(side)[::-1]]), (back, 0)), fill, line)
    elif style == "short_hair":
        side = [*arc(0, -0.02, 1.0, 0.97, -math.pi / 2, 0), (1.1, 0.42), (0.94, 0.4), (0.98, 0.74), (0.74, 0.66),
                (0.6, 0.86), (0, 0.8)]
        head.shape(np.add(np.concatenate([side, mirrored(side)[::-1]]), (back, 0)), fill, line)
    else:
        head.oval(back, -0.02, 1.0, 0.97, fill, line)


def paint_back_of_head(doll: Doll) -> None:
    """All of the head seen from behind: hair down to the nape, and the ponytail in the middle of it."""
    head, fill, line, short = doll.head, doll.hair, doll.hair_line, doll.look["style"] == "short_hair"
    crown = arc(0, -0.02, 1.03, 1.0, math.pi, 2 * math.pi, 26)
    nape = path((1.03, 0.0), ((1.08, 0.7), (0.74, 0.98)), ((0.6, 0.84), (0.5, 0.9)), ((0.4, 1.02), (0.24, 0.92)),
                ((0.1, 1.04), (0.0, 0.94)))
    head.shape(np.concatenate([crown, nape, mirrored(nape)[::-1]]), fill, line)
    if doll.shaded:
        head.shape(path((-0.62, -0.5), ((0.0, -0.86), (0.62, -0.5)), ((0.0, -0.7), (-0.62, -0.5))), shine_of(fill))
    for x in (-0.5, 0.0, 0.5) if short or doll.look["style"] == "hair_buns" else (-0.5, 0.5):
        head.stroke(path((x * 0.9, 0.1), ((x * 1.1, 0.4), (x, 0.74))), darker(fill), 1.3)
    if doll.look["style"] in ("twintails", "hair_buns"):
        head.stroke([(0, -0.9), (0, 0.5)], darker(fill), 1.4)
    if doll.look["style"] == "ponytail":
        tail = path((0.0, -0.5), ((0.62, -0.5), (0.5, 0.5)), ((0.56, 1.3), (0.16, 1.9)), ((0.1, 1.66), (-0.06, 1.72)),
                    ((-0.3, 1.8), (-0.34, 1.5)), ((-0.6, 0.6), (-0.46, 0.0)), ((-0.4, -0.5), (0.0, -0.5)))
        head.shape(tail, fill, line)
        head.stroke(path((0.16, -0.2), ((0.3, 0.5), (0.1, 1.3))), darker(fill), 1.4)


def shine_of(fill: RGB) -> RGB:
    """The colour of light on hair."""
    if min(fill) > 195:
        return 255, 255, 255
    return tint(fill, 0.5) if max(fill) > 90 else (112, 112, 146)


def fringe(doll: Doll, drop: float = 0.0) -> np.ndarray:
    """Front hair as a polygon: the top of the skull and the locks that frame the face; drop: moves it down."""
    corners = FRINGES[doll.girl, bool(doll.turn)]
    bulge = 0.72 if doll.girl else 0.56
    bends: list[tuple[Point, Point]] = []
    for here, there in pairwise(corners):
        valley, tip = (here, there) if here[1] < there[1] else (there, here)
        control = (bulge * valley[0] + (1 - bulge) * tip[0], (1 - bulge) * valley[1] + bulge * tip[1])
        bends.append((control, there))
    lower = np.add(path(corners[0], *bends, steps=4), (0.0, drop))
    crown = arc(-0.03 * doll.turn, -0.02, 1.03, 1.0, math.pi, 2 * math.pi, 26)
    return np.concatenate([crown, lower])


def paint_front_hair(doll: Doll) -> None:
    """Fringe, shine and what holds the hair."""
    head, fill, line, style = doll.head, doll.hair, doll.hair_line, doll.look["style"]
    if style == "short_hair" and not doll.girl and doll.look["accessory"] != "hat":
        head.shape([(-0.5, -0.82), (-0.42, -1.1), (-0.2, -0.96), (-0.02, -1.12), (0.12, -0.96), (0.4, -1.06),
                    (0.4, -0.84)], fill, line)
    head.shape(fringe(doll), fill, line)
    if style == "short_hair" and not doll.girl and doll.look["accessory"] != "hat":
        head.shape([(-0.48, -0.8), (-0.40, -1.04), (-0.2, -0.92), (-0.02, -1.05), (0.12, -0.92), (0.36, -1.0),
                    (0.38, -0.82)], fill)
    if not doll.shaded:
        return
    shift = 0.12 * doll.turn
    for left, right, y in ((-0.58, 0.16, -0.54), (0.30, 0.52, -0.53)):
        middle = (left + right) / 2
        lift = 0.46 * (right - left)
        head.shape(path((left + shift, y + 0.06), ((middle - 0.1 + shift, y - lift), (right + shift, y - 0.12)),
                        ((right + 0.04 + shift, y - 0.02), (right - 0.02 + shift, y + 0.04)),
                        ((middle + shift, y + 0.06 - lift * 0.5), (left + shift, y + 0.06))), shine_of(fill))


def paint_hair_ties(doll: Doll) -> None:
    """Twintails' and the ponytail's bands."""
    head, style = doll.head, doll.look["style"]
    if style == "twintails":
        for side in (-1, 1):
            head.oval(0.86 * side, -0.46, 0.13, 0.2, MAGENTA, shade(MAGENTA, 0.4), 1.0, 0.5 * side)
    elif style == "ponytail":
        x, y, angle = (0.0, -0.5, math.pi / 2) if doll.behind else (-0.66, -0.84, 0.75)
        head.oval(x, y, 0.13, 0.2, MAGENTA, shade(MAGENTA, 0.4), 1.0, angle)
