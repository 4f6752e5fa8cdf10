"""How much of the picture people fill when nobody says where to stand, and what mixtures of words make of it.

`pytest tests/xml_prompt/test_xml_coverage.py -k table -s` prints the table.
"""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from newbie_pack.xml_prompt import Box, Character, Field, Interaction, PromptError, Scene, Tag, layout

SIZES = ((1024, 1536), (1536, 1024), (1024, 1024), (1792, 768))
OTHERS = ((512, 1536), (768, 1344), (832, 1216), (1216, 832), (1280, 720), (1536, 640), (1536, 512))
LEAST = {1: 0.17, 2: 0.35, 3: 0.40, 4: 0.40, 5: 0.45, 6: 0.45, 7: 0.45, 8: 0.50}  # more: .45
SLIMMEST = 1 / 3.2
aspects = st.floats(-1, 1).map(lambda power: 3.0**power)


def scene(*positions, general=(), actions=None, boxes=None, interactions=(), spacing=""):
    """One character for each position, "" for none; actions and boxes by index."""
    characters = []
    for i, position in enumerate(positions):
        fields = (Field("position", tuple(Tag(word.strip()) for word in position.split(","))),) if position else ()
        fields += (Field("action", (Tag(actions[i]),)),) if actions and i in actions else ()
        characters.append(Character(f"character_{i + 1}", fields=fields, box=(boxes or {}).get(i)))
    return Scene(tuple(characters), tuple(general), interactions=tuple(interactions), spacing=spacing)


def alone(count, **rest):
    return scene(*[""] * count, **rest)


def tagged(*tags, field="perspective"):
    return [Field(field, tuple(map(Tag, tags)))]


def together(*numbers):
    return [Interaction("hug", tuple(f"character_{number}" for number in numbers))]


def area(box):
    return box.width * box.height


def union(boxes):
    xs = sorted({edge for box in boxes for edge in (box.left, box.right)})
    ys = sorted({edge for box in boxes for edge in (box.top, box.bottom)})
    cells = (Box(x, y, right, low) for x, right in pairwise(xs) for y, low in pairwise(ys))
    inside = (c for c in cells if any(b.left <= c.left < b.right and b.top <= c.top < b.bottom for b in boxes))
    return sum(map(area, inside))


def covered(boxes):
    """The share of the picture in at least one box."""
    return union(boxes) / 1e6


def overlap(boxes):
    """The share of the boxes' sum that is more than their union."""
    total = sum(map(area, boxes))
    return (total - union(boxes)) / total


def touch(a, b):
    return min(a.right, b.right) > max(a.left, b.left) and min(a.bottom, b.bottom) > max(a.top, b.top)


def shape(box, aspect):
    return box.width * aspect / box.height


def slimmer_than(box, limit, aspect):
    """Whether a box is narrower than the limit by more than rounding both edges to grid lines can make it."""
    return (box.width + 1) * aspect < limit * (box.height - 1)


def rows(boxes):
    return len({box.bottom for box in boxes})


# Nobody says anything


