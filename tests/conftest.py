"""Makes the pack importable as `newbie_pack`, whatever its folder is called, the way the host imports it.

Puts a host on the path where there is one, and gives the tests the built-in model with random weights, and one real
ComfyUI process for the whole session with this pack in it.
"""

from __future__ import annotations

import gc
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


def pytest_collection_modifyitems(items):
    """What a running host is needed for is marked, and begins first: at the end it would keep one process waiting."""
    for item in items:
        if item.path.relative_to(TESTS).parts[0] in ("host", "web"):
            item.add_marker(pytest.mark.host)
    items.sort(key=lambda item: item.get_closest_marker("host") is None)


def pytest_collection_finish():
    """The host and its tests collect garbage often: let it not look through all that was imported each time."""
    gc.collect()
    gc.freeze()


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


@pytest.fixture(scope="session")
def comfyui():
    """The host's folder. `./run test` always names one."""
    folder = Path(os.environ.get("NEWBIE_HOST", ""))
    if not (folder / "main.py").is_file():
        pytest.skip("NEWBIE_HOST does not name a ComfyUI folder")
    weights = ROOT / "mini" / "weights" / "diffusion_model.safetensors"
    assert weights.is_file(), f"{weights} is missing: this clone is not complete"
    return folder


@pytest.fixture(scope="session")
def host(comfyui, tmp_path_factory):
    from newbie_pack.client import host as hosts
    from newbie_pack.client.environment import Environment

    environment = Environment(ROOT, tmp_path_factory.mktemp("home"), Path(sys.executable), comfyui, ours=True)
    page = os.environ.get("NEWBIE_FRONT_END")  # the folder `static` of another comfyui_frontend_package
    flags = ["--front-end-root", page] if page else []
    with hosts.running(environment, device="cpu", flags=flags) as running:
        yield running
