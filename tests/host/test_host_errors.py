"""What goes wrong is told in a sentence, on the node where it is wrong, and the host takes the next prompt."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from graphs import afresh, changed, few, node_of

WRONG = "<character_1> <n>miku</n> <pose>standing </character_1>"


def test_a_wrong_prompt_is_told_on_the_prompts_node(server, workflow):
    from newbie_pack.client import api

    prompt = changed(workflow(), "NewBieXMLPrompt", xml=WRONG)
    with pytest.raises(api.Refused) as caught:
        api.ask(server, "/prompt", {"prompt": prompt})
    told = json.loads(caught.value.body)["node_errors"]
    assert list(told) == [id for id, node in prompt.items() if node["class_type"] == "NewBieXMLPrompt"]


def test_a_wrong_prompt_gets_a_sentence_and_the_next_one_a_picture(server, sketch, draw, workflow):
    from newbie_pack.client import api

    with pytest.raises(api.HostError) as caught:
        draw(changed(workflow(), "NewBieXMLPrompt", xml=WRONG))
    assert str(caught.value) == (
        "NewBie XML Prompt: line 1, column 27: <pose> is never closed. Write </pose> before </character_1>."
    )
    assert np.array_equal(draw(afresh(few(workflow()))).picture, sketch.picture)


BAD = [
    ("eta", {"sampler": "euler", "eta": 0.3}, "The sampler euler adds no noise and can't use eta 0.3: set eta to 0"),
    ("interval", {"guidance_start": 0.9, "guidance_end": 0.2}, "guidance_start 0.9 and guidance_end 0.2 leave no"),
    ("steps", {"scheduler": "kl_optimal", "steps": 1}, "The scheduler kl_optimal can't make a schedule of 1 step"),
]


@pytest.mark.parametrize(("settings", "sentence"), [bad[1:] for bad in BAD], ids=[bad[0] for bad in BAD])
def test_a_bad_setting_never_passes_for_a_success(server, sketch, draw, workflow, settings, sentence):
    """Whatever a program looks at: either the prompt is refused, or its run has failed."""
    from newbie_pack.client import answers, api

    prompt = changed(afresh(workflow()), "NewBieSample", **settings)
    try:
        queued = api.ask(server, "/prompt", {"prompt": prompt})
    except api.Refused as refused:
        assert sentence in refused.body.decode()
    else:
        assert not queued["node_errors"]
        with pytest.raises(api.HostError, match=re.escape(sentence)):
            draw(prompt)
        record = api.ask(server, "/history")[queued["prompt_id"]]
        assert record["status"]["status_str"] == "error" and not answers.pictures(record["outputs"])
    assert np.array_equal(draw(afresh(few(workflow()))).picture, sketch.picture)


def test_half_a_graph_is_not_run(server, draw, workflow):
    """The layout preview's branch is in order, so the host would run that one alone and call it a success."""
    from newbie_pack.client import answers, api

    before = api.ask(server, "/history")
    sentence = r"^NewBie Sample: The sampler euler adds no noise and can't use eta 0\.3: set eta to 0"
    with pytest.raises(api.HostError, match=sentence):
        prompt = changed(afresh(workflow()), "NewBieSample", sampler="euler", eta=0.3)
        scene = node_of(prompt, "NewBieEncodeCharacters")["inputs"]["scene"]
        draw({**prompt, "90": {"class_type": "NewBieLayoutPreview", "inputs": {"scene": scene}}})
    queue = api.ask(server, "/queue")
    while queue["queue_running"]:
        queue = api.ask(server, "/queue")
    assert queue["queue_pending"] == []
    saved = [
        picture
        for id, record in api.ask(server, "/history").items()
        if id not in before
        for picture in answers.pictures(record["outputs"])
    ]
    assert not [picture for picture in saved if picture.kind == "output"]


def test_an_interrupted_prompt_stops_and_the_next_one_is_drawn(server, sketch, draw, workflow):
    from newbie_pack.client import answers, api

    steps = []

    def stop(progress: api.Progress) -> None:
        if progress.title == "NewBie Sample" and progress.whole:
            steps.append(progress.value)
            if len(steps) == 1:
                api.ask(server, "/interrupt", {})

    with pytest.raises(answers.Interrupted):
        api.draw(server, changed(workflow(), "NewBieSample", seed=3, steps=200), stop)
    assert 1 <= len(steps) < 100
    assert np.array_equal(draw(afresh(few(workflow()))).picture, sketch.picture)
