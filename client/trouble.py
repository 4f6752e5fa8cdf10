"""What goes wrong with a prompt at a host, from the host's JSON to one sentence a thing."""

from __future__ import annotations

import json
from typing import Any

from .problem import Problem
from .workflow import Prompt


class HostError(Problem):
    """The host refused a prompt, or a node failed: the node's title and the reason, in one sentence."""


class Interrupted(Problem):
    """The prompt was interrupted before it was done."""


def refusal(prompt: Prompt, body: bytes) -> str:
    """One sentence a node for what the host's validation refused."""
    try:
        answer = json.loads(body)
        sentences = reasons(prompt, answer.get("node_errors") or {})
        error = answer.get("error") or {}
        why = reason(error) if isinstance(error, dict) else error
    except (AttributeError, RecursionError, TypeError, ValueError):
        return f"ComfyUI refused the prompt: {body[:200].decode('utf-8', 'replace')}"
    return "\n".join(sentences) or f"ComfyUI refused the prompt: {why}"


def reasons(prompt: Prompt, node_errors: dict[str, Any]) -> list[str]:
    """A sentence for each thing that is wrong with a node, none of them twice."""
    sentences = [
        f"{title_of(prompt, node)}: {reason(error)}"
        for node, told in node_errors.items()
        for error in told.get("errors", ())
    ]
    return list(dict.fromkeys(sentences))


def reason(error: dict[str, Any]) -> str:
    """The host's message and details as one text; a node's own sentence stands alone."""
    message, details = str(error.get("message", "")).strip(), str(error.get("details", "")).strip()
    if error.get("type") == "custom_validation_failed":
        return details.partition(" - ")[2] or details or message
    if error.get("type") == "missing_node_type":
        return f"{message} (is this pack loaded, and up to date?)"
    return f"{message}: {details}" if details and details != message else message


def raise_failure(prompt: Prompt, record: dict[str, Any]) -> None:
    for kind, data in record.get("status", {}).get("messages", []):
        if kind in ("execution_error", "execution_interrupted"):
            raise failure(prompt, kind, data)


def failure(prompt: Prompt, kind: str, data: dict[str, Any]) -> Problem:
    if kind == "execution_interrupted":
        return Interrupted("Interrupted.")
    node = data.get("node_id")
    title = title_of(prompt, node) if node in prompt else data.get("node_type") or "ComfyUI"
    return HostError(f"{title}: {str(data.get('exception_message', 'failed')).strip()}")


def title_of(prompt: Prompt, node: str) -> str:
    """The node's title in the graph, or its type; of a node that another one made, the maker's."""
    entry = prompt.get(node) or prompt.get(str(node).partition(".")[0]) or {}
    return entry.get("_meta", {}).get("title") or entry.get("class_type") or f"node {node}"
