"""Legs, clothes and the scarf."""

from __future__ import annotations

import math

import numpy as np

from .attributes import RGB
from .brush import Brush, path, shade, tint
from .chibi import DARK, DARK_LINE, GOLD, SKIN, SKIN_LINE, TIE, WHITE, WHITE_LINE, Chibi, darker, line_of, paint_bow

DENIM = (94, 110, 152)
SCARF = (78, 138, 246)


def accent_of(cloth: RGB) -> RGB:
    """The colour of ribbons on a cloth."""
    return (52, 66, 140) if cloth[0] > 180 and cloth[2] < 200 else (226, 56, 76)


def paint_legs(chibi: Chibi) -> None:
    """Legs and shoes; toes point where the figure looks."""
    body, kind, turn = chibi.body, chibi.look["kind"], chibi.turn
    for side in (-1, 1):
        x = 0.19 * side
        leg = [(x, 2.2), (x, 2.8)]
        if chibi.girl or kind == "dress":
            body.limbs([leg], 0.2, SKIN, SKIN_LINE)
            if kind == "sleeveless_shirt":
                body.limbs([[(x, 2.62), (x, 2.78)]], 0.22, DARK, DARK_LINE)
            else:
                body.limbs([[(x, 2.68), (x, 2.8)]], 0.21, WHITE, WHITE_LINE)
        elif kind == "t-shirt":
            body.limbs([leg], 0.2, SKIN, SKIN_LINE)
            body.limbs([[(x, 2.1), (x * 1.05, 2.46)]], 0.32, DENIM, line_of(DENIM))
        else:
            trousers = trouser_colour(chibi)
            body.limbs([[(x, 2.2), (x, 2.72)]], 0.3, trousers, line_of(trousers))
        shoes = DARK if kind in ("sleeveless_shirt", "serafuku") else (136, 78, 56)
        body.oval(x * 1.08 + 0.06 * turn, 2.86, 0.2, 0.095, shoes, line_of(shoes))


def trouser_colour(chibi: Chibi) -> RGB:
    """Of a boy's long trousers."""
    kind = chibi.look["kind"]
    return DARK if kind == "sleeveless_shirt" else (112, 92, 84) if kind == "coat" else (58, 66, 104)


def paint_skirt(chibi: Chibi, fill: RGB) -> None:
    """A pleated skirt."""
    line = line_of(fill)
    chibi.body.shape([(-0.33, 2.0), (0.33, 2.0), *path((0.58, 2.46), ((0, 2.56), (-0.58, 2.46)))], fill, line)
    pleat = darker(fill) if max(fill) > 90 else tint(fill, 0.25)
    for x in (-0.3, 0, 0.3):
        chibi.body.stroke([(x * 0.8, 2.12), (x * 1.15, 2.48)], pleat, 1.2)


def paint_torso(chibi: Chibi) -> None:
    """The garment and, below a short one, skirt or trousers' waist."""
    body, cloth, line, kind = chibi.body, chibi.cloth, chibi.cloth_line, chibi.look["kind"]
    ahead = 0.07 * chibi.turn
    if kind == "coat":
        paint_coat(chibi, ahead)
        return
    if kind == "dress":
        paint_dress(chibi, ahead)
        return
    if chibi.girl:
        paint_skirt(chibi, DARK if kind == "sleeveless_shirt" else DENIM if kind == "t-shirt" else shade(cloth, 0.8)
                    if min(cloth) < 225 else (70, 86, 150))
    else:
        waist = DENIM if kind == "t-shirt" else trouser_colour(chibi)
        body.shape([(-0.33, 2.0), (0.33, 2.0), (0.34, 2.26), (-0.34, 2.26)], waist, line_of(waist))
    if kind == "sleeveless_shirt":
        body.limbs([[(-0.22, 1.58), (0.22, 1.58)]], 0.22, SKIN, SKIN_LINE)
        body.shape([(-0.24, 1.50), (0.24, 1.50), *path((0.22, 1.6), ((0.26, 1.74), (0.34, 1.76))), (0.35, 2.1),
                    (-0.35, 2.1), *path((-0.34, 1.76), ((-0.26, 1.74), (-0.22, 1.6)))], cloth, line)
        tie_line = line_of(TIE)
        body.shape([(ahead - 0.06, 1.62), (ahead + 0.06, 1.62), (ahead + 0.11, 1.96), (ahead, 2.08),
                    (ahead - 0.11, 1.96)], TIE, tie_line)
        body.shape([(ahead - 0.09, 1.48), (ahead + 0.09, 1.48), (ahead + 0.06, 1.64), (ahead - 0.06, 1.64)], TIE,
                   tie_line)
        return
    body.shape([(-0.3, 1.46), (0.3, 1.46), (0.37, 2.1), (-0.37, 2.1)], cloth, line)
    if kind == "serafuku":
        paint_sailor_collar(chibi, ahead)
    else:
        paint_star(body, ahead, 1.84, 0.2, GOLD if min(cloth) > 225 else WHITE)


