"""`./run create`: prompt after prompt, the host kept running.

A prompt is one line, or XML over several: what starts with `<` goes on until its tags balance or an empty line comes.
Lines that are already waiting, because they were pasted together, belong to the same prompt. At a terminal an empty
line or Ctrl-D at the question ends; a file or a pipe ends where it ends, and empty lines between its prompts are
passed over. Ctrl-C while a picture is drawn drops that picture and asks again.
"""

from __future__ import annotations

import itertools
import re
import select
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from . import host, workflow
from .arguments import graph_of, settings_of
from .commands import parser_of
from .environment import locate
from .picture import draw_to
from .problem import Problem

QUESTION = "Enter prompt (XML or plain text): "
GO_ON = "... "
TAG = re.compile(r"<(/?)([^\W\d][\w.:-]*)[^<>]*?(/?)>")  # not the emoticons <3 and <_<


def main(typed: Sequence[str]) -> int:
    """Returns 1 where a prompt of a file or a pipe failed: nobody was there to see it."""
    options = parser_of("create").parse_args(typed)
    if sys.stdin is None:
        raise Problem("Standard input is closed, so no prompt can be read: use ./run demo --xml FILE to draw a file.")
    settings = settings_of(options)
    base = graph_of(options)
    seed = settings.seed if settings.seed is not None else workflow.seed_of(base) or 0
    with host.announced(locate()) as running:
        server = running.server()

        def draw(text: str, number: int) -> str:
            chosen = replace(settings, xml=text, seed=(seed + number) % workflow.SEED_END)
            path = free_name(options.out)
            seconds = draw_to(server, workflow.apply(base, chosen), path)
            return f"{path.absolute()}  {seconds:.1f} s, seed {chosen.seed}"

        failed = rounds(ask, draw, running.alive)
    return 1 if failed and not sys.stdin.isatty() else 0


def rounds(ask: Callable[[], str], draw: Callable[[str, int], str], alive: Callable[[], bool]) -> int:
    """Asks and draws until there is no more; a round that fails says its sentence. Returns how many failed."""
    number = failed = 0
    while text := ask():
        try:
            sys.stdout.write(f"{draw(text, number)}\n")
            number += 1
        except KeyboardInterrupt:
            sys.stdout.write("Dropped.\n")
        except Problem as problem:
            if not alive():
                raise
            failed += 1
            sys.stdout.write(f"{problem}\n")
        sys.stdout.flush()
    return failed


def ask() -> str:
    """One prompt from the terminal; empty at the end of the input, an empty line, or Ctrl-C."""
    try:
        return read_prompt(input, pasted, sys.stdin.isatty())
    except (EOFError, KeyboardInterrupt):
        sys.stdout.write("\n")
        return ""


def read_prompt(read_line: Callable[[str], str], more: Callable[[], bool], terminal: bool = True) -> str:
    """The question, its answer, and the lines that belong to it. Raises EOFError when there is no answer at all."""
    lines = [read_line(QUESTION)]
    while not terminal and not lines[0].strip():
        lines = [read_line("")]
    while more() or (lines[-1].strip() and unfinished("\n".join(lines))):
        try:
            lines.append(read_line(GO_ON))
        except EOFError:
            break
    return "\n".join(lines).strip()


def unfinished(text: str) -> bool:
    """Whether XML was begun and only its end is missing. A tag closed in the wrong place is wrong already: not so."""
    if not text.lstrip().startswith("<"):
        return False
    open_tags: list[str] = []
    for closing, name, empty in TAG.findall(text):
        if closing:
            if not open_tags or open_tags.pop() != name:
                return False
        elif not empty:
            open_tags.append(name)
    return bool(open_tags)


def pasted() -> bool:
    """Whether the terminal holds another line already. From a file or pipe a prompt ends where its tags balance."""
    if not sys.stdin.isatty() or sys.platform == "win32":
        return False
    return bool(select.select([sys.stdin], [], [], 0.05)[0])


def free_name(folder: Path) -> Path:
    """newbie-001.png, or the first number that is not taken."""
    return next(path for n in itertools.count(1) if not (path := folder / f"newbie-{n:03}.png").exists())
