"""The colour measures on painted rectangles whose answers are known."""

from __future__ import annotations

import random

import numpy as np
import pytest

pytest.importorskip("cv2")

from newbie_pack.lab.benchmarks.colour_measures import (
    HUES,
    bleed,
    clothes_part,
    hair_part,
    has_colour,
    interval,
    judge,
    obeyed,
    shares,
)

LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
RGB = {"red": (220, 30, 40), "blonde": (240, 210, 70), "green": (40, 170, 60), "aqua": (40, 190, 185),
       "blue": (40, 70, 200), "purple": (130, 50, 190), "pink": (245, 110, 170)}  # fmt: skip


def painted(*patches):
    """A white picture [40, 80, 3] with (colour, box) patches."""
    picture = np.full((40, 80, 3), 255, np.uint8)
    for colour, (left, top, right, bottom) in patches:
        picture[round(top * 40) : round(bottom * 40), round(left * 80) : round(right * 80)] = RGB[colour]
    return picture


@pytest.mark.parametrize("colour", HUES)
def test_a_colour_is_itself_and_no_other(colour):
    picture = painted((colour, LEFT))
    assert has_colour(picture, colour).sum() == 40 * 40
    assert not any(has_colour(picture, other).any() for other in HUES if other != colour)


def test_skin_and_greys_are_no_colour():
    picture = np.array([[(255, 224, 200), (128, 128, 128), (20, 20, 25), (255, 255, 255)]], np.uint8)
    assert not any(has_colour(picture, colour).any() for colour in HUES)


def test_shares_are_of_the_boxes():
    picture = painted(("blue", (0.0, 0.0, 0.25, 1.0)), ("blue", (0.5, 0.0, 0.6, 1.0)))
    assert shares(picture, "blue", [LEFT, RIGHT]).tolist() == [0.5, 0.2]


def verdict(picture, colour, own, part=hair_part):
    boxes = [LEFT, RIGHT]
    found = judge(picture, colour, part(boxes[own]), own, boxes)
    return found.placed, found.elsewhere, found.leak


def test_right_swapped_leaking_and_missing():
    right = painted(("blue", (0.1, 0.1, 0.4, 0.4)), ("red", (0.6, 0.1, 0.9, 0.4)))
    assert verdict(right, "blue", 0) == verdict(right, "red", 1) == (True, False, 0.0)
    assert verdict(right, "red", 0) == (False, True, 1.0)
    leaking = painted(("blue", (0.0, 0.0, 0.3, 0.5)), ("blue", (0.5, 0.5, 0.6, 1.0)))
    assert verdict(leaking, "blue", 0) == (True, False, pytest.approx(0.25))
    assert verdict(painted(), "blue", 0) == (False, False, None)


def test_hair_is_judged_above_and_clothes_below():
    picture = painted(("blue", (0.1, 0.6, 0.4, 0.9)))
    assert verdict(picture, "blue", 0, hair_part) == (False, True, 0.0)
    assert verdict(picture, "blue", 0, clothes_part) == (True, False, 0.0)
    picture = painted(("blue", (0.1, 0.1, 0.4, 0.4)))
    assert verdict(picture, "blue", 0, clothes_part) == (False, True, 0.0)


def test_a_colour_outside_all_boxes_is_elsewhere_and_no_leak():
    picture, boxes = painted(("blue", (0.4, 0.0, 0.6, 1.0))), [(0.0, 0.0, 0.4, 1.0), (0.6, 0.0, 1.0, 1.0)]
    found = judge(picture, "blue", hair_part(boxes[0]), 0, boxes)
    assert (found.placed, found.elsewhere, found.leak) == (False, True, None)


def test_a_box_is_obeyed_where_most_of_ones_colours_lie_in_it():
    hair, dress = ("blue", (0.1, 0.1, 0.4, 0.4)), ("red", (0.1, 0.4, 0.4, 0.9))
    assert obeyed(painted(hair, dress), ["blue", "red"], LEFT)
    assert not obeyed(painted(hair, dress), ["blue", "red"], RIGHT)
    assert not obeyed(painted(hair, ("red", (0.6, 0.1, 1.0, 0.9))), ["blue", "red"], LEFT)  # the dress went away
    assert not obeyed(painted(("blue", (0.0, 0.0, 1.0, 1.0))), ["blue"], (0.0, 0.0, 0.4, 1.0))  # much too large
    assert not obeyed(painted(), ["blue"], LEFT)


def test_bleed_is_the_others_change_over_ones_own():
    before = painted(("blue", LEFT), ("red", RIGHT))
    assert bleed(before, painted(("green", LEFT), ("red", RIGHT)), 0, [LEFT, RIGHT]) == 0.0
    both = bleed(before, painted(("green", LEFT), ("green", RIGHT)), 0, [LEFT, RIGHT])
    assert both > 0.5


def test_the_interval_holds_the_mean_and_shrinks():
    rng = random.Random(0)
    few, many = ([rng.random() for _ in range(n)] for n in (20, 2000))
    for values in (few, many):
        mean, low, high = interval(values)
        assert low < mean < high
    assert np.ptp(interval(many)[1:]) < np.ptp(interval(few)[1:]) / 4
