"""XML prompt, builders and layout preview, without any model."""

from __future__ import annotations

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import torch
from newbie_pack.nodes.builders import with_character, with_surroundings
from newbie_pack.nodes.layout_drawing import COLOURS, PAPER, draw_layout
from newbie_pack.nodes.prompt import EXAMPLE, NewBieXMLPrompt
from newbie_pack.nodes.sample import NewBieSample
from newbie_pack.xml_prompt import Box, Interaction, PromptError, parse, to_xml


def test_the_example_is_read_without_a_warning():
    output = NewBieXMLPrompt.execute(EXAMPLE)
    scene, xml = output.args
    assert [character.name for character in scene.characters] == ["miku", "kaito"]
    assert output.ui is None
    assert parse(xml).characters == scene.characters


def test_warnings_are_shown_on_the_node():
    output = NewBieXMLPrompt.execute("<character_1><n>miku</n><shoes>red</shoes></character_1>")
    (text,) = output.ui.as_dict()["text"]
    assert "line 1, column 25" in text and "shoes" in text


def test_a_prompt_that_cannot_be_read_is_told_before_anything_runs():
    sentence = NewBieXMLPrompt.validate_inputs("<character_1>\n<n>miku</n>")
    assert "line 1, column 1" in sentence and "</character_1>" in sentence
    assert NewBieXMLPrompt.validate_inputs(EXAMPLE) is True
    assert NewBieXMLPrompt.validate_inputs(None) is True  # linked: not known yet


def test_a_linked_prompt_that_cannot_be_read_raises():
    with pytest.raises(PromptError, match="line 1, column 1"):
        NewBieXMLPrompt.execute("<character_1>\n<n>miku</n>")


def test_eta_is_refused_on_the_node():
    assert "set eta to 0" in NewBieSample.validate_inputs("res_multistep", 0.3)
    assert NewBieSample.validate_inputs("res_multistep", 0.0) is True
    assert NewBieSample.validate_inputs("euler_ancestral", 0.3) is True
    assert "no sampler nope" in NewBieSample.validate_inputs("nope", 0.0)
    assert "from 0 to 1" in NewBieSample.validate_inputs("euler_ancestral", 1.5)


def test_builders_make_the_scene_that_the_xml_makes():
    empty = dict.fromkeys(("gender", "appearance", "clothing", "expression", "action", "position", "negative"), "")
    miku = {"n": "miku", **empty, "position": "left, center_y", "action": "standing, facing_right"}
    kaito = {"n": "kaito", **empty, "position": "right, center_y", "action": "standing, facing_left"}
    both = with_character(with_character(None, miku), kaito)
    built = with_surroundings(both, {"style": "", "caption": ""}, "handshake", "")
    written = parse(EXAMPLE)
    assert [c.id for c in built.characters] == ["character_1", "character_2"]
    assert [{f.name: f.tags for f in c.fields} for c in built.characters] == [
        {f.name: f.tags for f in c.fields} for c in written.characters
    ]
    assert built.interactions == written.interactions


def test_builders_read_tags_as_a_prompt_does():
    scene = with_character(None, {"n": "rin", "appearance": "(blonde hair:1.3), >_<", "gender": "girl"})
    (character,) = scene.characters
    assert [(tag.text, tag.weight) for tag in character.tags("appearance")] == [("blonde hair", 1.3), (">_<", 1.0)]
    assert character.gender == "girl"


def test_the_scene_node_keeps_what_it_is_given():
    scene = with_surroundings(
        with_character(with_character(None, {"n": "a"}), {"n": "b"}),
        {"background": "night_sky", "caption": "Two friends."},
        "handshake，hug",
        " You draw. ",
    )
    assert scene.caption == "Two friends." and scene.system == "You draw."
    assert [tag.text for tag in scene.tags("background")] == ["night_sky"]
    assert scene.interactions == tuple(
        Interaction(kind, ("character_1", "character_2")) for kind in ("handshake", "hug")
    )
    assert parse(to_xml(scene)) == scene


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
        assert torch.cosine_similarity(
            torch.tensor(pixel).float() - torch.tensor(PAPER), torch.tensor(colour).float() - torch.tensor(PAPER), dim=0
        ) > 0.95
