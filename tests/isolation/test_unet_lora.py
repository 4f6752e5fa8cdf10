"""LoRAs of characters on SD1.5, SD2 and SDXL: by the region of a feature map at every resolution, by chunk of text."""

from __future__ import annotations

from dataclasses import replace

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import comfy.sample
import comfy.sd
import random_sd
import torch
from loras import listed, lora_for
from newbie_pack.isolation.encode import encode, encode_negative
from newbie_pack.xml_prompt import Lora, layout, parse
from safetensors.torch import load_file, save_file

KINDS = ("SD15", "SD20", "SDXL")
PROMPT = (
    "<character_1><appearance>blue hair</appearance><position>left</position></character_1>"
    "<character_2><appearance>red dress</appearance><position>right</position></character_2>"
    "<general_tags><background>night_sky</background></general_tags>"
)


@pytest.fixture(scope="module", params=KINDS)
def sd(request, tmp_path_factory):
    """-> MODEL, CLIP, folder of LoRAs: every layer; every layer with tokens; the text encoders'."""
    model, clip = random_sd.model(request.param), random_sd.clip(request.param)
    path, network = tmp_path_factory.mktemp(request.param), model.model.diffusion_model

    def has_tokens(name):
        return not any(word in name for word in ("emb_layers", "time_embed", "label_emb"))

    save_file(lora_for(network, "diffusion_model."), path / "all.safetensors")
    for seed, name in enumerate(("cone", "tail"), start=1):
        save_file(lora_for(network, "diffusion_model.", seed=seed, only=has_tokens), path / f"{name}.safetensors")
    text = lora_for(clip.cond_stage_model, "text_encoders.", seed=4, only=lambda name: ".layers." in name)
    save_file(text, path / "text.safetensors")
    with listed(path):
        yield model, clip, path


def scene_with(first=(), second=(), shared=()):
    scene = parse(PROMPT)
    people = (replace(one, loras=tuple(own)) for one, own in zip(scene.characters, (first, second), strict=True))
    return replace(scene, loras=tuple(shared), characters=tuple(people))


def draw(model, positive, negative, size=(18, 24), steps=2):
    latent = torch.zeros(1, 4, *size)
    return comfy.sample.sample(
        model, comfy.sample.prepare_noise(latent, 1), steps, 4.0, "euler", "normal", positive, negative, latent,
        disable_pbar=True, seed=1,
    )


def pictures(sd, scene, mode="auto"):
    model, clip, _ = sd
    boxes = layout(scene, 4 / 3)
    return draw(model, encode(clip, scene, boxes, mode), encode_negative(clip, scene, boxes, mode, "ugly"))


def test_without_strength_bit_for_bit_and_the_model_as_it_was(sd):
    before = pictures(sd, scene_with())
    assert torch.equal(pictures(sd, scene_with([Lora("cone", 0.0)])), before)
    assert not torch.allclose(pictures(sd, scene_with([Lora("cone")])), before)
    assert torch.equal(pictures(sd, scene_with()), before)


def test_a_shared_one_is_what_the_hosts_loader_makes_of_it(sd):
    """All layers, convolutions and modulation included; in float32, whose rounding the sampler's two steps amplify."""
    model, clip, path = sd
    scene, boxes = scene_with(), layout(scene_with(), 4 / 3)
    patched, _ = comfy.sd.load_lora_for_models(model, None, load_file(path / "all.safetensors"), 0.7, 0)
    expected = draw(patched, encode(clip, scene, boxes, "auto"), encode_negative(clip, scene, boxes, "auto", "ugly"))
    got, plain = pictures(sd, scene_with(shared=[Lora("all", 0.7)])), pictures(sd, scene)
    assert (got - expected).norm() < 1e-4 * (plain - expected).norm()


