"""Legs, clothes and the scarf."""

from __future__ import annotations

import math

import numpy as np

from .attributes import RGB
from .brush import Brush, mirrored, path, shade, tint
from .doll import DARK, DARK_LINE, GOLD, SKIN, SKIN_LINE, TIE, WHITE, WHITE_LINE, Doll, darker, line_of, paint_bow

DENIM = (94, 110, 152)
SCARF = (78, 138, 246)


def accent_of(cloth: RGB) -> RGB:
    """The colour of ribbons on a cloth."""
    return (52, 66, 140) if cloth[0] > 180 and cloth[2] < 200 else (226, 56, 76)


def paint_legs(doll: Doll) -> None:
    """Legs and shoes; toes point where the figure looks. Who sits has a crate behind the legs, and knees before it."""
    body, sitting = doll.body, doll.look["pose"] == "sitting"
    if sitting:
        paint_crate(body, 0.94 / doll.girth)
    if sitting and doll.behind:
        return
    for side in (-1, 1):
        x = 0.19 * side
        paint_leg(doll, x * 1.3 if sitting else x)
        if sitting:
            bare = doll.girl or doll.look["kind"] in ("dress", "t-shirt")
            cover = SKIN if bare else trouser_colour(doll)
            body.limbs([[(x, 2.3), (x * 1.35, 2.5)]], 0.27 if bare else 0.33, cover, line_of(cover))


def paint_leg(doll: Doll, x: float) -> None:
    """One leg, straight down, and its shoe."""
    body, kind = doll.body, doll.look["kind"]
    leg = [(x, 2.2), (x, 2.8)]
    if doll.girl or kind == "dress":
        body.limbs([leg], 0.2, SKIN, SKIN_LINE)
        if kind == "sleeveless_shirt":
            body.limbs([[(x, 2.62), (x, 2.78)]], 0.22, DARK, DARK_LINE)
        else:
            body.limbs([[(x, 2.68), (x, 2.8)]], 0.21, WHITE, WHITE_LINE)
    elif kind == "t-shirt":
        body.limbs([leg], 0.2, SKIN, SKIN_LINE)
        body.limbs([[(x, 2.1), (x * 1.05, 2.46)]], 0.32, DENIM, line_of(DENIM))
    else:
        trousers = trouser_colour(doll)
        body.limbs([[(x, 2.2), (x, 2.74)]], 0.3, trousers, line_of(trousers))
    shoes = DARK if kind in ("sleeveless_shirt", "serafuku") else (136, 78, 56)
    body.oval(x * 1.08 + 0.06 * doll.turn, 2.86, 0.2, 0.095, shoes, line_of(shoes))


def trouser_colour(doll: Doll) -> RGB:
    """Of a boy's long trousers."""
    kind = doll.look["kind"]
    return DARK if kind == "sleeveless_shirt" else (112, 92, 84) if kind == "coat" else (58, 66, 104)


def paint_crate(body: Brush, half: float) -> None:
    """A wooden crate to sit on, wider than any skirt; half: of its width."""
    wood, line = (196, 142, 88), (104, 66, 36)
    body.shape([(-half, 2.36), (half, 2.36), (half, 2.92), (-half, 2.92)], wood, line)
    for y in (2.5, 2.64, 2.78):
        body.stroke([(-half, y), (half, y)], shade(wood, 0.72), 1.1)
    for x in (-half + 0.11, half - 0.11):
        body.shape([(x - 0.08, 2.38), (x + 0.08, 2.38), (x + 0.08, 2.9), (x - 0.08, 2.9)], shade(wood, 0.86), line, 0.8)


def paint_skirt(doll: Doll, fill: RGB) -> None:
    """A pleated skirt."""
    line = line_of(fill)
    waist, hem = doll.waist, 2.4 if doll.look["pose"] == "sitting" else 2.46
    doll.body.shape([(-waist, 2.0), (waist, 2.0), *path((0.58, hem), ((0, hem + 0.1), (-0.58, hem)))], fill, line)
    pleat = darker(fill) if max(fill) > 90 else tint(fill, 0.25)
    for x in (-0.3, 0, 0.3):
        doll.body.stroke([(x * 0.8, 2.12), (x * 1.15, hem + 0.02)], pleat, 1.2)


