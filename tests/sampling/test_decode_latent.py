"""Decoding: whole, split or in tiles by the host's own estimate, without a seam, and again when memory ran out."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import torch
from comfy.nested_tensor import NestedTensor
from newbie_pack.model_loader import mini as loader
from newbie_pack.sampling import decode as module
from newbie_pack.sampling.decode import GB, OVERLAP, TILES, Memory, decode, smaller, way_for

ROUND = 2 / 255  # the bound on tiled against whole


@pytest.fixture
def vae(mini):
    return mini[2]


def latent(batch=1, channels=16, height=6, width=10):
    return torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(0))


def said(caplog):
    return [record.getMessage() for record in caplog.records if record.getMessage().startswith("NewBie Decode")]


def memory(picture=1.0, free=2.0):
    """A picture of 96 x 64 latent pixels; tiles by area."""
    return Memory(picture * GB, {side: picture * GB * side**2 / (96 * 64) for side in TILES}, free * GB)


def test_decodes_as_the_host_does(vae, caplog):
    caplog.set_level(logging.INFO)
    images = decode(vae, latent(2))
    assert images.shape == (2, 48, 80, 3)
    assert torch.equal(images, vae.decode(latent(2)))
    (line,) = said(caplog)
    assert line.startswith("NewBie Decode: whole, 2 at a time, because one picture needs about 0.0 GB and ")


@pytest.mark.parametrize(
    ("needs", "free", "batch", "tile", "at_once"),
    [
        (1.0, 8.0, 4, None, 4),
        (1.0, 2.5, 4, None, 2),  # split
        (1.0, 1.0, 4, None, 1),
        (1.0, 0.99, 4, 64, 1),
        (1.0, 0.5, 1, 48, 1),
        (1.0, 0.2, 1, 32, 1),
        (1.0, 0.01, 1, 32, 1),  # nothing fits: the smallest is tried all the same
    ],
)
def test_the_way_follows_the_memory(needs, free, batch, tile, at_once):
    chosen = way_for(memory(needs, free), (batch, 16, 96, 64))
    assert (chosen.tile, chosen.at_once) == (tile, at_once)
    assert f"{needs:.1f} GB" in str(chosen) and f"{free:.1f} GB are free" in str(chosen)


@pytest.mark.parametrize(("free", "tile", "doubted"), [(1.0, 80, False), (0.9, 64, True)])
def test_tiles_that_may_show_are_said_to(free, tile, doubted):
    chosen = way_for(Memory(9 * GB, {side: GB * side**2 / 80**2 for side in TILES}, free * GB), (1, 16, 160, 160))
    assert chosen.tile == tile
    assert ("tones may differ" in str(chosen)) == doubted


def test_after_a_failure_comes_the_next_smaller_tile():
    shape, sides = (1, 16, 96, 64), []
    chosen = way_for(memory(1.0, 8.0), shape)
    while chosen := smaller(chosen, shape):
        sides.append(chosen.tile)
    assert sides == [64, 48, 32]


def test_tiles_are_no_larger_than_the_picture():
    assert way_for(memory(1.0, 0.1), (1, 16, 40, 40)).tile == 32
    assert way_for(memory(1.0, 0.9), (1, 16, 6, 10)).tile == 32


@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        (latent(channels=4), "The latent has 4 channels, but this VAE decodes 16: use the model's own VAE"),
        (NestedTensor([latent(), latent()]), "This is a latent of several parts"),
        (latent().unsqueeze(2), r"This is a 5-dimensional latent \(video or audio\); NewBie Decode takes image"),
    ],
)
def test_a_latent_of_another_model_is_refused_in_one_sentence(vae, samples, sentence):
    with pytest.raises(ValueError, match=sentence):
        decode(vae, samples)


@pytest.mark.parametrize("kind", [{"latent_dim": 3}, {"upscale_ratio": 16}, {"upscale_ratio": (4, 8, 8)}])
def test_a_vae_of_another_kind_is_refused_in_one_sentence(kind):
    fits = {"first_stage_model": 1, "latent_channels": 16, "latent_dim": 2, "upscale_ratio": 8}
    other = SimpleNamespace(**{**fits, **kind})
    with pytest.raises(ValueError, match="does not decode to 8 times the latent's size: use the model's own VAE"):
        decode(other, latent())


@pytest.mark.parametrize("missing", [None, SimpleNamespace(first_stage_model=None)])
def test_no_vae_is_refused_in_one_sentence(missing):
    with pytest.raises(
        ValueError, match=r"No VAE is connected \(some .* none\): use the model's own VAE"
    ):
        decode(missing, latent())


@pytest.fixture
def short_of_memory(vae, monkeypatch):
    """fits, problem -> a list of the sizes tried, in cells: the VAE's network fails on more than fits ** 2."""

    def limit(fits, problem):
        tried = []

        def decode_network(samples):
            cells = samples.shape[-1] * samples.shape[-2]
            if not tried or tried[-1] != cells:
                tried.append(cells)
            if cells > fits**2:
                raise problem
            return torch.zeros(samples.shape[0], 3, 8 * samples.shape[2], 8 * samples.shape[3])

        monkeypatch.setattr(vae.first_stage_model, "decode", decode_network)
        return tried

    return limit


