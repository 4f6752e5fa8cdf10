"""Split files: what is said when one is missing or in the wrong place, before anything is loaded."""

from __future__ import annotations

import socket

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import folder_paths
import torch
from newbie_pack.isolation.plan import AUTO, resolve
from newbie_pack.lab.benchmarks.fullsize import chosen
from newbie_pack.model_loader import full, identify
from newbie_pack.model_loader.checkpoint import CheckpointError
from newbie_pack.nodes.load import NewBieLoader
from safetensors.torch import load_file, save_file


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A function that puts a file with these tensors into every model folder."""
    monkeypatch.setattr(folder_paths, "get_full_path", lambda _folder, name: str(tmp_path / name))

    def put(name, **tensors):
        save_file({tensor: torch.zeros(shape) for tensor, shape in tensors.items()}, tmp_path / name)
        return name

    return put


def test_nothing_chosen():
    says = (
        r"No gemma is chosen: put the Gemma 3 4B text encoder, such as gemma_3_4b_it_bf16\.safetensors,"
    )
    with pytest.raises(CheckpointError, match=says):
        full.find(identify.GEMMA, "none")


def test_a_name_that_is_not_there(monkeypatch):
    monkeypatch.setattr(folder_paths, "get_full_path", lambda _folder, _name: None)
    with pytest.raises(CheckpointError, match=r"nope\.safetensors is not in models/vae"):
        full.find(identify.VAE, "nope.safetensors")


def test_another_models_file(files):
    name = files("sd.safetensors", **{"model.diffusion_model.input_blocks.0.0.weight": (1, 4, 3, 3)})
    with pytest.raises(CheckpointError, match=r"sd\.safetensors is an SD 1\.5 or 2 diffusion model \(UNet\), not a"):
        full.load(name, "none", "none", "none", None)


WRONG = [  # (first bytes of the file, what it is said to be, what to do about the one that belongs there)
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n",
     "a Git LFS pointer, not the model. Fetch {}, e.g. with git lfs pull."),
    (b"<!DOCTYPE html><html><body>Log in</body></html>", "a web page, not a model. Download {}, not its page."),
    (b"PK\x03\x04" + bytes(range(60)), "a pickle, which can run code when it is opened. Use {}."),
    (b"GGUF\x03\x00\x00\x00" + bytes(range(1, 60)), "a GGUF file. Use {}."),
    (b'{"error":"Not allowed"}', 'JSON, not a model ({{"error":"Not allowed"}}). Download {}; its site may ask '
     "you to log in first."),
    (b"", "empty. Download {} again."),
    (b"\x00\x01", "not a safetensors file. Use {}."),
]  # fmt: skip


@pytest.mark.parametrize(("part", "expected"), [
    (identify.DIFFUSION, "a NewBie diffusion model for models/diffusion_models (such as NewBie-Image-Exp0.1-bf16"),
    (identify.GEMMA, "the Gemma 3 4B text encoder for models/text_encoders (such as gemma_3_4b_it_bf16"),
    (identify.JINA, "the Jina CLIP v2 text encoder for models/text_encoders (such as jina_clip_v2_bf16"),
    (identify.VAE, "FLUX's 16-channel VAE for models/vae (such as ae"),
])  # fmt: skip
@pytest.mark.parametrize(("content", "says"), WRONG)
def test_what_is_no_model_is_told_with_what_belongs_there(files, tmp_path, part, expected, content, says):
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        full.find(part, "a.safetensors")
    assert str(caught.value) == f"{tmp_path / 'a.safetensors'} is " + says.format(f"{expected}.safetensors)")


@pytest.mark.parametrize("end", [20, -1])
def test_half_a_download_is_told_with_what_belongs_there(files, tmp_path, end):
    path = tmp_path / files("a.safetensors", x=(4,))
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(CheckpointError, match=r"cut off\. Download FLUX's 16-channel VAE for models/vae \(such as"):
        full.find(identify.VAE, path.name)


def test_a_download_that_aria2_has_not_finished_is_told_with_what_belongs_there(files, tmp_path):
    path = tmp_path / files("a.safetensors", x=(4,))
    path.with_name("a.safetensors.aria2").touch()
    with pytest.raises(CheckpointError, match=r"or delete both and download FLUX's 16-channel VAE for models/vae \("):
        full.find(identify.VAE, path.name)


def test_text_encoders_in_each_others_place(models):
    gemma, jina = "gemma_3_4b_it_bf16.safetensors", "jina_clip_v2_bf16.safetensors"
    says = r"jina_clip.* is the Jina CLIP v2 text encoder \(for the input jina\), not the Gemma 3 4B"
    with pytest.raises(CheckpointError, match=says):
        full.load("NewBie-Image-Exp0.1-bf16.safetensors", jina, gemma, "ae.safetensors", None)


def test_a_text_encoder_without_its_tokenizer(models, tmp_path, monkeypatch):
    name = "jina_clip_v2_bf16.safetensors"
    tensors = load_file(models / "text_encoders" / name)
    del tensors["spiece_model"]
    save_file(tensors, tmp_path / name)
    get = folder_paths.get_full_path
    monkeypatch.setattr(folder_paths, "get_full_path", lambda f, n: str(tmp_path / n) if n == name else get(f, n))
    monkeypatch.setattr(full, "read", None)  # nothing is loaded
    with pytest.raises(CheckpointError, match=r"jina_clip.* contains no tokenizer \(the tensor spiece_model\)"):
        full.load(
            "NewBie-Image-Exp0.1-bf16.safetensors", "gemma_3_4b_it_bf16.safetensors", name, "ae.safetensors", None
        )


@pytest.mark.parametrize(("stated", "isolation"), [("strict", "strict"), ("gentle", "gentle"), (None, "gentle")])
def test_the_diffusion_models_file_says_its_isolation(models, tmp_path, monkeypatch, stated, isolation):
    """And what it says is what the mode auto means for the CLIP that is loaded with it."""
    name = "NewBie-Image-Exp0.1-bf16.safetensors"
    metadata = {"format": "pt", **({"newbie.isolation": stated} if stated else {})}
    save_file(load_file(models / "diffusion_models" / name), tmp_path / name, metadata)
    get = folder_paths.get_full_path
    monkeypatch.setattr(folder_paths, "get_full_path", lambda f, n: str(tmp_path / n) if n == name else get(f, n))
    others = "gemma_3_4b_it_bf16.safetensors", "jina_clip_v2_bf16.safetensors", "ae.safetensors"
    assert full.load(name, *others, None)[3] == isolation
    _, clip, _ = NewBieLoader.execute(name, *others, "default").args
    assert resolve(clip, AUTO) == isolation


def test_a_tiny_vae_is_loaded_by_the_host(weights, monkeypatch):
    monkeypatch.setattr(folder_paths, "get_full_path", lambda _folder, name: str(weights / name))
    assert full.load_vae(full.find(identify.VAE, "vae.safetensors")).latent_channels == 16


@pytest.mark.parametrize("form", ["split", "folder"])
def test_loading_opens_no_connection_and_no_pickle(models, monkeypatch, form):
    def refuse(*_args, **_options):
        raise AssertionError("asked the network, or for a pickle")

    files = chosen(models, form)["ours"]
    for target, name in ((socket.socket, "connect"), (socket.socket, "connect_ex"), (socket, "getaddrinfo"),
                         (torch, "load")):  # fmt: skip
        monkeypatch.setattr(target, name, refuse)
    for attempt in (lambda: socket.create_connection(("127.0.0.1", 9)), lambda: torch.load("a.pt")):
        with pytest.raises(AssertionError, match="asked the network"):  # it would be noticed
            attempt()
    assert all(full.load(**files, dtype=None)[:3])
