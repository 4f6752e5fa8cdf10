"""Progress on a terminal: one line that is rewritten; in a file or a pipe: one plain line for each thing done."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from typing import TextIO

from .problem import shown

CLEAR = "\r\x1b[K"


def say(text: str) -> None:
    """Lines for whoever looks on, at once; names in them may hold anything."""
    sys.stdout.write(f"{shown(text)}\n")
    sys.stdout.flush()


class Line:
    """A title, what is happening behind it now, and in the end how it ended."""

    def __init__(self, title: str, stream: TextIO | None = None) -> None:
        self.title = title
        self.stream = sys.stdout if stream is None else stream
        self.live = self.stream.isatty()
        self.ended = False
        self.show("")

    def show(self, state: str) -> None:
        if self.live:
            self._rewrite(f"{self.title} {state}".rstrip())

    def above(self, text: str) -> None:
        """A line for good, before this one."""
        self.stream.write(f"{CLEAR if self.live else ''}{shown(text)}\n")
        self.stream.flush()

    def end(self, state: str) -> None:
        if self.ended:
            return
        self.ended = True
        text = f"{self.title} {state}".rstrip()
        if self.live:
            self._rewrite(text)
            self.stream.write("\n")
        else:
            self.stream.write(f"{shown(text)}\n")
        self.stream.flush()

    def _rewrite(self, text: str) -> None:
        columns = shutil.get_terminal_size().columns - 1
        self.stream.write(CLEAR + cut(shown(text).replace("\n", " "), columns))
        self.stream.flush()


def columns_of(text: str) -> int:
    """Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def padded(text: str, columns: int) -> str:
    return text + " " * (columns - columns_of(text))


def cut(text: str, columns: int) -> str:
    """The beginning of the text that fits."""
    used = 0
    for index, character in enumerate(text):
        used += columns_of(character)
        if used > columns:
            return text[:index]
    return text


def counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def bar(value: float, whole: float, width: int = 24) -> str:
    """A bar of `width` characters and the count: [######------] 7/28."""
    full = round(width * min(max(value / whole, 0.0), 1.0)) if whole else 0
    return f"[{'#' * full}{'-' * (width - full)}] {value:g}/{whole:g}"
