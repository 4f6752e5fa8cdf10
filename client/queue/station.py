"""Where pictures are drawn: a server that runs already, or a host of our own that is started again whenever it ends.

A station says by its exception whose fault it is when nothing is drawn:

    HostError with a fault of PROMPT     the prompt's: it would fail anywhere
    HostError with a fault of STATION    what this station lacks, memory or a model's file: another may have it
    Gone, Interrupted                    the job is lost, the station is well
    any other Problem                    the station is out of order, a full disk included
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .. import api, host
from ..answers import (
    IN_PROGRESS,
    NO_DISK,
    NO_MEMORY,
    NO_MODEL,
    HostError,
    Job,
    Progress,
    Refused,
    understood,
)
from ..environment import Environment, too_old
from ..picture import checked, saved
from ..problem import Problem
from ..workflow import Prompt

PROMPT, STATION, DISK = "prompt", "station", "disk"
LACKING = {"missing_node_type", NO_MODEL, NO_MEMORY}  # of what is wrong, what another host may have
SILENT_LEAST, SILENT_PICTURES = 60.0, 3.0  # seconds, or pictures' time, without progress: then a station is stuck

Show = Callable[[Progress], None]


@dataclass(frozen=True)
class Drawn:
    pictures: tuple[bytes, ...]  # whole PNGs
    seconds: float  # on the host


class Station(Protocol):
    name: str

    async def check(self, graph: Prompt) -> dict[str, str]:
        """Whether it can draw such graphs -> its versions. Raises Problem."""

    async def draw(self, graph: Prompt, job_id: str, show: Show) -> Drawn:
        """Draws what is asked for under that id, or takes it over where the id is at work or done here already."""

    async def close(self) -> None: ...


def fault(error: HostError) -> str:
    """PROMPT, STATION or DISK: whose it is, by what the host calls it."""
    if error.kinds & LACKING:
        return STATION
    return DISK if NO_DISK in error.kinds else PROMPT


class Remote:
    """A server somewhere."""

    def __init__(self, at: api.Server) -> None:
        self.name, self._at = at.url, at
        self._open = contextlib.AsyncExitStack()
        self._host: api.Connection | None = None
        self._sending = asyncio.Lock()
        self._stuck: str | None = None  # the job at which its worker stopped
        self._slowest = 0.0  # seconds of a picture so far

    async def check(self, graph: Prompt) -> dict[str, str]:
        connection = await self._connection()
        versions = await versions_of(connection)
        if too_old(versions["comfyui"]):
            raise Problem(f"{self.name} is ComfyUI {versions['comfyui']}: 0.27 or newer is needed.")
        kinds = sorted({node["class_type"] for node in graph.values()})
        missing = [kind for kind in kinds if not await connection.ask(f"/object_info/{kind}")]
        if missing:
            some = f"{', '.join(missing[:3])}{' and others' if missing[3:] else ''}"
            raise Problem(f"{self.name} lacks {some}: put their pack into that ComfyUI's custom_nodes and restart it.")
        if self._stuck is not None:
            job = await connection.poll(self._stuck)
            if job is not None and job.status == IN_PROGRESS:
                raise api.Stuck(f"{self.name} answers, but its prompt worker has stopped: restart that ComfyUI.")
            self._stuck = None
        return versions

    async def draw(self, graph: Prompt, job_id: str, show: Show) -> Drawn:
        connection = await self._connection()
        try:
            async with self._sending:  # one after the other: they run in the order in which they were given
                if await connection.poll(job_id) is None:
                    await connection.submit(graph, job_id)
            return await self._follow(connection, job_id, show)
        except asyncio.CancelledError:
            with contextlib.suppress(Problem):
                await connection.cancel(job_id)
            raise
        except api.Stuck:
            self._stuck = job_id
            raise

    async def close(self) -> None:
        self._host = None
        await self._open.aclose()

    async def _follow(self, connection: api.Connection, job_id: str, show: Show) -> Drawn:
        patience = max(SILENT_LEAST, SILENT_PICTURES * self._slowest) if self._slowest else api.PATIENCE
        async with contextlib.aclosing(connection.stream(job_id, patience)) as events:
            async for event in events:
                if isinstance(event, Job):
                    break
                show(event)
        if event.error is not None:
            raise event.error
        pictures = saved(event.pictures)
        other = [picture.filename for picture in pictures if not picture.filename.lower().endswith(".png")]
        if other:
            raise HostError(f"The workflow saved {other[0]}: let it save PNG pictures, as Save Image does.")
        try:
            data = tuple([checked(await connection.download(picture), picture.filename) for picture in pictures])
        except Refused as error:
            raise api.Gone(f"{self.name} has drawn it, but no longer has the file {pictures[0].filename}.") from error
        self._slowest = max(self._slowest, event.seconds)
        return Drawn(data, event.seconds)

    async def _connection(self) -> api.Connection:
        if self._host is None:
            self._host = await self._open.enter_async_context(api.connect(self._at))
        return self._host


class Local:
    """A host of our own on this machine."""

    def __init__(self, environment: Environment, name: str = "here", flags: Sequence[str] = ()) -> None:
        self.name, self._environment, self._flags = name, environment, flags
        self._process = contextlib.ExitStack()
        self._running: host.Host | None = None
        self._remote: Remote | None = None

    async def check(self, graph: Prompt) -> dict[str, str]:
        if self._remote is not None and self._running is not None and self._running.alive():
            with contextlib.suppress(Problem):
                return await self._remote.check(graph)
        await self.close()  # a host whose worker has stopped, too
        self._running = await asyncio.to_thread(self._start)
        self._remote = Remote(self._running.server())
        return await self._remote.check(graph)

    async def draw(self, graph: Prompt, job_id: str, show: Show) -> Drawn:
        if self._remote is None or self._running is None:
            raise Problem("ComfyUI is not running.")
        try:
            return await self._remote.draw(graph, job_id, show)
        except Problem as problem:
            if self._running is None or self._running.alive():
                raise
            raise Problem(f"ComfyUI stopped while drawing; {self._running.kept} says why.") from problem

    async def close(self) -> None:
        if self._remote is not None:
            await self._remote.close()
        self._remote = self._running = None
        await asyncio.to_thread(self._process.close)

    def _start(self) -> host.Host:
        running = self._process.enter_context(host.running(self._environment, flags=self._flags))
        host.check_pack(running.server(), running.log)
        return running


async def versions_of(connection: api.Connection) -> dict[str, str]:
    told: dict[str, Any] = await connection.ask("/system_stats")
    with understood(connection.at.url, "/system_stats"):
        system = told["system"]
        versions = {"comfyui": str(system["comfyui_version"]), "pytorch": str(system.get("pytorch_version", ""))}
        versions["device"] = str((told.get("devices") or [{}])[0].get("name", ""))
    with contextlib.suppress(Problem):
        ours = await connection.ask("/newbie_xml/version")
        with understood(connection.at.url, "/newbie_xml/version"):
            versions |= {"pack": str(ours["version"]), "mini": str(ours.get("mini", ""))}
    return versions
