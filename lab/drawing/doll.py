"""What all parts of one painted figure share: its frames, colours and attributes.

A figure fills its box, and its proportions follow the box's shape, from squat (2 : 3, two heads high) to tall (1 : 3,
five heads high). Lengths are in units of half the figure's width: x is -1..1, and y is 0 at the top and 3 (squat) to 6
(tall) at the soles. Parts are drawn in frames of their own: the box; the head (centre of the skull at 0, hair radius
1); the body, as wide and as long as this figure's is; and the hair that hangs, which is as long as the body. Whoever
faces left is painted facing right in mirrored frames.
"""

from __future__ import annotations

import random

import numpy as np

from .attributes import CLOTH, HAIR, RGB
from .brush import Brush, Point, path, shade, tint
from .scenes import SQUAT, TALL, Figure

SKIN, SKIN_SHADE, SKIN_LINE = (255, 226, 204), (246, 190, 166), (152, 88, 78)
ALIEN_SKIN = {SKIN: (66, 206, 202), SKIN_SHADE: (51, 160, 157), SKIN_LINE: (27, 86, 84)}
WHITE, WHITE_LINE, WHITE_SHADE = (250, 250, 253), (104, 108, 138), (212, 218, 236)
DARK, DARK_LINE = (62, 64, 84), (24, 24, 36)
GOLD, TIE, MAGENTA = (246, 204, 90), (48, 196, 192), (232, 50, 128)
TURN = 0.40  # radians by which a head turns to the side
CHIN, SOLES = 1.44, 2.96  # y in the body's own frame
# Where the body's chin, shoulders, waist, hem of skirts, ankles and soles lie in its own frame, and which share of the
# way from chin to soles each of them has on a squat and on a tall body. Ankles are a fixed height above the soles.
LANDMARKS = (CHIN, 1.52, 2.1, 2.56, 2.76, SOLES)
SQUAT_SHARES = (0.0, 0.05, 0.434, 0.737, 0.868, 1.0)
TALL_SHARES = (0.0, 0.06, 0.325, 0.53, 0.95, 1.0)
SEATED = (0.0, 0.02, 0.08, 0.06, 0.0, 0.0)  # what sitting adds to the shares: thighs come towards us
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


class Doll:
    """The frames, colours and attributes that all parts of one figure share."""

    def __init__(self, image: np.ndarray, figure: Figure, rendering: str, rng: random.Random) -> None:
        look, concept = figure.look, figure.look.get("concept", "")
        self.look, self.girl, self.behind = look, look["gender"] == "1girl", look["facing"] == "from_behind"
        self.facing = {"facing_left": -1, "facing_right": 1}.get(look["facing"], 0)
        self.turn = abs(self.facing)
        self.mirror = -1 if self.facing < 0 else 1
        self.shaded = rendering != "flat_color"
        brightness = rng.randint(-4, 4)
        self.hair, self.cloth = (tuple(min(255, max(0, value + brightness)) for value in colour)
                                 for colour in (HAIR[look["hair"]],
                                                CLOTH[look["cloth"]]))
        self.hair_line, self.cloth_line = line_of(self.hair), line_of(self.cloth)
        aspect = figure.width / figure.height
        self.tall = (1 / aspect - 1 / SQUAT) / (1 / TALL - 1 / SQUAT)  # 0..1
        unit = figure.width / 2
        brush = Brush(image, line=min(2.8, max(1.2, unit * 0.0255)), rendering=rendering,
                      instead=ALIEN_SKIN if concept == "skin" else {})
        self.box = brush.framed((figure.x + unit, figure.y), (unit * self.mirror, unit))
        accessory = look["accessory"]
        hair = 1.0 if accessory == "hat" else STYLE_TOP[look["style"]]
        top = max(HEADGEAR_TOP[accessory], HEADGEAR_TOP.get(concept, 0.0), hair)
        self.radius = (0.745 - 0.13 * (top - 1.03)) * (1 - 0.14 * self.tall)
        self.head_y = 0.03 + top * self.radius
        self.girth = 1 + 0.25 * self.tall
        self.shoulder, self.waist = 0.30 + 0.05 * self.tall, 0.37 - 0.06 * self.tall  # half widths of garments
        self.chin, self.soles = self.head_y + 0.88 * self.radius, figure.height / unit - 0.04
        self.head = self.box.framed((-0.04 * self.turn, self.head_y), (self.radius, self.radius))
        self.arms = self.box.framed((0, 0), (1, 1), girth=self.girth)
        self.body = self.box.framed((0, 0), (1, 1), self.on_body, self.girth)
        self.hanging_hair = self.box.framed((0, 0), (1, 1), self.on_hair, self.radius / 0.72)

    def height_of(self, y: np.ndarray) -> np.ndarray:
        """y of the body's own frame -> of the box's."""
        shares = np.array(SQUAT_SHARES) * (1 - self.tall) + np.array(TALL_SHARES) * self.tall
        if self.look["pose"] == "sitting":
            shares = shares + SEATED
        at = self.chin + shares * (self.soles - self.chin)
        return np.where(y < CHIN, self.chin - (CHIN - y), np.interp(y, LANDMARKS, at))

    def on_body(self, points: np.ndarray) -> np.ndarray:
        """Points [..., 2] of the body's own frame -> of the box's."""
        return np.stack([points[..., 0] * self.girth, self.height_of(points[..., 1])], -1)

    def on_hair(self, points: np.ndarray) -> np.ndarray:
        """Points [..., 2] of hair around a head of radius 0.72 that hangs on a squat body -> of the box's frame."""
        x, y = points[..., 0] * self.radius / 0.72, points[..., 1]
        below = self.height_of(CHIN + (y - CHIN) * (1 - 0.25 * self.tall))
        return np.stack([x, np.where(y < CHIN, self.chin - (CHIN - y) * self.radius / 0.72, below)], -1)

    def place(self, x: float, y: float) -> Point:
        """A point of the body's own frame in the box's."""
        there = self.on_body(np.array([x, y]))
        return float(there[0]), float(there[1])

    def blended(self, squat: Point, tall: Point) -> Point:
        """The point of the body's own frame between a squat one's and a tall one's, in the box's frame."""
        mixed = np.array(squat) * (1 - self.tall) + np.array(tall) * self.tall
        return self.place(*mixed)

    def near(self, x: float, y: float) -> Brush:
        """A brush around a point of the body's own frame, as large as the body is wide: for bows, buttons, hands."""
        return self.box.framed(self.place(x, y), (self.girth, self.girth))

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
