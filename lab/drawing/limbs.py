"""Arms and hands: hanging, raised, in the lap; and those of two who shake hands, hold hands or hug."""

from __future__ import annotations

import numpy as np

from .brush import Brush, Point, path
from .doll import DARK, DARK_LINE, SKIN, SKIN_LINE, TIE, WHITE, Doll, darker, line_of

Joints = tuple[Point, Point, Point]  # shoulder, elbow, wrist

# In the body's own frame, of a squat body and of a tall one.
HANGING = (((0.30, 1.60), (0.56, 1.66), (0.79, 2.02)), ((0.33, 1.60), (0.54, 1.72), (0.70, 2.28)))
RAISED = (((0.38, 1.66), (0.80, 1.72), (0.81, 0.90)), ((0.34, 1.60), (0.80, 1.72), (0.66, 0.78)))
OFFERED = (((0.34, 1.62), (0.62, 1.76), (0.80, 1.66)), ((0.34, 1.62), (0.55, 1.9), (0.66, 1.76)))
IN_LAP = (((0.32, 1.62), (0.64, 1.98), (0.26, 2.30)), ((0.33, 1.60), (0.66, 1.95), (0.26, 2.26)))
LONG_SLEEVES, SHORT_SLEEVES = ("serafuku", "coat"), ("t-shirt", "dress")


def limb_points(joints: Joints, start: float = 0.0, stop: float = 1.0) -> np.ndarray:
    """Points [9, 2] of the part start..stop of an arm, a quadratic curve over shoulder, elbow and wrist."""
    t = np.linspace(start, stop, 9)[:, None]
    shoulder, elbow, wrist = (np.asarray(joint, float) for joint in joints)
    return (1 - t) ** 2 * shoulder + 2 * t * (1 - t) * elbow + t * t * wrist


def paint_arm(doll: Doll, brush: Brush, joints: Joints) -> None:
    """An arm without its hand, dressed for the kind of clothes."""
    kind, cloth, line = doll.look["kind"], doll.cloth, doll.cloth_line
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


def paint_mitten(brush: Brush, side: int) -> None:
    """A hand around the brush's origin, with its thumb towards the body."""
    brush.limbs([[(-0.03 * side, -0.02), (-0.12 * side, 0.03)]], 0.07, SKIN, SKIN_LINE)
    brush.oval(0, 0, 0.115, 0.125, SKIN, SKIN_LINE)


def paint_open_hand(brush: Brush, side: int) -> None:
    """A raised hand around the brush's origin with spread fingers, thumb towards the head."""
    fingers = [[(0, 0), (side * x, y)] for x, y in ((-0.085, -0.215), (0.025, -0.25), (0.12, -0.19))]
    thumb = [(0, 0), (-side * 0.19, -0.05)]
    brush.limbs([*fingers, thumb], 0.085, SKIN, SKIN_LINE)
    brush.oval(0, 0, 0.13, 0.13, SKIN, SKIN_LINE)
    brush.limbs([*fingers, thumb], 0.085, SKIN, None)
    brush.oval(0, 0, 0.112, 0.112, SKIN)


def joints_of(doll: Doll, kind: tuple[Joints, Joints], side: int) -> Joints:
    """An arm's joints in the box's frame, for the left (-1) or the right (1) side."""
    points = (doll.blended(squat, tall) for squat, tall in zip(*kind, strict=True))
    shoulder, elbow, wrist = ((x * side, y) for x, y in points)
    return shoulder, elbow, wrist


def hand_brush(doll: Doll, at: Point) -> Brush:
    return doll.box.framed(at, (doll.girth, doll.girth))


def paint_hanging_arms(doll: Doll, left_out: tuple[int, ...]) -> None:
    """Arms that hang, slightly spread; left_out: the sides (-1, 1 of the picture) that are painted with a partner."""
    if doll.look["pose"] == "sitting":
        return
    for side, raised in zip((-1, 1), doll.arms_up(), strict=True):
        if not raised and side * doll.mirror not in left_out:
            offered = doll.look["pose"] == "handshake" and not left_out and side > 0
            joints = joints_of(doll, OFFERED if offered else HANGING, side)
            paint_arm(doll, doll.arms, joints)
            paint_mitten(hand_brush(doll, joints[2]), side)


def paint_arms_in_lap(doll: Doll) -> None:
    """The arms of who sits, in front of the clothes; seen from behind, the clothes hide them."""
    if doll.look["pose"] == "sitting":
        for side in (-1, 1):
            joints = joints_of(doll, IN_LAP, side)
            paint_arm(doll, doll.arms, joints)
            paint_mitten(hand_brush(doll, joints[2]), side)


def paint_raised_arms(doll: Doll) -> None:
    """Arms that are up, with open hands."""
    for side, raised in zip((-1, 1), doll.arms_up(), strict=True):
        if raised:
            joints = joints_of(doll, RAISED, side)
            paint_arm(doll, doll.arms, joints)
            paint_open_hand(hand_brush(doll, (joints[2][0], joints[2][1] - 0.06)), side)


# ---------------------------------------------------------------------------------------------------- two together


