"""The built-in model with random weights, loaded once through the pack's own loader."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent))

from host_import import add_host

add_host()


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A folder with the four files."""
    import random_mini

    return random_mini.write(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="session")
def mini(weights):
    """(MODEL, CLIP, VAE, isolation)"""
    from newbie_pack.model_loader import mini as loader

    patch = pytest.MonkeyPatch()
    patch.setattr(loader, "WEIGHTS", weights)
    yield loader.load()
    patch.undo()
