"""What the model was not made for is drawn, and told on the node with the sizes in it."""

from __future__ import annotations

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import torch
from newbie_pack.nodes.common import SIZES, doubt_of_people, doubt_of_size, doubts
from newbie_pack.nodes.encode import NewBieEncodeCharacters
from newbie_pack.nodes.sample import NewBieSample
from newbie_pack.xml_prompt import parse

FULL = {"cap_feat_dim": 2560, "clip_text_dim": 1024}
MINI = {"cap_feat_dim": 192, "clip_text_dim": 128}
SETTINGS = {"seed": 1, "steps": 1, "guidance": 1.0, "guidance_start": 0.0, "guidance_end": 1.0, "renorm": 0.0}
SETTINGS |= {"sampler": "euler", "eta": 0.0, "shift": 6.0, "scheduler": "simple", "denoise": 1.0}


@pytest.mark.parametrize(
    ("config", "size", "told"),
    [
        *((MINI, size, False) for name, size in SIZES.items() if name.startswith("mini")),
        (MINI, (352, 320), False),
        (MINI, (448, 448), False),
        (MINI, (640, 640), False),
        (MINI, (1024, 1024), True),
        (MINI, (208, 208), True),
        (MINI, (64, 64), True),
        (MINI, (512, 208), True),  # as many pixels, and much too long
        *((FULL, size, False) for name, size in SIZES.items() if name.startswith("NewBie")),
        (FULL, (512, 512), False),
        (FULL, (504, 1024), True),
        (FULL, (320, 320), True),
    ],
)
def test_a_size_that_the_model_cannot_draw_is_told(config, size, told):
    said = doubt_of_size(config, *size)
    assert (said is not None) == told
    if said:
        assert said.startswith(f"This picture is {size[0]} x {size[1]} pixels")


def test_more_people_than_the_mini_knows_are_told():
    assert doubt_of_people(MINI, 8) is None
    assert doubt_of_people(MINI, 9) == (
        "The prompt has 9 characters, but the mini was trained on at most 8: leave some out."
    )
    assert doubt_of_people(FULL, 9) is None


def latent(height, width):
    return {"samples": torch.zeros(1, 16, height, width)}


def crowd(people):
    return parse("".join(f"<character_{i}><n>miku</n></character_{i}>" for i in range(1, people + 1)))


def told(mini, people, laid_out, drawn):
    model, clip, _, _ = mini
    positive, negative = NewBieEncodeCharacters.execute(clip, crowd(people), "strict", "", laid_out).result
    return NewBieSample.execute(model, positive, negative, drawn, **SETTINGS)


def test_it_is_on_the_node_and_the_picture_is_drawn(mini):
    output = told(mini, 9, latent(12, 8), latent(8, 12))
    assert output.result[0]["samples"].isfinite().all()
    shape, size, people = output.ui.as_dict()["text"][0].split("\n")
    assert "laid out for 64 x 96 pixels, but 96 x 64 are being drawn" in shape
    assert size.startswith("This picture is 96 x 64 pixels, unlike the sizes the mini was trained on")
    assert people.startswith("The prompt has 9 characters")


def test_without_a_latent_the_layout_is_a_squares(mini):
    assert "a square picture (no latent was connected), but 480 x 240 are being drawn" in (
        told(mini, 2, None, latent(30, 60)).ui.as_dict()["text"][0]
    )


def test_there_is_nothing_to_say_of_what_fits(mini):
    assert told(mini, 2, latent(40, 40), latent(40, 40)).ui is None


def test_other_models_and_other_texts_are_left_alone(mini):
    model, clip, _, _ = mini
    plain = clip.encode_from_tokens_scheduled(clip.tokenize("miku"))
    assert doubts(model, plain, latent(40, 40)) == []
    assert len(doubts(model, plain, latent(8, 8))) == 1
