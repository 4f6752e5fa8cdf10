"""The host's HTTP and WebSocket API: submit a prompt, poll or stream it, cancel it, fetch its pictures.

    async with connect(server("http://127.0.0.1:8188")) as host:
        job_id = await host.submit(prompt)
        async for event in host.stream(job_id):
            ...                                      # Progress after Progress, and in the end the Job
        await host.download(event.pictures[0])

`draw`, `submit`, `poll`, `cancel`, `download` and `ask` are the same for code that is not async. They use the host's
jobs API (/api/jobs), and the older routes (/history, /queue, /interrupt) on a host that has none.

Whatever a server answers, the caller gets what was asked for or one sentence: answers are bounded in size and time, and
one that is not of the form this file reads is told as that. aiohttp carries it; the host needs it anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
import urllib.parse
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp

from .answers import (
    IN_PROGRESS,
    PENDING,
    Job,
    Picture,
    Progress,
    Refused,
    ended_job,
    progress_of,
    refusal,
    refused,
    understood,
)
from .answers import HostError as HostError  # which the functions below raise
from .problem import Problem
from .workflow import Prompt

LOOK_AGAIN = 2.0  # seconds without a message after which the host is asked
REQUEST = 60.0  # seconds that a whole answer may take
PATIENCE = 900.0  # seconds without any progress after which the host counts as stuck
GONE_FOR = 3  # looks in a row that find the prompt nowhere
MOST_BYTES = 256 << 20  # of one answer
MOST_MESSAGE = 64 << 20  # bytes; the host's previews are far smaller
MOST_EVENTS = 1000  # that wait to be read; older ones are dropped, as the host itself is asked in the end
SIGNS = ("executing", "progress", "execution_success", "execution_error")  # that the host's worker lives

Value = TypeVar("Value")


class Unreachable(Problem):
    """No host answers there."""


class Gone(Problem):
    """The host no longer knows the prompt: its queue was cleared, or it was started anew."""


class Stuck(Problem):
    """The host answers, but makes no progress: its worker may have died."""


@dataclass(frozen=True)
class Server:
    """Where a host listens."""

    url: str  # http://127.0.0.1:8188
    alive: Callable[[], bool] = lambda: True  # False once the host's process has ended
    log: str = ""  # the file that says why, where it is known


@dataclass(frozen=True)
class Result:
    pictures: tuple[Picture, ...]
    seconds: float


def server(url: str, alive: Callable[[], bool] = lambda: True, log: str = "") -> Server:
    return Server(url.rstrip("/"), alive, log)


# --- without async ----------------------------------------------------------------------------------------------------


def draw(at: Server, prompt: Prompt, show: Callable[[Progress], None] = lambda progress: None) -> Result:
    """Queues a prompt, follows it to its end, and returns what it saved. Raises HostError and Interrupted."""
    start = time.monotonic()
    return Result(_alone(at, lambda host: _drawn(host, prompt, show)), time.monotonic() - start)


def submit(at: Server, prompt: Prompt, job_id: str | None = None) -> str:
    """The id of the queued prompt. Raises HostError with the host's reasons when it is refused."""
    return _alone(at, lambda host: host.submit(prompt, job_id))


def poll(at: Server, job_id: str) -> Job | None:
    """How far a prompt is; None where the host doesn't know it (any more)."""
    return _alone(at, lambda host: host.poll(job_id))


def cancel(at: Server, job_id: str) -> None:
    """Stops the prompt, waiting or running; nothing where it has ended."""
    _alone(at, lambda host: host.cancel(job_id))


def download(at: Server, picture: Picture) -> bytes:
    """The file as the host saved it, its metadata included."""
    return _alone(at, lambda host: host.download(picture))


def ask(at: Server, path: str, body: dict[str, Any] | None = None) -> Any:
    """The JSON that the host answers; {} where it answers with nothing."""
    return _alone(at, lambda host: host.ask(path, body))


def _alone(at: Server, work: Callable[[Connection], Coroutine[Any, Any, Value]]) -> Value:
    async def run() -> Value:
        async with connect(at) as host:
            return await work(host)

    return asyncio.run(run())


async def _drawn(host: Connection, prompt: Prompt, show: Callable[[Progress], None]) -> tuple[Picture, ...]:
    job_id = str(uuid.uuid4())
    try:
        await host.submit(prompt, job_id)
        async with contextlib.aclosing(host.stream(job_id)) as events:
            async for event in events:
                if isinstance(event, Job):
                    if event.error is not None:
                        raise event.error
                    return event.pictures
                await asyncio.to_thread(show, event)  # it may call these functions, which run loops of their own
    except (KeyboardInterrupt, asyncio.CancelledError):  # Ctrl-C, in our code or in asyncio's
        await host.cancel(job_id)
        raise
    raise AssertionError("a stream ends with its job")


