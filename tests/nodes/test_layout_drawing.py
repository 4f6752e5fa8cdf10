"""The layout's preview: boxes where they are, and labels that hide none of them."""

from __future__ import annotations

from itertools import combinations

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import torch
from newbie_pack.nodes.preview import COLOURS, PAPER, Area, draw_layout, font_for, inside, label_of, pixels
from newbie_pack.xml_prompt import Box, Character, Scene, layout


@pytest.mark.parametrize("size", [(320, 320), (256, 384), (1536, 1024), (64, 64)])
def test_the_layout_drawing_puts_boxes_where_they_are(size):
    boxes = (Box(0, 0, 400, 1000), Box(600, 200, 1000, 900))
    picture = draw_layout(size, [("miku", "character_1"), ("初音", "character_2")], boxes, [(box,) for box in boxes])
    assert picture.size == size
    width, height = size
    middle = picture.getpixel((round(0.5 * width) + 3, round(0.93 * height)))
    inside = [picture.getpixel((round(x * width), round(0.73 * height))) for x in (0.24, 0.77)]
    assert middle == PAPER
    for pixel, colour in zip(inside, COLOURS, strict=False):
        assert (
            torch.cosine_similarity(
                torch.tensor(pixel).float() - torch.tensor(PAPER),
                torch.tensor(colour).float() - torch.tensor(PAPER),
                dim=0,
            )
            > 0.95
        )


def test_twelve_people_have_colours_that_are_told_apart():
    assert len(set(COLOURS)) >= 12
    for one, other in combinations((*COLOURS, PAPER), 2):
        assert sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) > 45**2


@pytest.mark.parametrize("size", [(320, 320), (256, 384), (1792, 768), (64, 64)])
@pytest.mark.parametrize("count", [1, 4, 8, 12])
def test_labels_stay_inside_their_boxes_and_off_each_other(size, count):
    """What is drawn with names and numbers differs from the same without them inside the boxes' lines alone."""
    scene = Scene(tuple(Character(f"character_{i + 1}", "初音 (vocaloid) " * (i % 3)) for i in range(count)))
    boxes = layout(scene, size[0] / size[1])
    taken = []
    for character, box in zip(scene.characters, boxes, strict=True):
        room = inside(pixels(box, size), 4)
        label = label_of(character.name or character.id, character.id, box, room, 14, taken)
        assert label is not None or min(size) == 64
        if label is not None:
            area = label.area
            assert room.left <= area.left and area.right <= room.right
            assert room.top <= area.top and area.bottom <= room.bottom
            for a in taken:
                assert not (a.left < area.right and area.left < a.right and a.top < area.bottom and area.top < a.bottom)
            taken.append(area)
            if min(size) >= 320 and count <= 8:
                digits = "".join(filter(str.isdigit, label.text.partition("\n")[2]))
                assert digits == f"{box.left:g}{box.top:g}{box.right:g}{box.bottom:g}"


def test_people_in_the_same_box_are_both_named():
    box, room = Box(0, 0, 1000, 1000), Area(4, 4, 316, 316)
    first = label_of("miku", "character_1", box, room, 14, [])
    second = label_of("kaito", "character_2", box, room, 14, [first.area])
    assert second.area.top >= first.area.bottom and second.text == "kaito\n0, 0, 1000, 1000"


@pytest.mark.parametrize("name", ["初音未来", "鏡音リン", "洛天依"])
def test_chinese_names_are_drawn_in_their_own_letters(name):
    font = font_for(name)
    if font is None:
        pytest.skip("this system has no font with Chinese letters")
    assert label_of(name, "character_1", Box(0, 0, 500, 1000), Area(4, 4, 300, 300), 14, []).text.startswith(name)
    masks = [bytes(font.getmask(letter)) for letter in name]
    assert len(set(masks)) == len(name) and bytes(font.getmask("\uffff")) not in masks


def test_a_name_that_no_font_has_is_told_by_its_id():
    label = label_of("\U0010fffe", "character_7", Box(0, 0, 500, 1000), Area(4, 4, 300, 300), 14, [])
    assert label.text.startswith("character_7\n")
