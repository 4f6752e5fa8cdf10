"""The pack's nodes, one file for each stage of the graph; every execute() hands over to the rooms below.

A newer host may lack a name that one of them imports: that node is left out with a sentence in the log, no other is. So
what needs different names of the host has a file of its own: sample, sampler, guider and decode, and the rooms' files
that they import.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from comfy_api.latest import ComfyExtension, io

from ..sentences import log

NODES = {  # node -> its file, in the order in which they are offered
    "NewBieLoader": "load",
    "NewBieXMLPrompt": "prompt",
    "NewBieTextToXML": "prompt",
    "NewBieCharacter": "prompt",
    "NewBieScene": "prompt",
    "NewBieCharacterLoRA": "prompt",
    "NewBieEncodeCharacters": "encode",
    "NewBieIsolationOptions": "encode",
    "NewBieSample": "sample",
    "NewBieDecode": "decode",
    "NewBieCharacterMasks": "masks",
    "NewBieRedrawCharacter": "redraw",
    "NewBieLayoutPreview": "preview",
    "NewBieGuider": "guider",
    "NewBieSampler": "sampler",
    "NewBieSeeds": "start",
    "NewBieSize": "start",
    "NewBieBoxes": "masks",
}

Part = TypeVar("Part")


def node(name: str, file: str) -> type[io.ComfyNode]:
    found = getattr(import_module(f".{file}", __package__), name)
    found.GET_SCHEMA()
    return found


def register_check() -> None:
    from .page import register

    register()


def offer_loras() -> None:
    """The built-in model's own, in the host's list."""
    import folder_paths

    folder_paths.add_model_folder_path("loras", str(Path(__file__).resolve().parent.parent / "mini" / "loras"))


def alone(what: str, bring: Callable[[], Part]) -> Part | None:
    """What is brought, or None with a warning where this host can't give it what it needs."""
    try:
        return bring()
    except Exception as problem:
        log.warning(
            "%s can't be used in this ComfyUI, but the rest of NewBie XML can: %s. Update this pack, or use a "
            "ComfyUI version named in its README.", what, problem,
        )
        log.debug("%s", traceback.format_exc())
        return None


class NewBieExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        alone("The live prompt check", register_check)
        alone("The built-in model's LoRA", offer_loras)
        found = [alone(name, partial(node, name, file)) for name, file in NODES.items()]
        return [one for one in found if one is not None]
