"""Every template opens, and its API twin is the same graph and the same picture."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from graphs import NOTE, ROOT, afresh, few, inputs_of, is_widget, of_result, read, to_api
from PIL import Image

FOLDER = ROOT / "workflows"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
RUNNABLE = [name for name in NAMES if name.endswith("(mini)")]  # the others need files
SHEET = "NewBie contact sheet (mini)"


def graph(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_it_is_among_the_templates(server, name):
    from urllib.parse import quote

    from newbie_pack.client import api

    assert name in api.ask(server, "/workflow_templates")[ROOT.name]
    path = f"/api/workflow_templates/{ROOT.name}/{quote(name)}"
    assert api.ask(server, f"{path}.json") == graph(name)
    assert Image.open(io.BytesIO(read(f"{server.url}{path}.jpg"))).format == "JPEG"


@pytest.mark.parametrize("name", NAMES)
def test_it_opens_without_a_missing_node(object_info, name):
    opened = graph(name)
    assert {node["type"] for node in opened["nodes"]} <= {*object_info, NOTE}
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
        required = object_info.get(node["type"], {"input": {}})["input"].get("required", {})
        sockets = {socket["name"] for socket in node["inputs"] if socket["link"] is not None}
        assert {key for key, spec in required.items() if not is_widget(spec)} <= sockets


@pytest.mark.parametrize("name", NAMES)
def test_its_twin_is_the_same_graph(object_info, workflow, name):
    """But for previews: a client would take one for the picture, or for a success where the picture has failed."""
    assert of_result(to_api(graph(name), object_info)) == workflow(name)


@pytest.mark.parametrize("name", [name for name in RUNNABLE if name != SHEET])
def test_its_twin_draws_the_same_picture(object_info, draw, workflow, name):
    twin = draw(few(workflow(name)))
    opened = draw(afresh(few(to_api(graph(name), object_info))))
    assert "NewBie Sample" in opened.ran  # drawn, not remembered
    assert np.array_equal(opened.picture, twin.picture)
    assert twin.picture.std() > 10  # a picture, not a plane


@pytest.mark.parametrize("name", NAMES)
def test_its_twin_has_one_output(object_info, workflow, name):
    outputs = [node["class_type"] for node in workflow(name).values() if object_info[node["class_type"]]["output_node"]]
    assert outputs == ["SaveImage"]


def test_the_contact_sheet_is_a_picture_for_each_seed(server, workflow):
    from newbie_pack.client import api

    drawn = api.draw(server, few(workflow(SHEET), 2))
    assert len([picture for picture in drawn.pictures if picture.kind == "output"]) == 4


@pytest.mark.parametrize("name", [name for name in NAMES if name not in RUNNABLE])
def test_without_its_files_the_host_names_them_and_nothing_else(draw, workflow, name):
    """The graph is whole: all that the host misses are the model's files."""
    from newbie_pack.client.problem import Problem

    prompt = workflow(name)
    with pytest.raises(Problem) as caught:
        draw(prompt)
    told = str(caught.value)
    files = [value for node in prompt.values() for value in node["inputs"].values() if str(value).endswith("tensors")]
    assert files and all(file in told for file in files)
    titles = [node["_meta"]["title"] for node in prompt.values()]
    assert not [title for title in titles if title in told and "Load" not in title]


def test_the_blueprint_shows_prompt_size_and_seed(server, object_info):
    from newbie_pack.client import api

    listed = api.ask(server, "/global_subgraphs")
    (key,) = (key for key, entry in listed.items() if entry["info"]["node_pack"] == f"custom_nodes.{ROOT.name}")
    assert listed[key]["name"].startswith("NewBie")
    blueprint = json.loads(api.ask(server, f"/global_subgraphs/{key}")["data"])
    (face,) = blueprint["nodes"]
    assert [item["widget"]["name"] for item in face["inputs"]] == ["xml", "size", "seed"]
    assert [item["type"] for item in face["outputs"]] == ["IMAGE"]
    (inside,) = blueprint["definitions"]["subgraphs"]
    assert {node["type"] for node in inside["nodes"]} <= set(object_info)
