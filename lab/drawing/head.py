"""The face, and what is worn on the head."""

from __future__ import annotations

import math

import numpy as np

from .attributes import EYES
from .brush import arc, mirrored, path, shade, tint
from .doll import (
    DARK,
    DARK_LINE,
    MAGENTA,
    SKIN,
    SKIN_LINE,
    SKIN_SHADE,
    TURN,
    WHITE,
    Doll,
    paint_bow,
    turned,
)
from .hair import fringe

LASH, BLUSH, MOUTH, MOUTH_LINE = (58, 34, 44), (255, 158, 158), (196, 58, 70), (112, 40, 50)
STRAW, STRAW_LINE = (240, 200, 116), (128, 88, 44)


def clipped(points: np.ndarray, x: float, y: float, slope: float) -> np.ndarray:
    """The outline with everything above the line through (x, y) pushed down onto it."""
    limit = y + slope * (points[:, 0] - x)
    return np.stack([points[:, 0], np.maximum(points[:, 1], limit)], 1)


def paint_face(doll: Doll) -> None:
    """Skin, blush, eyes, brows, mouth and glasses; hair comes later."""
    head, turn = doll.head, doll.turn
    shift = 0.1 * turn
    if not turn and not doll.girl:
        for side in (-1, 1):
            head.oval(0.93 * side, 0.3, 0.12, 0.17, SKIN, SKIN_LINE)
    right = path((0.0, -0.8), ((0.9, -0.8), (0.88, 0.1)), ((0.96, 0.5), (0.68, 0.74)), ((0.34, 0.96), (0.0, 0.95)))
    contour = np.concatenate([right, mirrored(right)[::-1]])
    contour[:, 0] += shift * (1 + 0.7 * np.clip(contour[:, 1], 0, 1))
    head.shape(contour, SKIN, SKIN_LINE)
    shadow = fringe(doll, 0.1)
    if doll.shaded:
        head.shape(np.clip(shadow, (shift - 0.8, -1.0), (shift + 0.84, 0.3)), SKIN_SHADE)
    angle = TURN * turn
    for side in (-1, 1):
        x, narrow = eye_place(doll, side)
        cheek = float(turned(0.58 * side, angle)) - 0.04 * doll.turn
        if doll.girl:
            head.oval(cheek, 0.63, 0.16 * narrow, 0.085, BLUSH)
        else:
            head.oval(cheek, 0.62, 0.11 * narrow, 0.05, tint(BLUSH, 0.15))
        paint_eye(doll, x, side, narrow)
        if doll.look["accessory"] == "glasses":
            head.oval(x, 0.28, 0.34 * narrow, 0.36, None, (52, 40, 60), 1.7)
    if doll.look["accessory"] == "glasses":
        near, far = float(turned(-0.1, angle)), float(turned(0.1, angle))
        head.stroke([(near, 0.24), (far, 0.24)], (52, 40, 60), 1.7)
    paint_mouth(doll, float(turned(0.0, angle)) * 0.92)


def paint_eye(doll: Doll, x: float, side: int, narrow: float) -> None:
    """One eye with its brow; side -1 or 1, narrow: width factor of a turned head."""
    head, mood, iris = doll.head, doll.look["expression"], EYES[doll.look["eyes"]]
    wide, high, y = (0.25 if doll.girl else 0.23) * narrow, 0.335 if doll.girl else 0.275, 0.27
    lid, slope = y - high * 1.1, 0.0
    if mood == "angry":
        lid, slope = y - high * 0.52, -0.62 * side
    elif mood == "sad":
        lid, slope = y - high * 0.66, 0.5 * side
    elif mood == "surprised":
        wide, high = wide * 1.08, high * 1.08
    slope /= narrow
    white = clipped(arc(x, y, wide, high, 0, 2 * math.pi, 33), x, lid, slope)
    head.shape(white, (255, 255, 255), LASH, 0.8)
    size = 0.68 if mood == "surprised" else 0.86
    a, b = wide * size, high * (0.68 if mood == "surprised" else 0.92)
    look = x + 0.03 * doll.turn
    middle = y + (0.0 if mood == "surprised" else 0.015)
    head.shape(clipped(arc(look, middle, a, b, 0, 2 * math.pi, 29), x, lid, slope), iris, shade(iris, 0.4), 0.8)
    top = clipped(arc(look, middle, a * 0.93, b * 0.93, math.pi, 2 * math.pi, 16), x, lid, slope)
    head.shape(np.concatenate([top, arc(look, middle, a * 0.93, b * 0.3, 0, math.pi, 8)]),
               shade(iris, 0.72))
    head.oval(look, middle - b * 0.05, a * 0.33, b * 0.36, shade(iris, 0.25))
    head.oval(look, middle + b * 0.6, a * 0.56, b * 0.26, tint(iris, 0.4))
    head.oval(look - 0.34 * a * doll.mirror, middle - b * 0.36, a * 0.34, b * 0.27, (255, 255, 255))
    head.oval(look + 0.38 * a * doll.mirror, middle + b * 0.34, a * 0.17, b * 0.14, (255, 255, 255))
    upper = clipped(arc(x, y, wide * 1.06, high * 1.03, math.pi * 1.08, math.pi * 1.92, 15), x, lid, slope)
    head.stroke(upper, LASH, 2.3 if doll.girl else 1.7)
    if doll.girl and not (doll.turn and side > 0):
        corner = upper[-1] if side > 0 else upper[0]
        for dx, dy in ((0.13, -0.10), (0.15, 0.02)):
            head.stroke([corner, (corner[0] + dx * side * narrow, corner[1] + dy)], LASH, 1.5)


