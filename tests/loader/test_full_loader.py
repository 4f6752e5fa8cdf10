"""Full-size files: what is said when one is missing or in the wrong place. The host's own loaders are not replaced."""

from __future__ import annotations

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import folder_paths
import torch
from newbie_pack.model_loader import full
from newbie_pack.model_loader.checkpoint import CheckpointError
from safetensors.torch import save_file


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A function that puts a file with these tensors into every model folder."""
    monkeypatch.setattr(folder_paths, "get_full_path", lambda _folder, name: str(tmp_path / name))

    def put(name, *tensors):
        save_file({tensor: torch.zeros(1) for tensor in tensors}, tmp_path / name)
        return name

    return put


def test_nothing_chosen():
    with pytest.raises(CheckpointError, match=r"No Gemma text encoder is chosen: put its .* into models/text_encoders"):
        full.load_clip("none", "none")


def test_a_name_that_is_not_there(monkeypatch):
    monkeypatch.setattr(folder_paths, "get_full_path", lambda _folder, _name: None)
    with pytest.raises(CheckpointError, match=r"nope\.safetensors is not in models/vae"):
        full.load_vae("nope.safetensors")


def test_another_models_file(files):
    name = files("sd.safetensors", "model.diffusion_model.input_blocks.0.0.weight")
    with pytest.raises(CheckpointError, match=r"sd\.safetensors is not a NewBie diffusion model"):
        full.load_model(name, None)


def test_text_encoders_in_each_others_place(files):
    gemma = files("gemma.safetensors", "model.layers.0.self_attn.q_norm.weight", "spiece_model")
    jina = files("jina.safetensors", "model.encoder.layers.0.mixer.Wqkv.weight", "spiece_model")
    with pytest.raises(CheckpointError, match=r"jina\.safetensors is not the Gemma 3 text encoder"):
        full.load_clip(jina, gemma)


def test_a_text_encoder_without_its_tokenizer(files):
    gemma = files("gemma.safetensors", "model.layers.0.self_attn.q_norm.weight", "spiece_model")
    jina = files("jina.safetensors", "model.encoder.layers.0.mixer.Wqkv.weight")
    with pytest.raises(CheckpointError, match=r"jina\.safetensors is not a text encoder with its tokenizer inside"):
        full.load_clip(gemma, jina)


def test_the_vae_is_loaded_by_the_host(weights, monkeypatch):
    monkeypatch.setattr(folder_paths, "get_full_path", lambda _folder, name: str(weights / name))
    assert full.load_vae("vae.safetensors").latent_channels == 16
