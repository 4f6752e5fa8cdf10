"""A node on the way that drops the isolation is named on the node that samples; what arrives, or never was, is not."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import torch
from newbie_pack.isolation.encode import encode, encode_plain
from newbie_pack.nodes.common import lost, sources
from newbie_pack.nodes.guider import NewBieGuider
from newbie_pack.nodes.sample import NewBieSample
from newbie_pack.xml_prompt import Box, parse

import nodes as stock

XML = "<character_1><n>miku</n></character_1><character_2><n>kaito</n></character_2>"
BOXES = (Box(0, 0, 500, 1000), Box(500, 0, 1000, 1000))


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


ENCODE = node("NewBieEncodeCharacters", mode="auto", clip=["loader", 1], scene=["prompt", 0])
GRAPH = {
    "loader": node("NewBieLoader"),
    "prompt": node("NewBieXMLPrompt", xml=XML),
    "encode": ENCODE,
    "again": ENCODE,
    "off": node("NewBieEncodeCharacters", mode="off", clip=["loader", 1]),
    "plain": node("CLIPTextEncode", clip=["loader", 1], text=["prompt", 1]),
    "concat": node("ConditioningConcat", conditioning_to=["plain", 0], conditioning_from=["encode", 0]),
    "combine": node("ConditioningCombine", conditioning_1=["encode", 0], conditioning_2=["again", 0]),
    "combined": node("ConditioningCombine", conditioning_1=["concat", 0], conditioning_2=["again", 0]),
    "unknown": node("ClownRegionalConditioning2", conditioning_masked=["plain", 0], unmasked=["encode", 0]),
    "of off": node("ConditioningConcat", conditioning_to=["plain", 0], conditioning_from=["off", 0]),
    "negative": node("ConditioningConcat", conditioning_to=["plain", 0], conditioning_from=["encode", 1]),
    "first": node("NewBieSample", positive=["encode", 0], negative=["encode", 1]),
    "picture": node("VAEDecode", samples=["first", 0], vae=["loader", 2]),
    "seen": node("unCLIPConditioning", conditioning=["plain", 0], clip_vision_output=["vision", 0]),
    "vision": node("CLIPVisionEncode", image=["picture", 0]),
    "circle": node("ConditioningConcat", conditioning_to=["circle", 0], conditioning_from=["circle", 0]),
}


def hidden(source, output=0):
    graph = {**GRAPH, "sampler": node("NewBieSample", positive=[source, output], negative=["encode", 1])}
    return SimpleNamespace(prompt=graph, unique_id="sampler")


@pytest.fixture
def isolated(mini):
    return encode(mini[1], parse(XML), BOXES, "strict")


@pytest.fixture
def plain(mini):
    return encode_plain(mini[1], XML)


@pytest.mark.parametrize(
    ("source", "names"), [("concat", ["ConditioningConcat"]), ("unknown", ["ClownRegionalConditioning2"])]
)
def test_a_node_that_drops_it_is_named(plain, source, names):
    (sentence,) = lost(hidden(source), plain)
    assert "was lost" in sentence and all(name in sentence for name in names)


def test_one_of_two_that_is_dropped_is_said(mini, isolated, plain):
    other = encode(mini[1], parse(XML), BOXES, "strict")
    (sentence,) = lost(hidden("combined"), plain + other)
    assert "ConditioningConcat" in sentence
    assert lost(hidden("combine"), isolated + other) == []


@pytest.mark.parametrize("source", ["encode", "plain", "of off", "negative", "seen", "circle", "loader", "nobody"])
def test_where_nothing_was_made_nothing_is_lost(plain, source):
    """Also from the node itself: a scene without characters has no isolation."""
    assert lost(hidden(source), plain) == []


def test_what_arrives_is_not_lost(isolated):
    for source in ("encode", "concat", "unknown"):
        assert lost(hidden(source), isolated) == []


@pytest.mark.parametrize("none", [None, SimpleNamespace(prompt=None, unique_id=None), SimpleNamespace()])
def test_without_a_graph_nothing_is_said(plain, none):
    assert lost(none, plain) == []


def test_links_may_be_anything(plain):
    for wrong in (["nobody", 0], ["concat"], "text", None, 3, ["concat", 0, 0], {"a": 1}):
        graph = {**GRAPH, "sampler": node("NewBieSample", positive=wrong)}
        assert sources(graph, "sampler", "positive") == {}


@pytest.mark.parametrize("kind", [NewBieSample, NewBieGuider])
def test_it_is_told_on_the_node(mini, isolated, plain, kind, monkeypatch):
    model = mini[0]
    defaults = {item.id: getattr(item, "default", None) for item in kind.define_schema().inputs}
    settings = {name: value for name, value in defaults.items() if value is not None}
    settings |= {"model": model, "negative": plain} | ({"steps": 1} if kind is NewBieSample else {})
    if kind is NewBieSample:
        settings["latent"] = {"samples": torch.zeros(1, 16, 40, 40)}
    monkeypatch.setattr(kind, "hidden", hidden("concat"), raising=False)
    (dropped,) = stock.ConditioningConcat().concat(plain, isolated)
    told = kind.execute(**settings, positive=dropped)
    assert "ConditioningConcat dropped it" in str(told.ui.as_dict())
    assert kind.execute(**settings, positive=isolated).ui is None
