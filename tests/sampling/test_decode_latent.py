from __future__ import annotations

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import torch
from newbie_pack.sampling.decode import decode


@pytest.fixture
def vae(mini):
    return mini[2]


def latent(batch=1, channels=16, height=6, width=10):
    return torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(0))


def test_decodes_as_the_host_does(vae):
    images = decode(vae, latent(2))
    assert images.shape == (2, 48, 80, 3)
    assert torch.equal(images, vae.decode(latent(2)))


def test_a_latent_of_another_model_is_refused_in_one_sentence(vae):
    with pytest.raises(ValueError, match="The latent has 4 channels, but this VAE decodes 16"):
        decode(vae, latent(channels=4))


class Failing:
    """A VAE whose plain decode fails."""

    latent_channels = 16

    def __init__(self, problem):
        self.problem = problem

    def decode(self, samples):
        raise self.problem

    def decode_tiled(self, samples):
        return torch.zeros(samples.shape[0], samples.shape[2] * 8, samples.shape[3] * 8, 3)


@pytest.mark.parametrize(
    "problem",
    [torch.OutOfMemoryError("no room"), RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate")],
)
def test_short_memory_is_answered_with_tiles(problem):
    assert decode(Failing(problem), latent()).shape == (1, 48, 80, 3)


def test_other_failures_are_not_hidden():
    with pytest.raises(RuntimeError, match="broken"):
        decode(Failing(RuntimeError("broken")), latent())