def paint_torso(doll: Doll) -> None:
    """The garment and, below a short one, skirt or trousers' waist."""
    body, cloth, line, kind = doll.body, doll.cloth, doll.cloth_line, doll.look["kind"]
    ahead, shoulder, waist = 0.07 * doll.turn, doll.shoulder, doll.waist
    body.limbs([[(0, 1.4), (0, 1.58)]], 0.2, SKIN, SKIN_LINE)
    if kind == "coat":
        paint_coat(doll, ahead)
        return
    if kind == "dress":
        paint_dress(doll, ahead)
        return
    if doll.girl:
        paint_skirt(doll, DARK if kind == "sleeveless_shirt" else DENIM if kind == "t-shirt" else shade(cloth, 0.8)
                    if min(cloth) < 225 else (70, 86, 150))
    else:
        belt = DENIM if kind == "t-shirt" else trouser_colour(doll)
        body.shape([(-waist, 2.0), (waist, 2.0), (0.34, 2.26), (-0.34, 2.26)], belt, line_of(belt))
    if kind == "sleeveless_shirt":
        paint_sleeveless_shirt(doll, ahead)
        return
    body.shape([*path((-waist, 2.1), ((-shoulder, 1.8), (-shoulder, 1.52))),
                *path((shoulder, 1.52), ((shoulder, 1.8), (waist, 2.1)))], cloth, line)
    if kind == "serafuku":
        paint_sailor_collar(doll, ahead)
    elif not doll.behind:
        paint_star(doll.near(ahead, 1.82), 0.2, GOLD if min(cloth) > 225 else WHITE)


def paint_sleeveless_shirt(doll: Doll, ahead: float) -> None:
    """A shirt that leaves the shoulders bare, with a tie."""
    body, cloth, line = doll.body, doll.cloth, doll.cloth_line
    body.limbs([[(-doll.shoulder + 0.08, 1.6), (doll.shoulder - 0.08, 1.6)]], 0.22, SKIN, SKIN_LINE)
    body.shape([(-0.24, 1.52), (0.24, 1.52), *path((0.22, 1.6), ((0.26, 1.74), (doll.waist - 0.02, 1.76))),
                (doll.waist, 2.1), (-doll.waist, 2.1),
                *path((-doll.waist + 0.02, 1.76), ((-0.26, 1.74), (-0.22, 1.6)))], cloth, line)
    if doll.behind:
        return
    tie_line = line_of(TIE)
    body.shape([(ahead - 0.06, 1.62), (ahead + 0.06, 1.62), (ahead + 0.11, 1.96), (ahead, 2.06), (ahead - 0.11, 1.96)],
               TIE, tie_line)
    body.shape([(ahead - 0.09, 1.5), (ahead + 0.09, 1.5), (ahead + 0.06, 1.64), (ahead - 0.06, 1.64)], TIE, tie_line)


def paint_star(brush: Brush, size: float, fill: RGB) -> None:
    """A five-pointed star with an outline, around the brush's origin."""
    angles = np.linspace(-math.pi / 2, 1.5 * math.pi, 11)[:-1]
    reach = np.where(np.arange(10) % 2 == 0, size, size * 0.48)
    points = np.stack([reach * np.cos(angles), reach * np.sin(angles)], 1)
    brush.shape(points, fill, (150, 104, 30) if fill == GOLD else (70, 74, 100), 0.8)


def paint_sailor_collar(doll: Doll, ahead: float) -> None:
    """A wide white collar with a stripe: square behind, and with a ribbon in front."""
    body, stripe = doll.body, (92, 112, 190)
    if doll.behind:
        body.shape([(-0.36, 1.5), (0.36, 1.5), (0.4, 1.82), (-0.4, 1.82)], WHITE, WHITE_LINE)
        body.stroke([(-0.35, 1.6), (-0.34, 1.75), (0.34, 1.75), (0.35, 1.6)], stripe, 1.3)
        return
    body.shape([(-0.36, 1.5), (0.36, 1.5), (0.43, 1.72), (ahead, 1.94), (-0.43, 1.72)], WHITE, WHITE_LINE)
    body.stroke([(-0.38, 1.66), (ahead, 1.85), (0.38, 1.66)], stripe, 1.3)
    paint_bow(doll.near(ahead, 1.82), 0, 0, 0.26, 0.15, accent_of(doll.cloth))


