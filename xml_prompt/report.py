"""As plain lists and dicts, for other programs: what a prompt was understood to say, and what the reader knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .layout.places import WORDS
from .scene import Box, Character, Field, Lora, Scene, Tag
from .words import CHARACTER_ELEMENTS, CHARACTER_FIELDS, GENERAL_ELEMENTS, GENERAL_FIELDS


def report(scene: Scene, boxes: Sequence[Box]) -> dict[str, Any]:
    """Everything the prompt was understood to say, in plain lists and dicts; one box for each character."""
    return {
        "characters": [_character(c, box) for c, box in zip(scene.characters, boxes, strict=True)],
        "general": _fields(scene.general),
        "caption": scene.caption,
        "system": scene.system,
        "interactions": [{"kind": i.kind, "between": list(i.between)} for i in scene.interactions],
        "spacing": scene.spacing,
        "loras": _loras(scene.loras),
        "warnings": [{"line": w.line, "column": w.column, "message": str(w.message)} for w in scene.warnings],
    }


def _character(character: Character, box: Box) -> dict[str, Any]:
    return {
        "id": character.id,
        "name": character.name,
        "gender": character.gender,
        "box": _edges(box),
        "more_boxes": [_edges(further) for further in character.more_boxes],
        "fields": _fields(character.fields),
        "negative": _tags(character.negative),
        "loras": _loras(character.loras),
    }


def _loras(loras: Sequence[Lora]) -> list[dict[str, Any]]:
    return [{"name": lora.name, "strength": lora.strength, "text": lora.text_strength} for lora in loras]


def _edges(box: Box) -> list[float]:
    return [box.left, box.top, box.right, box.bottom]


def _fields(fields: Sequence[Field]) -> dict[str, list[dict[str, Any]]]:
    return {field.name: _tags(field.tags) for field in fields}


def _tags(tags: Sequence[Tag]) -> list[dict[str, Any]]:
    return [{"tag": tag.text, "weight": tag.weight} for tag in tags]


def vocabulary() -> dict[str, list[str]]:
    """For an editor. character and general: elements, the usual names first; positions: words for <position>."""

    def names(first: Iterable[str], known: Iterable[str]) -> list[str]:
        return list(dict.fromkeys([*first, *known]))

    return {
        "character": names(("n", *CHARACTER_FIELDS, "bbox", "negative"), CHARACTER_ELEMENTS),
        "general": names(GENERAL_FIELDS, GENERAL_ELEMENTS),
        "positions": list(WORDS),
    }
