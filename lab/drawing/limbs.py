"""Arms and hands, hanging, raised or offered."""

from __future__ import annotations

import numpy as np

from .brush import Brush, Point
from .chibi import DARK, DARK_LINE, SKIN, SKIN_LINE, TIE, WHITE, Chibi, darker, line_of

STANDING = ((0.30, 1.60), (0.56, 1.66), (0.79, 2.02))
RAISED = ((0.38, 1.66), (0.80, 1.72), (0.81, 0.90))
OFFERED = ((0.34, 1.62), (0.62, 1.76), (0.80, 1.66))
LONG_SLEEVES, SHORT_SLEEVES = ("serafuku", "coat"), ("t-shirt", "dress")


def limb_points(joints: tuple[Point, Point, Point], start: float = 0.0, stop: float = 1.0) -> np.ndarray:
    """Points [9, 2] of the part start..stop of an arm, a quadratic curve over shoulder, elbow and wrist."""
    t = np.linspace(start, stop, 9)[:, None]
    shoulder, elbow, wrist = (np.asarray(joint, float) for joint in joints)
    return (1 - t) ** 2 * shoulder + 2 * t * (1 - t) * elbow + t * t * wrist


def paint_arm(chibi: Chibi, brush: Brush, joints: tuple[Point, Point, Point]) -> None:
    """An arm without its hand, dressed for the kind of clothes."""
    kind, cloth, line = chibi.look["kind"], chibi.cloth, chibi.cloth_line
    if kind in LONG_SLEEVES:
        brush.limbs([limb_points(joints, 0, 0.94)], 0.22, cloth, line)
        cuff = WHITE if kind == "serafuku" else darker(cloth)
        brush.limbs([limb_points(joints, 0.84, 0.92)], 0.25, cuff, line_of(cuff))
        return
    brush.limbs([limb_points(joints)], 0.16, SKIN, SKIN_LINE)
    if kind in SHORT_SLEEVES:
        brush.limbs([limb_points(joints, 0, 0.36)], 0.26, cloth, line)
    else:
        brush.limbs([limb_points(joints, 0.5, 0.9)], 0.2, TIE, line_of(TIE))
        brush.limbs([limb_points(joints, 0.62, 0.95)], 0.2, DARK, DARK_LINE)


def paint_mitten(brush: Brush, x: float, y: float, side: int) -> None:
    """A hanging hand with its thumb towards the body."""
    brush.limbs([[(x - 0.03 * side, y - 0.02), (x - 0.12 * side, y + 0.03)]], 0.07, SKIN, SKIN_LINE)
    brush.oval(x, y, 0.115, 0.125, SKIN, SKIN_LINE)


def paint_open_hand(brush: Brush, x: float, y: float, side: int) -> None:
    """A raised hand with spread fingers, thumb towards the head."""
    fingers = [[(x, y), (x + side * dx, y + dy)] for dx, dy in ((-0.085, -0.215), (0.025, -0.25), (0.12, -0.19))]
    thumb = [(x, y), (x - side * 0.19, y - 0.05)]
    brush.limbs([*fingers, thumb], 0.085, SKIN, SKIN_LINE)
    brush.oval(x, y, 0.13, 0.13, SKIN, SKIN_LINE)
    brush.limbs([*fingers, thumb], 0.085, SKIN, None)
    brush.oval(x, y, 0.112, 0.112, SKIN)


def side_joints(joints: tuple[Point, ...], side: int) -> tuple[Point, Point, Point]:
    """An arm's joints for the left (-1) or the right (1) side."""
    shoulder, elbow, wrist = ((x * side, y) for x, y in joints)
    return shoulder, elbow, wrist


def paint_hanging_arms(chibi: Chibi, inner: int | None) -> None:
    """Arms that hang (slightly spread); inner: the side (-1, 1, picture's own) whose hand is shaken, left out here."""
    for side, raised in zip((-1, 1), chibi.arms_up(), strict=True):
        if not raised and side * chibi.mirror != inner:
            offered = chibi.look["pose"] == "handshake" and inner is None and side > 0
            joints = side_joints(OFFERED if offered else STANDING, side)
            paint_arm(chibi, chibi.body, joints)
            paint_mitten(chibi.body, *joints[2], side)


def paint_raised_arms(chibi: Chibi) -> None:
    """Arms that are up, with open hands."""
    for side, raised in zip((-1, 1), chibi.arms_up(), strict=True):
        if raised:
            joints = side_joints(RAISED, side)
            paint_arm(chibi, chibi.body, joints)
            paint_open_hand(chibi.body, joints[2][0], joints[2][1] - 0.06, side)
