"""Whose place is where: boxes, further boxes, and the gaps that interactions open."""

from __future__ import annotations

import pytest
from newbie_pack.xml_prompt import Box, PromptError, convert, layout, parse, regions, to_xml
from newbie_pack.xml_prompt.layout.boxes import without

MIRROR = (
    "<character_1><n>miku</n><bbox>[0, 100, 300, 900]</bbox><bbox>[700, 100, 900, 900]</bbox></character_1>"
    "<character_2><bbox>[400, 200, 600, 900]</bbox></character_2><interaction>hug</interaction>"
)


def test_further_boxes_belong_to_a_character_before_what_interactions_open():
    scene = parse(MIRROR)
    boxes = layout(scene)
    assert boxes == (Box(0, 100, 300, 900), Box(400, 200, 600, 900))  # the first is where it stands
    between = Box(300, 200, 400, 900)
    assert regions(scene, boxes) == ((boxes[0], Box(700, 100, 900, 900), between), (boxes[1], between))


def test_an_interaction_opens_what_is_between_the_nearest_boxes():
    scene = parse(MIRROR.replace("[400, 200, 600, 900]", "[920, 200, 1000, 900]"))
    boxes = layout(scene)
    assert regions(scene, boxes)[1] == (boxes[1], Box(900, 200, 920, 900))


def test_what_two_open_is_not_a_third_ones():
    """Everyone takes part: first and third meet behind the second's back, and around it."""
    stand = "<character_{0}><bbox>[{1}, {2}, {3}, 900]</bbox></character_{0}>"
    people = stand.format(1, 0, 100, 200) + stand.format(2, 400, 300, 600) + stand.format(3, 800, 100, 1000)
    scene = parse(people + "<interaction>hug</interaction>")
    first, second, third = regions(scene, layout(scene))
    left, right = Box(200, 300, 400, 900), Box(600, 300, 800, 900)
    around = (Box(200, 100, 400, 900), Box(600, 100, 800, 900), Box(400, 100, 600, 300))
    assert first[1:] == (left, *around) and third[1:] == (*around, right)
    assert second[1:] == (left, right)


def cells(boxes):
    return {(x, y) for b in boxes for x in range(int(b.left), int(b.right)) for y in range(int(b.top), int(b.bottom))}


@pytest.mark.parametrize("hole", [
    (2, 2, 5, 5), (0, 0, 9, 9), (-3, 2, 4, 30), (4, -5, 6, 50), (20, 0, 30, 9), (9, 0, 12, 9), (0, 0, 3, 3),
])
def test_a_box_less_another(hole):
    whole, hole = Box(0, 0, 9, 9), Box(*hole)
    parts = without(whole, hole)
    assert cells(parts) == cells([whole]) - cells([hole])
    assert sum(part.width * part.height for part in parts) == len(cells(parts))  # none twice


def test_nobody_is_laid_out_on_a_further_box():
    boxes = "<bbox>[0, 100, 300, 900]</bbox><bbox>[350, 100, 700, 900]</bbox>"
    scene = parse(f"<character_1>{boxes}</character_1><character_2><n>kaito</n></character_2>")
    assert layout(scene)[1].left >= 700


def test_further_boxes_survive_being_written_down():
    scene = parse(MIRROR)
    assert not scene.warnings
    assert parse(to_xml(scene)) == scene


def test_the_same_box_twice_is_one():
    again = parse(MIRROR.replace("</bbox><bbox>", "</bbox><bbox>[0, 100, 300, 900]</bbox><bbox>"))
    assert again.characters == parse(MIRROR).characters


@pytest.mark.parametrize(("reader", "text"), [
    (parse, "<character_1>{}</character_1>"), (convert, "Character 1: miku\n{}"),
])
def test_too_many_boxes(reader, text):
    def boxes(count):
        form = "<bbox>[0, 0, {}, 100]</bbox>" if reader is parse else "bbox: [0, 0, {}, 100]\n"
        return text.format("".join(form.format(10 + n) for n in range(count)))

    assert len(reader(boxes(16)).characters[0].more_boxes) == 15
    with pytest.raises(PromptError, match="character_1 has more than 16 boxes"):
        reader(boxes(17))
