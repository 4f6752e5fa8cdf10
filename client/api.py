"""The host's HTTP and WebSocket API: queue a prompt, follow it, fetch its pictures, interrupt it.

A prompt is the API form of a graph: {node id: {"class_type": ..., "inputs": {...}, "_meta": {"title": ...}}}.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .problem import Problem
from .websocket import WebSocket, WebSocketError, connect

Prompt = dict[str, dict[str, Any]]

LOOK_AGAIN = 2.0  # seconds without a message after which the history is asked


class HostError(Problem):
    """The host refused a prompt, or a node failed: the node's title and the reason, in one sentence."""


class Interrupted(Problem):
    """The prompt was interrupted before it was done."""


class Refused(Problem):
    """The host answered a request with an HTTP error; `body` is what it said."""

    def __init__(self, sentence: str, body: bytes) -> None:
        super().__init__(sentence)
        self.body = body


@dataclass(frozen=True)
class Server:
    """Where a host listens, and under which name it sends us progress."""

    url: str  # http://127.0.0.1:8188
    client: str
    alive: Callable[[], bool] = lambda: True  # False once the host's process has ended


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
class Result:
    pictures: tuple[Picture, ...]
    seconds: float


def server(url: str, alive: Callable[[], bool] = lambda: True) -> Server:
    return Server(url.rstrip("/"), uuid.uuid4().hex, alive)


# --- the verbs -------------------------------------------------------------------------------------------------------


def draw(at: Server, prompt: Prompt, show: Callable[[Progress], None] = lambda progress: None) -> Result:
    """Queues a prompt, follows it to its end, and returns what it saved. Raises HostError and Interrupted."""
    start = time.monotonic()
    with open_socket(at) as socket:  # opened first: no message may be missed
        prompt_id = queue(at, prompt)
        try:
            follow(at, socket, prompt, prompt_id, show)
        except KeyboardInterrupt:
            interrupt(at, prompt_id)
            raise
    return Result(pictures(history(at, prompt_id)), time.monotonic() - start)


def queue(at: Server, prompt: Prompt) -> str:
    """The id of the queued prompt. Raises HostError with the host's reasons when it is refused."""
    body = {"prompt": prompt, "client_id": at.client}
    try:
        answer = ask(at, "/prompt", body)
    except Refused as error:
        raise HostError(refusal(prompt, error.body)) from error
    # With another branch in order the host queues that one alone and answers 200: half a graph is not what was asked.
    if answer.get("node_errors"):
        interrupt(at, answer["prompt_id"])
        raise HostError("\n".join(reasons(prompt, answer["node_errors"])))
    return answer["prompt_id"]


def interrupt(at: Server, prompt_id: str | None = None) -> None:
    """Stops the given prompt, waiting or running, or whatever runs."""
    if prompt_id is not None:
        ask(at, "/queue", {"delete": [prompt_id]})
    ask(at, "/interrupt", {} if prompt_id is None else {"prompt_id": prompt_id})


def history(at: Server, prompt_id: str) -> dict[str, Any] | None:
    """The host's record of a finished prompt, or None while it is not finished."""
    return ask(at, f"/history/{prompt_id}").get(prompt_id)


def download(at: Server, picture: Picture) -> bytes:
    """The file as the host saved it, its metadata included."""
    query = {"filename": picture.filename, "subfolder": picture.subfolder, "type": picture.kind}
    return read(at, f"/view?{urllib.parse.urlencode(query)}")


# --- following a prompt ----------------------------------------------------------------------------------------------


def follow(at: Server, socket: WebSocket, prompt: Prompt, prompt_id: str, show: Callable[[Progress], None]) -> None:
    """Returns when the prompt is done and in the history. Raises HostError and Interrupted."""
    while True:
        try:
            message = socket.receive(LOOK_AGAIN)
        except (TimeoutError, WebSocketError) as error:
            if isinstance(error, WebSocketError):
                time.sleep(LOOK_AGAIN / 4)  # the history still tells when it is done
            if settled(at, prompt, prompt_id):
                return
            continue
        if message is None:
            if settled(at, prompt, prompt_id):
                return
            time.sleep(LOOK_AGAIN / 4)
        elif isinstance(message, str):
            event = json.loads(message)
            if event.get("data", {}).get("prompt_id") != prompt_id:
                continue
            progress = progress_of(prompt, event)
            if progress:
                show(progress)
            elif event["type"] in ("execution_error", "execution_interrupted"):
                raise failure(prompt, event["type"], event["data"])
            elif event["type"] == "executing" and event["data"].get("node") is None:
                return  # sent after the history was written


def progress_of(prompt: Prompt, event: dict[str, Any]) -> Progress | None:
    """What an event says about a node's progress, if anything."""
    data = event["data"]
    node = data.get("node")
    if node is None or event["type"] not in ("executing", "progress"):
        return None
    return Progress(title_of(prompt, node), float(data.get("value", 0)), float(data.get("max", 0)))


def settled(at: Server, prompt: Prompt, prompt_id: str) -> bool:
    """Whether the history has the prompt. Raises its failure, if it failed, and Problem if the host has gone."""
    if not at.alive():
        raise Problem("ComfyUI stopped while drawing; its log says why.")
    record = history(at, prompt_id)
    if record is None:
        return False
    for kind, data in record.get("status", {}).get("messages", []):
        if kind in ("execution_error", "execution_interrupted"):
            raise failure(prompt, kind, data)
    return True


def pictures(record: dict[str, Any] | None) -> tuple[Picture, ...]:
    """The images in a history record, in the order of their nodes."""
    outputs = (record or {}).get("outputs", {})
    return tuple(
        Picture(image["filename"], image.get("subfolder", ""), image.get("type", "output"))
        for output in outputs.values()
        for image in output.get("images", ())
    )


# --- errors ----------------------------------------------------------------------------------------------------------


def refusal(prompt: Prompt, body: bytes) -> str:
    """One sentence a node for what the host's validation refused."""
    try:
        answer = json.loads(body)
    except ValueError:
        return f"ComfyUI refused the prompt: {body[:200].decode('utf-8', 'replace')}"
    sentences = reasons(prompt, answer.get("node_errors") or {})
    if sentences:
        return "\n".join(sentences)
    error = answer.get("error") or {}
    return f"ComfyUI refused the prompt: {reason(error) if isinstance(error, dict) else error}"


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


# --- HTTP ------------------------------------------------------------------------------------------------------------


def open_socket(at: Server) -> WebSocket:
    try:
        return connect(f"ws{at.url.removeprefix('http')}/ws?clientId={at.client}")
    except WebSocketError as error:
        raise Problem(f"ComfyUI at {at.url} does not answer: {error}") from error


def ask(at: Server, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The JSON that the host answers; {} where it answers with nothing."""
    answer = read(at, path, body)
    return json.loads(answer) if answer.strip() else {}


def read(at: Server, path: str, body: dict[str, Any] | None = None, timeout: float = 60.0) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(at.url + path, data, {"Content-Type": "application/json"} if data else {})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback: no proxy
    try:
        with opener.open(request, timeout=timeout) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        sentence = f"ComfyUI answered {error.code} {error.reason} to {path.partition('?')[0]}."
        raise Refused(sentence, error.read()) from error
    except (urllib.error.URLError, OSError) as error:
        raise Problem(f"ComfyUI at {at.url} does not answer: {error}") from error
