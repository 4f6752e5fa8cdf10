"""Every workflow opens without a missing node, its links hold, and its API twin says the same."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

from newbie_pack.nodes import NewBieExtension

import nodes

FOLDER = Path(__file__).resolve().parent.parent.parent / "workflows"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
FILES = ("unet_name", "clip_name1", "clip_name2", "vae_name")  # the full model's: they need not be here


@pytest.fixture(scope="module")
def definitions():
    """class_type -> its inputs as the front-end gets them: {name: (type, options)}, in order."""
    from comfy_extras.nodes_lumina2 import RenormCFG
    from comfy_extras.nodes_model_advanced import ModelSamplingAuraFlow
    from comfy_extras.nodes_sd3 import EmptySD3LatentImage

    classes = {cls.GET_SCHEMA().node_id: cls for cls in asyncio.run(NewBieExtension().get_node_list())}
    classes |= {cls.__name__: cls for cls in (EmptySD3LatentImage, ModelSamplingAuraFlow, RenormCFG)}
    stock = ("CLIPTextEncode", "KSampler", "VAEDecode", "PreviewImage", "SaveImage")
    stock += ("UNETLoader", "DualCLIPLoader", "VAELoader")
    classes |= {name: getattr(nodes, name) for name in stock}
    found = {}
    for name, cls in classes.items():
        groups = cls.INPUT_TYPES()
        inputs = {**groups.get("required", {}), **groups.get("optional", {})}
        outputs = [str(getattr(kind, "value", kind)) for kind in cls.RETURN_TYPES]
        found[name] = ({key: (value[0], (value[1:] or ({},))[0]) for key, value in inputs.items()}, outputs)
    return found


def is_widget(kind):
    return not isinstance(kind, str) or kind in ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")


def test_there_are_workflows():
    assert {"demo", "builders", "stock_loaders", "stock_nodes_beside_newbie"} <= set(NAMES)
    assert sorted(path.stem for path in (FOLDER / "api").glob("*.json")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_graph_and_its_twin_agree(definitions, name):
    graph = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    twin = json.loads((FOLDER / "api" / f"{name}.json").read_text(encoding="utf-8"))
    links = {link[0]: link for link in graph["links"]}
    assert {str(node["id"]) for node in graph["nodes"]} == set(twin)
    for node in graph["nodes"]:
        inputs, outputs = definitions[node["type"]]
        values = list(node["widgets_values"])
        said = {}
        for key, (kind, options) in inputs.items():
            if is_widget(kind):
                said[key] = values.pop(0)
                choices = kind if isinstance(kind, list) else options.get("options")
                assert not choices or said[key] in choices or key in FILES, (node["type"], key)
                if options.get("control_after_generate"):
                    assert values.pop(0) == "fixed"  # the same picture, run after run
        assert values == [], node["type"]
        for slot, socket in enumerate(node["inputs"]):
            assert inputs[socket["name"]][0] == socket["type"]
            if socket["link"] is not None:
                _, source, source_slot, target, target_slot, kind = links[socket["link"]]
                assert (target, target_slot, kind) == (node["id"], slot, socket["type"])
                said[socket["name"]] = [str(source), source_slot]
        for slot, socket in enumerate(node["outputs"]):
            assert outputs[slot] == socket["type"]
            assert sorted(socket["links"]) == sorted(i for i, link in links.items() if link[1:3] == [node["id"], slot])
        entry = twin[str(node["id"])]
        assert (entry["class_type"], entry["inputs"]) == (node["type"], said)
        assert entry["_meta"]["title"]  # what errors and progress call it


@pytest.mark.parametrize("name", NAMES)
def test_nodes_lie_beside_each_other(name):
    """No two overlap, titles (30 pixels above) included, and each has room for its slots and widgets.

    The canvas shows advanced inputs too, and a node that is too small for its own grows over its neighbours.
    """
    graph = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    places = [(*node["pos"], *node["size"]) for node in graph["nodes"]]
    for node in graph["nodes"]:
        slots = max(sum(socket.get("widget") is None for socket in node["inputs"]), len(node["outputs"]))
        assert node["size"][1] >= 20 * slots + 24 * len(node.get("widgets_values", [])), node["type"]
    for i, (ax, ay, aw, ah) in enumerate(places):
        for bx, by, bw, bh in places[:i]:
            assert ax + aw <= bx or bx + bw <= ax or ay + ah <= by - 30 or by + bh <= ay - 30


def test_the_demo_is_the_prompt_nodes_own_example():
    from newbie_pack.nodes.prompt import EXAMPLE

    demo = json.loads((FOLDER / "api" / "demo.json").read_text(encoding="utf-8"))
    (prompt,) = (node for node in demo.values() if node["class_type"] == "NewBieXMLPrompt")
    assert prompt["inputs"]["xml"] == EXAMPLE
