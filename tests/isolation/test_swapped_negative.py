"""A share of the negative is the same prompt with the characters exchanged: guidance leads away from mix-ups."""

from __future__ import annotations

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import torch
from conditionings import plan_of
from newbie_pack.isolation.encode import encode, encode_negative
from newbie_pack.isolation.plan import Options
from newbie_pack.xml_prompt import Box, parse, swapped

import nodes as stock

SCENE = parse(
    "<character_1><n>miku</n><appearance>aqua_hair</appearance><negative>hat</negative></character_1>"
    "<character_2><n>kaito</n><appearance>blue_hair</appearance></character_2>"
    "<general_tags><background>night_sky</background></general_tags>"
)
BOXES = (Box(0, 0, 500, 1000), Box(500, 0, 1000, 1000))


def strengths(conditioning):
    return [values.get("strength") for _, values in conditioning]


@pytest.mark.parametrize("mode", ["strict", "gentle", "off"])
def test_the_negative_is_both_by_their_shares(mini, mode):
    clip, options = mini[1], Options(swapped=0.25)
    unwanted = encode_negative(clip, SCENE, BOXES, mode, "bad")
    exchanged = encode(clip, swapped(SCENE), BOXES, mode, options)
    assert strengths(unwanted) == strengths(exchanged) == [None]
    both = encode_negative(clip, SCENE, BOXES, mode, "bad", options)
    assert strengths(both) == [0.75, 0.25]
    assert torch.equal(both[0][0], unwanted[0][0]) and torch.equal(both[1][0], exchanged[0][0])
    assert not torch.equal(exchanged[0][0], encode(clip, SCENE, BOXES, mode)[0][0])
    if mode != "off":
        assert plan_of(both[1:]) == plan_of(exchanged)


def test_the_whole_negative_can_be_the_exchanged_prompt(mini):
    both = encode_negative(mini[1], SCENE, BOXES, "strict", "bad", Options(swapped=1.0))
    assert strengths(both) == [1.0] and torch.equal(both[0][0], encode(mini[1], swapped(SCENE), BOXES, "strict")[0][0])


def test_one_alone_can_not_be_mixed_up(mini):
    scene = parse("<character_1><n>miku</n></character_1>")
    assert strengths(encode_negative(mini[1], scene, BOXES[:1], "strict", "bad", Options(swapped=0.5))) == [None]


@pytest.mark.parametrize("mode", ["strict", "gentle", "off"])
def test_the_host_adds_them_up(mini, mode):
    """Guidance 0 is the negative alone; one step, so that it is the model's own answer. Tolerance: float32."""
    model, clip = mini[0], mini[1]
    positive = encode(clip, SCENE, BOXES, mode)

    def answer(negative):
        latent = {"samples": torch.zeros(1, 16, 10, 12)}
        arguments = model, 3, 1, 0.0, "euler", "simple", positive, negative, latent
        return stock.KSampler().sample(*arguments)[0]["samples"]

    unwanted, exchanged = encode_negative(clip, SCENE, BOXES, mode, "bad"), encode(clip, swapped(SCENE), BOXES, mode)
    one, other = answer(unwanted), answer(exchanged)
    assert (one - other).norm() > 0.01 * one.norm()
    mixed = answer(encode_negative(clip, SCENE, BOXES, mode, "bad", Options(swapped=0.25)))
    torch.testing.assert_close(mixed, 0.75 * one + 0.25 * other, rtol=0, atol=1e-5 * float(one.abs().max()))
