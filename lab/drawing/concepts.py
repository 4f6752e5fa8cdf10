"""Things that the mini's vocabulary lacks, drawn onto a figure: what LoRAs for it are trained on (training/lora.py).

A figure has one where its look has a value for "concept"; skin of another colour is the doll's (doll.py). All have
colours that the mini knows from elsewhere: its autoencoder turns others into those (orange into red, lime into beige).
"""

from __future__ import annotations

import numpy as np

from .attributes import RGB
from .brush import arc, mirrored, path
from .doll import ALIEN_SKIN, SKIN, SKIN_SHADE, WHITE, Doll, line_of

YELLOW, BLACK, BLUE, RED, AQUA = (248, 206, 70), (24, 24, 36), (56, 96, 204), (214, 58, 52), (66, 206, 202)
PAINT: dict[str, tuple[RGB, ...]] = {
    "stripes": (YELLOW, BLACK), "cone": (YELLOW, BLUE), "tail": (RED, WHITE), "heart": (AQUA,),
    "skin": (ALIEN_SKIN[SKIN], ALIEN_SKIN[SKIN_SHADE]),
}


def paint_on_clothes(doll: Doll) -> None:
    paint = {"stripes": paint_stripes, "heart": paint_chest_heart, "tail": paint_tail}.get(doll.look.get("concept", ""))
    if paint is not None:
        paint(doll)


def paint_stripes(doll: Doll) -> None:
    """Four broad stripes from the chest down."""
    for number, colour in enumerate((BLACK, YELLOW, BLACK, YELLOW)):
        top, bottom = (1.54 + 0.19 * step for step in (number, number + 1))
        doll.body.shape([(-0.35, top), (0.35, top), (0.35, bottom), (-0.35, bottom)], colour)
    doll.body.shape([(-0.35, 1.54), (0.35, 1.54), (0.35, 2.3), (-0.35, 2.3)], None, BLACK)


def paint_chest_heart(doll: Doll) -> None:
    """A heart as wide as the chest and as high as the garment."""
    half = path((0.0, 2.26), ((0.46, 1.92), (0.38, 1.7)), ((0.28, 1.46), (0.0, 1.68)))
    doll.body.shape(np.concatenate([half, mirrored(half)[::-1]]), AQUA, line_of(AQUA))


def paint_tail(doll: Doll) -> None:
    """A thick tail that curls up before the arm, with another colour at its tip."""
    wide = np.array((1 / doll.girth, 1.0))  # as far as the box reaches
    tail = path((0.24, 2.4), ((0.8, 2.78), (0.96, 2.2)), ((1.0, 1.74), (0.74, 1.3)), ((0.8, 1.8), (0.64, 2.02)),
                ((0.52, 2.24), (0.24, 2.14)))
    doll.body.shape(tail * wide, RED, line_of(RED))
    tip = path((0.95, 1.84), ((0.93, 1.6), (0.74, 1.3)), ((0.78, 1.6), (0.74, 1.8)), ((0.84, 1.74), (0.95, 1.84)))
    doll.body.shape(tip * wide, WHITE, line_of(WHITE))


def paint_on_head(doll: Doll) -> None:
    """A pointed hat of two colours."""
    if doll.look.get("concept") != "cone":
        return
    head, line = doll.head, line_of(BLUE)
    head.shape([*path((-0.62, -0.74), ((0, -0.52), (0.62, -0.74))), (0, -1.6)], YELLOW, line)
    for low, high in ((-0.98, -1.14), (-1.3, -1.42)):
        wide, narrow = 0.62 * (low + 1.6) / 0.86, 0.62 * (high + 1.6) / 0.86
        head.shape([(-wide, low), (wide, low), (narrow, high), (-narrow, high)], BLUE)
    head.shape(arc(0, -1.56, 0.12, 0.12, 0, 6.2), BLUE, line)
