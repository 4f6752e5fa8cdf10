"""Graphs for the tests: the front-end's form turned into the API's, and changes that mean nothing or something."""

from __future__ import annotations

import copy
import re
import urllib.request
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
DYNAMIC = "COMFY_DYNAMICCOMBO_V3"  # what is chosen brings further widgets
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", DYNAMIC)
NOTE = "MarkdownNote"  # the front-end's own, never queued


def is_widget(spec: list) -> bool:
    return isinstance(spec[0], list) or spec[0] in WIDGETS


def inputs_of(info: dict[str, Any]) -> dict[str, list]:
    """Every input of a node in the order of its widgets: {name: [type, options]}."""
    return {**info["input"].get("required", {}), **info["input"].get("optional", {})}


def to_api(graph: dict[str, Any], object_info: dict[str, Any]) -> dict[str, Any]:
    """The front-end's graph as it would queue it. Raises where the graph doesn't fit the nodes."""
    links = {link[0]: link for link in graph["links"]}
    prompt = {}
    for node in graph["nodes"]:
        if node["type"] == NOTE:
            continue
        info = object_info[node["type"]]
        values, said = list(node["widgets_values"]), {}
        for name, spec in inputs_of(info).items():
            if is_widget(spec):
                said[name] = values.pop(0)
                if len(spec) > 1 and spec[1].get("control_after_generate"):
                    values.pop(0)
                if spec[0] == DYNAMIC:
                    (chosen,) = (option for option in spec[1]["options"] if option["key"] == said[name])
                    said |= {f"{name}.{key}": values.pop(0) for key in inputs_of({"input": chosen["inputs"]})}
        if values:
            raise ValueError(f"{node['type']} has {len(values)} widget values too many")
        for socket in node["inputs"]:
            if socket["link"] is not None:
                _, source, slot, target, _, kind = links[socket["link"]]
                if (target, kind) != (node["id"], socket["type"]):
                    raise ValueError(f"{node['type']}: link {socket['link']} leads elsewhere")
                said[socket["name"]] = [str(source), slot]
        title = node.get("title") or info["display_name"] or node["type"]
        prompt[str(node["id"])] = {"class_type": node["type"], "_meta": {"title": title}, "inputs": said}
    return prompt


def read(url: str) -> bytes:
    """What the page is given, a file or an answer."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read()


def of_result(prompt: dict[str, Any]) -> dict[str, Any]:
    """What the saved pictures are made of: a program takes every other output for a result, too."""
    kept, wanted = {}, [id for id, node in prompt.items() if node["class_type"] == "SaveImage"]
    while wanted:
        id = wanted.pop()
        kept[id] = prompt[id]
        wanted += [value[0] for value in prompt[id]["inputs"].values() if isinstance(value, list)]
    return kept


def loads(log: Path) -> int:
    """How often the host says that it read the diffusion model's file or brought weights to where it computes."""
    return len(re.findall("model weight dtype|loaded completely|loaded partially", log.read_text("utf-8", "replace")))


def node_of(prompt: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(node for node in prompt.values() if node["class_type"] == kind)


def changed(prompt: dict[str, Any], kind: str, **inputs: Any) -> dict[str, Any]:
    """A copy with other inputs at the node of this type."""
    copied = copy.deepcopy(prompt)
    node_of(copied, kind)["inputs"].update(inputs)
    return copied


def few(prompt: dict[str, Any], steps: int = 4) -> dict[str, Any]:
    """A copy in which every node takes few steps, where nobody judges the picture."""
    copied = copy.deepcopy(prompt)
    for node in copied.values():
        if isinstance(node["inputs"].get("steps"), int):
            node["inputs"]["steps"] = steps
    return copied


def afresh(prompt: dict[str, Any]) -> dict[str, Any]:
    """A copy that says the same in other words, so that nothing after the prompt comes out of the host's cache."""
    copied = copy.deepcopy(prompt)
    comment = f"<!-- {uuid.uuid4().hex} -->"
    for node in copied.values():
        if node["class_type"] == "NewBieXMLPrompt":
            node["inputs"]["xml"] += comment
        if node["class_type"] == "NewBieScene":
            node["inputs"]["system_prompt"] += " " * (1 + uuid.uuid4().int % 1000)
    return copied
