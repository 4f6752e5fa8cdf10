"""What is seen while NewBie Sample runs, how it stops, and that the same prompt is the same picture elsewhere."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import urllib.request
import uuid

import numpy as np
import pytest
from graphs import ROOT, afresh, changed, few, node_of
from PIL import Image

FEW = 6
PREVIEW, JPEG = (1).to_bytes(4, "big"), (1).to_bytes(4, "big")  # the host's headers of a binary message


@pytest.fixture
def watched(server):
    """Queues a prompt with previews -> (text events of this prompt, preview pictures), each in order."""
    import aiohttp
    from newbie_pack.client import api

    async def watch(prompt, method, events, previews):
        name = uuid.uuid4().hex
        body = {"prompt": prompt, "client_id": name, "extra_data": {"preview_method": method}}
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{server.url}/ws?clientId={name}", max_msg_size=api.MOST_MESSAGE) as socket,
        ):
            async with session.post(f"{server.url}/prompt", json=body) as answer:
                id = (await answer.json())["prompt_id"]
            while not events or events[-1] != ("executing", None):
                message = await socket.receive(120)
                if message.type == aiohttp.WSMsgType.BINARY:
                    assert message.data[:8] == PREVIEW + JPEG
                    previews.append(np.asarray(Image.open(io.BytesIO(message.data[8:])).convert("RGB")))
                    continue
                event = json.loads(message.data)
                data = event["data"]
                if data.get("prompt_id") == id and event["type"] == "executing":
                    events.append(("executing", data["node"]))
                elif data.get("prompt_id") == id and event["type"] == "progress":
                    events.append(("progress", data["node"], data["value"], data["max"]))

    def run(prompt, method="latent2rgb"):
        events, previews = [], []
        asyncio.run(watch(prompt, method, events, previews))
        return events, previews

    return run


def sampling_node(prompt):
    return next(id for id, node in prompt.items() if node["class_type"] == "NewBieSample")


def test_progress_and_previews_come_step_by_step(watched, sketch, workflow):
    """The last preview is the finished picture in small; the host enlarges it to 512 pixels."""
    prompt = afresh(few(workflow()))
    steps, node = node_of(prompt, "NewBieSample")["inputs"]["steps"], sampling_node(prompt)
    events, previews = watched(prompt)
    assert [event for event in events if event[0] == "progress" and event[1] == node] == [
        ("progress", node, step, steps) for step in range(1, steps + 1)
    ]
    assert len(previews) == steps
    last = np.asarray(Image.fromarray(previews[-1]).resize((40, 40), Image.Resampling.BOX)).reshape(-1, 3)
    small = np.asarray(Image.fromarray(sketch.picture).resize((40, 40), Image.Resampling.BOX)).reshape(-1, 3)
    alike = [np.corrcoef(last[:, c], small[:, c])[0, 1] for c in range(3)]
    assert min(alike) > 0.5, alike


def test_without_previews_there_is_progress_alone(watched, workflow):
    """The host leaves out progress that follows within a tenth of a second (comfy/utils.py), but never the last."""
    prompt = changed(workflow(), "NewBieSample", steps=FEW, seed=11)
    events, previews = watched(prompt, method="none")
    told = [event[2:] for event in events if event[:2] == ("progress", sampling_node(prompt))]
    assert told[0] == (1, FEW) and told[-1] == (FEW, FEW) and told == sorted(told) and not previews


def test_an_interrupt_stops_within_a_step(server, draw, workflow):
    """Steps of four pictures of 512 pixels, each far longer than a request: at most the one at work is finished."""
    from newbie_pack.client import answers, api

    told = []

    def stop(progress: api.Progress) -> None:
        if progress.title == "NewBie Sample" and progress.whole:
            told.append(progress.value)
            if len(told) == 1:
                urllib.request.urlopen(f"{server.url}/interrupt", b"{}").read()

    large = changed(workflow(), "NewBieSize", batch_size=4, size="custom", **{"size.width": 512, "size.height": 512})
    with pytest.raises(answers.Interrupted):
        api.draw(server, changed(large, "NewBieSample", seed=4, steps=50), stop)
    assert told in ([1], [1, 2])
    short = changed(workflow(), "NewBieSample", steps=FEW, seed=12)
    assert "NewBie Sample" in draw(short).ran


def saved(server, prompt):
    from newbie_pack.client import api

    files = [picture for picture in api.draw(server, prompt).pictures if picture.kind == "output"]
    return [np.asarray(Image.open(io.BytesIO(api.download(server, one))).convert("RGB")) for one in files]


def test_a_restarted_host_draws_the_same_picture(comfyui, tmp_path, draw, workflow):
    from newbie_pack.client import api
    from newbie_pack.client import host as hosts
    from newbie_pack.client.environment import Environment

    prompt = changed(workflow(), "NewBieSample", steps=FEW, seed=13)
    before = draw(afresh(prompt)).picture
    environment = Environment(ROOT, tmp_path, sys.executable, comfyui, ours=True)
    with hosts.running(environment, device="cpu") as second:
        (after,) = saved(api.server(second.url, second.alive), prompt)
    assert np.array_equal(before, after)


def test_a_batch_is_its_pictures_one_by_one(server, workflow):
    """The second one alone: the host's LatentFromBatch says which it was. Sums in another order may round a pixel."""
    batch = changed(workflow(), "NewBieSize", batch_size=2)
    batch = changed(batch, "NewBieSample", steps=FEW, seed=14)
    first, second = saved(server, batch)
    alone = changed(batch, "NewBieSample", latent=["20", 0])
    source = node_of(batch, "NewBieSample")["inputs"]["latent"]
    taken = {"samples": source, "batch_index": 0, "length": 1}
    for index, picture in enumerate((first, second)):
        alone["20"] = {"class_type": "LatentFromBatch", "inputs": {**taken, "batch_index": index}}
        (one,) = saved(server, alone)
        difference = np.abs(one.astype(int) - picture)
        assert difference.max() <= 2 and difference.mean() < 0.01
    assert np.abs(first.astype(int) - second).mean() > 1