# --- async ------------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def connect(at: Server) -> AsyncIterator[Connection]:
    """A connection to one host, for any number of prompts at a time. Asks nothing yet."""
    # No proxy: that would need trust_env.
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST)) as session:
        host = Connection(at, session)
        try:
            yield host
        finally:
            await host.hang_up()


class Connection:
    """The verbs, over one HTTP session and one socket, which is opened before the first prompt is sent."""

    def __init__(self, at: Server, session: aiohttp.ClientSession) -> None:
        self.at = at
        self._session = session
        self._client = uuid.uuid4().hex  # the name under which the host sends us progress
        self._prompts: dict[str, Prompt] = {}  # those submitted and not known to have ended
        self._events: dict[str, asyncio.Queue[dict[str, Any]]] = {}
        self._listening: asyncio.Task[None] | None = None
        self._sign = time.monotonic()  # when the host's worker last showed that it lives
        self._waiting = 0  # prompts in its queue
        self._has_jobs = True  # the jobs API; found out by asking

    async def submit(self, prompt: Prompt, job_id: str | None = None) -> str:
        """Queues the prompt under the given id (a UUID) or a new one. Raises HostError where it is refused.

        A host that has forgotten an id, or has it already, takes it all the same: `poll` before sending one again.
        """
        job_id = job_id or str(uuid.uuid4())
        await self._listen()  # first: no message may be missed
        self._prompts[job_id], self._events[job_id] = prompt, asyncio.Queue(MOST_EVENTS)
        try:
            answer = await self.ask("/prompt", {"prompt": prompt, "client_id": self._client, "prompt_id": job_id})
            with understood(self.at.url, "/prompt"):
                if answer["prompt_id"] != job_id:
                    raise ValueError(answer["prompt_id"])
                half = refused(prompt, answer) if answer.get("node_errors") else None
        except BaseException as error:
            self._forget(job_id)
            if isinstance(error, Refused):
                raise refusal(prompt, error.body) from error
            raise
        # With another branch in order the host queues that one alone and answers 200.
        if half is not None:
            await self.cancel(job_id)
            raise half
        return job_id

    async def poll(self, job_id: str) -> Job | None:
        """How far a prompt is; None where the host doesn't know it (any more)."""
        job = await self._job(job_id) if self._has_jobs else None
        if not self._has_jobs:
            job = await self._older_job(job_id)
        if job is not None and job.ended:
            self._forget(job_id)
        return job

    async def stream(self, job_id: str, patience: float | None = None) -> AsyncIterator[Progress | Job]:
        """Progress after Progress, and in the end the Job. What was not submitted over this connection is only polled.

        Raises Problem where the host dies, forgets the prompt, or makes no progress for `patience` seconds.
        """
        prompt, patience = self._prompts.get(job_id, {}), PATIENCE if patience is None else patience
        events, wait = self._events.get(job_id), LOOK_AGAIN
        if events is None:
            events, wait = asyncio.Queue(), 0.0
        self._sign, gone = time.monotonic(), 0
        while True:
            event, wait = await _next(events, wait), LOOK_AGAIN
            if event is not None:
                with understood(self.at.url, "an event"):
                    progress = progress_of(prompt, event)
                    # The last of its events; sent after the history was written, unless it is an error's.
                    ended = event["type"] == "executing" and event["data"].get("node") is None
                if progress:
                    yield progress
                if not ended:
                    continue
            elif not self.at.alive():
                raise Problem(f"ComfyUI stopped while drawing{self._says_why()}.")
            job = await self.poll(job_id)
            if job is not None and job.ended:
                yield job
                return
            gone = 0 if job is not None else gone + 1
            if gone >= GONE_FOR:
                self._forget(job_id)
                raise Gone("ComfyUI no longer has this prompt, in its queue or in its history: draw it again.")
            # What waits may wait for another's prompt, of whose progress we hear nothing.
            limit = patience if job is not None and job.status == IN_PROGRESS else max(patience, PATIENCE)
            if time.monotonic() - self._sign > limit:
                await self.cancel(job_id)
                raise Stuck(f"ComfyUI has made no progress for {_duration(limit)}{self._says_why()}: restart it.")

    async def cancel(self, job_id: str) -> None:
        """Stops the prompt, waiting or running; nothing where it has ended."""
        self._forget(job_id)
        if self._has_jobs:
            try:
                await self.read(f"/api/jobs/{job_id}/cancel", {})
                return
            except Refused as error:
                if error.status not in (404, 405):
                    raise
        await self.read("/queue", {"delete": [job_id]})
        await self.read("/interrupt", {"prompt_id": job_id})

    async def download(self, picture: Picture) -> bytes:
        """The file as the host saved it, its metadata included."""
        query = {"filename": picture.filename, "subfolder": picture.subfolder, "type": picture.kind}
        return await self.read(f"/view?{urllib.parse.urlencode(query)}")

    async def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The JSON that the host answers; {} where it answers with nothing."""
        answer = await self.read(path, body)
        with understood(self.at.url, path.partition("?")[0]):
            return json.loads(answer) if answer.strip() else {}

    async def read(self, path: str, body: dict[str, Any] | None = None) -> bytes:
        """The bytes that the host answers. Raises Refused for an HTTP error, and Problem."""
        told = path.partition("?")[0]
        try:
            method = "GET" if body is None else "POST"
            async with self._session.request(method, self.at.url + path, json=body, allow_redirects=False) as answer:
                data = bytearray()
                async for part in answer.content.iter_chunked(1 << 16):
                    data += part
                    if len(data) > MOST_BYTES:
                        raise Problem(f"{self.at.url} answers {told} with more than {MOST_BYTES >> 20} MiB.")
                if answer.status >= 300:
                    sentence = f"ComfyUI answered {answer.status} {answer.reason} to {told}."
                    raise Refused(sentence, answer.status, bytes(data))
                return bytes(data)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise self._unreachable(error) from error

    async def hang_up(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    # --- looking ------------------------------------------------------------------------------------------------------

    async def _job(self, job_id: str) -> Job | None:
        try:
            told = await self.ask(f"/api/jobs/{job_id}")
        except Refused as error:
            if error.status != 404:
                raise
            # "404: Not Found" is of a host without the route.
            self._has_jobs = error.body.lstrip().startswith(b"{")
            return None
        with understood(self.at.url, "/api/jobs"):
            if told["status"] in (PENDING, IN_PROGRESS):
                return Job(job_id, told["status"])
            return ended_job(job_id, told["outputs"], told["execution_status"], told["workflow"]["prompt"])

    async def _older_job(self, job_id: str) -> Job | None:
        waiting = await self.ask("/queue")  # first: one that ends meanwhile is in the history then
        records = await self.ask(f"/history/{job_id}")
        with understood(self.at.url, "/history"):
            record = records.get(job_id)
            if record is not None:
                prompt = self._prompts.get(job_id) or record["prompt"][2]
                return ended_job(job_id, record.get("outputs", {}), record.get("status"), prompt)
        with understood(self.at.url, "/queue"):
            for name, status in (("queue_running", IN_PROGRESS), ("queue_pending", PENDING)):
                if any(entry[1] == job_id for entry in waiting[name]):
                    return Job(job_id, status)
        return None

    def _forget(self, job_id: str) -> None:
        self._prompts.pop(job_id, None)
        self._events.pop(job_id, None)

    # --- listening ----------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        if self._listening is None:
            self._listening = asyncio.create_task(self._hear(await self._open()))

    async def _hear(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Sorts events by prompt. One that can't be read is passed over, and a socket that closes is opened again."""
        while True:
            try:
                async for message in socket:
                    if message.type == aiohttp.WSMsgType.TEXT:
                        with contextlib.suppress(AttributeError, LookupError, RecursionError, TypeError, ValueError):
                            self._sort(json.loads(message.data))
            finally:
                with contextlib.suppress(aiohttp.ClientError, OSError):
                    async with asyncio.timeout(LOOK_AGAIN):
                        await socket.close()
            while socket.closed:
                await asyncio.sleep(LOOK_AGAIN)
                with contextlib.suppress(Problem):
                    socket = await self._open()

    def _sort(self, event: dict[str, Any]) -> None:
        waiting = self._waiting
        if event["type"] == "status":
            waiting = event["data"]["status"]["exec_info"]["queue_remaining"]
        if event["type"] in SIGNS or waiting < self._waiting:
            self._sign = time.monotonic()  # another's prompt before ours is progress too
        self._waiting = waiting
        events = self._events.get(event["data"].get("prompt_id"))
        if events is not None:
            if events.full():
                events.get_nowait()
            events.put_nowait(event)

    async def _open(self) -> aiohttp.ClientWebSocketResponse:
        address = f"{self.at.url}/ws?clientId={self._client}"
        try:
            async with asyncio.timeout(REQUEST):  # not wait_for, which before Python 3.12 may lose a cancellation
                return await self._session.ws_connect(address, max_msg_size=MOST_MESSAGE, heartbeat=REQUEST / 2)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: BaseException) -> Unreachable:
        if isinstance(error, TimeoutError):
            why = f"no complete answer within {REQUEST:.0f} s"
        elif isinstance(error, aiohttp.ClientConnectorError):
            number = error.os_error.errno
            why = os.strerror(number) if number and number > 0 else error.os_error.strerror or str(error.os_error)
        else:
            why = str(error) or type(error).__name__
        return Unreachable(f"ComfyUI at {self.at.url} does not answer ({why}): start it, or check the address.")

    def _says_why(self) -> str:
        return f"; {self.at.log} says why" if self.at.log else ""


async def _next(events: asyncio.Queue[dict[str, Any]], seconds: float) -> dict[str, Any] | None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await events.get()
    return None


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} s"