def by_hand(network, files, sizes, owners):
    """Hooks that compute every layer anew with merged weights and take from each result the places of its owner."""
    boxes = {1: (0.0, 0.5), 2: (0.5, 1.0)}

    def whose(rows, columns):
        column = torch.arange(columns)
        left, right = (((column + 1 > a * columns) & (column < b * columns)) for a, b in boxes.values())
        return [part[None].expand(rows, -1) for part in (left, right)]

    def hook(path, module, inputs, out):
        x, made = inputs[0], torch.zeros_like(out)
        if path.endswith(("attn2.to_k", "attn2.to_v")):
            length = x.shape[1]
            masks = [torch.tensor(owners[length]) == owner for owner in boxes]
        elif x.ndim == 4:
            masks = whose(*out.shape[2:])
        else:
            masks = [mask.flatten() for mask in whose(*next(s for s in sizes if s[0] * s[1] == x.shape[1]))]
        for pick in ((0, 0), (1, 0), (0, 1), (1, 1)):
            weight = module.weight.clone()
            for number, worn in enumerate(pick):
                a, b = (files[number][f"diffusion_model.{path}.lora_{side}.weight"] for side in "AB")
                weight += worn * (b.flatten(1) @ a.flatten(1)).reshape(weight.shape)
            if isinstance(module, torch.nn.Conv2d):
                one = torch.nn.functional.conv2d(x, weight, module.bias, module.stride, module.padding)
            else:
                one = torch.nn.functional.linear(x, weight, module.bias)
            here = torch.ones_like(masks[0])
            for mask, worn in zip(masks, pick, strict=True):
                here = here & (mask if worn else ~mask)
            made += one * (here if x.ndim == 4 else here[:, None])
        return made

    return [
        module.register_forward_hook(lambda module, inputs, out, path=path: hook(path, module, inputs, out))
        for path, module in network.named_modules() if f"diffusion_model.{path}.lora_A.weight" in files[0]
    ]


def test_every_place_meets_the_loras_of_its_owner_and_no_others(sd):
    """Against merged weights at every resolution: transformers and convolutions, and the text's keys and values."""
    model, clip, path = sd
    bare, dressed = scene_with(), scene_with([Lora("cone", 1.0, 0.0)], [Lora("tail", 1.0, 0.0)])
    halves = [replace(b, left=left, top=0, right=left + 500, bottom=1000)
              for b, left in zip(layout(bare, 4 / 3), (0, 500), strict=True)]
    positive, negative = encode(clip, bare, halves, "auto"), encode_negative(clip, bare, halves, "auto", "ugly")
    owners = {positive[0][0].shape[1]: positive[0][1]["model_conds"]["newbie_isolation"].cond.forward.plan.owners}
    owners.setdefault(negative[0][0].shape[1], (0,) * negative[0][0].shape[1])
    files = [load_file(path / f"{name}.safetensors") for name in ("cone", "tail")]
    sizes = [(-(-18 // 2**n), -(-24 // 2**n)) for n in range(5)]
    handles = by_hand(model.model.diffusion_model, files, sizes, owners)
    try:
        expected = draw(model, positive, negative, steps=1)
    finally:
        for handle in handles:
            handle.remove()
    unwanted = encode_negative(clip, dressed, halves, "auto", "ugly")
    got = draw(model, encode(clip, dressed, halves, "auto"), unwanted, steps=1)
    plain = draw(model, positive, negative, steps=1)
    assert (got - expected).norm() < 1e-4 * (plain - expected).norm()


def test_the_text_encoders_loras_act_on_their_owners_chunk_alone(sd):
    _, clip, path = sd
    boxes = layout(scene_with(), 4 / 3)
    (plain, extra), (got, changed) = (encode(clip, scene, boxes, "auto")[0] for scene in (
        scene_with(), scene_with((), [Lora("text")])))
    owners = torch.tensor(extra["model_conds"]["newbie_isolation"].cond.forward.plan.owners)
    same = (got == plain).all(-1)[0]
    assert not same[owners == 2].any()
    torch.testing.assert_close(got[:, owners != 2], plain[:, owners != 2], rtol=1e-5, atol=1e-5)
    _, patched = comfy.sd.load_lora_for_models(None, clip, load_file(path / "text.safetensors"), 0, 1.0)
    loaded = encode(patched, scene_with(), boxes, "auto")[0][0]
    torch.testing.assert_close(got[:, owners == 2], loaded[:, owners == 2], rtol=1e-4, atol=1e-4)
