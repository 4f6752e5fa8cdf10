"""Things that the mini's vocabulary lacks, drawn onto a figure: what LoRAs for it are trained on (training/lora.py).

A figure has one where its look has a value for "concept".
"""

from __future__ import annotations

from .brush import arc, path, shade
from .doll import Doll, line_of

LIME, VIOLET = (178, 236, 30), (196, 40, 214)
STRIPE, STRIPE_LINE = (255, 214, 0), (20, 20, 24)


def paint_behind(doll: Doll) -> None:
    """A tail that curls up beside the body, with spikes."""
    if doll.look.get("concept") != "tail":
        return
    line = line_of(VIOLET)
    for x, y in ((0.62, 2.28), (0.8, 2.06), (0.84, 1.82)):
        doll.body.shape([(x, y - 0.09), (x + 0.15, y - 0.02), (x, y + 0.09)], LIME, line)
    tail = path((0.1, 2.3), ((0.5, 2.6), (0.68, 2.2)), ((0.86, 1.9), (0.7, 1.62)))
    doll.body.limbs([tail], 0.2, VIOLET, line)
    doll.body.shape([(0.52, 1.66), (0.9, 1.62), (0.66, 1.34)], VIOLET, line)


def paint_on_clothes(doll: Doll) -> None:
    """Broad stripes across the chest."""
    if doll.look.get("concept") != "stripes":
        return
    for y, half in ((1.56, 0.3), (1.74, 0.32), (1.92, 0.34)):
        doll.body.shape([(-half, y), (half, y), (half + 0.01, y + 0.1), (-half - 0.01, y + 0.1)], STRIPE_LINE)
        doll.body.shape([(-half, y + 0.1), (half, y + 0.1), (half + 0.01, y + 0.18), (-half - 0.01, y + 0.18)], STRIPE)
    doll.body.shape([(-0.3, 1.56), (0.3, 1.56), (0.35, 2.1), (-0.35, 2.1)], None, STRIPE_LINE)


def paint_on_head(doll: Doll) -> None:
    """A pointed hat of two colours."""
    if doll.look.get("concept") != "cone":
        return
    head, line = doll.head, shade(LIME, 0.4)
    head.shape([*path((-0.62, -0.74), ((0, -0.52), (0.62, -0.74))), (0, -1.6)], LIME, line)
    for low, high in ((-0.98, -1.14), (-1.3, -1.42)):
        wide, narrow = 0.62 * (low + 1.6) / 0.86, 0.62 * (high + 1.6) / 0.86
        head.shape([(-wide, low), (wide, low), (narrow, high), (-narrow, high)], VIOLET)
    head.shape(arc(0, -1.56, 0.12, 0.12, 0, 6.2), VIOLET, line)
