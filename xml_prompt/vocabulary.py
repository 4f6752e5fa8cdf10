"""What the reader knows by name, for an editor to offer."""

from __future__ import annotations

from collections.abc import Iterable

from .layout.places import WORDS
from .words import CHARACTER_ELEMENTS, CHARACTER_FIELDS, GENERAL_ELEMENTS, GENERAL_FIELDS


def vocabulary() -> dict[str, list[str]]:
    """character and general: elements, the usual names first; positions: words for <position>."""

    def names(first: Iterable[str], known: Iterable[str]) -> list[str]:
        return list(dict.fromkeys([*first, *known]))

    return {
        "character": names(("n", *CHARACTER_FIELDS, "bbox", "negative"), CHARACTER_ELEMENTS),
        "general": names(GENERAL_FIELDS, GENERAL_ELEMENTS),
        "positions": list(WORDS),
    }
