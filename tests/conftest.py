"""Makes the pack importable as `newbie_pack`, whatever its folder is called, the way the host imports it.

Puts a host on the path where there is one, and gives the tests the built-in model with random weights.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

os.environ["LC_ALL"] = "C.UTF-8"  # whoever runs them: messages are English unless a test says otherwise
TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
sys.path.append(str(TESTS))

from host_import import add_host  # noqa: E402 (beside this file)

if "newbie_pack" not in sys.modules:
    spec = importlib.util.spec_from_file_location(
        "newbie_pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["newbie_pack"] = module
    spec.loader.exec_module(module)
add_host()


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A folder with the built-in model's four files, random."""
    import random_mini

    return random_mini.write(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="session")
def mini(weights):
    """(MODEL, CLIP, VAE, isolation) of random weights, loaded once through the pack's own loader."""
    from newbie_pack.model_loader import mini as loader

    patch = pytest.MonkeyPatch()
    patch.setattr(loader, "WEIGHTS", weights)
    yield loader.load()
    patch.undo()
