"""Training equals what the pack does at run time: the same prompt and the same weights give the same numbers.

Both sides compute in float32 and differ by the order of their sums, about 1e-6 relative; 1e-4 leaves room for other
processors. The random weights of conftest.py are exact in bfloat16, so that writing the files rounds nothing.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import comfy.sample
import torch
from conditionings import plan_of
from newbie_pack.isolation.encode import encode, encode_plain
from newbie_pack.isolation.plan import coverage
from newbie_pack.lab.drawing.scenes import sample_picture
from newbie_pack.lab.training import config, dataset, export, prompts, tokens
from newbie_pack.lab.training.generate import Networks, caption, collate, decode, empty, generate
from newbie_pack.model_loader import mini as loader
from newbie_pack.sampling.sample import sample
from newbie_pack.xml_prompt import layout, parse, render_xml, text_of

CPU = torch.device("cpu")
CLOSE = 1e-4
NOWHERE = torch.zeros(1, dataset.PEOPLE, 64, dtype=torch.bool)
DEMO = """<scene> <character_1> <n>miku</n> <position>left, center_y</position> <pose>standing, facing_right</pose>
</character_1> <character_2> <n>kaito</n> <position>right, center_y</position> <pose>standing, facing_left</pose>
</character_2> <interaction>handshake</interaction> </scene>"""


def difference(ours, packs):
    assert ours.shape == packs.shape
    return ((ours - packs.float()).norm() / packs.float().norm()).item()


def described(count, seed=0):
    """Prompts as training states them, some complete, with 1 to 4 people."""
    rng = random.Random(seed)
    for i in range(count):
        yield prompts.describe(sample_picture(rng, people=i % 4 + 1), rng, complete=i % 3 == 0)


def test_a_strict_prompt_is_encoded_as_in_training(networks, loaded, tokenizers):
    clip, systems = loaded[1], 0
    for description in described(12):
        made = tokens.tokenize(prompts.segments(description, "boxes"), True, tokenizers)
        features, _, pooled = caption(networks, collate([made], NOWHERE, CPU))
        packs = encode(clip, description.scene, description.boxes, "strict")
        assert plan_of(packs).owners == tuple(made.owner)
        assert difference(features, packs[0][0]) <= CLOSE
        assert difference(pooled, packs[0][1]["pooled_output"]) <= CLOSE
        systems += bool(description.scene.system)
    assert systems  # a shared prefix longer than the start token was among them


def test_the_demo_is_encoded_as_in_training(networks, loaded, tokenizers):
    scene = parse(DEMO)
    boxes = layout(scene)
    made = tokens.tokenize(render_xml(scene, boxes), True, tokenizers)
    features, _, pooled = caption(networks, collate([made], NOWHERE, CPU))
    packs = encode(loaded[1], scene, boxes, "strict")
    assert difference(features, packs[0][0]) <= CLOSE
    assert difference(pooled, packs[0][1]["pooled_output"]) <= CLOSE


@pytest.mark.parametrize("form", ["boxes", "xml", "json", "tags"])
def test_a_whole_prompt_is_encoded_as_in_training(networks, loaded, tokenizers, form):
    for description in described(4, seed=1):
        segments = prompts.segments(description, form)
        made = tokens.tokenize(segments, False, tokenizers)
        features, _, pooled = caption(networks, collate([made], NOWHERE, CPU))
        packs = encode_plain(loaded[1], text_of(segments))
        assert difference(features, packs[0][0]) <= CLOSE
        assert difference(pooled, packs[0][1]["pooled_output"]) <= CLOSE


def test_the_empty_prompt_is_the_packs(networks, loaded):
    features, _, pooled = caption(networks, empty(1, 64, CPU))
    packs = encode_plain(loaded[1], "")
    assert difference(features, packs[0][0]) <= CLOSE
    assert difference(pooled, packs[0][1]["pooled_output"]) <= CLOSE


def test_regions_are_the_packs(loaded):
    """What covers an image token in training is what the plan's regions cover at run time."""
    for description in described(8, seed=2):
        plan = plan_of(encode(loaded[1], description.scene, description.boxes, "strict"))
        covered = torch.from_numpy(dataset.coverage(description, (16, 24)))
        for person, rectangles in enumerate(plan.regions):
            assert torch.equal(covered[person], coverage(rectangles, 16, 24) > 0)
        assert not covered[len(plan.regions) :].any()


@pytest.mark.parametrize(
    "settings", [{"eta": 0.0}, {"eta": 0.3}, {"eta": 0.3, "guidance_end": 0.6}, {"eta": 0.3, "renorm": 1.0}], ids=str
)
def test_evaluation_samples_as_the_pack_does(networks, loaded, tokenizers, settings):
    """From noise to latent: the same rules, guidance, schedule and fresh noise."""
    model, clip = loaded[:2]
    description = next(d for d in described(8, seed=3) if len(d.boxes) == 2)
    made = tokens.tokenize(prompts.segments(description, "boxes"), True, tokenizers)
    covers = torch.from_numpy(dataset.coverage(description, (8, 8)))[None]
    latent = torch.zeros(1, 16, 16, 16)
    noise = comfy.sample.prepare_noise(latent, 5)
    # on the CPU the host draws its fresh noise with the seed + 1
    ours = generate(networks, collate([made], covers, CPU), noise, steps=3, seed=6, **settings)
    positive = encode(clip, description.scene, description.boxes, "strict")
    packs = sample(model, positive, encode_plain(clip, ""), {"samples": latent}, seed=5, steps=3, **settings)["samples"]
    assert difference(ours, (packs - config.VAE_SHIFT) * config.VAE_SCALE) <= 1e-3  # guidance 7.5 enlarges what differs
    whole = replace(made, owner=[0] * len(made.owner))
    mixed_up = generate(networks, collate([whole], covers, CPU), noise, steps=3, seed=6, **settings)
    assert difference(mixed_up, ours) > 1e-2  # without isolation it would not be equal


def test_pictures_are_decoded_as_by_the_packs_vae(autoencoder, loaded):
    latent = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(7))
    ours = decode(autoencoder, latent)
    packs = loaded[2].decode(latent / config.VAE_SCALE + config.VAE_SHIFT).movedim(-1, 1)
    assert (ours - packs).abs().max() <= CLOSE
    assert ours.std() > 0.05


def test_norm_weights_are_not_rounded(tokenizers, tmp_path, monkeypatch):
    """Gemma adds one to its norms: in bfloat16 that would cost 0.5 % of a caption, so the loader uses float32."""
    torch.manual_seed(8)
    networks = Networks()
    networks.initialise()
    for name, weight in networks.gemma.named_parameters():
        weight.data = (0.1 * torch.randn_like(weight) if "norm" in name else weight.data).bfloat16().float()
    export.export_networks(tmp_path, networks)
    monkeypatch.setattr(loader, "WEIGHTS", tmp_path)
    clip = loader.load_clip()
    for description in described(3, seed=4):
        made = tokens.tokenize(prompts.segments(description, "boxes"), True, tokenizers)
        with torch.no_grad():
            features, _, _ = caption(networks, collate([made], NOWHERE, CPU))
        packs = encode(clip, description.scene, description.boxes, "strict")
        assert difference(features, packs[0][0]) <= CLOSE
