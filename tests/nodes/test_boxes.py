"""Boxes of the host's own node become the characters' places."""

from __future__ import annotations

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import torch
from newbie_pack.nodes.masks import NewBieBoxes
from newbie_pack.xml_prompt import layout, parse

SCENE = parse("<character_1><n>a</n><bbox>0, 0, 10, 10</bbox></character_1><character_2><n>b</n></character_2>")
LATENT = {"samples": torch.zeros(1, 16, 64, 128)}  # 1024 x 512 pixels


def box(x, y, width, height):
    return {"x": x, "y": y, "width": width, "height": height}


@pytest.mark.parametrize("shape", [lambda one: one, lambda one: [one], lambda one: [[one]]])
def test_pixels_become_thousandths_and_the_others_are_laid_out_as_before(shape):
    scene, xml = NewBieBoxes.execute(SCENE, shape(box(512, 0, 256, 512)), LATENT).result
    first, second = layout(scene, 2.0)
    assert (first.left, first.top, first.right, first.bottom) == (500, 0, 750, 1000)
    assert second == layout(parse(xml), 2.0)[1] and scene.characters[1].box is None


def test_boxes_go_by_order_and_end_at_the_picture():
    scene, _ = NewBieBoxes.execute(SCENE, [[box(0, 0, 100, 512), box(900, -50, 500, 700)]], LATENT).result
    assert [round(who.box.right) for who in scene.characters] == [98, 1000]
    assert scene.characters[1].box.top == 0


@pytest.mark.parametrize(
    ("boxes", "sentence"),
    [
        ([[box(0, 0, 9, 9)] * 3], "3 boxes for 2 characters"),
        (box(2000, 0, 10, 10), "Box 1 lies outside"),
        ([box(0, 0, 100, 100), box(0, 0, 0, 10)], "Box 2 lies outside"),
        ([{"left": 1}], "Box 1 lacks a valid x"),
        (["text"], "Box 1 lacks a valid x"),
        (box(float("nan"), 0, 10, 10), "Box 1"),
    ],
)
def test_what_cannot_be_a_place_is_told(boxes, sentence):
    with pytest.raises(ValueError, match=sentence):
        NewBieBoxes.execute(SCENE, boxes, LATENT)


def test_no_boxes_leave_the_scene_as_it_was():
    assert NewBieBoxes.execute(SCENE, [], LATENT).result[0] == SCENE
