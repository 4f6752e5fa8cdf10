"""The host's HTTP and WebSocket API: queue a prompt, follow it, fetch its pictures, interrupt it.

Whatever a server answers, the caller gets what was asked for or one sentence: answers are bounded in size and time, and
one that is not of the form this file reads is told as that. aiohttp carries it; the host needs it anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import urllib.parse
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp

from .problem import Problem
from .trouble import HostError, failure, raise_failure, reasons, refusal, title_of
from .workflow import Prompt

LOOK_AGAIN = 2.0  # seconds without a message after which queue and history are asked
REQUEST = 60.0  # seconds that a whole answer may take
PATIENCE = 900.0  # seconds without any progress after which the host counts as stuck
GONE_FOR = 3  # looks in a row that find the prompt neither in the queue nor in the history
MOST_BYTES = 256 << 20  # of one answer
MOST_MESSAGE = 64 << 20  # bytes; the host's previews are far smaller

Value = TypeVar("Value")


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
    log: str = ""  # the file that says why, where it is known


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


def server(url: str, alive: Callable[[], bool] = lambda: True, log: str = "") -> Server:
    return Server(url.rstrip("/"), uuid.uuid4().hex, alive, log)


# --- the verbs --------------------------------------------------------------------------------------------------------


def draw(at: Server, prompt: Prompt, show: Callable[[Progress], None] = lambda progress: None) -> Result:
    """Queues a prompt, follows it to its end, and returns what it saved. Raises HostError and Interrupted."""
    start = time.monotonic()
    return Result(asyncio.run(_drawn(at, prompt, show)), time.monotonic() - start)


def queue(at: Server, prompt: Prompt) -> str:
    """The id of the queued prompt. Raises HostError with the host's reasons when it is refused."""
    return _alone(at, lambda session: _queued(at, session, prompt))


def interrupt(at: Server, prompt_id: str | None = None) -> None:
    """Stops the given prompt, waiting or running, or whatever runs."""
    _alone(at, lambda session: _interrupted(at, session, prompt_id))


def history(at: Server, prompt_id: str) -> dict[str, Any] | None:
    """The host's record of a finished prompt, or None while it is not finished."""
    return _alone(at, lambda session: _history(at, session, prompt_id))


def download(at: Server, picture: Picture) -> bytes:
    """The file as the host saved it, its metadata included."""
    query = {"filename": picture.filename, "subfolder": picture.subfolder, "type": picture.kind}
    return _alone(at, lambda session: _read(at, session, f"/view?{urllib.parse.urlencode(query)}"))


def ask(at: Server, path: str, body: dict[str, Any] | None = None) -> Any:
    """The JSON that the host answers; {} where it answers with nothing."""
    return _alone(at, lambda session: _ask(at, session, path, body))


# --- following a prompt -----------------------------------------------------------------------------------------------


async def _drawn(at: Server, prompt: Prompt, show: Callable[[Progress], None]) -> tuple[Picture, ...]:
    async with _session() as session, _socket(at, session) as socket:  # opened first: no message may be missed
        prompt_id = await _queued(at, session, prompt)
        try:
            await _follow(at, session, socket, prompt, prompt_id, show)
        except (KeyboardInterrupt, asyncio.CancelledError):  # Ctrl-C, in our code or in asyncio's
            await _interrupted(at, session, prompt_id)
            raise
        record = await _history(at, session, prompt_id)
    with understood(at, "the history"):
        return pictures(record)


async def _follow(
    at: Server,
    session: aiohttp.ClientSession,
    socket: aiohttp.ClientWebSocketResponse,
    prompt: Prompt,
    prompt_id: str,
    show: Callable[[Progress], None],
) -> None:
    """Returns when the prompt is done and in the history. Raises HostError, Interrupted and Problem."""
    last, gone = time.monotonic(), 0
    while True:
        event = await _event(socket)
        if event is None:
            if not at.alive():
                raise Problem(f"ComfyUI stopped while drawing{_says_why(at)}.")
            record = await _history(at, session, prompt_id)
            if record is not None:
                with understood(at, "the history"):
                    raise_failure(prompt, record)
                return
            gone = 0 if await _is_queued(at, session, prompt_id) else gone + 1
            if gone >= GONE_FOR:
                raise Problem("ComfyUI no longer has this prompt, in its queue or in its history: draw it again.")
            if time.monotonic() - last > PATIENCE:
                await _interrupted(at, session, prompt_id)
                minutes = f"{PATIENCE / 60:.0f} minutes"
                raise Problem(f"ComfyUI has made no progress for {minutes}{_says_why(at)}: restart it.")
            continue
        if event.get("type") in ("executing", "progress", "execution_success", "execution_error"):
            last = time.monotonic()  # another's prompt before ours is progress too
        with understood(at, "an event"):
            if event.get("data", {}).get("prompt_id") != prompt_id:
                continue
            progress = progress_of(prompt, event)
            if progress:
                await asyncio.to_thread(show, progress)  # it may call the verbs, which run loops of their own
            elif event["type"] in ("execution_error", "execution_interrupted"):
                raise failure(prompt, event["type"], event["data"])
            elif event["type"] == "executing" and event["data"].get("node") is None:
                return  # sent after the history was written


