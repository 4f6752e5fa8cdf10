"""`./run queue FILE...`: draws every prompt of some files, on one server or many, and loses none.

What became of each is in manifest.jsonl beside the pictures, and index.html shows it. Stop it, kill it, run the same
command again: it goes on where it was, and takes over what a server still has of it. What is there is not drawn again;
what failed by its prompt isn't either, unless --retry says so.

Exit codes: 0 every picture is there, 1 some prompts failed, 2 the command line or a file of prompts is wrong, 3 the run
ended early (no server left, a full disk), 130 Ctrl-C. After 3 and 130 the same command goes on.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .. import api
from ..answers import Progress
from ..arguments import graph_of, settings_of
from ..commands import parser_of
from ..environment import locate
from ..problem import INTERRUPTED, Problem, Unfinished
from ..terminal import Line as Shown
from ..terminal import counted, say
from ..workflow import Prompt
from . import manifest, report
from .batch import Task, read, tasks
from .dispatch import Dispatch
from .manifest import DONE, FAILED, Line, Manifest
from .station import PROMPT, Local, Remote, Station

GOODBYE = 30.0  # seconds for stations to end
FEW = 5  # lines of a kind that are shown before it is only counted


def main(typed: Sequence[str]) -> int:
    parser = parser_of("queue")
    options = parser.parse_args(typed)
    if options.seeds and (options.times > 1 or options.seed is not None):
        parser.error("--seeds says each seed: leave --times and --seed out")
    if options.ray is not None and options.server:
        parser.error("--ray starts its own servers: leave --server out")
    base = graph_of(options)
    try:
        made = tasks(read(options.files, options.out), base, settings_of(options), options.seeds, options.times)
    except Problem as problem:
        problem.code = 2
        raise
    if options.dry_run:
        return foretell(made, options.out)
    with manifest.opened(options.out) as kept:
        left = {task.key: task for task in made if is_left(kept, task, options.retry)}
        say(f"{foresight(made, left, kept.last.values())} {options.out.absolute()}")
        code, sentence = 0, ""
        try:
            if left:
                draw(left, base, options, kept)
        except KeyboardInterrupt:
            code = INTERRUPTED
        except Problem as problem:
            code, sentence = Unfinished.code, f"{problem} "
        try:
            report.page(options.out, made, kept)
            if options.sheet:
                report.sheet(options.out, made, kept)
        except (Problem, OSError) as problem:  # the pictures are there all the same
            code, sentence = code or Unfinished.code, sentence or f"{problem} "
        missing = sum(kept.ended(task.key) is None for task in made)
        failed = sum(kept.ended(task.key) == FAILED for task in made)
        say(summary(made, kept, missing, failed))
        if missing or sentence:
            say(f"{sentence}Run the same command again to go on.")
        return code or (1 if failed else 0)


def draw(left: Mapping[str, Task], base: Prompt, options: argparse.Namespace, kept: Manifest) -> None:
    with contextlib.ExitStack() as open_until_the_end:
        if options.ray is not None:
            from .cluster import cluster

            stations = open_until_the_end.enter_context(cluster(options.ray, options.actors))
        elif options.server:
            stations = [Remote(api.server(one)) for one in dict.fromkeys(options.server)]
        else:
            stations = [Local(locate())]
        asyncio.run(run({station.name: station for station in stations}, left, base, kept))


async def run(stations: Mapping[str, Station], left: Mapping[str, Task], base: Prompt, kept: Manifest) -> None:
    watch = OnTerminal(len(left))
    try:
        await Dispatch(left, base, stations, kept, watch).run()
    finally:
        watch.end()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE):
                await asyncio.gather(*(station.close() for station in stations.values()), return_exceptions=True)


def is_left(kept: Manifest, task: Task, retry: bool) -> bool:
    state = kept.ended(task.key)
    again = retry or kept.last.get(task.key, {}).get("fault") != PROMPT
    return state is None or (state == FAILED and again)


# --- what is said -----------------------------------------------------------------------------------------------------


def foretell(made: Sequence[Task], out: Path) -> int:
    """What --dry-run says."""
    last = {line["job"]: line for line in manifest.lines(out / manifest.NAME)}
    left = {task.key: task for task in made if last.get(task.key, {}).get("state") != DONE}
    say(f"{foresight(made, left, last.values())} {out.absolute()}")
    for task in made[:FEW]:
        say(f"  {task.stem}.png  {task.ask.where}")
    if made[FEW:]:
        say(f"  and {len(made) - FEW} more")
    return 0


def foresight(made: Sequence[Task], left: Mapping[str, Task], lines: Iterable[Line]) -> str:
    prompts = len({task.ask.where for task in made})
    text = f"{counted(len(made), 'picture')} of {counted(prompts, 'prompt')}"
    if len(left) < len(made):
        text += f", {len(left)} of them left to draw"
    seconds = [line["seconds"] for line in lines if line.get("state") == DONE]
    if seconds and left:
        text += f", about {duration(statistics.median(seconds) * len(left))} on one server at the pace so far"
    return f"{text}:"


def summary(made: Sequence[Task], kept: Manifest, missing: int, failed: int) -> str:
    parts = [f"{counted(len(made) - missing - failed, 'picture')} of {len(made)} there"]
    parts += [f"{failed} failed"] if failed else []
    parts += [f"{missing} not drawn yet"] if missing else []
    return f"{', '.join(parts)}: {(kept.folder / report.PAGE).absolute()}"


class OnTerminal:
    """How far the run is: on one line of a terminal, or a line a picture in a file."""

    def __init__(self, whole: int) -> None:
        self._whole, self._ended, self._drawn = whole, 0, 0
        self._start = time.monotonic()
        self._line = Shown("Drawing")
        self._steps: dict[str, str] = {}

    def progress(self, task: Task, station: str, progress: Progress) -> None:
        if progress.whole:
            self._steps[station] = f"{progress.value:g}/{progress.whole:g}"
        self._show()

    def drawn(self, task: Task, line: Line) -> None:
        self._drawn += 1
        self._next(f"{line['file']}  {line['seconds']:.1f} s", quiet=True)

    def failed(self, task: Task, sentence: str) -> None:
        self._next(f"{task.ask.where} failed: {sentence}")

    def told(self, sentence: str) -> None:
        self._line.above(sentence)
        self._show()

    def end(self) -> None:
        self._line.end(f"{self._drawn} of {self._whole}, {duration(time.monotonic() - self._start)}")

    def _next(self, text: str, quiet: bool = False) -> None:
        self._ended += 1
        if not (quiet and self._line.live):
            self._line.above(text)
        self._show()

    def _show(self) -> None:
        left = ""
        if self._ended:
            seconds = (time.monotonic() - self._start) / self._ended * (self._whole - self._ended)
            left = f", {duration(seconds)} left"
        steps = " ".join(self._steps.values()) if len(self._steps) <= FEW else f"{len(self._steps)} servers"
        self._line.show(f"{self._ended} of {self._whole}{left}  {steps}")


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
