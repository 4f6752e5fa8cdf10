"""The pack's nodes, one file for each stage of the graph; every execute() hands over to the rooms below.

A newer host may lack a name that one of them imports: that node is left out with a sentence in the log, no other is.
"""

from __future__ import annotations

import traceback
from importlib import import_module

from comfy_api.latest import ComfyExtension, io

from ..sentences import log

NODES = {  # node -> its file, in the order in which they are offered
    "NewBieLoader": "load",
    "NewBieXMLPrompt": "prompt",
    "NewBieTextToXML": "text",
    "NewBieCharacter": "builders",
    "NewBieScene": "builders",
    "NewBieCharacterLoRA": "lora",
    "NewBieEncodeCharacters": "encode",
    "NewBieIsolationOptions": "isolation_options",
    "NewBieSample": "sample",
    "NewBieDecode": "decode",
    "NewBieLayoutPreview": "preview",
    "NewBieGuider": "guider",
    "NewBieSampler": "sampler",
    "NewBieSeeds": "seeds",
    "NewBieSize": "size",
}


def node(name: str, file: str) -> type[io.ComfyNode] | None:
    """The node, or None with a warning where this host can't give it what it needs."""
    try:
        found = getattr(import_module(f".{file}", __package__), name)
        found.GET_SCHEMA()
        return found
    except Exception as problem:
        log.warning(
            "%s can't be used in this ComfyUI, and the other NewBie nodes can: %s. Update ComfyUI-NewBie-XML, or use "
            "a ComfyUI that its README names.", name, problem,
        )
        log.debug("%s", traceback.format_exc())
        return None


class NewBieExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [found for found in (node(*entry) for entry in NODES.items()) if found is not None]