@pytest.mark.parametrize("count", range(1, 17))
def test_the_table_of_coverage(count):
    line = []
    for width, height in (*SIZES, *OTHERS):
        boxes = layout(alone(count), width / height)
        line.append(f"{width}x{height} {covered(boxes):.2f} ({rows(boxes)}, {overlap(boxes):.2f})")
        assert covered(boxes) >= LEAST.get(count, 0.45), line[-1]
    print(f"{count:2} people, coverage (rows, overlap):", ", ".join(line))


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 16), aspects)
def test_the_frame_is_filled_at_any_aspect(count, aspect):
    boxes = layout(alone(count), aspect)
    assert covered(boxes) >= LEAST.get(count, 0.45)
    assert overlap(boxes) <= 0.1
    assert all(0 <= box.left < box.right <= 1000 and 0 <= box.top < box.bottom <= 1000 for box in boxes)
    assert not any(slimmer_than(box, SLIMMEST, aspect) for box in boxes)
    assert max(box.width for box in boxes) - min(box.width for box in boxes) <= 1
    assert max(box.height for box in boxes) - min(box.height for box in boxes) <= 1
    middles = [(box.left + box.right) / 2 for box in boxes]
    assert middles == sorted(middles)
    steps = [b - a for a, b in pairwise(middles)]
    assert not steps or max(steps) - min(steps) <= 2


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_up_to_four_stand_in_a_row(count, size):
    """As tall as the picture allows, or three times as high as wide where it is narrow."""
    aspect = size[0] / size[1]
    boxes = layout(alone(count), aspect)
    assert rows(boxes) == 1
    assert all(b.left - a.right >= 10 for a, b in pairwise(boxes))  # a little air
    tallest, slimmest = boxes[0].height >= 900, shape(boxes[0], aspect) == pytest.approx(1 / 3, abs=0.01)
    assert tallest or slimmest


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [5, 6, 7, 8, 12, 16])
def test_more_stand_in_staggered_rows(count, size):
    boxes = layout(alone(count), size[0] / size[1])
    assert rows(boxes) in (2, 3)
    feet = sorted({box.bottom for box in boxes}, reverse=True)
    ranks = [[box for box in boxes if box.bottom == bottom] for bottom in feet]
    assert max(map(len, ranks)) - min(map(len, ranks)) <= 1
    for near, far in pairwise(ranks):
        assert far[0].top < near[0].top < far[0].bottom < near[0].bottom  # higher, and partly behind
        assert not {box.left for box in near} & {box.left for box in far}
    for rank in ranks:
        assert not any(touch(a, b) for a, b in combinations(rank, 2))


@pytest.mark.parametrize("count", [32, 64])
def test_crowds(count):
    for width, height in (*SIZES, *OTHERS):
        boxes = layout(alone(count), width / height)
        assert covered(boxes) >= 0.6 and overlap(boxes) <= 0.1
        assert not any(slimmer_than(box, SLIMMEST, width / height) for box in boxes)


# Words for the figure


@pytest.mark.parametrize("word", ["chibi", "Chibi", "super deformed", "Q版"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_chibi_makes_boxes_squatter(word, size, count):
    aspect = size[0] / size[1]
    plain = layout(alone(count), aspect)
    for field in ("style", "other"):
        boxes = layout(alone(count, general=tagged(word, field=field)), aspect)
        assert all(shape(box, aspect) == pytest.approx(2 / 3, rel=0.02) for box in boxes)
        assert shape(boxes[0], aspect) > shape(plain[0], aspect)
    assert layout(alone(count, general=tagged("chibi_inset", field="style")), aspect) == plain


def test_chibi_is_one_persons_own_too():
    first, second = layout(alone(2, actions={0: "chibi"}))
    assert shape(first, 1.0) == pytest.approx(2 / 3, rel=0.02)
    assert second.height > first.height and second.bottom == first.bottom


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
def test_full_body_makes_boxes_taller(size, count):
    aspect = size[0] / size[1]
    (plain, *_), full = layout(alone(count), aspect), layout(alone(count, general=tagged("full body")), aspect)
    assert full[0].height > plain.height and shape(full[0], aspect) < shape(plain, aspect)
    assert not any(slimmer_than(box, SLIMMEST, aspect) for box in full)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 12), aspects, st.sampled_from(["close-up", "portrait", "upper body", "cowboy shot", "特写", "半身"])
)
def test_close_ups_are_cut_by_the_lower_edge(count, aspect, word):
    boxes = layout(alone(count, general=tagged(word)), aspect)
    assert max(box.bottom for box in boxes) == 1000 and min(box.top for box in boxes) >= 40
    assert overlap(boxes) <= 0.1
    assert not any(slimmer_than(box, SLIMMEST, aspect) for box in boxes)


@pytest.mark.parametrize("size", SIZES)
def test_a_close_up_of_one_of_three(size):
    near = layout(alone(3, actions={1: "close-up"}), size[0] / size[1])
    assert near[1].bottom == 1000 and near[1].top == 40
    assert near[1].width > 2 * near[0].width and near[0].bottom == near[2].bottom < 1000
    assert not any(touch(a, b) for a, b in combinations(near, 2))


@pytest.mark.parametrize("size", SIZES)
def test_a_wide_shot_leaves_more_picture_around_people(size):
    for count in (1, 2, 4, 8):
        plain, far = (covered(layout(alone(count, general=g), size[0] / size[1])) for g in ((), tagged("wide shot")))
        assert far < 0.6 * plain


# Mixtures