async def _event(socket: aiohttp.ClientWebSocketResponse) -> dict[str, Any] | None:
    """The next event; None after LOOK_AGAIN seconds without any, and once the other side has closed."""
    end = time.monotonic() + LOOK_AGAIN
    while (left := end - time.monotonic()) > 0:
        if socket.closed:
            await asyncio.sleep(left)  # the history still tells when it is done
            return None
        with contextlib.suppress(asyncio.TimeoutError):
            message = await socket.receive(left)
            if message.type == aiohttp.WSMsgType.TEXT:
                with contextlib.suppress(ValueError):
                    event = json.loads(message.data)
                    if isinstance(event, dict):
                        return event
    return None


async def _is_queued(at: Server, session: aiohttp.ClientSession, prompt_id: str) -> bool:
    waiting = await _ask(at, session, "/queue")
    with understood(at, "the queue"):
        return any(entry[1] == prompt_id for name in ("queue_running", "queue_pending") for entry in waiting[name])


def progress_of(prompt: Prompt, event: dict[str, Any]) -> Progress | None:
    """What an event says about a node's progress, if anything."""
    data = event["data"]
    node = data.get("node")
    if node is None or event["type"] not in ("executing", "progress"):
        return None
    return Progress(title_of(prompt, node), float(data.get("value", 0)), float(data.get("max", 0)))


def pictures(record: dict[str, Any] | None) -> tuple[Picture, ...]:
    """The images in a history record, in the order of their nodes."""
    outputs = (record or {}).get("outputs", {})
    return tuple(
        Picture(image["filename"], image.get("subfolder", ""), image.get("type", "output"))
        for output in outputs.values()
        for image in output.get("images", ())
    )


# --- errors -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def understood(at: Server, what: str) -> Iterator[None]:
    """An answer that is not of the form that is read here is a sentence."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise Problem(
            f"{at.url} does not answer as ComfyUI does ({what}): check that it is ComfyUI 0.27 or newer."
        ) from error


def _says_why(at: Server) -> str:
    return f"; {at.log} says why" if at.log else ""


# --- HTTP -------------------------------------------------------------------------------------------------------------


def _alone(at: Server, work: Callable[[aiohttp.ClientSession], Coroutine[Any, Any, Value]]) -> Value:
    async def run() -> Value:
        async with _session() as session:
            return await work(session)

    return asyncio.run(run())


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST))  # no proxy: that needs trust_env


@contextlib.asynccontextmanager
async def _socket(at: Server, session: aiohttp.ClientSession) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    address = f"{at.url}/ws?clientId={at.client}"
    try:
        opening = session.ws_connect(address, max_msg_size=MOST_MESSAGE, autoping=True)
        socket = await asyncio.wait_for(opening, REQUEST)
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        raise _unreachable(at, error) from error
    try:
        yield socket
    finally:
        with contextlib.suppress(aiohttp.ClientError, OSError, asyncio.TimeoutError):
            await asyncio.wait_for(socket.close(), LOOK_AGAIN)


def _unreachable(at: Server, error: BaseException) -> Problem:
    why = f"no complete answer within {REQUEST:.0f} s" if isinstance(error, asyncio.TimeoutError) else str(error)
    return Problem(f"ComfyUI at {at.url} does not answer: {why or type(error).__name__}.")


async def _queued(at: Server, session: aiohttp.ClientSession, prompt: Prompt) -> str:
    try:
        answer = await _ask(at, session, "/prompt", {"prompt": prompt, "client_id": at.client})
    except Refused as error:
        raise HostError(refusal(prompt, error.body)) from error
    with understood(at, "/prompt"):
        prompt_id = answer["prompt_id"]
        if not isinstance(prompt_id, str):
            raise TypeError(prompt_id)
        wrong = reasons(prompt, answer.get("node_errors") or {})
    # With another branch in order the host queues that one alone and answers 200: half a graph is not what was asked.
    if wrong:
        await _interrupted(at, session, prompt_id)
        raise HostError("\n".join(wrong))
    return prompt_id


async def _interrupted(at: Server, session: aiohttp.ClientSession, prompt_id: str | None) -> None:
    if prompt_id is not None:
        await _read(at, session, "/queue", {"delete": [prompt_id]})
    await _read(at, session, "/interrupt", {} if prompt_id is None else {"prompt_id": prompt_id})


async def _history(at: Server, session: aiohttp.ClientSession, prompt_id: str) -> dict[str, Any] | None:
    records = await _ask(at, session, f"/history/{prompt_id}")
    with understood(at, "/history"):
        return records.get(prompt_id)


async def _ask(at: Server, session: aiohttp.ClientSession, path: str, body: dict[str, Any] | None = None) -> Any:
    answer = await _read(at, session, path, body)
    with understood(at, path.partition("?")[0]):
        return json.loads(answer) if answer.strip() else {}


async def _read(at: Server, session: aiohttp.ClientSession, path: str, body: dict[str, Any] | None = None) -> bytes:
    try:
        method = "GET" if body is None else "POST"
        async with session.request(method, at.url + path, json=body, allow_redirects=False) as answer:
            data = bytearray()
            async for part in answer.content.iter_chunked(1 << 16):
                data += part
                if len(data) > MOST_BYTES:
                    raise Problem(f"{at.url} answers {path.partition('?')[0]} with more than {MOST_BYTES >> 20} MiB.")
            if answer.status >= 300:
                sentence = f"ComfyUI answered {answer.status} {answer.reason} to {path.partition('?')[0]}."
                raise Refused(sentence, bytes(data))
            return bytes(data)
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        raise _unreachable(at, error) from error
