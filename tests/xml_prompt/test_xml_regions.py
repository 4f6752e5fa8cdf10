"""Whose place is where: boxes, further boxes, and the gaps that interactions open."""

from __future__ import annotations

import pytest
from newbie_pack.xml_prompt import Box, PromptError, convert, layout, parse, regions, to_xml

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
