"""A converted LoRA through the host's own loader: every layer changes by its scale times B @ A, and by nothing else."""

from __future__ import annotations

import json
import math

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import comfy.sd
import torch
from newbie_pack.client import models as command
from newbie_pack.model_loader import check, lora
from safetensors.torch import load_file, save_file

BF16 = "diffusion_models/NewBie-Image-Exp0.1-bf16.safetensors"
LAYERS = (  # the trainer's
    *(f"layers.0.{name}" for name in ("attention.qkv", "attention.out", "feed_forward.w2")),
    "noise_refiner.1.attention.qkv",
    "context_refiner.0.feed_forward.w2",
    "time_text_embed.1",
    "clip_text_pooled_proj.1",
)
RANK = 2
PEFT = "base_model.model.{}.lora_{}.weight"


@pytest.fixture
def model(models):
    """In float32, in which a change can be measured."""
    tensors = {name: value.float() for name, value in load_file(models / BF16).items()}
    return comfy.sd.load_diffusion_model_state_dict(tensors)


def matrices(model, layers=LAYERS, rank=RANK):
    """Layer -> A and B."""
    weights, generator = model.model.state_dict(), torch.Generator().manual_seed(9)
    shapes = {layer: weights[f"diffusion_model.{layer}.weight"].shape for layer in layers}
    return {
        layer: (torch.randn(rank, columns, generator=generator), torch.randn(rows, rank, generator=generator))
        for layer, (rows, columns) in shapes.items()
    }


def named(pairs, form=PEFT, sides=("A", "B")):
    return {
        form.format(layer, side): value
        for layer, pair in pairs.items()
        for side, value in zip(sides, pair, strict=True)
    }


def changes(model, path):
    """What the host's loader adds to each weight."""
    changed, _ = comfy.sd.load_lora_for_models(model, None, load_file(path), 1.0, 0.0)
    before = model.model.state_dict()
    return {
        key.removeprefix("diffusion_model.").removesuffix(".weight"): changed.patch_weight_to_device(
            key, return_weight=True
        )
        - before[key]
        for key in changed.patches
    }


def same(got, expected):
    assert got.keys() == expected.keys()
    for layer, change in expected.items():
        torch.testing.assert_close(got[layer], change, rtol=1e-4, atol=1e-4)


def test_the_trainers_own_names_do_not_reach_the_stock_loader(model, tmp_path):
    """A fact about the host, ComfyUI 0.30.0, and why there is `./run models lora`: when this fails, it can go."""
    save_file(named(matrices(model)), tmp_path / "old.safetensors")
    assert not changes(model, tmp_path / "old.safetensors")


