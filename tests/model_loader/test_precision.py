"""What every choice of the loader's input precision does: how the diffusion model's weights are kept, no others'."""

from __future__ import annotations

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import comfy.model_management
import torch
from newbie_pack.nodes.load import MINI, PRECISIONS, NewBieLoader
from newbie_pack.sampling.sample import sample

RELEASE = "NewBie-image-Exp0.1 (folder)"
SPLIT = (
    "NewBie-Image-Exp0.1-bf16.safetensors",
    "gemma_3_4b_it_bf16.safetensors",
    "jina_clip_v2_bf16.safetensors",
    "ae.safetensors",
)
NONE = ("none", "none", "none")
WANTED = {
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp32": torch.float32,
    "fp8_e4m3fn": torch.float8_e4m3fn,
}
SETTINGS = {"seed": 3, "steps": 1, "guidance": 1.0, "eta": 0.0, "sampler": "euler", "scheduler": "simple"}


def kept(model):
    """The dtypes of the blocks' matrices."""
    weights = model.model.diffusion_model.state_dict().items()
    return {value.dtype for name, value in weights if name.endswith(("qkv.weight", "w1.weight"))}


def load(chosen, precision):
    return NewBieLoader.execute(*chosen, precision).args


def test_every_choice_is_tested():
    assert {"default", *WANTED} == set(PRECISIONS)


@pytest.mark.parametrize("precision", WANTED)
@pytest.mark.parametrize("chosen", [SPLIT, (RELEASE, *NONE)], ids=["files", "folder"])
def test_the_weights_are_kept_as_chosen(models, chosen, precision):
    model, clip, vae = load(chosen, precision)
    _, other_clip, other_vae = load(chosen, "default")
    assert kept(model) == {WANTED[precision]}
    for own, other in ((clip.patcher.model, other_clip.patcher.model), (vae.patcher.model, other_vae.patcher.model)):
        mine, theirs = own.state_dict(), other.state_dict()
        assert {name: value.dtype for name, value in mine.items()} == {n: v.dtype for n, v in theirs.items()}


@pytest.fixture
def built_in(mini, weights, monkeypatch):
    from newbie_pack.model_loader import mini as loader

    monkeypatch.setattr(loader, "WEIGHTS", weights)


@pytest.mark.parametrize("precision", WANTED)
def test_the_minis_weights_too(built_in, precision):
    assert kept(load((MINI, *NONE), precision)[0]) == {WANTED[precision]}


@pytest.mark.parametrize("choice", [torch.float16, torch.float32])  # of a host on other cards
@pytest.mark.parametrize("chosen", [SPLIT, (MINI, *NONE)], ids=["files", "mini"])
def test_default_is_the_hosts_choice(models, built_in, monkeypatch, chosen, choice):
    monkeypatch.setattr(comfy.model_management, "unet_dtype", lambda **_: choice)
    assert kept(load(chosen, "default")[0]) == {choice}


def test_rounded_weights_draw_almost_the_same(models):
    """The file is in bf16: more bits change nothing of the weights, fewer round them."""
    generator = torch.Generator().manual_seed(5)
    entry = [[torch.randn(1, 7, 48, generator=generator), {"pooled_output": torch.randn(1, 32, generator=generator)}]]
    drawn = {
        name: sample(load(SPLIT, name)[0], entry, entry, {"samples": torch.zeros(1, 16, 8, 8)}, **SETTINGS)["samples"]
        for name in ("fp32", "fp8_e4m3fn")
    }
    error = (drawn["fp8_e4m3fn"] - drawn["fp32"]).norm() / drawn["fp32"].norm()
    assert 0 < error < 0.2, error
