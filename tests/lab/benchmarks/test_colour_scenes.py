"""What `./run bench colours` asks for, and that its judge finds all of it where it is drawn as asked."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

pytest.importorskip("cv2")
pytest.importorskip("torch")

from newbie_pack.lab.benchmarks.binding_scenes import UNUSUAL
from newbie_pack.lab.benchmarks.colour_measures import HUES
from newbie_pack.lab.benchmarks.colour_scenes import CLOTHES, UNSEEN, USUAL, looks, picture_sets, word_places
from newbie_pack.lab.benchmarks.colours import measure
from newbie_pack.lab.drawing.draw import render
from newbie_pack.lab.drawing.scenes import Figure, Picture
from newbie_pack.xml_prompt import Field, Tag, layout, parse

SIDE = 320


def laid_out(wanted, aspect=1.0):
    scene = parse(wanted.xml())
    assert not scene.warnings
    scene = replace(scene, general=(*scene.general, Field("other", (Tag("chibi"),))))  # as the drawings are
    return [tuple(edge / 1000 for edge in (b.left, b.top, b.right, b.bottom)) for b in layout(scene, aspect)]


def drawn(wanted, boxes):
    """The picture that is asked for; eyes are not judged, so they may be of anybody's colour that the mini has."""
    figures = []
    for i, (left, top, right, bottom) in enumerate(boxes):
        look = {"gender": "1girl", "hair": wanted.hair[i], "style": wanted.styles[i], "eyes": "green",
                "cloth": CLOTHES.get(wanted.clothes[i], wanted.clothes[i]), "kind": "dress", "accessory": "none",
                "pose": "standing", "expression": "smile", "facing": "looking_at_viewer"}  # fmt: skip
        figures.append(Figure(left * SIDE, top * SIDE, (right - left) * SIDE, (bottom - top) * SIDE, look))
    return render(Picture(SIDE, SIDE, "white_background", tuple(figures), seed=0))


@pytest.mark.parametrize("people", [1, 2, 3, 4])
def test_no_hue_is_asked_for_twice(people):
    for seed in range(50):
        one, other, changed = looks(word_places(people), random.Random(seed))
        for wanted in (one, other):
            seen = [colour for colour in (*wanted.hair, *wanted.clothes) if colour in HUES]
            assert len(set(seen)) == len(seen) >= min(2 * people, 5) - (wanted is other)
            assert set(wanted.clothes) <= {*HUES, *UNSEEN}
        assert one.hair[changed] != other.hair[changed] and one.clothes[changed] != other.clothes[changed]
        assert other.hair[changed] not in (*one.hair, *one.clothes)
        for before, after in ((one.hair, other.hair), (one.clothes, other.clothes)):
            assert [c for i, c in enumerate(before) if i != changed] == [c for i, c in enumerate(after) if i != changed]


def test_the_sets_hold_the_people_that_are_asked_for():
    sets = picture_sets([4, 1, 2, 3], 3, seed=1)
    assert [(test.places, test.people) for test in sets] == [
        *((USUAL, str(people)) for people in (1, 2, 3, 4)),
        ("one side", "2-4"), ("unequal sizes", "2-3"), ("one above another", "2-4"),
    ]  # fmt: skip
    assert [len(test.recoloured) for test in sets] == [0, 3, 3, 3, 0, 0, 0]
    assert {len(wanted.hair) for wanted in sets[4].wanted} == {2, 3, 4}
    assert [test.name for test in picture_sets([1], 2, seed=1)] == ["usual_1"]
    assert [test.people for test in picture_sets([4], 2, seed=1)] == ["4", "4", "4"]


@pytest.mark.parametrize("kind", UNUSUAL)
def test_unusual_boxes_hold_at_any_size(kind):
    (test,) = (test for test in picture_sets([2, 3], 12, seed=1) if test.places == kind)
    for wanted in test.wanted:
        boxes = laid_out(wanted)
        assert boxes == laid_out(wanted, aspect=1.5)
        for i, (left, top, right, bottom) in enumerate(boxes):
            assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1
            assert all(o[0] >= right - 0.002 or o[1] >= bottom - 0.002 or o[3] <= top + 0.002 for o in boxes[i + 1 :])
        heights = [bottom - top for _, top, _, bottom in boxes]
        assert [right - left for left, _, right, _ in boxes] == pytest.approx([2 / 3 * h for h in heights], abs=0.002)
        assert min(heights) > 0.35  # people whom the mini can draw
        if kind == "one side":
            assert max(box[2] for box in boxes) - min(box[0] for box in boxes) <= 0.551
        elif kind == "unequal sizes":
            assert max(heights) > 1.8 * sorted(heights)[-2]
        else:
            assert min(box[3] for box in boxes) <= max(box[1] for box in boxes) + 0.002


def test_what_is_drawn_as_asked_is_found():
    for test in picture_sets([1, 2, 3, 4], 4, seed=2):
        for wanted in test.wanted:
            boxes = laid_out(wanted)
            found = measure(drawn(wanted, boxes), wanted, boxes)
            assert found["hair"] == found["boxes"] == found.get("clothes", 100) == 100 and found["elsewhere"] == 0
            assert found["leak"] < 0.2 if len(boxes) > 1 else "leak" not in found


@pytest.mark.parametrize("swapped", ["hair", "clothes"])
def test_swapped_colours_are_elsewhere(swapped):
    other = {"hair": "clothes", "clothes": "hair"}[swapped]
    wanted, _, _ = looks(word_places(2), random.Random(2))
    assert set(wanted.clothes) <= set(HUES)
    boxes = laid_out(wanted)
    picture = drawn(replace(wanted, **{swapped: getattr(wanted, swapped)[::-1]}), boxes)
    found = measure(picture, wanted, boxes)
    assert (found[swapped], found[other], found["elsewhere"]) == (0, 100, 50)


def test_people_out_of_their_boxes_are_seen():
    wanted, _, _ = looks(word_places(2), random.Random(2))
    boxes = laid_out(wanted)
    found = measure(drawn(wanted, boxes[::-1]), wanted, boxes)
    assert (found["hair"], found["clothes"], found["boxes"], found["elsewhere"]) == (0, 0, 0, 100)
