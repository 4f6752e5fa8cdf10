"""Whether the isolation that Encode Characters made arrives at the sampler, or a node on the way dropped it.

Nodes that join or mask prompts may pass on the text and nothing else, and nothing in a text tells where it is from: the
queued graph does.
"""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

import nodes as host

from .doubts import plans_of

ENCODE, POSITIVE, OFF = "NewBieEncodeCharacters", 0, "off"
Graph = dict[str, dict[str, Any]]  # node id -> {"class_type": ..., "inputs": {name: value or [node id, output]}}


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
        f"The isolation that NewBie Encode Characters made did not arrive: {' or '.join(detours)} dropped it, so "
        "characters may mix. Join prompts with Conditioning (Combine), or connect Encode Characters to this node."
    ]


HIDDEN = [io.Hidden.prompt, io.Hidden.unique_id]  # what a node must ask the host for