def paint_coat(doll: Doll, ahead: float) -> None:
    """A long coat with lapels and two rows of buttons; behind, with a seam and a belt."""
    body, cloth, line = doll.body, doll.cloth, doll.cloth_line
    shoulder, waist, hem = doll.shoulder, doll.waist, 2.44 if doll.look["pose"] == "sitting" else 2.54
    body.shape([(-shoulder, 1.52), (shoulder, 1.52), (waist - 0.02, 1.95),
                *path((0.54, hem), ((0, hem + 0.1), (-0.54, hem))), (-waist + 0.02, 1.95)], cloth, line)
    if doll.behind:
        body.stroke([(0, 2.08), (0, hem + 0.04)], line)
        body.shape([(-waist + 0.03, 1.96), (waist - 0.03, 1.96), (waist, 2.06), (-waist, 2.06)], darker(cloth), line)
        return
    body.stroke([(ahead, 1.6), (ahead * 1.4, hem + 0.04)], line)
    for y in (1.94, 2.12, 2.3):
        for side in (-1, 1):
            body.oval(ahead + side * (0.05 + 0.05 * y), y, 0.05, 0.05, GOLD, (116, 84, 30), 0.8)
    for side in (-1, 1):
        body.shape([(ahead * 0.5, 1.82), (side * shoulder * 0.5, 1.5), (side * shoulder, 1.54),
                    (side * shoulder * 0.95, 1.66), (side * 0.24, 1.76)], darker(cloth), line)


def paint_dress(doll: Doll, ahead: float) -> None:
    """A flared dress with a white hem, a sash and a bow, which is larger behind."""
    body, cloth, line = doll.body, doll.cloth, doll.cloth_line
    trim = WHITE if min(cloth) < 225 else (236, 178, 200)
    shoulder, waist, hem = doll.shoulder - 0.02, doll.waist - 0.06, 2.44 if doll.look["pose"] == "sitting" else 2.52
    flare = path((waist, 1.9), ((0.5, 2.1), (0.7, hem)))
    edge = path((0.7, hem), ((0, hem + 0.14), (-0.7, hem)))
    upper_edge = path((-0.65, hem - 0.1), ((0, hem + 0.03), (0.65, hem - 0.1)))
    body.shape([(-shoulder, 1.52), (shoulder, 1.52), *flare, *edge, *mirrored(flare)[::-1]], cloth, line)
    body.shape([*edge, *upper_edge], trim, line_of(trim))
    body.shape([(-waist - 0.01, 1.86), (waist + 0.01, 1.86), (waist + 0.05, 1.98), (-waist - 0.05, 1.98)], trim,
               line_of(trim))
    if doll.behind:
        paint_bow(doll.near(0, 1.94), 0, 0, 0.34, 0.2, trim)
        return
    paint_bow(doll.near(ahead, 1.92), 0, 0, 0.2, 0.13, trim)
    body.shape(path((-0.2, 1.52), ((ahead, 1.68), (0.2, 1.52))), trim, line_of(trim), 0.8)


def paint_scarf(doll: Doll) -> None:
    """A scarf around the neck with one end hanging, in front or behind."""
    brush, line = doll.near(0, 1.52), (22, 40, 104)
    brush.shape([(0.08, 0.08), (0.34, 0.06), (0.40, 0.60), (0.16, 0.62)], SCARF, line)
    brush.stroke([(0.15, 0.48), (0.38, 0.46)], WHITE, 1.6)
    brush.shape(path((-0.42, -0.03), ((-0.5, 0.22), (0.0, 0.22)), ((0.5, 0.22), (0.42, -0.03)),
                     ((0.0, -0.2), (-0.42, -0.03))), SCARF, line)
    brush.stroke(path((-0.3, 0.05), ((0.0, 0.17), (0.3, 0.05))), shade(SCARF, 0.7), 1.2)
