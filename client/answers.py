"""What the host's answers mean: how far a prompt is, its progress and its pictures, and what went wrong with it.

Pure functions over JSON that any server may have sent; `understood` turns every other form into a sentence.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .problem import Problem
from .workflow import Prompt

PENDING, IN_PROGRESS, COMPLETED, FAILED, CANCELLED = "pending", "in_progress", "completed", "failed", "cancelled"
LONGEST = 300  # letters of a list of choices
MODEL_FILES = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf")
NO_MODEL, NO_MEMORY, NO_DISK = "no model", "no memory", "no disk"  # kinds of our own, whatever the host calls it
MEMORY = re.compile("out of memory on your GPU|can't allocate memory|not enough memory", re.IGNORECASE)
DISK = re.compile(r"No space left on device|Disk quota exceeded|\[Errno (?:28|122)\]|\[WinError 112\]")
LACKS = {
    NO_MEMORY: "ComfyUI ran out of memory: draw a smaller picture, fewer at once, or close what else uses the memory.",
    NO_DISK: "the disk that ComfyUI writes to is full: free some space there.",
}


class HostError(Problem):
    """The host refused a prompt, or a node failed: the node's title and the reason, in one sentence.

    `kinds` are the host's own words for it, of exceptions and of what its validation found, and NO_MODEL ... NO_DISK.
    """

    def __init__(self, sentence: str, kinds: frozenset[str] = frozenset()) -> None:
        super().__init__(sentence)
        self.kinds = kinds


class Interrupted(Problem):
    """The prompt was interrupted before it was done."""


class Refused(Problem):
    """The host answered a request with an HTTP error; `body` is what it said."""

    def __init__(self, sentence: str, status: int, body: bytes) -> None:
        super().__init__(sentence)
        self.status, self.body = status, body


@dataclass(frozen=True)
class Progress:
    """A node is at work; `whole` is 0 when it doesn't count its steps."""

    title: str
    value: float = 0.0
    whole: float = 0.0


@dataclass(frozen=True)
class Picture:
    """One saved image, as the host names it."""

    filename: str
    subfolder: str
    kind: str  # output or temp


@dataclass(frozen=True)
class Job:
    """A prompt that was queued, and how far it is."""

    id: str
    status: str  # PENDING, IN_PROGRESS, COMPLETED, FAILED or CANCELLED
    pictures: tuple[Picture, ...] = ()  # in the order of their nodes
    error: Problem | None = None  # of one that failed or was cancelled
    seconds: float = 0.0  # that it ran on the host, loading models included

    @property
    def ended(self) -> bool:
        return self.status not in (PENDING, IN_PROGRESS)


def ended_job(job_id: str, outputs: dict[str, Any], status: dict[str, Any] | None, prompt: Prompt) -> Job:
    """From the parts that a record of the history and an answer of the jobs API have in common."""
    times, error = {}, None
    for kind, data in (status or {}).get("messages", []):
        times[kind] = data.get("timestamp")
        if kind in ("execution_error", "execution_interrupted"):
            error = failure(prompt, kind, data)
    how = COMPLETED if error is None else CANCELLED if isinstance(error, Interrupted) else FAILED
    start = times.pop("execution_start", None)
    end = max((at for kind, at in times.items() if at and kind != "execution_cached"), default=None)
    seconds = (end - start) / 1000 if start and end else 0.0
    return Job(job_id, how, pictures(outputs), error, seconds)


def pictures(outputs: dict[str, Any]) -> tuple[Picture, ...]:
    return tuple(
        Picture(image["filename"], image.get("subfolder", ""), image.get("type", "output"))
        for output in outputs.values()
        for image in output.get("images", ())
    )


def progress_of(prompt: Prompt, event: dict[str, Any]) -> Progress | None:
    """What an event says about a node's progress, if anything."""
    data = event["data"]
    node = data.get("node")
    if node is None or event["type"] not in ("executing", "progress"):
        return None
    return Progress(title_of(prompt, node), float(data.get("value", 0)), float(data.get("max", 0)))


@contextlib.contextmanager
def understood(url: str, what: str) -> Iterator[None]:
    """An answer that is not of the form that is read here is a sentence."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise Problem(
            f"{url} does not answer as ComfyUI does ({what}): check that it is ComfyUI 0.27 or newer."
        ) from error


# What goes wrong with a prompt: one sentence a thing


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
    kinds = {str(error.get("type")) for _, error in found} | {NO_MODEL for _, error in found if missing_file(error)}
    return HostError("\n".join(sentences), frozenset(kinds))


def reason(error: dict[str, Any]) -> str:
    """The host's message and details as one text; a node's own sentence stands alone."""
    message, details = str(error.get("message", "")).strip(), str(error.get("details", "")).strip()
    extra = error.get("extra_info")
    extra = extra if isinstance(extra, dict) else {}
    kind = error.get("type")
    if kind == "custom_validation_failed":
        return details.partition(" - ")[2] or details or message
    if kind == "missing_node_type":
        name = extra.get("class_type") or extra.get("node_title") or message
        pack = "this pack" if str(name).startswith("NewBie") else "its pack"
        return f"there is no node {name} there: install {pack}, or update it, and restart that ComfyUI."
    if file := missing_file(error):
        return (
            f"ComfyUI has no file {file!r} for {extra.get('input_name')}: put it into its models folder, "
            "as ./run models check tells, or choose another."
        )
    if kind == "value_not_in_list":
        details = shortened(details)
    return f"{message}: {details}" if details and details != message else message


def missing_file(error: dict[str, Any]) -> str | None:
    """The model file that was asked for and isn't there."""
    extra = error.get("extra_info")
    value = extra.get("received_value") if isinstance(extra, dict) else None
    lacks = error.get("type") == "value_not_in_list" and isinstance(value, str)
    return value if lacks and value.lower().endswith(MODEL_FILES) else None


def shortened(details: str) -> str:
    """A list of choices can be of any length."""
    return details if len(details) <= LONGEST else f"{details[:LONGEST]} ..."


def failure(prompt: Prompt, kind: str, data: dict[str, Any]) -> Problem:
    if kind == "execution_interrupted":
        return Interrupted("Interrupted.")
    node = data.get("node_id")
    title = title_of(prompt, node) if node in prompt else data.get("node_type") or "ComfyUI"
    kind, message = str(data.get("exception_type")), str(data.get("exception_message", "failed")).strip()
    lack = lack_of(kind, message)
    return HostError(f"{title}: {LACKS.get(lack, message)}", frozenset({kind, lack} - {""}))


def lack_of(kind: str, message: str) -> str:
    """NO_MEMORY or NO_DISK for an exception that is no fault of the prompt's; "" for any other."""
    if kind.endswith(("OutOfMemoryError", "MemoryError")) or MEMORY.search(message):
        return NO_MEMORY
    return NO_DISK if DISK.search(message) else ""


def title_of(prompt: Prompt, node: str) -> str:
    """The node's title in the graph, or its type; of a node that another one made, the maker's."""
    entry = prompt.get(node) or prompt.get(str(node).partition(".")[0]) or {}
    return entry.get("_meta", {}).get("title") or entry.get("class_type") or f"node {node}"
