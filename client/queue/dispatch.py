"""Carries out the schedule: sends jobs to stations, keeps what they draw, and writes down what became of each.

sent    written down, then asked for under its id, then sent
drawn   the picture on the disk, then its line
failed  by the prompt: its line; by the station: elsewhere, a line once no station is left
silent  the station's jobs go elsewhere, and it is asked now and then whether it is well again
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

from ..answers import HostError, Interrupted, Progress
from ..api import Gone
from ..problem import Problem, Unfinished
from ..workflow import Prompt, Settings
from .batch import Task
from .manifest import DONE, FAILED, Line, Manifest
from .schedule import MOST_TRIES, Schedule
from .station import PROMPT, STATION, Station, fault

GIVE_UP = 300.0  # seconds without any station after which a run ends
GOODBYE = 10.0  # seconds in which stations take back what they are at


class Watch(Protocol):
    """Whoever looks on."""

    def progress(self, task: Task, station: str, progress: Progress) -> None: ...
    def drawn(self, task: Task, line: Line) -> None: ...
    def failed(self, task: Task, sentence: str) -> None: ...
    def told(self, sentence: str) -> None: ...


class Dispatch:
    def __init__(
        self, tasks: Mapping[str, Task], base: Prompt, stations: Mapping[str, Station], manifest: Manifest, watch: Watch
    ) -> None:
        self._tasks, self._base, self._stations = tasks, base, stations
        self._manifest, self._watch = manifest, watch
        self._schedule = Schedule(tasks, stations)
        self._versions: dict[str, dict[str, str]] = {}
        self._why: dict[str, str] = {}  # stations that are down, and what they or we said
        self._checks: dict[asyncio.Task[dict[str, str]], str] = {}
        self._draws: dict[asyncio.Task[Line], tuple[str, str]] = {}  # (job, station)
        self._full: set[str] = set()  # stations whose disk is
        self._left_over: dict[str, list[tuple[str, str]]] = {}  # station -> (job, id) that an earlier run sent

    async def run(self) -> None:
        """Until every task has ended. Raises Unfinished where no station is left, and Problem for a full disk here."""
        for key in self._tasks:
            station, job_id = self._manifest.sent(key) or ("", "")
            if station in self._stations:
                self._schedule.adopt(key, station, time.monotonic())
                self._left_over.setdefault(station, []).append((key, job_id))
        try:
            while self._schedule.left:
                await self._step()
        finally:
            await self._say_goodbye()

    async def _step(self) -> None:
        now = time.monotonic()
        for station in self._schedule.probes(now):
            self._checks[asyncio.create_task(self._stations[station].check(self._base))] = station
        for key, station in self._schedule.assign(now):
            self._send(key, station, str(uuid.uuid4()), new=True)
        self._stop_if_dark(now)
        wake = self._schedule.wake()
        running = [*self._checks, *self._draws]
        if not running:
            await asyncio.sleep(max(0.0, (wake or now) - now))
            return
        done, _ = await asyncio.wait(
            running, timeout=None if wake is None else max(0.0, wake - now), return_when=asyncio.FIRST_COMPLETED
        )
        # What was drawn first: a station that is down loses its other jobs.
        for task in sorted(done, key=lambda task: task.exception() is not None):
            if task in self._checks:
                self._checked(self._checks.pop(task), task)
            elif task in self._draws:
                await self._ended(*self._draws.pop(task), task)

    def _send(self, key: str, station: str, job_id: str, new: bool) -> None:
        if new:
            self._manifest.append({"job": key, "sent": station, "id": job_id}, safe=False)
        self._draws[asyncio.create_task(self._draw(self._tasks[key], station, job_id))] = (key, station)

    async def _draw(self, task: Task, station: str, job_id: str) -> Line:
        """Draws and keeps the pictures -> what is to be written down."""
        show = partial(self._watch.progress, task, station)
        drawn = await self._stations[station].draw(task.graph(self._base), job_id, show)
        first, *more = await asyncio.to_thread(self._manifest.keep, task.stem, list(drawn.pictures))
        kept = {**first, "more": more} if more else first
        return self._line(task, station) | {"state": DONE, **kept, "seconds": round(drawn.seconds, 3), "error": None}

    # --- what has happened --------------------------------------------------------------------------------------------

    def _checked(self, station: str, check: asyncio.Task[dict[str, str]]) -> None:
        try:
            self._versions[station] = check.result()
        except Problem as problem:
            self._down(station, str(problem))
            return
        if self._why.pop(station, None) is not None:
            self._watch.told(f"{station} is there again.")
        self._schedule.up(station, time.monotonic())
        for key, job_id in self._left_over.pop(station, []):
            self._send(key, station, job_id, new=False)

    async def _ended(self, key: str, station: str, draw: asyncio.Task[Line]) -> None:
        now = time.monotonic()
        try:
            line = draw.result()
        except Unfinished:  # our own disk
            raise
        except HostError as error:
            whose = fault(error)
            if whose == PROMPT:
                self._schedule.ended(key, now, drawn=False)
                self._fail(key, station, str(error), PROMPT)
            elif whose != STATION:
                self._full.add(station)
                self._down(station, f"{station}: {error}", for_good=True)
            elif self._schedule.unable(key, now):
                self._fail(key, station, str(error), STATION)
        except (Gone, Interrupted) as problem:
            if self._schedule.lost(key, now):
                self._fail(key, station, str(problem), STATION)
        except Problem as problem:
            self._down(station, str(problem))
        else:
            await asyncio.to_thread(self._manifest.append, line)
            self._schedule.ended(key, now)
            self._watch.drawn(self._tasks[key], line)

    def _fail(self, key: str, station: str, sentence: str, whose: str) -> None:
        task = self._tasks[key]
        self._manifest.append(self._line(task, station) | {"state": FAILED, "error": sentence, "fault": whose})
        self._watch.failed(task, sentence)

    def _line(self, task: Task, station: str) -> Line:
        return {
            "job": task.key,
            "prompt": task.ask.prompt,
            "seed": task.settings.seed,
            "settings": settings_of(task.settings),
            "versions": self._versions.get(station, {}),
            "models": models_of(self._base),
            "server": station,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "from": task.ask.where,
        }

    def _down(self, station: str, sentence: str, for_good: bool = False) -> None:
        if self._why.get(station) != sentence:
            self._watch.told(sentence)
        self._why[station] = sentence
        self._left_over.pop(station, None)
        for draw in [draw for draw, (_, at) in self._draws.items() if at == station]:
            del self._draws[draw]
            draw.cancel()
            draw.add_done_callback(lambda one: one.cancelled() or one.exception())  # it is known by now
        for key in self._schedule.down(station, time.monotonic(), for_good):
            why = f"It was under way each of the {MOST_TRIES} times that a server failed; the last one said: {sentence}"
            self._fail(key, station, why, STATION)

    def _stop_if_dark(self, now: float) -> None:
        dark = self._schedule.dark(now)
        never = not self._versions and not self._checks
        if dark is not None and (never or dark > GIVE_UP or len(self._full) == len(self._stations)):
            raise Unfinished("No server can draw this now. " + " ".join(dict.fromkeys(self._why.values())))

    async def _say_goodbye(self) -> None:
        """Takes back what stations are at."""
        running = [*self._checks, *self._draws]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=GOODBYE)
        for task in running:
            if task.done() and not task.cancelled():
                task.exception()


def settings_of(settings: Settings) -> dict[str, Any]:
    """What was asked for apart from prompt and seed."""
    given = {name: getattr(settings, name) for name in ("steps", "guidance", "eta")}
    given["size"] = "x".join(map(str, settings.size)) if settings.size else None
    return {name: value for name, value in given.items() if value is not None} | dict(settings.inputs)


def models_of(graph: Prompt) -> list[str]:
    """What the graph's loaders are told to load."""
    found = [
        value
        for node in graph.values()
        if "Loader" in node["class_type"]
        for name, value in node["inputs"].items()
        if isinstance(value, str) and value not in ("none", "default") and name not in ("precision", "type", "device")
    ]
    return list(dict.fromkeys(found))
