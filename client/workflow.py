"""A graph in API form, and how it is filled: the prompt, the common settings, and any other input by its name.

Nodes are found by what they are: a graph's ids are its own. A setting goes wherever a value of its name is typed; what
another node supplies through a link stays linked.
"""

from __future__ import annotations

import copy
import json
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .problem import Problem

Prompt = dict[str, dict[str, Any]]  # {node id: {"class_type": ..., "inputs": {...}, "_meta": {"title": ...}}}

DEMO = Path("workflows") / "api" / "NewBie first picture (mini).json"
SEED_END = 1 << 64
SIZE_STEP = 16  # pixels: the autoencoder's 8 times the model's patch of 2
SIZE_MOST = 4096


@dataclass(frozen=True)
class Settings:
    """What to change in the graph; None leaves the graph's own value."""

    xml: str | None = None
    seed: int | None = None  # of the first node that has one; the others keep their distance to it
    steps: int | None = None
    guidance: float | None = None
    eta: float | None = None
    size: tuple[int, int] | None = None  # width, height in pixels
    prompt: tuple[str, ...] = ()  # NODE.INPUT where the prompt goes; none: the graph's only prompt node
    inputs: tuple[tuple[str, str], ...] = ()  # (NODE.INPUT, value as typed); they come last


NAMES = {  # what a setting is called on our nodes, and on the host's
    "seed": ("seed", "noise_seed"),
    "steps": ("steps",),
    "guidance": ("guidance", "cfg"),
    "eta": ("eta",),
}
PROMPTS = {"NewBieXMLPrompt": "xml", "NewBieTextToXML": "text"}
SIZE = "NewBieSize"