@pytest.mark.parametrize("size", SIZES)
def test_one_person_on_the_left(size):
    (box,) = layout(scene("left"), size[0] / size[1])
    assert abs((box.left + box.right) / 2 - 250) <= 60 and box.height >= 900


@pytest.mark.parametrize("size", SIZES)
def test_five_of_whom_two_say_where(size):
    boxes = layout(scene("", "right", "", "far_left", ""), size[0] / size[1])
    assert covered(boxes) >= 0.45 and overlap(boxes) == 0
    middles = [(box.left + box.right) / 2 for box in boxes]
    assert abs(middles[1] - 750) <= 60 and abs(middles[3] - 150) <= 60
    assert middles[0] < middles[2] < middles[4]  # the others from left to right as they come


@pytest.mark.parametrize("size", SIZES)
def test_sides_and_rows_mixed_with_the_background(size):
    boxes = layout(scene("left", "right", "background", "", "", "background"), size[0] / size[1])
    assert overlap(boxes) == 0
    for far in (boxes[2], boxes[5]):
        assert all(far.height < 0.65 * near.height and far.width < 0.65 * near.width for near in (boxes[0], boxes[1]))
    top, bottom = layout(scene("top, left", "bottom, background"), size[0] / size[1])
    assert top.bottom <= bottom.top and bottom.height < top.height


@pytest.mark.parametrize("size", SIZES)
def test_boxes_stated_for_some(size):
    stated = {0: Box(0, 50, 300, 1000), 3: Box(650, 300, 1000, 1000)}
    boxes = layout(alone(6, boxes=stated), size[0] / size[1])
    assert all(boxes[i] == box for i, box in stated.items())
    assert overlap(boxes) <= 0.1
    assert all(boxes[i].left >= 330 and boxes[i].right <= 620 for i in (1, 2, 4, 5))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pair", [(1, 2), (3, 4), (5, 6)])
def test_two_of_many_who_do_something_together_stand_beside_each_other(size, pair):
    boxes = layout(alone(6, interactions=together(*pair)), size[0] / size[1])
    first, second = (boxes[number - 1] for number in pair)
    assert first.bottom == second.bottom == max(box.bottom for box in boxes)
    assert 0 < second.left - first.right <= first.width / 2 + 1
    assert overlap(boxes) <= 0.1 and covered(boxes) >= 0.3


def test_a_spacing_is_of_one_row():
    boxes = layout(alone(6, spacing="0.5"), 1.5)
    assert rows(boxes) == 1
    assert all(b.left - a.right == pytest.approx(boxes[0].width / 2, abs=2) for a, b in pairwise(boxes))


PLACES = ["", "left", "right", "center", "far_left", "top", "bottom", "center_y", "background", "foreground", "左上",
          "30%", "x=80%", "y=60%", "behind character_1", "left of character_2", "above character_1",
          "nowhere"]  # fmt: skip
ACTIONS = ["", "", "", "close-up", "full body", "wide shot", "chibi", "upper_body", "standing"]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(ACTIONS)), min_size=1, max_size=16),
    aspects,
    st.lists(st.lists(st.integers(1, 16), min_size=2, max_size=5, unique=True), max_size=2),
    st.sampled_from([(), ("upper_body",), ("wide_shot",), ("chibi",), ("full body", "from above")]),
)
def test_whatever_is_mixed(people, aspect, hugs, general):
    """Nobody leaves the picture, nobody is a line, and nobody is hidden, unless numbers ask for it."""
    places = [place for place, _ in people]
    actions = {i: action for i, (_, action) in enumerate(people) if action}
    ids = {f"character_{i + 1}" for i in range(len(people))}
    doing = [Interaction("hug", tuple(f"character_{n}" for n in hug)) for hug in hugs]
    mixed = scene(
        *places, general=tagged(*general), actions=actions, interactions=[d for d in doing if ids.issuperset(d.between)]
    )
    try:
        boxes = layout(mixed, aspect)
    except PromptError:
        return
    assert layout(mixed, aspect) == boxes
    for box in boxes:
        assert 0 <= box.left < box.right <= 1000 and 0 <= box.top < box.bottom <= 1000
        assert not slimmer_than(box, SLIMMEST, aspect)
    if not any("%" in place for place in places):
        silent = sum(place in ("", "nowhere") for place in places)
        assert overlap(boxes) <= (0.1 if silent > 4 else 0)
