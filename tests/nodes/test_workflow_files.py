"""The templates as files: what a user sees of them before and after opening one. No host; tests/host opens them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "workflows"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
HASHES = json.loads((ROOT / "tests" / "data" / "model_hashes.json").read_text("utf-8"))
BUILT_IN = {path.name for path in (ROOT / "mini" / "loras").iterdir()}
FIRST = "NewBie first picture (mini)"
TITLE = 30  # pixels above a node
LEGIBLE = 0.57  # below this zoom the classic canvas draws no text
WIDEST, TALLEST = 2060, 1120  # what the host's fitting of an opened template shows in 1600 x 1000 at that zoom


def opened(name):
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


def test_every_template_says_whose_it_is_and_has_a_twin_and_a_square_thumbnail():
    assert len(NAMES) >= 10 and all(name.startswith("NewBie ") for name in NAMES)
    assert sorted(path.stem for path in (FOLDER / "api").glob("*.json")) == NAMES
    assert sorted(path.stem for path in FOLDER.glob("*.jpg")) == NAMES
    for name in NAMES:
        width, height = Image.open(FOLDER / f"{name}.jpg").size
        assert width == height >= 256


@pytest.mark.parametrize("name", NAMES)
def test_it_is_readable_when_opened(name):
    """Groups with titles, a short note in both languages, and text large enough to be drawn."""
    graph = opened(name)
    assert all(group["title"] for group in graph["groups"]) and graph["groups"]
    assert graph["extra"]["ds"]["scale"] >= LEGIBLE
    right, bottom = (max(node["pos"][i] + node["size"][i] for node in graph["nodes"]) for i in (0, 1))
    assert right <= WIDEST and bottom <= TALLEST
    for note in (node for node in graph["nodes"] if node["type"] == "MarkdownNote"):
        (text,) = note["widgets_values"]
        assert len(text) < 600 and any("一" <= letter <= "鿿" for letter in text)


@pytest.mark.parametrize("name", NAMES)
def test_nodes_lie_beside_each_other(name):
    """No two overlap, titles included, and each has room for its slots and widgets."""
    graph = opened(name)
    places = [(*node["pos"], *node["size"]) for node in graph["nodes"]]
    for node in graph["nodes"]:
        slots = max(sum(socket.get("widget") is None for socket in node["inputs"]), len(node["outputs"]))
        assert node["size"][1] >= 20 * slots + 20 * len(node["widgets_values"]), node["type"]
    for i, (ax, ay, aw, ah) in enumerate(places):
        for bx, by, bw, bh in places[:i]:
            assert ax + aw <= bx or bx + bw <= ax or ay + ah <= by - TITLE or by + bh <= ay - TITLE


@pytest.mark.parametrize("name", NAMES)
def test_every_file_that_may_be_missing_can_be_downloaded(name):
    """The host offers what a node's properties name: the file, its folder and its URL."""
    for node in opened(name)["nodes"]:
        files = {value for value in node["widgets_values"] if str(value).endswith(".safetensors")} - BUILT_IN
        models = node["properties"].get("models", [])
        assert {model["name"] for model in models} == files
        for model in models:
            assert model["url"].startswith("https://huggingface.co/") and model["url"].endswith("/" + model["name"])
            assert model["directory"] in ("diffusion_models", "text_encoders", "vae", "checkpoints")
            if model["name"] in HASHES["known"]:
                assert model["hash"] == HASHES["known"][model["name"]]["sha256"] and model["hash_type"] == "SHA256"
            else:  # a wrong hash is worse than none: the table says why there is none
                assert HASHES["unknown"][model["name"]] and "hash" not in model


def test_hashes_are_whole_and_say_where_they_are_from():
    offered = {model["name"] for name in NAMES for node in opened(name)["nodes"]
               for model in node["properties"].get("models", [])}  # fmt: skip
    assert offered == {*HASHES["known"], *HASHES["unknown"]} and HASHES["dated"]
    for known in HASHES["known"].values():
        assert re.fullmatch("[0-9a-f]{64}", known["sha256"]) and known["sources"]


@pytest.mark.parametrize("name", NAMES)
def test_what_programs_queue_has_one_result(name):
    """A bad setting would pass for a success where a preview is still drawn, and the preview for the picture."""
    twin = json.loads((FOLDER / "api" / f"{name}.json").read_text("utf-8"))
    wanted, found = [id for id, node in twin.items() if node["class_type"] == "SaveImage"], set()
    assert len(wanted) == 1
    while wanted:
        id = wanted.pop()
        found.add(id)
        wanted += [value[0] for value in twin[id]["inputs"].values() if isinstance(value, list)]
    assert found == set(twin)


def test_the_first_picture_is_of_the_prompt_nodes_own_example():
    pytest.importorskip("comfy.options", reason="no host")
    from newbie_pack.nodes.prompt import XML_EXAMPLE

    twin = json.loads((FOLDER / "api" / f"{FIRST}.json").read_text("utf-8"))
    (prompt,) = (node for node in twin.values() if node["class_type"] == "NewBieXMLPrompt")
    assert prompt["inputs"]["xml"] == XML_EXAMPLE
