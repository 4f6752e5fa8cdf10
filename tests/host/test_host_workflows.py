"""Every bundled workflow opens, and its API twin is the same graph and the same picture."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from graphs import ROOT, afresh, changed, inputs_of, is_widget, to_api
from PIL import Image

FOLDER = ROOT / "workflows"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
NEEDS_FILES = "stock_loaders"  # of the full model; test_stock_loaders.py runs its graph on small ones


def graph(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


def test_every_workflow_has_a_twin_and_a_thumbnail():
    assert {"demo", "builders", NEEDS_FILES} <= set(NAMES)
    assert sorted(path.stem for path in (FOLDER / "api").glob("*.json")) == NAMES
    assert sorted(path.stem for path in FOLDER.glob("*.jpg")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_it_is_among_the_templates(server, name):
    from newbie_pack.client import api

    assert name in api.ask(server, "/workflow_templates")[ROOT.name]
    assert api.ask(server, f"/api/workflow_templates/{ROOT.name}/{name}.json") == graph(name)
    picture = Image.open(io.BytesIO(api.read(server, f"/api/workflow_templates/{ROOT.name}/{name}.jpg")))
    assert picture.format == "JPEG" and min(picture.size) >= 256


@pytest.mark.parametrize("name", NAMES)
def test_it_opens_without_a_missing_node(object_info, name):
    opened = graph(name)
    assert {node["type"] for node in opened["nodes"]} <= set(object_info)
    nodes = {node["id"]: node for node in opened["nodes"]}
    assert len(nodes) == len(opened["nodes"]) and max(nodes) <= opened["last_node_id"]
    seen = set()
    for link, source, slot, target, target_slot, kind in opened["links"]:
        assert link in nodes[source]["outputs"][slot]["links"]
        assert nodes[target]["inputs"][target_slot]["link"] == link
        name_there = nodes[target]["inputs"][target_slot]["name"]
        assert object_info[nodes[source]["type"]]["output"][slot] == kind
        assert inputs_of(object_info[nodes[target]["type"]])[name_there][0] == kind
        seen.add(link)
    stated = {link for node in nodes.values() for socket in node["outputs"] for link in socket["links"] or ()}
    assert stated == seen and len(seen) == len(opened["links"])
    for node in nodes.values():
        required = object_info[node["type"]]["input"].get("required", {})
        sockets = {socket["name"] for socket in node["inputs"] if socket["link"] is not None}
        assert {key for key, spec in required.items() if not is_widget(spec)} <= sockets


@pytest.mark.parametrize("name", NAMES)
def test_its_twin_is_the_same_graph(object_info, workflow, name):
    assert to_api(graph(name), object_info) == workflow(name)


@pytest.mark.parametrize("name", [name for name in NAMES if name != NEEDS_FILES])
def test_its_twin_draws_the_same_picture(object_info, draw, workflow, name):
    twin = draw(changed(workflow(name), "NewBieSample", steps=8))
    opened = draw(changed(afresh(to_api(graph(name), object_info)), "NewBieSample", steps=8))
    assert "NewBie Sample" in opened.ran  # drawn, not remembered
    assert np.array_equal(opened.picture, twin.picture)
    assert twin.picture.std() > 10  # a picture, not a plane


def test_without_its_files_the_host_names_them_and_nothing_else(draw, workflow):
    """The graph of the stock loaders is whole: all that the host misses are the full model's four files."""
    from newbie_pack.client.problem import Problem

    prompt = workflow(NEEDS_FILES)
    with pytest.raises(Problem) as caught:
        draw(prompt)
    told = str(caught.value)
    files = [value for node in prompt.values() for value in node["inputs"].values() if str(value).endswith("tensors")]
    assert len(files) == 4 and all(name in told for name in files)
    titles = [node["_meta"]["title"] for node in prompt.values()]
    assert not [title for title in titles if title in told and not title.startswith("Load ")]
