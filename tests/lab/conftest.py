"""The mini's training networks with random weights, and the same weights loaded through the pack's own loader."""

from __future__ import annotations

import pytest
import random_mini
import torch

GEMMA_STEP = 128  # Gemma's norms: whole 128ths, so that one plus them is exact in the files' bfloat16


@pytest.fixture(scope="session")
def networks():
    """Networks whose weights are all exact in bfloat16, so that the files hold the same."""
    from newbie_pack.lab.training.generate import Networks

    networks, generator = Networks(), torch.Generator().manual_seed(0)
    for network in (networks.diffusion, networks.gemma, networks.jina):
        state = random_mini.randomise(network, generator)
        network.load_state_dict({name: value.float() for name, value in state.items()})
    for name, weight in networks.gemma.named_parameters():
        if "norm" in name:
            weight.data = ((weight.data - 1) * GEMMA_STEP).round() / GEMMA_STEP
    return networks.requires_grad_(False).eval()


@pytest.fixture(scope="session")
def autoencoder():
    from newbie_pack.lab.training.model import Autoencoder

    torch.manual_seed(1)
    network = Autoencoder()
    network.initialise()
    for weight in network.parameters():
        weight.data = weight.data.bfloat16().float()
    return network.requires_grad_(False).eval()


@pytest.fixture(scope="session")
def tokenizers():
    from newbie_pack.lab.training.tokens import Tokenizers

    return Tokenizers()


@pytest.fixture(scope="session")
def loaded(networks, autoencoder, tmp_path_factory):
    """(MODEL, CLIP, VAE, isolation) of the same weights, written by the training and read by the pack."""
    from newbie_pack.lab.training.export import export_autoencoder, export_networks
    from newbie_pack.model_loader import mini as loader

    folder = tmp_path_factory.mktemp("exported")
    export_networks(folder, networks)
    export_autoencoder(folder, autoencoder)
    patch = pytest.MonkeyPatch()
    patch.setattr(loader, "WEIGHTS", folder)
    yield loader.load(torch.float32)
    patch.undo()
