"""Masks, labels and prompts of characters in the real Impact Pack's detailer: each face gets its own text.

NEWBIE_IMPACT_PACK names a copy of github.com/ltdrdata/ComfyUI-Impact-Pack, whose requirements this Python has.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from graphs import ROOT, changed, node_of

COLOURS = {"red_hair": 0, "green_hair": 1}  # the channel that leads


@pytest.fixture(scope="module")
def impact(comfyui, tmp_path_factory):
    """A host with both packs."""
    from newbie_pack.client import api
    from newbie_pack.client import host as hosts
    from newbie_pack.client.environment import Environment

    pack = Path(os.environ.get("NEWBIE_IMPACT_PACK", ""))
    if not (pack / "modules" / "impact").is_dir():
        pytest.skip("NEWBIE_IMPACT_PACK does not name a copy of the Impact Pack")
    home = tmp_path_factory.mktemp("impact")
    paths = home / "paths.yaml"
    paths.write_text(json.dumps({"impact": {"custom_nodes": str(pack.parent)}}), "utf-8")
    flags = ["--whitelist-custom-nodes", ROOT.name, pack.name, "--extra-model-paths-config", str(paths)]
    environment = Environment(ROOT, home, Path(sys.executable), comfyui, ours=True)
    with hosts.running(environment, device="cpu", flags=flags) as running:
        server = api.server(running.url, running.alive)
        assert "DetailerForEach" in api.ask(server, "/object_info"), running.log.read_text("utf-8", "replace")[-3000:]
        yield server


def detailed(prompt, segs, wildcard, positive):
    """The workflow with a detailer between picture and file, and the masks of a scene whose hair is another."""
    sampled, saved = node_of(prompt, "NewBieSample")["inputs"], node_of(prompt, "SaveImage")["inputs"]
    clip = node_of(prompt, "NewBieEncodeCharacters")["inputs"]["clip"]
    vae = next(found for node in prompt.values() if isinstance(found := node["inputs"].get("vae"), list))
    xml = "".join(
        f"<character_{i}><gender>1girl</gender><appearance>{hair}, long_hair</appearance>"
        f"<clothing>white_dress</clothing><position>{side}</position></character_{i}>"
        for i, hair, side in ((1, "red_hair", "left"), (2, "green_hair", "right"))
    )
    detailer = {
        "image": saved["images"], "segs": segs, "model": sampled["model"], "clip": clip, "vae": vae, "guide_size": 256,
        "guide_size_for": True, "max_size": 320, "seed": 1, "steps": 12, "cfg": 4.0, "sampler_name": "euler",
        "scheduler": "simple", "positive": positive, "negative": ["54", 0], "denoise": 0.85, "feather": 5,
        "noise_mask": True, "force_inpaint": True, "wildcard": wildcard, "cycle": 1, "noise_mask_feather": 0,
    }
    masks = {"scene": ["50", 0], "shape": "boxes", "character": 1, "crop_factor": 1.2, "picture": 1,
             "image": saved["images"]}
    nodes = {
        "50": ("NewBieXMLPrompt", {**node_of(prompt, "NewBieXMLPrompt")["inputs"], "xml": xml}),
        "51": ("NewBieCharacterMasks", masks),
        "52": ("MaskToSEGS", {"mask": ["51", 1], "combined": False, "crop_factor": 1.2, "bbox_fill": False,
                              "drop_size": 10, "contour_fill": False}),
        "53": ("CLIPTextEncode", {"clip": clip, "text": ["51", 4]}),
        "54": ("CLIPTextEncode", {"clip": clip, "text": ""}),
        "55": ("DetailerForEach", detailer),
    }
    linked = changed(prompt, "SaveImage", images=["55", 0])
    return linked | {id: {"class_type": kind, "inputs": inputs} for id, (kind, inputs) in nodes.items()}


def hair(picture, colour, side):
    """The share of a half of the picture that has a colour."""
    half, leading = np.split(picture.astype(int), 2, axis=1)[side], COLOURS[colour]
    others = np.delete(half, leading, axis=2).max(2)
    return float((half[..., leading] > others + 50).mean())


def drawn(server, prompt):
    import io

    from newbie_pack.client import api
    from PIL import Image

    (saved,) = [one for one in api.draw(server, prompt).pictures if one.kind == "output"]
    return np.asarray(Image.open(io.BytesIO(api.download(server, saved))).convert("RGB"))


def test_each_face_is_drawn_with_its_own_text(impact, workflow):
    plain = drawn(impact, workflow())
    everyone = drawn(impact, detailed(workflow(), ["51", 2], ["51", 6], ["54", 0]))
    red, green = ([hair(everyone, colour, side) - hair(plain, colour, side) for side in (0, 1)] for colour in COLOURS)
    assert red[0] > 0.06 > 2 * red[1] and green[1] > 0.03, (red, green)  # the left one may get a green background
    one = drawn(impact, detailed(workflow(), ["52", 0], "", ["53", 0]))
    assert hair(one, "red_hair", 0) - hair(plain, "red_hair", 0) > 0.02
    assert np.array_equal(*(np.split(picture, 2, axis=1)[1][:, 40:] for picture in (one, plain)))
