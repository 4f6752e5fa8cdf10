"""XML prompt, builders and layout preview, without any model."""

from __future__ import annotations

import inspect

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import torch
from newbie_pack.nodes import common
from newbie_pack.nodes.masks import box_of_mask
from newbie_pack.nodes.prompt import (
    TEXT_EXAMPLE,
    XML_EXAMPLE,
    NewBieCharacter,
    NewBieTextToXML,
    NewBieXMLPrompt,
    with_character,
    with_surroundings,
)
from newbie_pack.nodes.sample import NewBieSample
from newbie_pack.xml_prompt import Box, Interaction, Message, PromptError, layout, parse, to_xml


def test_the_example_is_read_without_a_warning():
    output = NewBieXMLPrompt.execute(XML_EXAMPLE)
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
    assert NewBieXMLPrompt.validate_inputs(XML_EXAMPLE) is True
    assert NewBieXMLPrompt.validate_inputs(None) is True  # linked: not known yet


def test_a_linked_prompt_that_cannot_be_read_raises():
    with pytest.raises(PromptError, match="line 1, column 1"):
        NewBieXMLPrompt.execute("<character_1>\n<n>miku</n>")


def test_eta_is_refused_on_the_node():
    assert "set eta to 0" in NewBieSample.validate_inputs("res_multistep", 0.3)
    assert NewBieSample.validate_inputs("res_multistep", 0.0) is True
    assert NewBieSample.validate_inputs("euler_ancestral", 0.3) is True
    assert "sampler is 'nope'" in NewBieSample.validate_inputs("nope", 0.0)
    assert "from 0 to 1" in NewBieSample.validate_inputs("euler_ancestral", 1.5)


def test_builders_make_the_scene_that_the_xml_makes():
    empty = dict.fromkeys(("gender", "appearance", "clothing", "expression", "action", "position", "negative"), "")
    miku = {"name": "miku", **empty, "position": "left, center_y", "action": "standing, facing_right"}
    kaito = {"name": "kaito", **empty, "position": "right, center_y", "action": "standing, facing_left"}
    both = with_character(with_character(None, miku), kaito)
    built = with_surroundings(both, {"style": "", "caption": "", "interaction": "handshake"}, "")
    written = parse(XML_EXAMPLE)
    assert [c.id for c in built.characters] == ["character_1", "character_2"]
    assert [{f.name: f.tags for f in c.fields} for c in built.characters] == [
        {f.name: f.tags for f in c.fields} for c in written.characters
    ]
    assert built.interactions == written.interactions


def test_builders_read_tags_as_a_prompt_does():
    scene = with_character(None, {"name": "rin", "appearance": "(blonde hair:1.3), >_<", "gender": "girl"})
    (character,) = scene.characters
    assert [(tag.text, tag.weight) for tag in character.tags("appearance")] == [("blonde hair", 1.3), (">_<", 1.0)]
    assert character.gender == "girl"


def test_the_scene_node_keeps_what_it_is_given():
    scene = with_surroundings(
        with_character(with_character(None, {"name": "a"}), {"name": "b"}),
        {"background": "night_sky", "caption": "Two friends.", "interaction": "handshake，hug"},
        " You draw. ",
    )
    assert scene.caption == "Two friends." and scene.system == "You draw."
    assert [tag.text for tag in scene.tags("background")] == ["night_sky"]
    assert scene.interactions == tuple(
        Interaction(kind, ("character_1", "character_2")) for kind in ("handshake", "hug")
    )
    assert parse(to_xml(scene)) == scene


def test_places_in_a_builder_are_those_of_the_field():
    """The user never sees the XML that the node makes of its inputs."""
    fields = {"name": "rin", "appearance": "blue hair,\n(smile", "clothing": "", "position": "lefft"}
    unpaired, position = (warning.text() for warning in with_character(None, fields).warnings)
    assert unpaired.startswith("appearance, line 2, column 1: ")
    assert position.startswith("position, line 1, column 1: ") and "left" in position
    with pytest.raises(PromptError, match=r"^clothing, line 1, column \d+: .*99"):
        with_character(None, {"name": "rin", "appearance": "blue hair", "clothing": "(hat:99)"})
    with pytest.raises(PromptError, match=r"^name, line 1, column 1: "):
        with_character(None, {"name": "<b>", "appearance": "blue hair"})


def test_a_node_shows_its_own_warnings_and_the_scene_keeps_all():
    inputs = dict.fromkeys(("name", "appearance", "clothing", "expression", "action", "position", "negative"), "")
    first = NewBieCharacter.execute("unstated", **{**inputs, "clothing": "scarf]"})
    second = NewBieCharacter.execute("unstated", first.args[0], **inputs)
    assert "clothing" in first.ui.as_dict()["text"][0]
    assert second.ui is None
    assert second.args[0].warnings == first.args[0].warnings != ()