def load(path: Path) -> Prompt:
    """The graph in a JSON file, or in a PNG that ComfyUI has saved. Raises Problem."""
    try:
        data = path.read_bytes()
        text = drawn_by(data) if data.startswith(b"\x89PNG") else data.decode("utf-8-sig")
        if not text:
            raise Problem(f"{path} holds no workflow: choose one in API form, or a picture as ComfyUI has saved it.")
        prompt = json.loads(text)
    except FileNotFoundError:
        raise Problem(f"{path} is missing: check the name of the workflow's file.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise Problem(f"{path} cannot be read as JSON: {error}.") from error
    if isinstance(prompt, dict) and isinstance(prompt.get("prompt"), dict):
        prompt = prompt["prompt"]  # as it is sent to the host
    if not isinstance(prompt, dict) or not prompt or not all(map(is_node, prompt.values())):
        raise Problem(f"{path} is not a workflow in API form: export it with the menu's Export (API).")
    return prompt


def drawn_by(png: bytes) -> str:
    """The graph that drew the picture, of the text chunk "prompt", https://www.w3.org/TR/png-3/#11tEXt; "" without."""
    at = 8
    while at + 8 <= len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        keyword, _, text = png[at + 8 : at + 8 + length].partition(b"\0")
        if kind == b"tEXt" and keyword == b"prompt":
            return text.decode("latin-1")
        at += length + 12
    return ""


def is_node(node: Any) -> bool:
    return isinstance(node, dict) and isinstance(node.get("class_type"), str) and isinstance(node.get("inputs"), dict)


def apply(prompt: Prompt, settings: Settings) -> Prompt:
    """A copy of the graph with the settings in it. Raises Problem where it has no node for one."""
    changed = copy.deepcopy(prompt)
    if settings.xml is not None:
        for node, name in prompt_places(changed, settings):
            changed[node]["inputs"][name] = settings.xml
    for setting in NAMES:
        value = getattr(settings, setting)
        if value is not None:
            places = typed(changed, setting)
            if not places:
                raise Problem(f"The workflow has no {' or '.join(NAMES[setting])} to set: leave the {setting} out.")
            first = changed[places[0][0]]["inputs"][places[0][1]]
            for node, name in places:
                inputs = changed[node]["inputs"]
                inputs[name] = (value + inputs[name] - first) % SEED_END if setting == "seed" else value
    if settings.size is not None:
        resize(changed, *settings.size)
    for place, text in settings.inputs:
        node, name = find(changed, place)
        changed[node]["inputs"][name] = read_value(place, text, changed[node]["inputs"].get(name))
    return changed


def seed_of(prompt: Prompt) -> int | None:
    """The graph's own seed, if any node has one."""
    places = typed(prompt, "seed")
    return prompt[places[0][0]]["inputs"][places[0][1]] if places else None


def typed(prompt: Prompt, setting: str) -> list[tuple[str, str]]:
    """Where the graph has a number for the setting: (node id, input)."""
    kind = int if setting in ("seed", "steps") else int | float
    return [
        (node, name)
        for node, entry in prompt.items()
        for name in NAMES[setting]
        if isinstance(entry["inputs"].get(name), kind)
    ]


def prompt_places(prompt: Prompt, settings: Settings) -> list[tuple[str, str]]:
    """Where the prompt goes: (node id, input)."""
    if settings.prompt:
        return [find(prompt, place) for place in settings.prompt]
    found = [
        (node, PROMPTS[entry["class_type"]])
        for node, entry in prompt.items()
        if entry["class_type"] in PROMPTS and not isinstance(entry["inputs"].get(PROMPTS[entry["class_type"]]), list)
    ]
    if len(found) != 1:
        which = " or ".join(f"--prompt {node}.{name}" for node, name in found) or "--prompt NODE.INPUT"
        raise Problem(f"The workflow has {len(found)} nodes that a prompt is typed into: name one with {which}.")
    return found


def resize(prompt: Prompt, width: int, height: int) -> None:
    """Into every NewBie Size, and every stock node for an empty latent."""
    done = False
    for entry in prompt.values():
        inputs = entry["inputs"]
        if entry["class_type"] == SIZE:
            inputs |= {"size": "custom", "size.width": width, "size.height": height}
        elif entry["class_type"].startswith("Empty") and {"width", "height"} <= inputs.keys():
            inputs |= {"width": width, "height": height}
        else:
            continue
        done = True
    if not done:
        raise Problem("The workflow has neither a NewBie Size nor an empty latent: leave the size out.")


def find(prompt: Prompt, place: str) -> tuple[str, str]:
    """(node id, input) of NODE.INPUT, where NODE is an id, a title or a type. Raises Problem."""
    node, dot, name = place.partition(".")
    found: list[str] = []
    while dot and not found:  # titles may have dots, and so may inputs
        found = [node] if node in prompt else [id for id, entry in prompt.items() if node in names_of(entry)]
        if not found:
            more, dot, name = name.partition(".")
            node += f".{more}"
    if not found:
        known = ", ".join(f"{id} ({next(iter(names_of(entry)))})" for id, entry in prompt.items())
        raise Problem(f"{place!r} names no input of the workflow: write NODE.INPUT, NODE being one of {known}.")
    if len(found) > 1:
        raise Problem(f"{place!r} fits {len(found)} nodes: give the id, {' or '.join(found)}.")
    inputs = prompt[found[0]]["inputs"]
    if name not in inputs and name.partition(".")[0] not in inputs:
        raise Problem(f"Node {node} has no input {name!r}: it has {', '.join(inputs)}.")
    return found[0], name


def names_of(entry: dict[str, Any]) -> Iterable[str]:
    title = (entry.get("_meta") or {}).get("title")
    return dict.fromkeys(name for name in (title, entry["class_type"]) if name)


def read_value(place: str, text: str, old: Any) -> str | int | float | bool:
    """What was typed, as the kind of value that it replaces."""
    if isinstance(old, str):
        return text
    try:
        value = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        value = text
    if not isinstance(value, int | float | bool):
        value = text
    if isinstance(old, bool) != isinstance(value, bool) and isinstance(old, int | float):
        raise Problem(f"{place} takes {'true or false' if isinstance(old, bool) else 'a number'}, not {text!r}.")
    if isinstance(old, int | float) and isinstance(value, str):
        raise Problem(f"{place} takes a number, not {text!r}.")
    return value


def parse_input(text: str) -> tuple[str, str]:
    """NODE.INPUT=VALUE -> (NODE.INPUT, VALUE). Raises ValueError with a sentence."""
    place, equals, value = text.partition("=")
    if not equals or not all(place.strip().partition(".")[::2]):
        raise ValueError(f"{text!r} sets nothing: write NODE.INPUT=VALUE, such as 6.steps=20")
    return place.strip(), value.strip()


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