def paint_together(pose: str, left: Doll, right: Doll) -> None:
    """What a pose of two adds when both are painted: the arms that reach for the other, and what they do there."""
    {"handshake": paint_handshake, "holding_hands": paint_held_hands, "hug": paint_hug}[pose](left, right)


def between(left: Doll, right: Doll, x: float, y: float) -> Point:
    """The picture's point in the middle of (x, y) of the left body and its mirror image of the right one."""
    there = (picture_point(left, x, y) + picture_point(right, -x, y)) / 2
    return float(there[0]), float(there[1])


def picture_point(doll: Doll, x: float, y: float) -> np.ndarray:
    """(x, y) of the body's own frame, x to the picture's right, in the picture."""
    return doll.body.pixels((x * doll.mirror, y))


def unmirrored(doll: Doll, at: Point | np.ndarray = (0.0, 0.0)) -> Brush:
    """A brush at a point of the picture, in units of the doll's and as wide as its limbs, that never mirrors."""
    unit = doll.box.unit
    return Brush(doll.box.image, tuple(at), (unit, unit), doll.box.line, doll.box.rendering, girth=doll.girth,
                 instead=doll.box.instead)


def reach(doll: Doll, side: int, hand: Point, drop: float) -> None:
    """The arm of the picture's left (-1) or right (1) side, from the shoulder to a point of the picture."""
    shoulder = picture_point(doll, 0.33 * side, 1.61)
    brush = unmirrored(doll, shoulder)
    wrist = (np.asarray(hand) - shoulder) / doll.box.unit
    elbow = wrist / 2 + (0, drop)
    paint_arm(doll, brush, ((0.0, 0.0), (float(elbow[0]), float(elbow[1])), (float(wrist[0]), float(wrist[1]))))


def paint_handshake(left: Doll, right: Doll) -> None:
    """Arms stretched out at the height of the chest, clasped hands, and small rays of joy above them."""
    hands = between(left, right, 1.0, 1.78)
    reach(left, 1, hands, 0.14)
    reach(right, -1, hands, 0.14)
    brush = clasp_brush(left, right, hands)
    brush.oval(0.10, 0.02, 0.19, 0.165, SKIN, SKIN_LINE)
    brush.oval(-0.07, 0.0, 0.20, 0.175, SKIN, SKIN_LINE)
    for y in (-0.02, 0.07):
        brush.stroke([(0.0, y), (0.12, y + 0.01)], SKIN_LINE, 0.9)
    brush.limbs([[(-0.1, -0.1), (0.06, -0.16)]], 0.10, SKIN, SKIN_LINE)
    for start, stop in (((0, -0.29), (0, -0.43)), ((-0.19, -0.24), (-0.28, -0.35)), ((0.19, -0.24), (0.28, -0.35))):
        brush.limbs([[start, stop]], 0.045, (255, 214, 70), (150, 96, 20))


def paint_held_hands(left: Doll, right: Doll) -> None:
    """Arms that hang towards each other, and the one's hand in the other's."""
    hands = between(left, right, 1.0 / left.girth, 2.3)
    reach(left, 1, hands, 0.0)
    reach(right, -1, hands, 0.0)
    brush = clasp_brush(left, right, hands)
    brush.oval(0.08, 0.03, 0.14, 0.18, SKIN, SKIN_LINE)
    brush.oval(-0.05, 0.05, 0.15, 0.18, SKIN, SKIN_LINE)
    for x in (-0.07, 0.02):
        brush.stroke([(x, 0.08), (x + 0.01, 0.18)], SKIN_LINE, 0.9)


def clasp_brush(left: Doll, right: Doll, at: Point) -> Brush:
    """A brush for hands that are as large as both dolls' are on average."""
    unit = (left.box.unit * left.girth + right.box.unit * right.girth) / 2
    return Brush(left.box.image, at, (unit, unit), left.box.line, left.box.rendering)


def paint_hug(left: Doll, right: Doll) -> None:
    """Outer arms around each other in front, inner hands on the other's far shoulder, and a heart above.

    Two who stand too far apart for that reach out for each other with their inner arms.
    """
    distance = right.box.origin[0] - left.box.origin[0]
    close = distance < 0.92 * (left.box.unit + right.box.unit)
    if close:
        for doll, other, side in ((left, right, -1), (right, left, 1)):
            paint_mitten(unmirrored(doll, picture_point(other, -0.34 * side, 1.64)), side)
    for doll, other, side, y in ((right, left, 1, 1.98), (left, right, -1, 1.84)):
        hand = picture_point(other, (0.12 if close else 0.3) * side, y)
        reach(doll, side if close else -side, tuple(hand), 0.26 if close else 0.1)
        paint_mitten(unmirrored(doll, hand), -side)
    middle = (left.box.pixels((0, left.head_y - left.radius)) + right.box.pixels((0, right.head_y - right.radius))) / 2
    paint_heart(clasp_brush(left, right, tuple(middle)))


def paint_heart(brush: Brush) -> None:
    """A heart around the brush's origin, 0.5 units wide."""
    half = path((0.0, 0.24), ((0.34, -0.02), (0.22, -0.17)), ((0.08, -0.24), (0.0, -0.08)))
    brush.shape([*half, *(half * (-1, 1))[::-1]], (244, 84, 120), (140, 30, 60))