def paint_brows(doll: Doll) -> None:
    """Brows, which show through the hair."""
    slant, bend, y = {"smile": (0.02, 0.08, -0.18), "sad": (0.13, 0.02, -0.17), "surprised": (0.0, 0.12, -0.26),
                      "angry": (-0.17, -0.02, -0.06)}[doll.look["expression"]]
    colour = shade(doll.hair, 0.34) if doll.look["hair"] != "black" else (14, 12, 20)
    for side in (-1, 1):
        x, narrow = eye_place(doll, side)
        half = 0.19 * narrow
        curve = path((x - half, y - slant * side), ((x, y - bend), (x + half, y + slant * side)))
        doll.head.stroke(curve, colour, (1.4 if doll.girl else 2.6) * (1.3 if slant < 0 else 1.0))


def eye_place(doll: Doll, side: int) -> tuple[float, float]:
    """x of the left (-1) or right (1) eye and its width factor on a turned head."""
    x = float(turned(0.43 * side, TURN * doll.turn))
    narrow = math.cos(math.asin(x / 1.04)) / math.cos(math.asin(0.43 / 1.04))
    return x, max(0.66, min(1.05, narrow))


def paint_mouth(doll: Doll, x: float) -> None:
    """Nose, mouth, and the tears of the sad."""
    head, mood = doll.head, doll.look["expression"]
    y = 0.70
    if mood == "smile":
        half = 0.2 - 0.03 * doll.turn
        head.shape(path((x - half, y - 0.06), ((x, y), (x + half, y - 0.06)),
                        ((x + half * 0.8, y + 0.2), (x, y + 0.19)),
                        ((x - half * 0.8, y + 0.2), (x - half, y - 0.06))), MOUTH, MOUTH_LINE)
        head.oval(x, y + 0.12, half * 0.5, 0.045, (250, 150, 150))
    elif mood == "sad":
        head.stroke(path((x - 0.16, y + 0.13), ((x, y - 0.10), (x + 0.16, y + 0.13))), MOUTH_LINE, 1.7)
    elif mood == "surprised":
        head.oval(x, y + 0.06, 0.11, 0.145, MOUTH, MOUTH_LINE)
    else:
        head.shape([(x - 0.13, y - 0.02), (x + 0.13, y - 0.02), (x + 0.2, y + 0.15), (x - 0.2, y + 0.15)], WHITE,
                   MOUTH_LINE, 1.1)
        head.stroke([(x - 0.16, y + 0.065), (x + 0.16, y + 0.065)], MOUTH_LINE, 0.9)
    if mood == "sad":
        angle = TURN * doll.turn
        for side in (-1, 1):
            drop = float(turned(0.52 * side, angle))
            head.shape(path((drop, 0.52), ((drop + 0.13, 0.78), (drop, 0.8)), ((drop - 0.13, 0.78), (drop, 0.52))),
                       (150, 214, 255), (70, 140, 216), 0.9)


def paint_accessory(doll: Doll) -> None:
    """What is worn on the head (glasses and scarf are painted with face and body)."""
    head, accessory, turn = doll.head, doll.look["accessory"], doll.turn
    if accessory == "cat_ears":
        for side in (-1, 1):
            ear = path((0.26, -0.90), ((0.46, -1.3), (0.76, -1.38)), ((0.98, -1.0), (0.92, -0.44)), ((0.6, -0.7),
                       (0.26, -0.90)))
            head.shape(ear * (side, 1), doll.hair, doll.hair_line)
            inner = path((0.44, -0.92), ((0.54, -1.16), (0.72, -1.22)), ((0.84, -0.96), (0.80, -0.68)),
                         ((0.62, -0.8), (0.44, -0.92)))
            if not doll.behind:
                head.shape(inner * (side, 1), (255, 160, 180), (190, 84, 108), 0.8)
    elif accessory == "hat":
        head.oval(0, -0.46, 1.24, 0.26, STRAW, STRAW_LINE)
        crown = [*arc(0, -0.56, 0.78, 0.66, math.pi, 2 * math.pi), *path((0.78, -0.5), ((0, -0.34), (-0.78, -0.5)))]
        head.shape(crown, STRAW, STRAW_LINE)
        head.shape([*path((0.78, -0.5), ((0, -0.34), (-0.78, -0.5))), (-0.78, -0.70), *path((-0.78, -0.70),
                   ((0, -0.54), (0.78, -0.70)))], (226, 70, 64), (122, 30, 34))
    elif accessory == "headphones":
        x, half = (0.18, 0.90) if turn else (0.0, 1.10)
        band = np.concatenate([arc(x, 0.02, half, 1.12, math.pi, 2 * math.pi),
                               arc(x, 0.02, half - 0.14, 0.96, 2 * math.pi, math.pi)])
        head.shape(band, (86, 90, 116), DARK_LINE)
        for side in (-1, 1):
            x, narrow = 1.0 * side + 0.02 * turn, 1.0
            if turn:
                x, narrow = (-0.64, 1.3) if side < 0 else (1.0, 0.7)
            head.oval(x, 0.14, 0.22 * narrow, 0.33, DARK, DARK_LINE)
            head.oval(x, 0.14, 0.13 * narrow, 0.22, MAGENTA, shade(MAGENTA, 0.5), 0.8)
    elif accessory == "hair_bow":
        paint_bow(head, 0.1 * turn, -1.02, 0.6, 0.26, WHITE, (84, 88, 128))
