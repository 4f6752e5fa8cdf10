"""`./run create`: prompt after prompt, drawn by one host.

At a terminal an empty line, `:quit` or Ctrl-D at the question ends. Ctrl-C drops what is at hand, the line typed or
the picture drawn, and a second one ends. A file or a pipe ends where it ends.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from .. import host, workflow
from ..api import Unreachable
from ..arguments import graph_of, settings_of
from ..commands import parser_of
from ..environment import locate
from ..picture import draw
from ..problem import Ended, Problem
from ..terminal import say
from . import inline
from .colon import Quit, command_of
from .lines import QUESTION, Terminal, prompts
from .session import Session


def main(typed: Sequence[str]) -> int:
    """Returns 1 where a prompt of a file or a pipe failed: nobody was there to see it."""
    options = parser_of("create").parse_args(typed)
    if sys.stdin is None:
        raise Problem("Standard input is closed, so no prompt can be read: use ./run demo --xml FILE to draw a file.")
    graph, settings = graph_of(options), settings_of(options)
    workflow.apply(graph, replace(settings, xml=""))  # what it has no place for is told before a host is started
    environment = locate()
    terminal = Terminal(environment.home / "history") if sys.stdin.isatty() else None
    show = inline.encoder() if options.show else None
    if options.show and show is None:
        say("This terminal can't show pictures (in kitty's way, iTerm2's or sixel), so --show does nothing.")
    with host.served(options.server, environment) as server:
        session = Session(graph, settings, options.out, lambda graph: draw(server, graph), terminal, show)
        failed = rounds(session, terminal.ask if terminal else asker(), server.alive)
    return 1 if failed and terminal is None else 0


def asker() -> Callable[[], str]:
    """Asks a file or a pipe; the question is written all the same, so that what answers what can be seen."""
    texts = prompts(sys.stdin)

    def ask() -> str:
        sys.stdout.write(QUESTION)
        sys.stdout.flush()
        return next(texts, "")

    return ask


def rounds(session: Session, ask: Callable[[], str], alive: Callable[[], bool]) -> int:
    """Asks and draws until there is no more; a round that fails says its sentence. Returns how many failed."""
    failed = 0
    stopping = False  # by a Ctrl-C, which another one confirms
    while True:
        text = None
        try:
            text = ask()
            stopping = False
            if not text:
                return failed
            first = text.partition("\n")[0]
            for one in prompts(text.splitlines()) if command_of(first) else [text]:  # commands are lines of their own
                command = command_of(one)
                if command is None:
                    session.picture(one, session.seed)
                else:
                    command(session)
        except Quit:
            return failed
        except EOFError:
            sys.stdout.write("\n")
            return failed
        except KeyboardInterrupt as stop:
            if stopping or session.terminal is None or isinstance(stop, Ended):
                raise
            stopping = True
            say(f"{'' if text else chr(10)}Dropped. Press Ctrl-C again to end the session.")
        except Problem as problem:
            if not alive() or (session.terminal is None and isinstance(problem, Unreachable)):
                raise
            failed += 1
            say(str(problem))
