"""The bundled graph in API form, and what may be set in it. Nodes are found by their type: ids are the graph's own."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .problem import Problem

Prompt = dict[str, dict[str, Any]]  # {node id: {"class_type": ..., "inputs": {...}, "_meta": {"title": ...}}}

DEMO = Path("workflows") / "api" / "NewBie first picture (mini).json"
SIZE_STEP = 16  # pixels: the autoencoder's 8 times the model's patch of 2
SIZE_MOST = 4096


@dataclass(frozen=True)
class Settings:
    """What to change in the graph; None leaves the graph's own value."""

    xml: str | None = None
    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    eta: float | None = None
    size: tuple[int, int] | None = None  # width, height in pixels


# The setting, and the input it is: (type of node, name of input).
PLACES = {
    "xml": ("NewBieXMLPrompt", "xml"),
    "seed": ("NewBieSample", "seed"),
    "steps": ("NewBieSample", "steps"),
    "guidance": ("NewBieSample", "guidance"),
    "eta": ("NewBieSample", "eta"),
}
SIZE = "NewBieSize"


def load(path: Path) -> Prompt:
    try:
        prompt = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise Problem(f"{path} is missing: this clone is not complete.") from None
    except (OSError, ValueError) as error:
        raise Problem(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(prompt, dict) or not all(isinstance(n, dict) and "class_type" in n for n in prompt.values()):
        raise Problem(f"{path} is not a workflow in API form: export it with the menu's Export (API).")
    return prompt


def apply(prompt: Prompt, settings: Settings) -> Prompt:
    """A copy of the graph with the settings in it. Raises Problem where it has no node for one."""
    changed = copy.deepcopy(prompt)
    for setting, (kind, name) in PLACES.items():
        value = getattr(settings, setting)
        if value is not None:
            _set(changed, kind, name, value)
    if settings.size is not None:
        width, height = settings.size
        _find(changed, SIZE, "size")["inputs"] |= {"size": "custom", "size.width": width, "size.height": height}
    return changed


def value_of(prompt: Prompt, setting: str) -> Any:
    """The value that the graph itself has for a setting."""
    kind, name = PLACES[setting]
    return _find(prompt, kind, name)["inputs"].get(name)


def parse_size(text: str) -> tuple[int, int]:
    """384x256 -> (384, 256). Raises ValueError with a sentence."""
    match = re.fullmatch(r"\s*(\d+)\s*[xX×*]\s*(\d+)\s*", text)
    if not match:
        raise ValueError(f"{text!r} is not a size: write WIDTHxHEIGHT, such as 384x256")
    width, height = int(match[1]), int(match[2])
    for side in (width, height):
        if side % SIZE_STEP or not SIZE_STEP <= side <= SIZE_MOST:
            raise ValueError(f"{text}: width and height must be multiples of {SIZE_STEP}, at most {SIZE_MOST}")
    return width, height


def _set(prompt: Prompt, kind: str, name: str, value: Any) -> None:
    _find(prompt, kind, name)["inputs"][name] = value


def _find(prompt: Prompt, kind: str, name: str) -> dict[str, Any]:
    found = [node for node in prompt.values() if node["class_type"] == kind]
    if len(found) != 1:
        raise Problem(f"The workflow has {len(found)} {kind} nodes: to set {name} it must have exactly one.")
    return found[0]