@pytest.mark.parametrize(
    ("metadata", "config", "scales"),
    [
        (None, None, {}),
        ({"lora_rank": "2", "lora_alpha": "6"}, None, {"": 6 / RANK}),
        (None, {"lora_alpha": 1, "r": RANK}, {"": 1 / RANK}),
        (None, {"lora_alpha": 6, "r": RANK, "use_rslora": True}, {"": 6 / math.sqrt(RANK)}),
        (
            None,
            {"lora_alpha": 1, "r": RANK, "alpha_pattern": {"qkv": 8, "time_text_embed.1": 3}},
            {"": 1 / RANK, "qkv": 8 / RANK, "time_text_embed.1": 3 / RANK},
        ),
    ],
)
def test_the_scale_is_the_trainings(model, tmp_path, metadata, config, scales):
    pairs = matrices(model)
    save_file(named(pairs), tmp_path / "adapter_model.safetensors", metadata)
    if config is not None:
        (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"} | config), encoding="utf-8")
    done = lora.convert(tmp_path / "adapter_model.safetensors", tmp_path / "new.safetensors")
    assert done == lora.Converted(len(LAYERS), written=True, scaled=bool(scales))
    expected = {}
    for layer, (a, b) in pairs.items():
        fitting = [scale for end, scale in scales.items() if layer.endswith(end)]
        expected[layer] = (fitting[-1] if fitting else 1) * b @ a
    same(changes(model, tmp_path / "new.safetensors"), expected)


def test_layers_of_several_ranks(model, tmp_path):
    """rank_pattern, with each layer's own rank in the scale."""
    pairs = matrices(model, LAYERS[:2]) | matrices(model, LAYERS[2:], 4)
    save_file(named(pairs), tmp_path / "old.safetensors")
    config = {"lora_alpha": 3, "r": 4, "rank_pattern": dict.fromkeys(LAYERS[:2], 2)}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    lora.convert(tmp_path / "old.safetensors", tmp_path / "new.safetensors")
    same(changes(model, tmp_path / "new.safetensors"), {layer: 3 / len(a) * b @ a for layer, (a, b) in pairs.items()})


@pytest.mark.parametrize("form", ["transformer.{}.lora_{}.weight", "{}.lora_{}.weight"])
def test_names_of_which_the_host_reads_some(model, tmp_path, form):
    pairs = matrices(model)
    save_file(named(pairs, form), tmp_path / "old.safetensors")
    assert set(changes(model, tmp_path / "old.safetensors")) == {name for name in LAYERS[:5] if name.endswith("w2")}
    lora.convert(tmp_path / "old.safetensors", tmp_path / "new.safetensors")
    same(changes(model, tmp_path / "new.safetensors"), {layer: b @ a for layer, (a, b) in pairs.items()})


def test_the_trainers_lokr(model, tmp_path):
    """LyCORIS' names and its alpha: kron(w1, w2_a @ w2_b), alpha / rank."""
    tensors, expected, generator = {}, {}, torch.Generator().manual_seed(9)
    for layer in LAYERS:
        rows, columns = model.model.state_dict()[f"diffusion_model.{layer}.weight"].shape
        sizes = {"lokr_w1": (4, 4), "lokr_w2_a": (rows // 4, RANK), "lokr_w2_b": (RANK, columns // 4)}
        w1, a, b = own = [torch.randn(size, generator=generator) for size in sizes.values()]
        stem = f"lycoris_{layer.replace('.', '_')}"
        tensors |= {f"{stem}.{end}": value for end, value in zip(sizes, own, strict=True)}
        tensors[f"{stem}.alpha"] = torch.tensor(6.0)
        expected[layer] = 6 / RANK * torch.kron(w1, a @ b)
    save_file(tensors, tmp_path / "old.safetensors", {"adapter_type": "lyco_lokr", "lora_alpha": "6"})
    assert len(changes(model, tmp_path / "old.safetensors")) < len(LAYERS)
    lora.convert(tmp_path / "old.safetensors", tmp_path / "new.safetensors")
    same(changes(model, tmp_path / "new.safetensors"), expected)


def test_a_converted_file_is_read_as_it_is(model, tmp_path):
    save_file(named(matrices(model)), tmp_path / "old.safetensors", {"lora_alpha": "6"})
    lora.convert(tmp_path / "old.safetensors", tmp_path / "new.safetensors")
    again = lora.convert(tmp_path / "new.safetensors", tmp_path / "newer.safetensors")
    assert again == lora.Converted(len(LAYERS), written=False, scaled=True)
    assert not (tmp_path / "newer.safetensors").exists()


def test_every_layer_of_the_model_is_known():
    from newbie_pack.lab.benchmarks import fullsize_files as files
    from newbie_pack.model_loader.lora import parse

    for name in files.diffusion_shapes(files.FULL):
        if name.endswith(".weight"):
            assert parse(f"base_model.model.{name.removesuffix('weight')}lora_A.weight"), name
            assert parse(f"lycoris_{name.removesuffix('.weight').replace('.', '_')}.lokr_w1"), name


def test_queries_keys_and_values_apart_break_the_hosts_loader(model, tmp_path):
    """A fact about the host, and why such files are refused: it takes keys to be as many as queries."""
    layer = "diffusion_model.layers.0.attention.to_v"
    save_file(
        {f"{layer}.lora_A.weight": torch.ones(RANK, 64), f"{layer}.lora_B.weight": torch.ones(32, RANK)},
        tmp_path / "old.safetensors",
    )
    with pytest.raises(RuntimeError, match="exceeds dimension size"):
        changes(model, tmp_path / "old.safetensors")


def test_the_survey_tells_of_it(models, model, tmp_path):
    folder = tmp_path / "loras"
    folder.mkdir()
    save_file(named(matrices(model, LAYERS[-2:-1])), folder / "a.safetensors")
    save_file(named(matrices(model), "diffusion_model.{}.lora_{}.weight"), folder / "b.safetensors")
    magnitudes = f"base_model.model.{LAYERS[-2]}.lora_magnitude_vector"  # PEFT's DoRA, which can't be converted
    dora = named(matrices(model, LAYERS[-2:-1])) | {magnitudes: torch.ones(4)}
    save_file(dora, folder / "c.safetensors")
    problems = check.survey(command.below(tmp_path)).problems
    told = [line for line in problems if "safetensors" in line and str(folder) in line]
    assert told == [
        f"{folder / 'a.safetensors'} is a LoRA whose names ComfyUI ignores: "
        f"run ./run models lora {folder / 'a.safetensors'}",
        f"{folder / 'c.safetensors'} has {magnitudes}, which ComfyUI's LoraLoader can't read for NewBie and "
        "converting would lose. NewBie Character LoRA takes it as it is.",
    ]