MASK = torch.zeros(2, 100, 200)
MASK[0, 10:60, 50:100] = 1.0
MASK[1, 40:80, 20:60] = 0.7
MASK[1, :, 190:] = 0.5  # not above one half


@pytest.mark.parametrize(
    ("mask", "box"),
    [
        (MASK, Box(100, 100, 500, 800)),  # of all pictures together
        (MASK[0], Box(250, 100, 500, 600)),
        (torch.ones(1, 7, 3), Box(0, 0, 1000, 1000)),
        (torch.eye(3), Box(0, 0, 1000, 1000)),
        (
            torch.nn.functional.pad(torch.ones(1, 1), (1, 1, 2, 0)),
            Box(333, 666, 667, 1000),
        ),  # whole grid lines, outwards
    ],
)
def test_a_mask_is_the_box_around_its_bright_part(mask, box):
    inputs = dict.fromkeys(("name", "appearance", "clothing", "expression", "action", "position", "negative"), "")
    scene, xml = NewBieCharacter.execute("unstated", mask=mask, **{**inputs, "position": "right"}).args
    assert scene.characters[0].box == box == parse(xml).characters[0].box
    assert layout(scene) == (box,)


def test_a_mask_is_the_only_place():
    """A <bbox> typed into a field is the same element as in a prompt."""
    fields = {"name": "rin", "appearance": "blue hair<bbox>[0, 0, 500, 1000]</bbox><bbox>[600, 0, 900, 1000]</bbox>"}
    left, right = Box(0, 0, 500, 1000), Box(600, 0, 900, 1000)
    stated = with_character(None, fields)
    assert (stated.characters[0].box, stated.characters[0].more_boxes) == (left, (right,))
    masked = with_character(None, fields, right)
    assert (masked.characters[0].box, masked.characters[0].more_boxes) == (right, ())
    (said,) = masked.warnings[len(stated.warnings) :]
    assert said.text() == "The mask decides where this character is; the <bbox> in its fields is ignored."
    assert with_character(None, {"name": "rin"}, right).warnings == ()


def test_an_empty_mask_is_one_sentence():
    with pytest.raises(ValueError, match=r"^The mask is empty: [^.]+\.$"):
        box_of_mask(torch.full((1, 8, 8), 0.5))


def test_plain_text_becomes_characters():
    scene, xml = NewBieTextToXML.execute(TEXT_EXAMPLE).args
    assert [character.gender for character in scene.characters] == ["girl", "boy"]
    assert [tag.text for tag in scene.characters[0].tags("appearance")] == ["blue hair"]
    assert parse(xml).characters == scene.characters
    left, right = layout(scene)
    assert left.right <= right.left


def test_text_to_xml_reads_xml_as_it_is():
    assert NewBieTextToXML.execute(XML_EXAMPLE).args[0] == parse(XML_EXAMPLE)


def test_guesses_are_shown_on_the_node():
    assert NewBieTextToXML.execute("2girls, blue hair").ui.as_dict()["text"][0]


CONTRADICTION = """<character_1><n>miku</n><position>left of kaito</position></character_1>
<character_2><n>kaito</n><position>left of miku</position></character_2>"""


@pytest.mark.parametrize("node", [NewBieXMLPrompt, NewBieTextToXML])
def test_a_contradiction_is_told_before_anything_runs(node):
    sentence = node.validate_inputs(CONTRADICTION)
    assert "miku" in sentence and "kaito" in sentence
    assert node.validate_inputs(XML_EXAMPLE) is True
    assert node.validate_inputs(None) is True


@pytest.mark.parametrize("node", [NewBieXMLPrompt, NewBieTextToXML])
def test_validation_judges_one_input(node):
    """The host repeats the sentence for every input that validate_inputs takes."""
    assert len(inspect.signature(node.validate_inputs).parameters) == 1


def test_a_layout_is_refused_only_where_no_usual_shape_has_room(monkeypatch):
    """The prompt's node does not know the picture's shape, and must not refuse what another one has room for."""

    def for_wide_pictures(scene, aspect):
        if aspect < 1.2:
            raise PromptError(Message(f"No room at {aspect}."))

    monkeypatch.setattr(common, "layout", for_wide_pictures)
    assert NewBieXMLPrompt.validate_inputs(XML_EXAMPLE) is True
    monkeypatch.setattr(common, "ASPECTS", (1.0, 0.5))
    assert NewBieXMLPrompt.validate_inputs(XML_EXAMPLE) == "No room at 1.0."
