from __future__ import annotations

import json

import pytest
from newbie_pack.client import workflow
from newbie_pack.client.problem import Problem

GRAPH = {
    "7": {"class_type": "NewBieXMLPrompt", "inputs": {"xml": "<old/>"}},
    "8": {
        "class_type": "NewBieSample",
        "inputs": {"seed": 1, "steps": 28, "guidance": 7.5, "eta": 0.3, "model": ["1", 0]},
    },
    "9": {"class_type": "NewBieSize", "inputs": {"size": "mini 320 x 320", "batch_size": 1}},
}


def test_settings_go_where_they_belong_and_the_graph_stays():
    before = json.dumps(GRAPH)
    settings = workflow.Settings("<new/>", 5, 4, 3.0, 0.0, (384, 256))
    changed = workflow.apply(GRAPH, settings)
    assert changed["7"]["inputs"] == {"xml": "<new/>"}
    assert changed["8"]["inputs"] == {"seed": 5, "steps": 4, "guidance": 3.0, "eta": 0.0, "model": ["1", 0]}
    assert changed["9"]["inputs"] == {"size": "custom", "size.width": 384, "size.height": 256, "batch_size": 1}
    assert json.dumps(GRAPH) == before


def test_what_is_not_set_stays_the_graphs_own():
    assert workflow.apply(GRAPH, workflow.Settings()) == GRAPH
    assert workflow.value_of(GRAPH, "seed") == 1


@pytest.mark.parametrize("count", [0, 2])
def test_a_graph_without_the_one_node_is_refused(count):
    graph = {str(n): {"class_type": "NewBieSample", "inputs": {}} for n in range(count)}
    with pytest.raises(Problem, match=f"has {count} NewBieSample nodes"):
        workflow.apply(graph, workflow.Settings(seed=1))


@pytest.mark.parametrize("text", ["384x256", " 384 X 256 ", "384×256", "384*256"])
def test_sizes(text):
    assert workflow.parse_size(text) == (384, 256)


@pytest.mark.parametrize("text", ["384", "384x", "384x250", "0x16", "8192x16", "-16x16", "wxh", "１６x-1"])
def test_bad_sizes_are_told(text):
    with pytest.raises(ValueError, match=r"WIDTHxHEIGHT|multiples of 16"):
        workflow.parse_size(text)


@pytest.mark.parametrize(
    ("content", "words"),
    [("{", "cannot be read as JSON"), ('{"nodes": [], "links": []}', "not a workflow in API form"), ("[]", "API form")],
)
def test_a_file_that_is_no_api_workflow_is_told(tmp_path, content, words):
    path = tmp_path / "w.json"
    path.write_text(content)
    with pytest.raises(Problem, match=words):
        workflow.load(path)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(Problem, match="missing"):
        workflow.load(tmp_path / "none.json")
