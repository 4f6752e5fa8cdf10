"""What is drawn all the same, and told on the node that draws: what the model was not made for, and lost isolation.

Nodes that join or mask prompts may pass on the text and nothing else, and nothing in a text tells where it is from: the
queued graph does.
"""

from __future__ import annotations

from typing import Any

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io, ui

import nodes as host

from ..isolation.plan import KEY, PIXELS, Plan, misfit
from ..sentences import visible
from .size import SIZES

MINI = [size for name, size in SIZES.items() if name.startswith("mini ")]
PEOPLE = 4  # the most in a picture that the mini was trained on
FAR = 2.0  # times more or fewer pixels, or times longer than wide
GEMMA_4B = 2560  # the width of the full model's text features
LEAST = 512  # pixels a side of the full model's pictures

ENCODE, POSITIVE, OFF = "NewBieEncodeCharacters", 0, "off"
HIDDEN = [io.Hidden.prompt, io.Hidden.unique_id]  # what a node must ask the host for, to know the queued graph
Graph = dict[str, dict[str, Any]]  # node id -> {"class_type": ..., "inputs": {name: value or [node id, output]}}


def plans_of(conditioning: list) -> list[Plan]:
    """Of what Encode Characters made; none of what others did."""
    carried = (values.get("model_conds", {}).get(KEY) for _, values in conditioning)
    return [one.cond.forward.plan for one in carried if one is not None]


def doubt_of_size(config: dict[str, Any], width: int, height: int) -> str | None:
    """config: the diffusion model's, as the host has detected it. width, height: in pixels."""
    drawn = f"This picture is {width} x {height} pixels"
    if config.get("cap_feat_dim") == GEMMA_4B:
        if min(width, height) >= LEAST:
            return None
        return f"{drawn}, but NewBie needs at least {LEAST} on each side: choose 1024 x 1024 or more."
    pixels = [w * h for w, h in MINI]
    far = width * height > FAR * max(pixels) or FAR * width * height < min(pixels)
    if not far and max(width, height) <= FAR * min(width, height):
        return None
    known = ", ".join(f"{w} x {h}" for w, h in MINI)
    return f"{drawn}, unlike the sizes the mini was trained on: choose one of {known}."


def doubt_of_people(config: dict[str, Any], people: int) -> str | None:
    if people <= PEOPLE or config.get("cap_feat_dim") == GEMMA_4B:
        return None
    return f"The prompt has {people} characters, but the mini was trained on at most {PEOPLE}: leave some out."


def doubts(model: ModelPatcher, positive: list, latent: dict[str, Any]) -> list[str]:
    """Sentences, each once."""
    rows, columns = latent["samples"].shape[-2:]
    plans, config = plans_of(positive), model.model.model_config.unet_config
    found = [misfit(plan.size, (rows, columns)) for plan in plans]
    if config.get("clip_text_dim") is not None:  # NewBie's architecture, of whatever size
        found.append(doubt_of_size(config, PIXELS * columns, PIXELS * rows))
        found += [doubt_of_people(config, len(plan.regions)) for plan in plans]
    return list(dict.fromkeys(one for one in found if one))


def carries_prompts(node: dict[str, Any], output: int) -> bool:
    """Whether this output may be a CONDITIONING; of a node that nobody knows, too."""
    made = getattr(host.NODE_CLASS_MAPPINGS.get(node.get("class_type")), "RETURN_TYPES", None) or ()
    return output >= len(made) or made[output] in ("CONDITIONING", "*")


def sources(graph: Graph, node_id: str, name: str) -> dict[str, list[str]]:
    """The Encode Characters nodes that an input's prompt comes from -> the kinds of nodes on the way to each."""
    found: dict[str, list[str]] = {}
    seen: set[tuple[str, int]] = set()
    to_do = [(graph.get(node_id, {}).get("inputs", {}).get(name), ())]
    while to_do:
        link, way = to_do.pop()
        if not (isinstance(link, list) and len(link) == 2 and link[0] in graph) or tuple(link) in seen:
            continue
        seen.add(tuple(link))
        node, output = graph[link[0]], link[1]
        inputs = node.get("inputs", {})
        if node.get("class_type") == ENCODE:
            if output == POSITIVE and inputs.get("mode") != OFF:
                found[link[0]] = list(way)
        elif carries_prompts(node, output):
            to_do += [(value, (*way, str(node.get("class_type")))) for value in inputs.values()]
    return found


def lost(hidden: Any, positive: list) -> list[str]:
    """A sentence if less isolation arrives in the positive than was made for it. hidden: the node's own."""
    made = sources(getattr(hidden, "prompt", None) or {}, str(getattr(hidden, "unique_id", None)), "positive")
    detours = sorted({kind for way in made.values() for kind in way})
    if not detours or len({id(plan) for plan in plans_of(positive)}) >= len(made):
        return []
    return [
        f"Isolation from NewBie Encode Characters was lost: {' or '.join(detours)} dropped it, so characters may "
        f"mix. Combine prompts with Conditioning (Combine), or connect Encode Characters to this node."
    ]


def with_doubts(found: list[str], *results: Any) -> io.NodeOutput:
    """The node's results, with the sentences on the node; a program finds them among the prompt's outputs."""
    return io.NodeOutput(*results, ui=ui.PreviewText(visible("\n".join(found))) if found else None)
