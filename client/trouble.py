"""What goes wrong with a prompt at a host, from the host's JSON to one sentence a thing."""

from __future__ import annotations

import json
from typing import Any

from .problem import Problem
from .workflow import Prompt


class HostError(Problem):
    """The host refused a prompt, or a node failed: the node's title and the reason, in one sentence.

    `kinds` are the host's own words for it: types of exceptions, and of what its validation found.
    """

    def __init__(self, sentence: str, kinds: frozenset[str] = frozenset()) -> None:
        super().__init__(sentence)
        self.kinds = kinds


class Interrupted(Problem):
    """The prompt was interrupted before it was done."""


def refusal(prompt: Prompt, body: bytes) -> HostError:
    """What an answer of the host's validation says, of whatever form."""
    try:
        return refused(prompt, json.loads(body))
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return HostError(f"ComfyUI refused the prompt: {body[:200].decode('utf-8', 'replace')}")


def refused(prompt: Prompt, answer: dict[str, Any]) -> HostError:
    """One sentence for each thing that is wrong with a node, none of them twice."""
    found = [(node, error) for node, told in (answer.get("node_errors") or {}).items() for error in told["errors"]]
    sentences = dict.fromkeys(f"{title_of(prompt, node)}: {reason(error)}" for node, error in found)
    whole = answer.get("error") or {}
    if not sentences:
        why = reason(whole) if isinstance(whole, dict) else whole
        sentences[f"ComfyUI refused the prompt: {why}"] = None
        found = [("", whole)] if isinstance(whole, dict) else []
    return HostError("\n".join(sentences), frozenset(str(error.get("type")) for _, error in found))


def reason(error: dict[str, Any]) -> str:
    """The host's message and details as one text; a node's own sentence stands alone."""
    message, details = str(error.get("message", "")).strip(), str(error.get("details", "")).strip()
    if error.get("type") == "custom_validation_failed":
        return details.partition(" - ")[2] or details or message
    if error.get("type") == "missing_node_type":
        return f"{message} (is this pack loaded, and up to date?)"
    return f"{message}: {details}" if details and details != message else message


def failure(prompt: Prompt, kind: str, data: dict[str, Any]) -> Problem:
    if kind == "execution_interrupted":
        return Interrupted("Interrupted.")
    node = data.get("node_id")
    title = title_of(prompt, node) if node in prompt else data.get("node_type") or "ComfyUI"
    sentence = f"{title}: {str(data.get('exception_message', 'failed')).strip()}"
    return HostError(sentence, frozenset({str(data.get("exception_type"))}))


def title_of(prompt: Prompt, node: str) -> str:
    """The node's title in the graph, or its type; of a node that another one made, the maker's."""
    entry = prompt.get(node) or prompt.get(str(node).partition(".")[0]) or {}
    return entry.get("_meta", {}).get("title") or entry.get("class_type") or f"node {node}"
