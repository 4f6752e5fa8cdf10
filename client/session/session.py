"""What `./run create` keeps between two prompts, and how it draws one."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from .. import workflow
from ..picture import write
from ..problem import Problem
from ..terminal import say
from ..workflow import SEED_END, Prompt, Settings
from . import verdict
from .inline import Encoder
from .lines import Terminal


@dataclass(frozen=True)
class Drawn:
    """One prompt that was drawn."""

    settings: Settings  # its text and its seed are in them
    paths: tuple[Path, ...]


@dataclass
class Session:
    """draw: the graph to its PNGs, and the seconds. terminal: None where prompts come from a file or a pipe.
    show: how the terminal shows pictures, if it is to.
    """

    graph: Prompt
    settings: Settings
    out: Path
    draw: Callable[[Prompt], tuple[list[bytes], float]]
    terminal: Terminal | None = None
    show: Encoder | None = None
    drawn: list[Drawn] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.readers = verdict.readers_of(self.graph, self.settings)
        self.seed = self.settings.seed if self.settings.seed is not None else workflow.seed_of(self.graph)

    def picture(self, text: str, seed: int | None) -> None:
        """Draws the text, once the reader has nothing against it; the session's seed counts on."""
        for warning in verdict.check(text, self.readers):
            say(f"Note: {warning}")
        settings = replace(self.settings, xml=text, seed=seed)
        pictures, seconds = self.draw(workflow.apply(self.graph, settings))
        paths = []
        for data in pictures:
            paths.append(free_name(self.out))
            write(paths[-1], data)
            if self.show is not None:
                sys.stdout.write(f"{self.show(data)}\n")
            say(f"{paths[-1].absolute()}  {seconds:.1f} s{'' if seed is None else f', seed {seed}'}")
        self.drawn.append(Drawn(settings, tuple(paths)))
        if seed is not None and seed == self.seed:
            self.seed = (seed + 1) % SEED_END

    def nth(self, typed: str) -> Drawn:
        """The picture of that number in :history, or the last. Raises Problem."""
        if not self.drawn:
            raise Problem("Nothing has been drawn yet: enter a prompt first.")
        number = whole(typed) if typed else len(self.drawn)
        if not 1 <= number <= len(self.drawn):
            raise Problem(f"There is no picture {number}: :history lists 1 to {len(self.drawn)}.")
        return self.drawn[number - 1]


def free_name(folder: Path) -> Path:
    """newbie-001.png, or the first number that is not taken."""
    return next(path for n in itertools.count(1) if not (path := folder / f"newbie-{n:03}.png").exists())


def whole(typed: str) -> int:
    if not typed.isdecimal() or len(typed) > 20:
        raise Problem(f"{typed!r} is not a whole number.")
    return int(typed)
