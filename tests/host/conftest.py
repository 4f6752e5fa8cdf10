"""One real ComfyUI process for the whole session, with this pack in it, and the pictures it draws."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.append(str(Path(__file__).resolve().parent))


@dataclass(frozen=True)
class Drawn:
    """One finished prompt: its saved picture [H, W, 3] uint8, and the titles of the nodes that really ran."""

    picture: np.ndarray
    ran: tuple[str, ...]


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.host)


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
    with hosts.running(environment, device="cpu") as running:
        yield running


@pytest.fixture(scope="session")
def server(host):
    from newbie_pack.client import api

    return api.server(host.url, host.alive)


@pytest.fixture(scope="session")
def object_info(server):
    from newbie_pack.client import api

    return api.ask(server, "/object_info")


@pytest.fixture(scope="session")
def draw(server) -> Callable[[dict], Drawn]:
    """Queues a prompt in API form, follows it over the websocket, and downloads what it saved."""
    from newbie_pack.client import api
    from PIL import Image

    def drawn(prompt: dict) -> Drawn:
        ran = []
        result = api.draw(server, prompt, lambda progress: ran.append(progress.title))
        (saved,) = [picture for picture in result.pictures if picture.kind == "output"]
        picture = np.asarray(Image.open(io.BytesIO(api.download(server, saved))).convert("RGB"))
        return Drawn(picture, tuple(dict.fromkeys(ran)))

    return drawn


@pytest.fixture(scope="session")
def workflow() -> Callable[..., dict]:
    """A bundled workflow in API form, freshly read: that of `./run demo` unless another is named."""
    from newbie_pack.client.workflow import DEMO, load

    return lambda name=DEMO.stem: load(ROOT / DEMO.parent / f"{name}.json")


@pytest.fixture(scope="session")
def demo(draw, workflow) -> Drawn:
    """The demo workflow as it is shipped, drawn once."""
    return draw(workflow())
