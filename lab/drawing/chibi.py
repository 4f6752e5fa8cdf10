"""What all parts of one painted figure share: its frames, colours and attributes.

Lengths are in units of a third of the box's height: the box spans x -1..1 and y 0..3. Three frames are used: the box
itself, the body (the box, squeezed below the chin) and the head (centre of the skull at 0, hair radius 1). Whoever
faces left is painted facing right in mirrored frames.
"""

from __future__ import annotations

import random

import numpy as np

from .attributes import CLOTH, HAIR, ORANGE, RGB
from .brush import Brush, path, shade, tint
from .scenes import Figure

SKIN, SKIN_SHADE, SKIN_LINE = (255, 226, 204), (246, 190, 166), (152, 88, 78)
WHITE, WHITE_LINE, WHITE_SHADE = (250, 250, 253), (104, 108, 138), (212, 218, 236)
DARK, DARK_LINE = (62, 64, 84), (24, 24, 36)
GOLD, TIE, MAGENTA = (246, 204, 90), (48, 196, 192), (232, 50, 128)
TURN = 0.40  # radians by which a head turns to the side
NECK, FEET = 1.44, 2.96  # y of chin and soles in the body's own frame
HEADGEAR_TOP = {"none": 1.03, "cat_ears": 1.40, "hat": 1.24, "glasses": 1.03, "headphones": 1.13, "scarf": 1.03,
                "hair_bow": 1.36, "cone": 1.66}  # how far headgear reaches above the centre of the head, in head radii
STYLE_TOP = {"short_hair": 1.12, "long_hair": 1.03, "twintails": 1.03, "ponytail": 1.12, "hair_buns": 1.26}


def line_of(fill: RGB) -> RGB:
    """The outline colour that goes with a fill."""
    if min(fill) > 225:
        return WHITE_LINE
    return DARK_LINE if max(fill) < 90 else shade(fill, 0.42)


def darker(fill: RGB) -> RGB:
    """The second tone of a fill."""
    if min(fill) > 225:
        return WHITE_SHADE
    return tint(fill, 0.14) if max(fill) < 90 else shade(fill, 0.78)


def turned(x: float | np.ndarray, angle: float) -> float | np.ndarray:
    """Where a point at x (-1..1) of the front of the head goes when the head turns right by angle radians."""
    return 1.04 * np.sin(np.arcsin(np.clip(np.asarray(x) / 1.04, -1, 1)) + angle)


class Chibi:
    """The frames, colours and attributes that all parts of one figure share."""

    def __init__(self, image: np.ndarray, figure: Figure, rng: random.Random) -> None:
        look, concept = figure.look, figure.look.get("concept", "")
        self.look, self.girl = look, look["gender"] == "1girl"
        self.facing = {"facing_left": -1, "facing_right": 1}.get(look["facing"], 0)
        self.turn = abs(self.facing)
        self.mirror = -1 if self.facing < 0 else 1
        brightness = rng.randint(-4, 4)
        self.hair, self.cloth = (tuple(min(255, max(0, value + brightness)) for value in colour)
                                 for colour in (ORANGE if concept == "orange" else HAIR[look["hair"]],
                                                CLOTH[look["cloth"]]))
        self.hair_line, self.cloth_line = line_of(self.hair), line_of(self.cloth)
        unit = figure.height / 3
        line = min(2.4, max(1.2, figure.height * 0.0085))
        brush = Brush(image, line=line)
        self.box = brush.framed((figure.x + figure.width / 2, figure.y), (unit * self.mirror, unit))
        style, accessory = look["style"], look["accessory"]
        hair = 1.0 if accessory == "hat" else STYLE_TOP[style]
        top = max(HEADGEAR_TOP[accessory], HEADGEAR_TOP.get(concept, 0.0), hair)
        self.radius = 0.745 - 0.13 * (top - 1.03)
        self.head_y = 0.03 + top * self.radius
        self.squeeze = (FEET - self.head_y - 0.88 * self.radius) / (FEET - NECK)
        self.body = self.box.framed((0, FEET * (1 - self.squeeze)), (1, self.squeeze))
        self.head = self.box.framed((-0.04 * self.turn, self.head_y), (self.radius, self.radius))

    def arms_up(self) -> tuple[bool, bool]:
        """Whether the left and the right arm (in the mirrored frame) are raised."""
        pose = self.look["pose"]
        if pose == "waving":
            return bool(self.turn), not self.turn  # the arm that does not cover the face
        return pose == "arms_up", pose == "arms_up"


def paint_bow(brush: Brush, x: float, y: float, half: float, high: float, fill: RGB, line: RGB | None = None) -> None:
    """A bow of two loops and a knot; half its width and half its height."""
    line = line or line_of(fill)
    for side in (-1, 1):
        loop = path((x, y), ((x + side * half * 0.6, y - high * 1.4), (x + side * half, y - high)),
                    ((x + side * half * 1.12, y), (x + side * half, y + high)),
                    ((x + side * half * 0.6, y + high * 1.1), (x, y)))
        brush.shape(loop, fill, line)
    brush.oval(x, y, half * 0.24, high * 0.52, darker(fill), line)
