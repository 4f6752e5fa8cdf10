"""The mini's quick previews show its colours. Where its weights have changed, the numbers it needs are told."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from conftest import ROOT
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import comfy.latent_formats
import latent_preview
from newbie_pack.lab.drawing.draw import render
from newbie_pack.lab.drawing.scenes import sample_picture
from newbie_pack.lab.training.export import read_autoencoder
from newbie_pack.model_loader.mini import MiniLatents
from torch.nn.functional import avg_pool2d


def seen(count, seed):
    """Of drawn pictures, a row a latent pixel: what the model works on [n, 16], and colours in -1..1 [n, 3]."""
    rng = random.Random(seed)
    pictures = torch.from_numpy(np.stack([render(sample_picture(rng)) for _ in range(count)]))
    pictures = pictures.movedim(-1, 1).float() / 255
    with torch.no_grad():
        latents = read_autoencoder(ROOT / "mini" / "weights").taesd_encoder(pictures)
    return latents.movedim(1, -1).flatten(0, 2), avg_pool2d(pictures, 8).movedim(1, -1).flatten(0, 2) * 2 - 1


def refitted():
    """The lines of model_loader/mini.py: a channel each, and the bias."""
    latents, colours = seen(60, seed=0)
    solution = torch.linalg.lstsq(torch.cat([latents, torch.ones(len(latents), 1)], 1), colours).solution
    return "\n".join(f"    ({', '.join(f'{value:.3f}' for value in row)})," for row in solution.tolist())


def likeness(latent_format):
    """Correlation of the host's quick preview with the picture, the worst of the three colours."""
    latents, colours = seen(6, seed=1)
    factors = torch.tensor(latent_format.latent_rgb_factors), torch.tensor(latent_format.latent_rgb_factors_bias)
    shown = latents @ factors[0] + factors[1]
    return min(torch.corrcoef(torch.stack([shown[:, c], colours[:, c]]))[0, 1].item() for c in range(3))


def test_the_preview_has_the_pictures_colours():
    assert likeness(MiniLatents()) > 0.75, f"model_loader/mini.py needs\n{refitted()}"
    assert likeness(comfy.latent_formats.Flux()) < 0  # why FLUX's own numbers won't do: they show a negative


def test_the_model_has_them_and_nothing_else_changed(mini):
    ours, flux = mini[0].model.latent_format, comfy.latent_formats.Flux()
    assert isinstance(ours, MiniLatents)
    x = torch.randn(1, 16, 4, 4)
    assert torch.equal(ours.process_in(x), flux.process_in(x))
    assert torch.equal(ours.process_out(x), flux.process_out(x))


def test_flux_tiny_decoder_is_not_asked_for(monkeypatch):
    """It reads other latents. Where the user wants it for other models, the mini keeps to its colours."""
    monkeypatch.setattr(latent_preview.args, "preview_method", latent_preview.LatentPreviewMethod.TAESD)
    previewer = latent_preview.get_previewer(torch.device("cpu"), MiniLatents())
    assert isinstance(previewer, latent_preview.Latent2RGBPreviewer)