@pytest.mark.parametrize(
    "problem",
    [torch.OutOfMemoryError("no room"), RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate")],
)
def test_memory_that_runs_out_is_answered_with_ever_smaller_tiles(vae, short_of_memory, caplog, problem):
    """As a GPU says it, which the host's own decode would answer with tiles of its own size, and as a CPU says it."""
    caplog.set_level(logging.INFO)
    tried = short_of_memory(32, problem)
    assert decode(vae, latent(height=56, width=56)).shape == (1, 448, 448, 3)
    assert tried[:2] == [56 * 56, 24 * 56] and max(tried[2:]) <= 32 * 32
    assert [line.partition(", ")[0] for line in said(caplog)] == [
        "NewBie Decode: whole",
        "NewBie Decode: in tiles of 384 pixels",
        "NewBie Decode: in tiles of 256 pixels",
    ]
    short_of_memory(0, problem)
    with pytest.raises(RuntimeError, match="too little memory to decode even a small tile"):
        decode(vae, latent(height=56, width=56))


def test_other_failures_are_not_hidden(vae, short_of_memory):
    short_of_memory(0, RuntimeError("broken"))
    with pytest.raises(RuntimeError, match="broken"):
        decode(vae, latent())


@pytest.mark.parametrize(("spare", "made_room"), [(0, False), (-1, True)])
def test_room_is_made_only_where_memory_is_short(vae, monkeypatch, spare, made_room):
    """The host's decode prepares the VAE itself, so twice is for nothing. A batch of two and the weights must fit."""
    needs = vae.memory_used_decode((1, 16, 6, 10), vae.vae_dtype)
    free = 2 * needs + vae.patcher.model_size() + spare
    monkeypatch.setattr(vae.patcher, "get_free_memory", lambda device: free)
    asked = []
    monkeypatch.setattr(module.comfy.model_management, "load_models_gpu", lambda *_, **kw: asked.append(kw))
    found = module.memory_of(vae, (2, 16, 6, 10))
    assert (found.picture, found.free) == (needs, free)
    assert [kw["memory_required"] for kw in asked] == [needs] * made_room


def test_short_memory_is_seen_before_anything_fails(vae, short_of_memory, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    real = module.memory_of

    def short(vae, shape):
        found = real(vae, shape)
        return Memory(found.picture, found.tiles, found.tiles[32])

    monkeypatch.setattr(module, "memory_of", short)
    tried = short_of_memory(32, RuntimeError("never reached"))
    assert decode(vae, latent(height=40, width=40)).shape == (1, 320, 320, 3)
    assert max(tried) <= 32 * 32
    (line,) = said(caplog)
    assert line.startswith("NewBie Decode: in tiles of 256 pixels, because one picture needs about ")


@pytest.fixture(scope="module")
def trained():
    """The built-in model's own autoencoder, and the latent of a picture with a hard edge, a slope and fine texture."""
    vae = loader.load_vae()
    y, x = torch.meshgrid(torch.linspace(0, 1, 384), torch.linspace(0, 1, 384), indexing="ij")
    fine = 0.1 * torch.randn(384, 384, generator=torch.Generator().manual_seed(1))
    picture = torch.stack([y, (x > 0.55).float(), 0.5 + 0.4 * torch.sin(40 * x * y) + fine], -1).clamp(0, 1)
    return vae, vae.encode(picture[None])


def test_the_smallest_tiles_leave_no_seam(trained):
    vae, samples = trained
    tile = TILES[-1]
    whole = vae.decode(samples)
    tiled = vae.decode_tiled(samples, tile_x=tile, tile_y=tile, overlap=tile // OVERLAP)
    away = (tiled - whole).abs()
    assert 0 < away.mean() < ROUND / 2  # 0.5 of 255 when this was written; 0.1 with tiles of 64
    assert away.mean((0, 1, 3)).max() < 2 * ROUND  # no column stands out
    assert away.mean((0, 2, 3)).max() < 2 * ROUND  # nor a row
