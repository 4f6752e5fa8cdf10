"""A LoRA for one character through the real host: by the prompt and by the node, and nothing of it left afterwards."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from graphs import ROOT, afresh, changed, few, node_of
from safetensors import safe_open
from safetensors.torch import save_file

NAME = "pattern, v1.0 图案.safetensors"


@pytest.fixture(scope="module")
def lora(host):
    """A random LoRA for every attention of the built-in model, put there while the host runs."""
    folder = host.kept.parent / "models" / "loras"
    generator, tensors = torch.Generator().manual_seed(0), {}
    with safe_open(ROOT / "mini" / "weights" / "diffusion_model.safetensors", "pt") as file:
        for key in file.keys():  # noqa: SIM118 (no mapping)
            if "attention.qkv.weight" in key or "attention.out.weight" in key:
                out, into = file.get_slice(key).get_shape()
                stem = "diffusion_model." + key.removesuffix(".weight")
                tensors[f"{stem}.lora_A.weight"] = torch.randn(4, into, generator=generator) * into**-0.5
                tensors[f"{stem}.lora_B.weight"] = torch.randn(out, 4, generator=generator) * 0.3
    save_file(tensors, folder / NAME)
    yield NAME
    (folder / NAME).unlink()


def worn(prompt, element):
    """By the first character's block of the prompt."""
    xml = node_of(prompt, "NewBieXMLPrompt")["inputs"]["xml"]
    assert "</character_1>" in xml
    return changed(prompt, "NewBieXMLPrompt", xml=xml.replace("</character_1>", f"{element}</character_1>", 1))


def by_node(prompt, lora, strength):
    scene = node_of(prompt, "NewBieEncodeCharacters")["inputs"]["scene"]
    inputs = {"scene": scene, "character": 1, "lora": lora, "strength_model": strength, "strength_text": strength}
    linked = changed(prompt, "NewBieEncodeCharacters", scene=["40", 0])
    return linked | {"40": {"class_type": "NewBieCharacterLoRA", "inputs": inputs}}


def test_a_lora_changes_its_owner_and_the_next_prompt_finds_the_model_as_it_was(sketch, draw, workflow, lora):
    plain = sketch.picture.astype(int)
    element = f'<lora name="{lora.removesuffix(".safetensors")}" strength="0.8"/>'
    dressed = draw(worn(few(workflow()), element)).picture.astype(int)
    change = np.abs(dressed - plain).mean(2)
    left, right = np.split(change, 2, axis=1)  # the first character stands on the left
    assert left.mean() > 5 and left.mean() > 2 * right.mean()  # hers reaches to the hands that meet; on all: about 1
    assert np.array_equal(draw(afresh(few(workflow()))).picture, plain)
    assert np.array_equal(draw(by_node(few(workflow()), lora, 0.8)).picture, dressed)
    assert np.array_equal(draw(by_node(few(workflow()), lora, 0.0)).picture, plain)


def test_a_name_that_is_none_is_a_sentence_and_the_next_prompt_is_drawn(draw, workflow, lora):
    from newbie_pack.client import api

    with pytest.raises(api.HostError, match=r"did you mean pattern, v1\.0 图案"):
        draw(worn(few(workflow()), '<lora name="patern, v1.0 图案" strength="0.8"/>'))
    draw(afresh(few(workflow())))
