"""Too long a text is refused in a sentence with its length and the limit, before anything is encoded."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import random_sd
from newbie_pack.isolation.encode import MOST_TOKENS, encode, encode_negative
from newbie_pack.xml_prompt import Field, Tag, layout, parse

SCENE = parse("<character_1><n>miku</n></character_1><character_2><n>kaito</n></character_2>")
TAGS = tuple(Tag(f"tag {number} of many") for number in range(2400))  # the prompt language allows 4,096
MIKU, KAITO = SCENE.characters
LONG = {
    "general tags": replace(SCENE, general=(Field("other", TAGS),)),
    "a character": replace(SCENE, characters=(replace(MIKU, fields=(Field("clothing", TAGS),)), KAITO)),
    "nobody": replace(SCENE, characters=(), general=(Field("other", TAGS),)),
    "caption": replace(SCENE, caption="a very long story of a girl, " * 3000),
}
NEGATIVE = replace(SCENE, characters=(MIKU, replace(KAITO, negative=TAGS)))


@pytest.fixture(params=["NewBie", "SD15", "SDXL"])
def clip(request, mini):
    return mini[1] if request.param == "NewBie" else random_sd.clip(request.param)


def refused(clip, monkeypatch, name, run):
    with monkeypatch.context() as patch, pytest.raises(ValueError, match=f"^The {name} has ") as caught:
        patch.setattr(clip, "encode_from_tokens", lambda *_a, **_k: pytest.fail("encoded"))
        patch.setattr(clip, "encode_from_tokens_scheduled", lambda *_a, **_k: pytest.fail("encoded"))
        run()
    count, limit = (int(number.replace(",", "")) for number in re.findall(r"[\d,]*\d", str(caught.value)))
    assert count > limit == MOST_TOKENS
    encode(clip, SCENE, layout(SCENE), "auto")  # the next prompt is read


@pytest.mark.parametrize("mode", ["strict", "gentle", "off"])
@pytest.mark.parametrize("where", LONG)
def test_a_long_prompt_is_refused_with_its_length(clip, where, mode, monkeypatch):
    scene = LONG[where]
    if where == "caption" and "gemma" not in clip.tokenize(""):
        pytest.skip("tags alone are read")
    refused(clip, monkeypatch, "prompt", lambda: encode(clip, scene, layout(scene), mode))


@pytest.mark.parametrize("mode", ["strict", "gentle", "off"])
@pytest.mark.parametrize("scene", [SCENE, NEGATIVE, replace(SCENE, characters=())])
def test_a_long_negative_is_refused_with_its_length(clip, scene, mode, monkeypatch):
    text = "" if scene is NEGATIVE and mode != "off" else ", ".join(tag.text for tag in TAGS)
    run = lambda: encode_negative(clip, scene, layout(scene), mode, text)  # noqa: E731
    refused(clip, monkeypatch, "negative prompt", run)


def test_just_short_enough_is_read(mini):
    words = " ".join(["a"] * (MOST_TOKENS // 2 - 8))
    features = encode_negative(mini[1], replace(SCENE, characters=()), (), "auto", words)[0][0]
    assert MOST_TOKENS // 2 - 8 < features.shape[1] <= MOST_TOKENS
