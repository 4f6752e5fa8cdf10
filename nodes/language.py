"""The language in which a node speaks to its user: what the page is set to, or else what the computer is."""

from __future__ import annotations

import json
from pathlib import Path

import folder_paths

from ..xml_prompt import language_of, system_language

SETTINGS = ("Comfy.Locale", "NewBie.Locale")  # what the user chose; what our extension saw the page use


def language() -> str:
    """`en` or `zh`: the default user's, because a running node is not told whose prompt it is."""
    try:
        file = Path(folder_paths.get_user_directory()) / "default" / "comfy.settings.json"
        settings = json.loads(file.read_text(encoding="utf-8"))
        stated = next((settings[name] for name in SETTINGS if settings.get(name)), None)
    except (OSError, ValueError, AttributeError):
        stated = None
    return language_of(str(stated)) if stated else system_language()
