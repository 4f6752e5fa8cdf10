"""The colour measures on painted rectangles whose answers are known."""

from __future__ import annotations

import random

import numpy as np
import pytest

pytest.importorskip("cv2")

from newbie_pack.benchmarks.colour_measures import HUES, bleed, has_colour, interval, judge, shares

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


def test_right_swapped_leaking_and_missing():
    right = painted(("blue", (0.1, 0.2, 0.4, 0.9)), ("red", (0.6, 0.2, 0.9, 0.9)))
    assert (judge(right, "blue", 0, [LEFT, RIGHT]).placed, judge(right, "blue", 0, [LEFT, RIGHT]).leak) == (True, 0.0)
    assert judge(right, "blue", 0, [LEFT, RIGHT]).inside
    swapped = judge(right, "red", 0, [LEFT, RIGHT])
    assert (swapped.placed, swapped.leak, swapped.inside) == (False, 1.0, False)
    leaking = judge(painted(("blue", (0.0, 0.0, 0.3, 1.0)), ("blue", (0.5, 0.0, 0.6, 1.0))), "blue", 0, [LEFT, RIGHT])
    assert leaking.placed and leaking.leak == pytest.approx(0.25)
    missing = judge(painted(), "blue", 0, [LEFT, RIGHT])
    assert (missing.placed, missing.leak, missing.inside) == (False, 1.0, False)


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


def test_no_colour_is_asked_for_twice():
    from newbie_pack.benchmarks.colours import looks

    for seed in range(50):
        for people in (2, 3):
            one, other, changed = looks(people, random.Random(seed))
            assert len(set(one.hair)) == len(set(other.hair)) == people
            assert other.hair[changed] != one.hair[changed]
            assert not set(one.hair) & (set(one.clothes) | {"blonde" if "yellow" in one.clothes else ""})
            assert [h for i, h in enumerate(one.hair) if i != changed] == [
                h for i, h in enumerate(other.hair) if i != changed
            ]
