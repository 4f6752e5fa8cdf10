"""What the pack says to the outside: exceptions, log lines, texts on nodes. Names in them come from anywhere.

A model file's name, a tensor's, a prompt, a checkpoint's metadata may hold letters that a terminal obeys, or that the
host's streams can't encode (a name that is not UTF-8; a host whose streams are GBK). With one such letter in an
exception the host fails while logging it: its prompt worker ends, and every later prompt waits for ever.
"""

from __future__ import annotations

import logging
import sys
import traceback
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

STEERING = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}  # turn the direction of all that follows
HIDDEN = ("Cc", "Cs", "Zl", "Zp")  # control letters, halves of surrogate pairs, line and paragraph separators


def escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def visible(text: str) -> str:
    """The text with its control letters escaped, line ends apart."""
    return "".join(
        escaped(letter)
        if letter != "\n" and (unicodedata.category(letter) in HIDDEN or ord(letter) in STEERING)
        else letter
        for letter in text
    )


def loggable(text: str) -> str:
    """Visible, and what the host's streams and log files can't encode escaped as well."""
    text = visible(text)
    logs = (getattr(handler, "stream", None) for handler in logging.getLogger().handlers)
    encodings = {getattr(stream, "encoding", None) or "utf-8" for stream in (sys.stdout, sys.stderr, *logs)}
    for encoding in sorted(encodings):
        text = text.encode(encoding, "backslashreplace").decode(encoding)
    return text


def told(problem: Exception) -> Exception:
    """The problem as it can be logged with its traceback and all that led to it; without these where they can't be."""
    logged = "".join(traceback.format_exception(problem))
    if loggable(logged) == logged:
        return problem
    if all(isinstance(part, str) for part in problem.args) and not isinstance(problem, KeyError | OSError):
        problem.args = tuple(map(loggable, problem.args))
    else:
        problem = RuntimeError(loggable(f"{type(problem).__name__}: {problem}"))
    problem.__cause__, problem.__context__, problem.__suppress_context__ = None, None, True
    return problem.with_traceback(None)


@contextmanager
def telling() -> Iterator[None]:
    """Around what the host runs and logs the failure of; also as a decorator."""
    try:
        yield
    except Exception as raised:
        problem = told(raised)
        if problem is raised:
            raise
        raise problem from None


class Loggable(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = loggable(record.getMessage()), ()
        return True


log = logging.getLogger("newbie")
log.addFilter(Loggable())
