"""The bundled graph with the host's own loaders, run node by node on small files: the picture of NewBie Loader's."""

from __future__ import annotations

import asyncio
import inspect
import json
from pathlib import Path
from typing import Any

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import comfy.sd
import torch
from newbie_pack.isolation.encode import encode
from newbie_pack.nodes import NewBieExtension
from newbie_pack.xml_prompt import layout, parse
from safetensors.torch import load_file, save_file

import nodes

TWINS = Path(__file__).resolve().parent.parent.parent / "workflows" / "api"
GRAPH = TWINS / "NewBie with stock loaders (full model).json"
SPLIT = (
    "NewBie-Image-Exp0.1-bf16.safetensors",
    "gemma_3_4b_it_bf16.safetensors",
    "jina_clip_v2_bf16.safetensors",
    "ae.safetensors",
)
FOLDER = ("NewBie-image-Exp0.1 (folder)", "none", "none", "none")
SMALL = {"NewBieSize": {"size": {"size": "custom", "width": 64, "height": 96}}, "NewBieSample": {"steps": 2}}


def classes() -> dict[str, Any]:
    own = {cls.GET_SCHEMA().node_id: cls for cls in asyncio.run(NewBieExtension().get_node_list())}
    return own | nodes.NODE_CLASS_MAPPINGS


def run(graph: dict[str, Any], target: str) -> tuple[Any, ...]:
    """All outputs of one node, after those that it takes from."""
    known, done = classes(), {}

    def outputs(key: str) -> tuple[Any, ...]:
        if key not in done:
            node = graph[key]
            inputs = {
                name: outputs(value[0])[value[1]] if isinstance(value, list) else value
                for name, value in node["inputs"].items()
            }
            inputs |= SMALL.get(node["class_type"], {})
            cls = known[node["class_type"]]
            if hasattr(cls, "GET_SCHEMA"):
                done[key] = tuple(cls.execute(**inputs).result)
            else:
                done[key] = getattr(cls(), cls.FUNCTION)(**inputs)
        return done[key]

    return outputs(target)


def key_of(graph: dict[str, Any], kind: str) -> str:
    return next(key for key, node in graph.items() if node["class_type"] == kind)


@pytest.mark.parametrize("files", [SPLIT, FOLDER])
def test_the_picture_is_that_of_our_loader(models, files):
    graph = json.loads(GRAPH.read_text("utf-8"))
    stock_files = [
        value for node in graph.values() for name, value in node["inputs"].items() if name.endswith(("_name", "1", "2"))
    ]
    assert sorted(stock_files) == sorted(SPLIT)  # what the README tells to download
    ours = json.loads(GRAPH.read_text("utf-8"))
    names = list(inspect.signature(classes()["NewBieLoader"].execute).parameters)
    ours["loader"] = {"class_type": "NewBieLoader", "inputs": dict(zip(names, (*files, "default"), strict=True))}
    for kind, slot in (("UNETLoader", 0), ("DualCLIPLoader", 1), ("VAELoader", 2)):
        old = key_of(ours, kind)
        del ours[old]
        for node in ours.values():
            node["inputs"] |= {n: ["loader", slot] for n, v in node["inputs"].items() if v == [old, 0]}
    with torch.inference_mode():
        (stock,), (picture,) = (run(each, key_of(each, "NewBieDecode")) for each in (graph, ours))
    assert stock.shape == (1, 96, 64, 3) and stock.std() > 0.01
    assert torch.equal(stock, picture)


XML = "<character_1><n>miku</n></character_1><character_2><n>kaito</n></character_2>"
BEHIND = "behind a prefix"


@pytest.mark.parametrize("pair", [(SPLIT[1], SPLIT[1]), (SPLIT[2], SPLIT[2]), (BEHIND, SPLIT[2])])
@pytest.mark.parametrize("mode", ["gentle", "strict"])
def test_encoders_that_the_hosts_loader_took_for_others_are_told(models, tmp_path, mode, pair):
    """It loads one file twice, or one that it can't read, and an encoder is left without weights."""
    folder, gemma = models / "text_encoders", tmp_path / BEHIND
    tensors = load_file(folder / SPLIT[1])
    renamed = {name if name == "spiece_model" else f"language_model.{name}": value for name, value in tensors.items()}
    save_file(renamed, gemma.with_suffix(".safetensors"))
    paths = [str(gemma.with_suffix(".safetensors") if name == BEHIND else folder / name) for name in pair]
    clip = comfy.sd.load_clip(paths, clip_type=comfy.sd.CLIPType.NEWBIE)
    scene = parse(XML)
    with pytest.raises(ValueError, match="This CLIP's tokenizers are mixed up; DualCLIPLoader does this"):
        encode(clip, scene, layout(scene), mode)


@pytest.mark.parametrize("order", [1, -1])
def test_the_hosts_loader_takes_them_in_either_order(models, order):
    paths = [str(models / "text_encoders" / name) for name in SPLIT[1:3]][::order]
    scene = parse(XML)
    for mode in ("gentle", "strict"):
        encode(comfy.sd.load_clip(paths, clip_type=comfy.sd.CLIPType.NEWBIE), scene, layout(scene), mode)
