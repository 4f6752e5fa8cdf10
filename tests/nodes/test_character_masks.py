"""NewBie Character Masks: boxes on whole pixels, what detailers take, and silhouettes out of a real run."""

from __future__ import annotations

import re

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import random_sd
import torch
from newbie_pack.nodes.encode import NewBieEncodeCharacters
from newbie_pack.nodes.masks import NewBieCharacterMasks, grown, segs_of
from newbie_pack.sampling.sample import sample
from newbie_pack.xml_prompt import layout, parse

SCENE = parse(
    "<character_1><n>miku</n><appearance>(blue hair:1.2), twintails</appearance><bbox>[100, 0, 400, 1000]</bbox>"
    "</character_1><character_2><n>kaito</n><appearance>red hair</appearance><bbox>[600, 200, 900, 1000]</bbox>"
    "</character_2><general_tags><background>beach</background><interaction>handshake</interaction></general_tags>"
)
LATENT = {"samples": torch.zeros(1, 16, 20, 40)}


def run(**inputs):
    names = ("masks", "mask", "segs", "boxes", "prompt", "prompts", "detailer_prompts")
    given = {"scene": SCENE, "shape": "boxes", "character": 1, "latent": LATENT, **inputs}
    return dict(zip(names, NewBieCharacterMasks.execute(**given).result, strict=True))


def test_boxes_are_exact_in_pixels_and_in_order():
    got = run(character=2)
    assert got["masks"].shape == (2, 160, 320)
    expected = torch.zeros(2, 160, 320)
    expected[0, :, 32:128], expected[1, 32:, 192:288] = 1, 1
    assert torch.equal(got["masks"], expected) and torch.equal(got["mask"], expected[1:])
    assert got["boxes"] == [[{"x": 32, "y": 0, "width": 96, "height": 160}, {"x": 192, "y": 32, "width": 96,
                                                                             "height": 128}]]


def test_a_gap_is_of_both():
    masks = run(shape="boxes and gaps")["masks"]
    assert masks[:, 100, 160].tolist() == [1, 1] and run()["masks"][:, 100, 160].tolist() == [0, 0]


def test_prompts_are_each_characters_own_tags():
    got = run(character=2)
    assert len(got["prompts"]) == 2 and got["prompt"] == got["prompts"][1]
    assert "red hair" in got["prompt"] and "blue" not in got["prompt"] and "beach" not in got["prompt"]
    assert "blue hair" in got["prompts"][0] and "red" not in got["prompts"][0]


def test_segs_are_as_detailers_read_them():
    (height, width), (one, other) = run(crop_factor=2.0)["segs"]
    assert (height, width) == (160, 320)
    assert (one.label, one.bbox, one.crop_region) == ("miku", [32, 0, 128, 160], [0, 0, 176, 160])
    assert other.crop_region == [144, 0, 320, 160] and other.bbox == [192, 32, 288, 160]
    assert one.cropped_mask.shape == (160, 176) and one.cropped_mask[:, 32:128].all()
    assert one.cropped_mask.sum() == 160 * 96 and one.cropped_image is None and one.control_net_wrapper is None


def test_labels_are_what_detailers_can_read_and_nobody_shares_one():
    names = ("miku", "ALL", "初音", "kaito", "kaito", "", "Hatsune Miku")
    people = "".join(f"<character_{i}><n>{name}</n></character_{i}>" for i, name in enumerate(names, start=1))
    got = run(scene=parse(people.replace("<n></n>", "<appearance>red hair</appearance>")))
    labels = [seg.label for seg in got["segs"][1]]
    assert labels == ["miku", *(f"character_{i}" for i in range(2, 7)), "Hatsune Miku"]
    head, told = got["detailer_prompts"].split("\n", 1)
    blocks = re.split(r"^\[(.+)\]\n", told, flags=re.MULTILINE)[1:]
    assert head == "[LAB]" and blocks[::2] == labels
    assert [text.strip() for text in blocks[1::2]] == got["prompts"]


def test_who_is_not_seen_has_no_seg():
    masks = torch.zeros(2, 8, 8)
    masks[1, 2:4, 3:6] = 1
    assert [seg.label for seg in segs_of(masks, ["a", "b"], 1.0)[1]] == ["b"]


@pytest.mark.parametrize(("factor", "expected"), [(1.0, (10, 20, 30, 40)), (3.0, (0, 0, 50, 60))])
def test_a_crop_grows_about_its_middle_within_the_picture(factor, expected):
    assert grown((10, 20, 30, 40), factor, 60, 100) == expected


def test_silhouettes_lie_within_the_boxes(mini):
    model, clip = mini[:2]
    positive, negative = NewBieEncodeCharacters.execute(clip, SCENE, "strict", "", latent=LATENT).result
    settings = {"seed": 3, "steps": 3, "guidance": 1.0, "eta": 0.0, "sampler": "euler", "scheduler": "simple"}
    drawn = sample(model, positive, negative, LATENT, **settings)
    got = run(shape="silhouettes", positive=positive, latent=drawn)
    allowed = run(shape="boxes and gaps")["masks"]
    grown_by_tokens = torch.nn.functional.max_pool2d(allowed, 33, 1, 16)
    assert got["masks"].any() and not (got["masks"] * (1 - grown_by_tokens)).any()
    assert not torch.equal(got["masks"], allowed)


@pytest.mark.parametrize(("inputs", "sentence"), [
    ({"latent": None}, "picture's size is unknown"),
    ({"character": 3}, "character is 3, but the scene has 2"),
    ({"scene": parse("<general_tags><background>beach</background></general_tags>")}, "no characters"),
    ({"shape": "silhouettes"}, "connect the positive of NewBie Encode Characters"),
    ({"shape": "silhouettes", "positive": [[torch.zeros(1, 2, 3), {}]]}, "connect the positive"),
])
def test_what_is_missing_is_said(inputs, sentence):
    with pytest.raises(ValueError, match=sentence):
        run(**inputs)


@pytest.mark.parametrize("kind", ["SD15", "SD20", "SDXL"])
def test_sd_is_told_to_have_no_silhouettes_and_has_boxes(kind):
    latent = {"samples": torch.zeros(1, 4, 20, 40)}
    positive = NewBieEncodeCharacters.execute(random_sd.clip(kind), SCENE, "auto", "", latent=latent).result[0]
    with pytest.raises(ValueError, match="SDXL show no silhouettes: choose boxes"):
        run(shape="silhouettes", positive=positive, latent=latent)
    assert run(positive=positive, latent=latent)["masks"].any()


def test_an_image_tells_the_size_too():
    masks = run(latent=None, image=torch.zeros(1, 100, 50, 3))["masks"]
    assert masks.shape == (2, 100, 50)
    assert [int(m.any(0).sum()) for m in masks] == [round(box.width / 20) for box in layout(SCENE, 0.5)]
