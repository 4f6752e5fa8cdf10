"""The one error a person sees: a plain sentence that says what is wrong and what to do, and no traceback."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from collections.abc import Callable
from types import FrameType

# Letters that a terminal obeys, or that turn the direction of its text: names of files may hold them.
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
INTERRUPTED = 130  # what a shell calls a program that Ctrl-C ended


class Problem(Exception):
    """Ends a command with its sentence, and with an exit code."""

    code = 1


class Unfinished(Problem):
    """What was asked for is not all done, and the same command goes on with it."""

    code = 3


class Ended(KeyboardInterrupt):
    """SIGTERM or SIGHUP: not only what is at work ends, as it may at Ctrl-C, but everything."""


def shown(text: str) -> str:
    """The text as it can be written to a terminal."""
    return OBEYED.sub(lambda found: ascii(found[0])[1:-1], text)


def exit_code(work: Callable[[], int]) -> int:
    """Does the work of a command and returns its exit code; whatever goes wrong becomes a sentence on stderr."""
    for name in ("stdout", "stderr"):  # None where the shell closed them
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123 - open until the end
    # A polite kill must end like Ctrl-C, through every `finally`.
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores one on purpose
            signal.signal(number, _interrupt)
    try:
        try:
            code = work()
        except SystemExit as end:  # of argparse, after its help or its complaint
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        sys.stdout.flush()
        return code
    except Problem as problem:
        _say(str(problem))
        return problem.code
    except BrokenPipeError:  # whoever read our output, as head does, has had enough
        _discard_output()
    except OSError as error:  # a full disk, a folder that may not be written
        _discard_output()
        _say(f"{error.filename or 'The output'} cannot be written or read: {error.strerror or error}.")
    except KeyboardInterrupt:
        _say("\nStopped.")
        return INTERRUPTED
    return 1


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Ended


def _say(sentence: str) -> None:
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{shown(sentence)}\n")
        sys.stderr.flush()


def _discard_output() -> None:
    """Or Python would try to write the rest when it ends, and fail once more with a message of its own."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
