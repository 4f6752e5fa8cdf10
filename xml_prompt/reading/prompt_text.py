"""The text as it was given: places in it, the bounds it must keep, and what was noticed while reading."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ..messages import Message
from ..scene import PromptError, PromptWarning

MAX_BYTES = 256 * 1024
MAX_WARNINGS = 256  # a page of them helps nobody, and hostile text must not cost memory

# What XML 1.0 can't hold (https://www.w3.org/TR/xml/#charsets); NUL and lone surrogates among them.
FORBIDDEN = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Source:
    """A text whose offsets can be named as line and column.

    A text taken out of another (an XML string inside JSON) has `outer` and, for each of its characters and its end,
    the offset there: places are always those of the text the user sees.
    """

    text: str
    outer: Source | None = None
    offsets: Sequence[int] = ()

    @cached_property
    def line_starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer("\n", self.text))]

    def place(self, offset: int) -> tuple[int, int]:
        """1-based line and column."""
        if self.outer is not None:
            return self.outer.place(self.offsets[min(offset, len(self.offsets) - 1)])
        line = bisect_right(self.line_starts, offset)
        return line, offset - self.line_starts[line - 1] + 1

    def line(self, number: int) -> str:
        if self.outer is not None:
            return self.outer.line(number)
        start = self.line_starts[number - 1]
        return self.text[start:].split("\n", 1)[0]

    def error(self, message: Message, offset: int) -> PromptError:
        line, column = self.place(offset)
        return PromptError(message, line, column, self.line(line))


@dataclass
class Warnings:
    """Collects warnings in the order they were noticed."""

    found: list[PromptWarning] = field(default_factory=list)
    left_out: int = 0

    def warn(self, source: Source, offset: int, message: Message) -> None:
        if len(self.found) < MAX_WARNINGS:
            self.found.append(PromptWarning(*source.place(offset), message))
        else:
            self.left_out += 1

    def extend(self, other: Warnings) -> None:
        self.found += other.found
        self.left_out += other.left_out

    def sorted(self) -> tuple[PromptWarning, ...]:
        found = sorted(self.found, key=lambda warning: (warning.line, warning.column))
        if self.left_out:
            found.append(PromptWarning(0, 0, Message("{count} more warnings are not shown.", count=self.left_out)))
        return tuple(found)


def source_of(text: str) -> Source:
    """The prompt with line ends as \\n. Raises PromptError where it is no text, too long, or no XML could hold it."""
    if not isinstance(text, str):
        raise PromptError(Message("A prompt must be text, not {type}.", type=type(text).__name__))
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise PromptError(Message("The prompt is longer than {limit} KB. Shorten it.", limit=MAX_BYTES // 1024))
    source = Source(text.replace("\r\n", "\n").replace("\r", "\n"))
    if bad := FORBIDDEN.search(source.text):
        raise source.error(invisible(bad), bad.start())
    return source


def invisible(found: re.Match[str]) -> Message:
    """For a match of FORBIDDEN."""
    code = f"{ord(found.group()):04X}"
    return Message("The prompt contains the invisible character U+{code}. Delete it.", code=code)


def stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without the space around what it holds."""
    while start < end and (text[start].isspace() or text[start] == "\ufeff"):
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
