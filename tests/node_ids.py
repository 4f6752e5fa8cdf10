"""The pack's nodes, by the ids that workflows name for ever."""

from __future__ import annotations

NODE_IDS = (
    "NewBieLoader",
    "NewBieXMLPrompt",
    "NewBieTextToXML",
    "NewBieCharacter",
    "NewBieScene",
    "NewBieCharacterLoRA",
    "NewBieEncodeCharacters",
    "NewBieIsolationOptions",
    "NewBieSample",
    "NewBieDecode",
    "NewBieCharacterMasks",
    "NewBieRedrawCharacter",
    "NewBieLayoutPreview",
    "NewBieGuider",
    "NewBieSampler",
    "NewBieSeeds",
    "NewBieSize",
    "NewBieBoxes",
)
