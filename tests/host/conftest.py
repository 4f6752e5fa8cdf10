"""One real ComfyUI process for the whole session, with this pack in it, and the pictures it draws."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.append(str(Path(__file__).resolve().parent))

from graphs import few  # noqa: E402 (beside this file)


@dataclass(frozen=True)
class Drawn:
    """One finished prompt: its saved picture [H, W, 3] uint8, and the titles of the nodes that really ran."""

    picture: np.ndarray
    ran: tuple[str, ...]


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
    """The demo workflow as it is shipped, drawn once: for whoever looks at the picture."""
    return draw(workflow())


@pytest.fixture(scope="session")
def sketch(draw, workflow) -> Drawn:
    """The demo in few steps, drawn once: enough to tell whether another run draws the very same."""
    return draw(few(workflow()))
