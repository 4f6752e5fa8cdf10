from __future__ import annotations

import json

import pytest
from newbie_pack.client import workflow
from newbie_pack.client.environment import ROOT
from newbie_pack.client.problem import Problem
from PIL import Image
from PIL.PngImagePlugin import PngInfo

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
    assert workflow.seed_of(GRAPH) == 1


TWO = {
    "3": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
    "5": {"class_type": "KSampler", "inputs": {"seed": 2, "cfg": 5, "steps": 20, "scheduler": "simple"}},
    "6": {"class_type": "RandomNoise", "inputs": {"noise_seed": 7}, "_meta": {"title": "v1.5 = noise"}},
    "8": {"class_type": "NewBieSample", "inputs": {"seed": ["7", 0], "eta": 0.3, "tiled": False, "note": "1"}},
}


def test_a_seed_goes_to_every_sampler_and_the_others_keep_their_distance():
    made = workflow.apply(TWO, workflow.Settings(seed=2**64 - 1, guidance=3.0, size=(96, 32)))
    assert made["5"]["inputs"] == {"seed": 2**64 - 1, "cfg": 3.0, "steps": 20, "scheduler": "simple"}
    assert made["6"]["inputs"] == {"noise_seed": 4}  # five further, and round the end
    assert made["8"]["inputs"]["seed"] == ["7", 0]  # linked: another node's to say
    assert made["3"]["inputs"] == {"width": 96, "height": 32, "batch_size": 1}


@pytest.mark.parametrize("setting", [{"eta": 0.1}, {"size": (64, 64)}, {"seed": 1}, {"xml": "a"}])
def test_a_setting_that_the_graph_has_no_place_for_is_told(setting):
    graph = {"1": {"class_type": "SaveImage", "inputs": {"eta": ["2", 0], "seed": "one"}}}
    with pytest.raises(Problem, match=r"leave the|--prompt NODE"):
        workflow.apply(graph, workflow.Settings(**setting))


@pytest.mark.parametrize(
    ("typed", "node", "name", "value"),
    [
        ("5.steps=7", "5", "steps", 7),
        ("KSampler.cfg = 2.5", "5", "cfg", 2.5),
        ("5.scheduler=1", "5", "scheduler", "1"),  # what was text stays text
        ("8.note=a=b", "8", "note", "a=b"),
        ("8.tiled=true", "8", "tiled", True),
        ("8.seed=3", "8", "seed", 3),  # instead of the link
        ("EmptyLatentImage.width=32", "3", "width", 32),
        ("9.size.width=32", "9", "size.width", 32),
    ],
)
def test_any_input_can_be_set(typed, node, name, value):
    graph = {**TWO, "9": GRAPH["9"]}
    made = workflow.apply(graph, workflow.Settings(inputs=(workflow.parse_input(typed),)))
    assert made[node]["inputs"][name] == value and type(made[node]["inputs"][name]) is type(value)


def test_a_title_may_have_a_dot():
    assert workflow.find(TWO, "v1.5 = noise.noise_seed") == ("6", "noise_seed")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("5.stepps=7", "has no input 'stepps': it has seed, cfg"),
        ("Sampler.steps=7", r"names no input of the workflow.* 5 \(KSampler\)"),
        ("5.steps=many", "takes a number, not 'many'"),
        ("5.steps=true", "takes a number"),
        ("8.tiled=1", "takes true or false"),
        ("5.cfg=NaN", "takes a number"),
        ("5.cfg=[1]", "takes a number"),
        ("5.cfg=" + "9" * 5000, "takes a number"),
        ("NewBieXMLPrompt.xml=a", "fits 2 nodes: give the id, 7 or 9"),
    ],
)
def test_an_input_that_cannot_be_set_is_told(typed, words):
    graph = {**TWO, "7": GRAPH["7"], "9": GRAPH["7"]}
    with pytest.raises(Problem, match=words):
        workflow.apply(graph, workflow.Settings(inputs=(workflow.parse_input(typed),)))


