"""Isolation in a real host: its options, the cache of steps, and what goes wrong, each before a valid prompt."""

from __future__ import annotations

import re

import numpy as np
import pytest
from graphs import afresh, changed, few, node_of

NEUTRAL = {"strength": 1.0, "start": 0.0, "end": 1.0, "soft_edge": 0.0, "gender_strength": 0.0, "apart": 0.0}
NEUTRAL |= {"swapped": 0.0, **dict.fromkeys(("encoder", "joint_layers", "context_refiner", "pooled"), "as the mode")}


def with_options(prompt, **options):
    linked = changed(prompt, "NewBieEncodeCharacters", isolation=["30", 0])
    return linked | {"30": {"class_type": "NewBieIsolationOptions", "inputs": NEUTRAL | options}}


def test_options_as_they_stand_change_nothing_and_others_do(sketch, draw, workflow):
    plain = sketch.picture
    assert np.array_equal(draw(with_options(few(workflow()))).picture, plain)
    for option in ({"strength": 0.0}, {"apart": 0.9}, {"soft_edge": 0.3}, {"end": 0.5}):
        assert not np.array_equal(draw(with_options(few(workflow()), **option)).picture, plain), option


def test_options_that_leave_no_step_are_said(draw, workflow):
    from newbie_pack.client import api

    with pytest.raises(api.HostError, match=re.escape("start 0.5 and end 0.5 leave no steps between them")):
        draw(with_options(few(workflow()), start=0.5, end=0.5))
    draw(afresh(few(workflow())))


def test_the_hosts_cache_of_steps_draws(draw, workflow):
    graph = few(workflow())
    model = node_of(graph, "NewBieSample")["inputs"]["model"]
    cached = changed(graph, "NewBieSample", model=["31", 0], steps=6)
    settings = {"reuse_threshold": 0.9, "start_percent": 0.0, "end_percent": 1.0, "verbose": False}
    draw(cached | {"31": {"class_type": "EasyCache", "inputs": {"model": model, **settings}}})


def test_a_node_that_drops_the_isolation_is_named_on_the_node_that_samples(server, draw, workflow):
    from newbie_pack.client import api

    graph = few(workflow())
    said = node_of(graph, "NewBieSample")["inputs"]
    clip = node_of(graph, "NewBieEncodeCharacters")["inputs"]["clip"]
    joined = changed(graph, "NewBieSample", positive=["33", 0]) | {
        "32": {"class_type": "CLIPTextEncode", "inputs": {"clip": clip, "text": "night_sky"}},
        "33": {"class_type": "ConditioningConcat",
               "inputs": {"conditioning_to": ["32", 0], "conditioning_from": said["positive"]}},
    }
    draw(joined)
    records = api.ask(server, "/history")
    told = [str(output) for record in records.values() for output in record["outputs"].values()]
    assert any("ConditioningConcat dropped it" in one for one in told)


def test_too_long_a_prompt_is_counted_and_the_next_one_is_drawn(draw, workflow):
    from newbie_pack.client import api

    for inputs in ({"negative": "bad hands, " * 6000}, {}):
        graph = changed(few(workflow()), "NewBieEncodeCharacters", **inputs)
        if not inputs:
            xml = node_of(graph, "NewBieXMLPrompt")["inputs"]["xml"]
            graph = changed(graph, "NewBieXMLPrompt", xml=f"{xml}<caption>{'a long story, ' * 6000}</caption>")
        with pytest.raises(api.HostError, match=r"prompt has \d\d,\d\d\d tokens, but at most 8,192 can be read"):
            draw(graph)
    draw(afresh(few(workflow())))
