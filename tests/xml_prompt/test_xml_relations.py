"""Who is left of, above or behind whom: obeyed, or a PromptError that names both."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from newbie_pack.xml_prompt import Box, Character, Field, PromptError, Scene, Tag, layout
from newbie_pack.xml_prompt.layout.places import links_of, read_position, strangers

NAMES = ("miku", "kaito", "rin", "len", "Hatsune Gumi (vocaloid)", "", "初音", "luka")


def people(*positions, boxes=(), names=NAMES):
    characters = []
    for i, position in enumerate(positions):
        tags = tuple(Tag(word) for word in ([position] if isinstance(position, str) else position) if word)
        fields = (Field("position", tags),) if tags else ()
        box = boxes[i] if i < len(boxes) else None
        characters.append(Character(f"character_{i + 1}", names[i], fields, box=box))
    return Scene(tuple(characters))


def middle(box):
    return (box.left + box.right) / 2


def overlap(a, b):
    return min(a.right, b.right) > max(a.left, b.left) and min(a.bottom, b.bottom) > max(a.top, b.top)


def order(*positions, aspect=1.0, **rest):
    """The characters' numbers from left to right; nobody overlaps."""
    boxes = layout(people(*positions, **rest), aspect)
    assert not any(overlap(a, b) for a, b in combinations(boxes, 2))
    return [i + 1 for i in sorted(range(len(boxes)), key=lambda i: middle(boxes[i]))]


@pytest.mark.parametrize(
    ("text", "axis", "before", "other"),
    [
        ("left of character_2", "across", True, "character_2"),
        ("to the left of miku", "across", True, "miku"),
        ("standing_to_the_right_of_miku", "across", False, "miku"),
        ("on the right side of Kaito", "across", False, "kaito"),
        ("on miku's left", "across", True, "miku"),
        ("在初音的左边", "across", True, "初音"),
        ("初音右侧", "across", False, "初音"),
        ("角色二左边", "across", True, "角色二"),
        ("behind miku", "depth", True, "miku"),
        ("在初音身后", "depth", True, "初音"),
        ("in front of the miku", "depth", False, "miku"),
        ("初音的前面", "depth", False, "初音"),
        ("above miku", "down", True, "miku"),
        ("在初音上方", "down", True, "初音"),
        ("below character_3", "down", False, "character_3"),
        ("在 初音 下面", "down", False, "初音"),
    ],
)
def test_relations_are_read(text, axis, before, other):
    place, unknown = read_position([text])
    assert unknown == ()
    assert [(r.axis, r.before, r.other) for r in place.relations] == [(axis, before, other)]


@pytest.mark.parametrize("text", ["left of the picture", "左边", "画面右侧", "in the back", "upper left corner", "far"])
def test_words_about_the_picture_are_no_relations(text):
    assert read_position([text])[0].relations == ()


@pytest.mark.parametrize("speaker", range(5))
@pytest.mark.parametrize("name", ["character_6", "Character 6", "角色六"])
def test_people_are_found_by_their_ids(name, speaker):
    places = [""] * 6
    places[speaker] = f"left of {name}"
    found = order(*places, aspect=2.0)
    assert found.index(speaker + 1) < found.index(6)


def test_people_are_found_by_their_names_and_by_a_word_that_only_one_has():
    assert order("right of kaito", "") == [2, 1]
    assert order("right of gumi", "", "", "", "") == [2, 3, 4, 5, 1]
    assert order("", "", "", "", "", "", "左", "在初音左边").index(8) < 7
    twins = Scene(people("left of miku", "left of miku", names=("miku", "rin")).characters)
    assert strangers(twins, [read_position([t.text for t in c.tags("position")])[0] for c in twins.characters]) == ()


def test_who_says_it_moves():
    assert order("", "", "left of character_1") == [3, 1, 2]
    assert order("right of character_3", "", "") == [2, 3, 1]
    assert order("", "left of miku", "left of kaito") == [3, 2, 1]
    assert order("", "", "", "在初音左边", names=("a", "b", "初音", "d")) == [1, 2, 4, 3]


def test_places_and_relations_together():
    assert order("right of kaito", "left") == [2, 1]
    assert order("left of kaito", "25%", aspect=2.0) == [1, 2]
    assert order(["right of kaito", "right"], "left", "center", aspect=2.0) == [2, 3, 1]
    assert middle(layout(people("left of kaito", "50%"), 2.0)[1]) == pytest.approx(500, abs=1)


def test_relations_to_stated_boxes():
    box = Box(400, 100, 600, 900)
    for word, side in (("left", True), ("right", False)):
        boxes = layout(people(f"{word} of kaito", "", f"{word} of miku", boxes=[None, box]))
        first = (boxes[0].right <= 400) if side else (boxes[0].left >= 600)
        assert first and boxes[1] == box and (middle(boxes[2]) < middle(boxes[0])) == side
    high, _ = layout(people("above kaito", "", boxes=[None, Box(200, 500, 800, 950)]))
    assert high.bottom <= 500
    _, low, plain = layout(people("", "below miku", "", boxes=[Box(0, 0, 500, 300)]))
    assert low.top >= 300 and not overlap(low, plain)


