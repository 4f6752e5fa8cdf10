"""Layouts: inside the picture, stable, nobody on top of anybody, and where the words say."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from newbie_pack.xml_prompt import Box, Character, Field, Interaction, Scene, Tag, layout, parse
from newbie_pack.xml_prompt.layout.places import WORDS, read_position

DEMO = (Path(__file__).parents[1] / "data/valid/demo.xml").read_text(encoding="utf-8")
aspects = st.floats(0.4, 2.5)
words = st.sampled_from(
    [*WORDS, "左", "右上", "前景", "画面中央", "30%", "75%", "x=10%", "y: 90%", "nowhere", "top left"]
)
positions = st.lists(words, max_size=3)


def people(*positions, interactions=(), boxes=()):
    characters = []
    for i, position in enumerate(positions):
        box = boxes[i] if i < len(boxes) else None
        tags = tuple(Tag(word) for word in ([position] if isinstance(position, str) else position) if word)
        characters.append(Character(f"character_{i + 1}", fields=(Field("position", tags),) if tags else (), box=box))
    return Scene(tuple(characters), interactions=interactions)


def overlap(a, b):
    return min(a.right, b.right) > max(a.left, b.left) and min(a.bottom, b.bottom) > max(a.top, b.top)


def middle(box):
    return (box.left + box.right) / 2


@settings(max_examples=200, deadline=None)
@given(st.lists(positions, min_size=1, max_size=8), aspects, st.booleans())
def test_every_box_is_inside_positive_and_stable(places, aspect, together):
    scene = people(*places)
    if together:
        ids = tuple(c.id for c in scene.characters)
        scene = people(*places, interactions=(Interaction("hug", ids),))
    boxes = layout(scene, aspect)
    assert len(boxes) == len(places)
    for box in boxes:
        assert 0 <= box.left < box.right <= 1000 and 0 <= box.top < box.bottom <= 1000
    assert layout(scene, aspect) == boxes


side_words = st.sampled_from(
    ["", "left", "right", "center", "far_left", "center_right", "foreground", "background", "左"]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(side_words, min_size=1, max_size=8), aspects, st.booleans())
def test_words_for_sides_and_depth_put_nobody_on_top_of_another(places, aspect, together):
    assume(any(places) or len(places) <= 4)  # more of whom nobody says anything stand partly behind each other
    ids = tuple(f"character_{i + 1}" for i in range(len(places)))
    scene = people(*places, interactions=(Interaction("hug", ids),) if together else ())
    assert not any(overlap(a, b) for a, b in combinations(layout(scene, aspect), 2))


def test_one_person_stands_tall_in_the_middle():
    assert layout(people("")) == (Box(209, 40, 791, 950),)


def test_the_demo_scene():
    miku, kaito = layout(parse(DEMO))
    for box in (miku, kaito):
        assert 440 <= box.width <= 480 and box.height == 910
        assert abs((box.top + box.bottom) / 2 - 500) <= 1
    assert miku.left == 1000 - kaito.right == 20
    assert 30 <= kaito.left - miku.right <= 60


def test_a_stated_box_wins_and_the_others_keep_clear_of_it():
    stated = Box(500, 100.5, 950, 1000)
    boxes = layout(people("left", "", "right", boxes=[stated]))
    assert boxes[0] == stated
    assert not any(overlap(a, b) for a, b in combinations(boxes, 2))
    assert max(boxes[1].right, boxes[2].right) <= 470


def test_who_states_nothing_takes_the_side_that_is_free():
    right, left = layout(people("right", ""))
    assert left.right < right.left
    other, center = layout(people("", "center"))
    assert abs(middle(center) - 500) <= 60 and not overlap(other, center)


def test_several_share_a_side():
    a, b, c = layout(people("left", "left", "right"))
    assert a.right < b.left and b.right < c.left
    assert (middle(a) + middle(b)) / 2 < 320 and middle(c) > 690


def test_words_mean_their_places():
    order = ["far_left", "left", "center_left", "center", "center_right", "right", "far_right"]
    alone = [middle(layout(people(word), 2.0)[0]) for word in order]
    assert alone == sorted(set(alone))
    top, bottom = layout(people("top left", "bottom right"))
    assert top.bottom <= bottom.top and middle(top) < 320 and middle(bottom) > 680
    low, high = layout(people(["left", "bottom"], ["right", "top"]))
    assert high.bottom <= low.top


def test_four_corners_are_two_rows_of_equal_people():
    corners = layout(people("top left", "top right", "bottom left", "bottom right"))
    assert len({(box.width, box.height) for box in corners}) == 1
    assert corners[0].left == corners[2].left < 250 and corners[1].left == corners[3].left > 500
    assert corners[0].top == corners[1].top and corners[0].bottom < corners[2].top


def test_foreground_is_larger_and_background_smaller_and_higher():
    near, plain, far = layout(people("foreground", "", "background"), 1.5)
    assert near.height > plain.height > far.height
    assert near.bottom > plain.bottom > far.bottom


def test_numbers_are_met():
    one, two = layout(people(["25%", "60%"], ["x=75%"]), 1.5)
    assert abs(middle(one) - 250) <= 1 and abs((one.top + one.bottom) / 2 - 600) <= 1
    assert abs(middle(two) - 750) <= 1
    assert layout(people(["100", "200", "300", "900"])) == (Box(100, 200, 300, 900),)
    assert layout(people("full-frame")) == (Box(0, 0, 1000, 1000),)


def test_an_interaction_pulls_neighbours_together_but_not_stated_numbers():
    pair = (Interaction("handshake", ("character_1", "character_2")),)
    apart = layout(people("far_left", "far_right"), 2.5)
    close = layout(people("far_left", "far_right", interactions=pair), 2.5)
    assert apart[1].left - apart[0].right > apart[0].width
    assert 0 < close[1].left - close[0].right <= close[0].width / 2 + 1
    assert middle(close[0]) + middle(close[1]) == pytest.approx(middle(apart[0]) + middle(apart[1]), abs=2)
    fixed = layout(people("x=15%", "x=85%", interactions=pair), 2.5)
    assert middle(fixed[0]) == pytest.approx(150, abs=1) and middle(fixed[1]) == pytest.approx(850, abs=1)


@pytest.mark.parametrize("aspect", [0.0, -1.0, float("nan"), float("inf")])
def test_an_aspect_that_is_none(aspect):
    with pytest.raises(ValueError, match="aspect"):
        layout(people(""), aspect)


@pytest.mark.parametrize(
    ("texts", "side", "row", "depth"),
    [
        (["left", "center_y"], "left", "center", None),
        (["center_x", "bottom"], "center", "bottom", None),
        (["left", "center"], "left", "center", None),
        (["top", "center"], "center", "top", None),
        (["Center"], "center", None, None),
        (["center_left"], "center_left", None, None),
        (["upper left corner of the image"], "left", "top", None),
        (["left_side", "in the background"], "left", None, "background"),
        (["far right"], "far_right", None, None),
        (["左上角"], "left", "top", None),
        (["画面右侧", "前景"], "right", None, "foreground"),
        (["最左边"], "far_left", None, None),
        (["垂直居中", "偏右"], "center_right", "center", None),
    ],
)
def test_position_words(texts, side, row, depth):
    place, unknown = read_position(texts)
    assert (place.side, place.row, place.depth, unknown) == (side, row, depth, ())


@pytest.mark.parametrize("text", ["behind", "far", "lefft", "130%", "on", "next to her", "骑马"])
def test_words_that_are_no_position_say_so(text):
    assert read_position([text])[1] == (text,)