@pytest.mark.parametrize("text", ["5.steps", "=3", "steps=3", ".=3", "5.=3"])
def test_what_sets_nothing_is_told(text):
    with pytest.raises(ValueError, match=r"write NODE\.INPUT=VALUE"):
        workflow.parse_input(text)


def test_of_several_prompt_nodes_one_is_named():
    graph = {"4": GRAPH["7"], "5": {"class_type": "NewBieTextToXML", "inputs": {"text": ""}}}
    with pytest.raises(Problem, match=r"2 nodes .* --prompt 4\.xml or --prompt 5\.text"):
        workflow.apply(graph, workflow.Settings("new"))
    made = workflow.apply(graph, workflow.Settings("new", prompt=("5.text",)))
    assert made["5"]["inputs"]["text"] == "new" and made["4"] == graph["4"]
    linked = {**graph, "4": {"class_type": "NewBieXMLPrompt", "inputs": {"xml": ["5", 1]}}}
    assert workflow.prompt_places(linked, workflow.Settings()) == [("5", "text")]


@pytest.mark.parametrize("path", sorted((ROOT / workflow.DEMO).parent.glob("*.json")), ids=lambda path: path.stem)
def test_every_bundled_workflow_takes_a_prompt_a_seed_and_a_size(path):
    graph = workflow.load(path)
    several = {"redraw": ("4.xml", "9.xml"), "picture to": ("4.xml", "10.xml"), "one by one": ("6.caption",)}
    prompt = next((places for words, places in several.items() if words in path.stem), ())
    made = workflow.apply(graph, workflow.Settings("<new/>", 77, size=(64, 96), prompt=prompt))
    texts = json.dumps(made)
    assert '"<new/>"' in texts and "77" in texts and '"size.height": 96' in texts


@pytest.mark.parametrize("text", ["384x256", " 384 X 256 ", "384×256", "384*256"])
def test_sizes(text):
    assert workflow.parse_size(text) == (384, 256)


@pytest.mark.parametrize("text", ["384", "384x", "384x250", "0x16", "8192x16", "-16x16", "wxh", "１６x-1"])
def test_bad_sizes_are_told(text):
    with pytest.raises(ValueError, match=r"WIDTHxHEIGHT|multiples of 16"):
        workflow.parse_size(text)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "cannot be read as JSON"),
        ('{"nodes": [], "links": []}', "not a workflow in API form"),
        ("[]", "API form"),
        ("{}", "API form"),
    ],
)
def test_a_file_that_is_no_api_workflow_is_told(tmp_path, content, words):
    path = tmp_path / "w.json"
    path.write_text(content)
    with pytest.raises(Problem, match=words):
        workflow.load(path)


def test_a_graph_as_it_is_sent_to_the_host_is_one_too(tmp_path):
    (tmp_path / "w.json").write_text(json.dumps({"prompt": GRAPH, "client_id": "me"}), "utf-8-sig")
    assert workflow.load(tmp_path / "w.json") == GRAPH


def test_a_picture_holds_the_graph_that_drew_it(tmp_path):
    info = PngInfo()
    info.add_text("workflow", "{}")
    info.add_text("prompt", json.dumps({**GRAPH, "7": {**GRAPH["7"], "inputs": {"xml": "红发"}}}))
    Image.new("RGB", (1, 1)).save(tmp_path / "a.png", pnginfo=info)
    assert workflow.load(tmp_path / "a.png")["7"]["inputs"] == {"xml": "红发"}
    Image.new("RGB", (1, 1)).save(tmp_path / "b.png")
    whole = (tmp_path / "a.png").read_bytes()
    for data in ((tmp_path / "b.png").read_bytes(), *(whole[:end] for end in range(4, len(whole) - 40, 7))):
        (tmp_path / "c.png").write_bytes(data)
        with pytest.raises(Problem, match=r"holds no workflow|cannot be read as JSON"):
            workflow.load(tmp_path / "c.png")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(Problem, match="missing"):
        workflow.load(tmp_path / "none.json")