def test_above_and_below_are_rows():
    a, b = layout(people("above kaito", ""))
    assert a.bottom <= b.top
    a, b, c = layout(people("", "below miku", "below kaito"))
    assert a.bottom <= b.top and b.bottom <= c.top
    a, b, c = layout(people("", "在初音下方", "", names=("初音", "b", "c")))
    assert a.bottom <= b.top and c.top == a.top and not overlap(a, c)


def test_people_in_different_rows():
    a, b = layout(people("top", ["bottom", "left of miku"]))
    assert a.bottom <= b.top and middle(b) < middle(a)
    a, b = layout(people(["above kaito", "right of kaito"], "left"))
    assert a.bottom <= b.top and middle(b) < middle(a)


def test_behind_is_smaller_and_further_up():
    miku, kaito = layout(people("", "behind miku"), 1.5)
    assert kaito.height < miku.height and kaito.bottom < miku.bottom and not overlap(miku, kaito)
    miku, kaito = layout(people("in front of kaito", "background"), 1.5)
    assert kaito.height < miku.height and kaito.bottom < miku.bottom
    near, far, further = layout(people("", "behind miku", "behind kaito"), 1.5)
    assert near.height > far.height > further.height and near.bottom > far.bottom > further.bottom


CONTRADICTIONS = [
    (["left of kaito", "left of miku"], ("miku (character_1)", "kaito (character_2)")),
    (["在kaito左边", "在miku左边"], ("miku (character_1)", "kaito (character_2)")),
    (["left of kaito", "left of rin", "left of miku"], ("miku", "kaito", "rin")),
    (["above kaito", "above miku"], ("miku", "kaito")),
    (["behind kaito", "behind miku"], ("miku", "kaito")),
    (["left of kaito", "right of rin", "right of kaito"], ("kaito", "rin")),
    ([["80%", "left of kaito"], "20%"], ("miku", "kaito")),
    ([["50%", "left of kaito"], "50%"], ("miku", "kaito")),
    ([["right", "left of kaito"], "left"], ("miku", "kaito")),
    (["80%", ["left of rin", "right of miku"], "20%"], ("miku", "rin", "kaito")),
    ([["top", "below kaito"], "bottom"], ("miku", "kaito")),
    ([["foreground", "behind kaito"], "background"], ("miku", "kaito")),
    (["left of character_1"], ("miku",)),
]


@pytest.mark.parametrize(("positions", "named"), CONTRADICTIONS)
def test_contradictions_name_those_concerned(positions, named):
    with pytest.raises(PromptError) as caught:
        layout(people(*positions))
    assert all(name in str(caught.value) for name in named)
    assert caught.value.line == 0


def test_contradictions_with_boxes():
    boxes = [Box(0, 0, 400, 900), Box(500, 0, 900, 900)]
    with pytest.raises(PromptError, match=r"kaito \(character_2\) is left of miku"):
        layout(people("right of kaito", "", boxes=boxes))
    with pytest.raises(PromptError, match="no room"):
        layout(people("left of kaito", "", boxes=[None, Box(0, 0, 400, 1000)]))
    with pytest.raises(PromptError, match="no room for character_1"):
        layout(people("above kaito", "", boxes=[None, Box(0, 20, 400, 1000)]))


@pytest.mark.parametrize("positions", [["left of kaito", "right of miku"], [["left", "left of kaito"], "left"]])
def test_what_agrees_is_no_contradiction(positions):
    assert order(*positions) == [1, 2]


def test_a_stranger_says_the_side_alone():
    scene = people("right of the table", "behind teto")
    places = [read_position([tag.text for tag in c.tags("position")])[0] for c in scene.characters]
    assert links_of(scene, places) == ()
    assert strangers(scene, places) == ((0, "table"), (1, "teto"))
    assert layout(scene) == layout(people("right", ""))


words = st.sampled_from(["left of", "right of", "above", "below", "behind", "in front of"])
relation = st.tuples(words, st.integers(1, 6))
said = st.lists(st.lists(relation, max_size=2), min_size=1, max_size=6)


@settings(max_examples=300, deadline=None)
@given(said, st.floats(0.4, 2.5))
def test_relations_are_obeyed_or_refused(said, aspect):
    scene = people(*([f"{word} character_{number}" for word, number in one] for one in said))
    try:
        boxes = layout(scene, aspect)
    except PromptError:
        return
    assert layout(scene, aspect) == boxes
    for i, one in enumerate(said):
        for word, number in one:
            if number > len(said):
                continue
            me, other = boxes[i], boxes[number - 1]
            if word == "left of":
                assert middle(me) < middle(other)
            elif word == "right of":
                assert middle(me) > middle(other)
            elif word == "above":
                assert me.bottom <= other.top
            elif word == "below":
                assert me.top >= other.bottom
    for i, k in combinations(range(len(said)), 2):
        if said[i] or said[k] or len(said) <= 4:  # more who say nothing stand partly behind each other
            assert not overlap(boxes[i], boxes[k])
