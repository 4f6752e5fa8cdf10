"""A stated spacing is kept exactly; camera words are heights."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from newbie_pack.xml_prompt import Character, Field, Interaction, PromptError, Scene, Tag, layout
from newbie_pack.xml_prompt.layout.side_by_side import read_spacing


def people(*positions, spacing="", general=(), actions=(), interactions=()):
    characters = []
    for i, position in enumerate(positions):
        words = [position] if isinstance(position, str) else position
        fields = (Field("position", tuple(map(Tag, words))),) if position else ()
        fields += (Field("action", (Tag(actions[i]),)),) if i < len(actions) and actions[i] else ()
        characters.append(Character(f"character_{i + 1}", fields=fields))
    general = (Field("perspective", tuple(map(Tag, general))),) if general else ()
    return Scene(tuple(characters), general, interactions=interactions, spacing=spacing)


def gaps(boxes):
    boxes = sorted(boxes, key=lambda box: box.left)
    return [b.left - a.right for a, b in pairwise(boxes)]


def overlap(a, b):
    return min(a.right, b.right) > max(a.left, b.left) and min(a.bottom, b.bottom) > max(a.top, b.top)


@pytest.mark.parametrize(
    ("text", "widths", "heights", "grid"),
    [
        ("2", 2, 0, 0), ("0.5", 0.5, 0, 0), (".5", 0.5, 0, 0), ("0", 0, 0, 0), ("1.5 倍", 1.5, 0, 0),
        ("2 box widths", 2, 0, 0), ("30%", 0, 0, 300), ("12.5 ％", 0, 0, 125), ("1.6m", 0, 1, 0),
        ("0.8 metres", 0, 0.5, 0), ("80cm", 0, 0.5, 0), ("3.2米", 0, 2, 0), ("160 厘米", 0, 1, 0),
    ],
)  # fmt: skip
def test_spacings_are_read(text, widths, heights, grid):
    found = read_spacing(text)
    assert (found.widths, found.heights, found.grid) == pytest.approx((widths, heights, grid))


@pytest.mark.parametrize("text", ["", "close", "-1", "2 apples", "1,5", "%", "1e3", "12345", "近"])
def test_what_is_no_spacing(text):
    assert read_spacing(text) is None
    assert layout(people("", "", spacing=text)) == layout(people("", ""))


@pytest.mark.parametrize("aspect", [0.667, 1.0, 1.78])
@pytest.mark.parametrize("count", [2, 3, 5, 8])
@pytest.mark.parametrize("number", [0, 0.1, 0.5, 2])
def test_a_number_is_box_widths(number, count, aspect):
    boxes = layout(people(*[""] * count, spacing=str(number)), aspect)
    assert all(gap == pytest.approx(number * boxes[0].width, abs=3) for gap in gaps(boxes))
    assert boxes[0].left >= 39 and boxes[-1].right <= 961


@pytest.mark.parametrize(("percent", "count"), [(0, 2), (5, 8), (10, 3), (30, 2), (60, 2)])
def test_a_percentage_is_of_the_picture(percent, count):
    for aspect in (0.5, 1.0, 2.0):
        boxes = layout(people(*[""] * count, spacing=f"{percent}%"), aspect)
        assert all(gap == pytest.approx(percent * 10, abs=1) for gap in gaps(boxes))


@pytest.mark.parametrize("metres", [0.2, 0.8, 1.6, 3])
@pytest.mark.parametrize("aspect", [0.667, 1.0, 1.78])
def test_metres_are_against_a_persons_height(metres, aspect):
    boxes = layout(people("", "", spacing=f"{metres}m"), aspect)
    assert gaps(boxes)[0] * aspect / boxes[0].height * 1.6 == pytest.approx(metres, abs=0.02)


def test_a_spacing_outweighs_words_and_interactions_but_not_numbers():
    together = (Interaction("hug", ("character_1", "character_2")),)
    for scene in (people("far_left", "far_right", spacing="1"), people("", "", spacing="1", interactions=together)):
        boxes = layout(scene, 2.0)
        assert gaps(boxes)[0] == pytest.approx(boxes[0].width, abs=2)
    right, left = layout(people("right", "left", spacing="1"))
    assert left.right < right.left
    assert layout(people("20%", "70%", spacing="3"), 2.0) == layout(people("20%", "70%"), 2.0)
    one, two = layout(people("30%", "", spacing="1"), 2.0)
    assert (one.left + one.right) / 2 == pytest.approx(300, abs=1)
    assert gaps((one, two))[0] == pytest.approx(one.width, abs=2)


def test_a_spacing_that_leaves_no_room():
    with pytest.raises(PromptError, match="leaves no room for 8 people"):
        layout(people(*[""] * 8, spacing="30%"))
    with pytest.raises(PromptError, match="character_1 and character_3"):
        layout(people("20%", "", "80%", spacing="0%"), 2.0)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(["", "left", "right", "center", "foreground", "background"]), min_size=1, max_size=8),
    st.sampled_from(["0", "0.3", "1", "0%", "4%", "0.5m"]),
    st.floats(0.4, 2.5),
)
def test_a_spacing_puts_nobody_on_top_of_another(places, spacing, aspect):
    boxes = layout(people(*places, spacing=spacing), aspect)
    assert not any(overlap(a, b) for a, b in combinations(boxes, 2))
    assert all(0 <= box.left < box.right <= 1000 and 0 <= box.top < box.bottom <= 1000 for box in boxes)


# Camera words


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("aspect", [0.667, 1.0, 1.78])
def test_the_nearer_the_camera_the_taller(count, aspect):
    plain = layout(people(*[""] * count), aspect)
    order = ["very_wide_shot", "wide shot", "full_body", "cowboy shot", "upper_body", "portrait", "close-up"]
    boxes = [layout(people(*[""] * count, general=[word]), aspect) for word in order]
    heights = [found[0].height for found in boxes]
    assert heights == sorted(heights) and heights[1] <= plain[0].height < heights[2]
    assert heights[0] <= heights[1] <= heights[2] < heights[3] <= heights[4]
    for found in boxes[3:]:
        assert all(box.bottom == 1000 and box.top >= 40 for box in found)
        assert not any(overlap(a, b) for a, b in combinations(found, 2))
    assert heights[-1] == 960 or count == 3


@pytest.mark.parametrize(
    ("english", "chinese"),
    [("close_up", "特写"), ("upper body", "半身"), ("full_body", "全身"), ("wide_shot", "远景")],
)
def test_chinese_camera_words(english, chinese):
    assert layout(people("", "", general=[chinese])) == layout(people("", "", general=[english]))


def test_whose_camera_word_counts():
    plain = layout(people("", ""))
    close, far = layout(people("", "", general=["wide_shot"], actions=["close-up"]))
    assert close.height > 3 * far.height and not overlap(close, far)
    assert layout(people("", "", general=["from above", "upper_body", "wide_shot"])) == layout(
        people("", "", general=["upper_body"])
    )
    scene = people("", "")
    other = replace(scene, general=(Field("other", (Tag("upper body"),)),))
    assert layout(other) == layout(people("", "", general=["upper_body"])) != plain
    assert layout(people("", "", general=["from above"])) == plain


def test_where_the_camera_cuts():
    assert layout(people("", general=["upper_body"]))[0].bottom == 1000
    assert layout(people("center_y", general=["upper_body"]))[0].bottom == 1000
    assert layout(people("top", general=["cowboy_shot"]))[0].top == 40
    box = layout(people("y=50%", general=["cowboy_shot"]), 2.0)[0]
    assert (box.top + box.bottom) / 2 == pytest.approx(500, abs=20)
    top, bottom = layout(people("top", "bottom", general=["close_up"]))
    assert top.bottom <= bottom.top
