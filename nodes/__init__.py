"""The pack's nodes, one file for each stage of the graph; every execute() hands over to the rooms below."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .builders import NewBieCharacter, NewBieScene
from .decode import NewBieDecode
from .encode import NewBieEncodeCharacters
from .load import NewBieLoader
from .preview import NewBieLayoutPreview
from .prompt import NewBieXMLPrompt
from .sample import NewBieSample
from .sampling_parts import NewBieGuider, NewBieSampler
from .seeds import NewBieSeeds
from .size import NewBieSize
from .text import NewBieTextToXML


class NewBieExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            NewBieLoader,
            NewBieXMLPrompt,
            NewBieTextToXML,
            NewBieCharacter,
            NewBieScene,
            NewBieEncodeCharacters,
            NewBieSample,
            NewBieDecode,
            NewBieLayoutPreview,
            NewBieGuider,
            NewBieSampler,
            NewBieSeeds,
            NewBieSize,
        ]