def paint_star(brush: Brush, x: float, y: float, size: float, fill: RGB) -> None:
    """A five-pointed star with an outline."""
    angles = np.linspace(-math.pi / 2, 1.5 * math.pi, 11)[:-1]
    reach = np.where(np.arange(10) % 2 == 0, size, size * 0.48)
    points = np.stack([x + reach * np.cos(angles), y + reach * np.sin(angles)], 1)
    brush.shape(points, fill, (150, 104, 30) if fill == GOLD else (70, 74, 100), 0.8)


def paint_sailor_collar(chibi: Chibi, ahead: float) -> None:
    """A wide white collar with a stripe, and a ribbon."""
    body = chibi.body
    stripe = (92, 112, 190)
    body.shape([(-0.36, 1.46), (0.36, 1.46), (0.44, 1.76), (ahead, 1.98), (-0.44, 1.76)], WHITE, WHITE_LINE)
    body.stroke([(-0.39, 1.68), (ahead, 1.88), (0.39, 1.68)], stripe, 1.3)
    ribbon = accent_of(chibi.cloth)
    paint_bow(body, ahead, 1.85, 0.26, 0.15, ribbon)


def paint_coat(chibi: Chibi, ahead: float) -> None:
    """A long coat with lapels and two rows of buttons."""
    body, cloth, line = chibi.body, chibi.cloth, chibi.cloth_line
    body.shape([(-0.3, 1.46), (0.3, 1.46), (0.36, 1.95), *path((0.54, 2.56), ((0, 2.66), (-0.54, 2.56))),
                (-0.36, 1.95)], cloth, line)
    body.stroke([(ahead, 1.6), (ahead * 1.4, 2.6)], line)
    for y in (1.96, 2.16, 2.36):
        for side in (-1, 1):
            body.oval(ahead + side * (0.05 + 0.05 * y), y, 0.05, 0.05, GOLD, (116, 84, 30), 0.8)
    lapel = darker(cloth)
    for side in (-1, 1):
        body.shape([(ahead * 0.5, 1.80), (side * 0.36, 1.46), (side * 0.42, 1.62), (side * 0.24, 1.78)], lapel, line)


def paint_dress(chibi: Chibi, ahead: float) -> None:
    """A flared dress with a white hem, a sash and a bow."""
    body, cloth, line = chibi.body, chibi.cloth, chibi.cloth_line
    trim = WHITE if min(cloth) < 225 else (236, 178, 200)
    body.shape([(-0.28, 1.46), (0.28, 1.46), (0.3, 1.9), *path((0.3, 1.9), ((0.5, 2.1), (0.72, 2.52))),
                *path((0.72, 2.52), ((0, 2.68), (-0.72, 2.52))), *path((-0.72, 2.52), ((-0.5, 2.1), (-0.3, 1.9)))],
               cloth, line)
    body.shape([*path((0.72, 2.52), ((0, 2.68), (-0.72, 2.52))), (-0.67, 2.41), *path((-0.67, 2.41), ((0, 2.56),
               (0.67, 2.41)))], trim, line_of(trim))
    body.shape([(-0.31, 1.86), (0.31, 1.86), (0.35, 1.98), (-0.35, 1.98)], trim, line_of(trim))
    paint_bow(body, ahead, 1.92, 0.2, 0.13, trim)
    body.shape(path((-0.2, 1.46), ((ahead, 1.66), (0.2, 1.46))), trim, line_of(trim), 0.8)


def paint_scarf(chibi: Chibi) -> None:
    """A scarf around the neck with one end hanging."""
    body, line = chibi.body, (22, 40, 104)
    body.shape([(0.08, 1.6), (0.36, 1.58), (0.42, 2.12), (0.16, 2.14)], SCARF, line)
    body.stroke([(0.15, 2.02), (0.40, 2.0)], WHITE, 1.6)
    body.shape(path((-0.42, 1.5), ((-0.5, 1.76), (0.0, 1.76)), ((0.5, 1.76), (0.42, 1.5)), ((0.0, 1.3), (-0.42, 1.5))),
               SCARF, line)
    body.stroke(path((-0.3, 1.58), ((0.0, 1.72), (0.3, 1.58))), shade(SCARF, 0.7), 1.2)
