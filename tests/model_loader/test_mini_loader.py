from __future__ import annotations

import shutil

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import torch
from newbie_pack.model_loader import mini as loader
from newbie_pack.model_loader.checkpoint import CheckpointError


def test_loads_with_the_hosts_own_classes(mini):
    from comfy.ldm.lumina.model import NextDiT
    from comfy.sd import CLIP, VAE

    model, clip, vae, isolation = mini
    assert isinstance(model.model.diffusion_model, NextDiT)
    assert isinstance(clip, CLIP) and isinstance(vae, VAE)
    assert vae.latent_channels == 16
    assert isolation == "strict"


def test_weights_arrive_unchanged(mini, weights):
    from safetensors.torch import load_file

    model, clip, vae, _ = mini
    for name, module in (
        ("diffusion_model", model.model.diffusion_model),
        ("gemma", clip.cond_stage_model.gemma.transformer),
        ("jina", clip.cond_stage_model.jina.transformer),
        ("vae", vae.first_stage_model),
    ):
        state = module.state_dict()
        for key, value in load_file(weights / f"{name}.safetensors").items():
            if key != "spiece_model":
                assert torch.equal(state[key].float(), value.float()), (name, key)


def test_gemma_features_are_the_penultimate_layers(mini):
    """Features of a token don't depend on what follows it, and their width is the diffusion model's."""
    _, clip, _, _ = mini
    tokens = clip.tokenize("<n>miku</n>\n", disable_weights=True)
    full = clip.encode_from_tokens(tokens)
    short = clip.encode_from_tokens({**tokens, "gemma": [tokens["gemma"][0][:4]]})
    assert full.shape[-1] == 48
    torch.testing.assert_close(full[:, :4], short, rtol=1e-4, atol=1e-4)
    inner = clip.cond_stage_model.gemma.transformer.model
    ids = torch.tensor([[token for token, _ in tokens["gemma"][0]]])
    hidden = inner.embed_tokens(ids, out_dtype=torch.float32)
    _, penultimate = inner(None, embeds=hidden, intermediate_output=-2, final_layer_norm_intermediate=False)
    torch.testing.assert_close(full, penultimate.float(), rtol=1e-5, atol=1e-5)


@pytest.fixture
def copied(weights, tmp_path, monkeypatch):
    shutil.copytree(weights, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(loader, "WEIGHTS", tmp_path)
    return tmp_path


def test_a_missing_tensor_is_named(copied):
    from safetensors import safe_open
    from safetensors.torch import save_file

    path = copied / "diffusion_model.safetensors"
    with safe_open(path, "pt") as file:
        metadata, names = file.metadata(), list(file.keys())
        tensors = {name: file.get_tensor(name) for name in names if name != "x_embedder.weight"}
    save_file(tensors, path, metadata)
    with pytest.raises(CheckpointError, match=r"lacks the tensor x_embedder\.weight"):
        loader.load_model()


def test_a_file_without_configuration_is_refused(copied):
    shutil.copy(copied / "vae.safetensors", copied / "gemma.safetensors")
    with pytest.raises(CheckpointError, match=r"gemma\.safetensors.*newbie\.config"):
        loader.load_clip()


def test_the_host_can_copy_each_out_of_its_dynamic_memory(mini, weights, monkeypatch):
    """As it does for LoRA hooks, torch.compile and training on NVIDIA cards: by the way that the patcher notes."""
    monkeypatch.setattr(loader, "WEIGHTS", weights)  # other rooms' minis have files of their own
    model, clip, vae, _ = mini
    for patcher in (model, clip.patcher, vae.patcher):
        again, arguments = patcher.cached_patcher_init
        copy = again(*arguments, disable_dynamic=True)
        assert copy.model is not patcher.model and not copy.is_dynamic()
        weights = copy.model.state_dict()
        other = [name for name, value in patcher.model.state_dict().items() if not torch.equal(value, weights[name])]
        assert not other
    assert model.clone(force_deepcopy=True).model is not model.model


def test_the_encoders_settings_are_the_hosts(mini):
    """All that the host sets on its own 4B pair, but for their sizes; on no device, so that it costs nothing."""
    from comfy.text_encoders.newbie import NewBieTEModel

    host = NewBieTEModel(device="meta", dtype=torch.bfloat16)
    sizes = {"operations", "execution_device", "num_layers"}
    model = mini[1].cond_stage_model
    for ours, theirs in ((model.gemma, host.gemma), (model.jina, host.jina)):
        names = {name for name in vars(theirs) if not name.startswith("_")} - sizes
        assert {name: getattr(ours, name) for name in names} == {name: getattr(theirs, name) for name in names}
        assert {"special_tokens", "layer", "layer_idx", "enable_attention_masks"} <= names
