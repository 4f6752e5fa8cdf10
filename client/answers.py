"""What the host's answers mean: how far a prompt is, its progress and its pictures.

Pure functions over JSON that any server may have sent; `understood` turns every other form into a sentence.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .problem import Problem
from .trouble import Interrupted, failure, title_of
from .workflow import Prompt

PENDING, IN_PROGRESS, COMPLETED, FAILED, CANCELLED = "pending", "in_progress", "completed", "failed", "cancelled"


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
