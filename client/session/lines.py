"""Which lines make one prompt, and how they are read: from a terminal with editing and history, or from a file or pipe.

At a terminal a prompt is one line, or as many as the XML, JSON or ``` fence begun in it needs; an empty line ends it
all the same. Lines pasted together belong together. In a file blank lines do not matter: a line belongs to the prompt
before it when something is still open there, or when it brings an element that a list of elements lacks so far.
"""

from __future__ import annotations

import contextlib
import json
import re
import select
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ...xml_prompt import ROOTS

QUESTION = "Enter prompt (XML or plain text): "
GO_ON = "... "
KEPT = 500  # prompts in the history's file
# A colon, also a full-width one, and a word. Single letters are emoticons, such as :d and :p, but for these, alone.
COMMAND = re.compile(r"[:：]\s*(?:([^\W\d_]{2,})[\s,，、。:：=]*(.*)|([qh?？])\s*)")
NOT_TAGS = re.compile(r"<!--.*?-->|<!\[CDATA\[.*?]]>|<\?.*?\?>|<!DOCTYPE[^>]*>", re.DOTALL)
TAG = re.compile(r"<(/?)([^\W\d][\w.-]*)(?=[\s/>])[^<>]*?(/?)>")  # not the emoticons <3 and <_<, not <lora:name:1>
STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
BEGINS = re.compile(r"\s*<([^\W\d][\w.-]*)(?=[\s/>])")
LONGEST = 1 << 16  # characters of a prompt in a file; what is never closed must not take all the rest


# --- what belongs together --------------------------------------------------------------------------------------------


def body(text: str) -> str:
    """What the prompt's form can be told from: no system prompt, no comments."""
    text = text.rpartition("<Prompt Start>")[2].strip()
    if text.startswith("&lt;"):  # escaped as a whole
        text = text.replace("&lt;", "<").replace("&gt;", ">")
    return NOT_TAGS.sub("", text).strip()


def unfinished(text: str) -> bool:
    """Whether something was begun and only its end is missing. A tag closed in the wrong place is wrong already: no."""
    text = body(text)
    if text.startswith("```"):
        return "```" not in text[3:]
    if text.startswith("{"):
        bare = STRING.sub("", text)
        return bare.count("{") + bare.count("[") > bare.count("}") + bare.count("]")
    if text.startswith("<"):
        found = outline(text)
        return "<!--" in text or (found is not None and found[1])
    return not text  # a system prompt and nothing behind it


def outline(text: str) -> tuple[list[str], bool] | None:
    """The outermost elements' names, and whether one is still open; None where the text has none, or closes one in the
    wrong place."""
    text = body(text)
    roots: list[str] = []
    inside: list[str] = []
    for closing, name, empty in TAG.findall(text):
        if closing:
            if not inside or inside.pop() != name:
                return None
            continue
        if not inside:
            roots.append(name)
        if not empty:
            inside.append(name)
    return (roots, bool(inside)) if roots and text.startswith("<") else None


def belongs(text: str, line: str) -> bool:
    """Whether a file's next line that is not blank goes on with the prompt so far."""
    if len(text) > LONGEST:
        return False
    begun = BEGINS.match(line.replace("&lt;", "<").replace("&gt;", ">") if text.startswith("&lt;") else line)
    found = outline(text)
    if found and begun:
        roots, opened = found
        return begun[1] not in ROOTS and begun[1] not in roots and (opened or roots[0] not in ROOTS)
    # Markup that is never closed takes no plain text from beyond a blank line.
    beyond = text.endswith("\n\n") and body(text).startswith("<") and not line.lstrip().startswith("<")
    return unfinished(text) and not beyond


def complete(text: str) -> bool:
    """Whether no further line could belong to the prompt."""
    if unfinished(text):
        return False
    found = outline(text)
    return found is None or found[0][0] in ROOTS


def prompts(lines: Iterable[str]) -> Iterator[str]:
    """The prompts of a file, one after the other, stripped; lines within one stay as they are."""
    text = ""
    for line in lines:
        line = line.rstrip("\r\n").removeprefix("\ufeff")
        if not line.strip():
            text += "\n" if text else ""
        elif text and belongs(text, line):
            text += line + "\n"
        else:
            if text:
                yield text.strip()
            text = line + "\n"
        if text and complete(text):  # at once: whoever writes the lines may wait for the picture
            yield text.strip()
            text = ""
    if text:
        yield text.strip()


# --- at a terminal ----------------------------------------------------------------------------------------------------


def read_prompt(read_line: Callable[[str], str], more: Callable[[], bool]) -> str:
    """The question, its answer, and the lines that belong to it. Raises EOFError when there is no answer at all."""
    lines = [read_line(QUESTION)]
    if COMMAND.fullmatch(lines[0].strip()):
        return lines[0].strip()
    while more() or (lines[-1].strip() and unfinished("\n".join(lines))):
        try:
            lines.append(read_line(GO_ON))
        except EOFError:
            break
    return "\n".join(lines).strip()


def pasted() -> bool:
    """Whether the terminal holds another line already: it was pasted, and the terminal does not say so by itself."""
    if sys.platform == "win32":
        return False
    return bool(select.select([sys.stdin], [], [], 0.05)[0])


class Terminal:
    """Asks at a terminal. Lines can be edited; the up arrow brings earlier prompts back whole, from a file too."""

    def __init__(self, history: Path) -> None:
        self.history = history
        try:
            import readline
        except ImportError:  # Windows: its console edits lines by itself
            self.readline = None
            return
        self.readline = readline
        readline.set_auto_history(False)
        readline.parse_and_bind("set enable-bracketed-paste on")  # a paste is one text, its line ends included
        for text in self._kept():
            with contextlib.suppress(ValueError):  # of letters that a terminal never sends
                readline.add_history(text)

    def ask(self, before: str = "") -> str:
        """One prompt. `before` is in the line already, to be changed. Raises EOFError and KeyboardInterrupt."""
        given = [before] if before else []

        def insert() -> None:
            if given:
                self.readline.insert_text(given.pop())

        if self.readline is not None:
            self.readline.set_startup_hook(insert)
        text = read_prompt(input, pasted)
        if text:
            self.keep(text)
        return text

    def keep(self, text: str) -> None:
        """Into the history, which the up arrow goes through."""
        if self.readline is None:
            return
        length = self.readline.get_current_history_length()
        if length and self.readline.get_history_item(length) == text:
            return
        self.readline.add_history(text)
        with contextlib.suppress(OSError):  # a disk that is full or read-only costs the history, not the picture
            lines = [*self._kept(), text][-KEPT:]
            self.history.parent.mkdir(parents=True, exist_ok=True)
            self.history.touch(0o600)
            self.history.write_text("".join(json.dumps(line) + "\n" for line in lines), "ascii")

    def _kept(self) -> list[str]:
        kept = []
        with contextlib.suppress(OSError):
            for line in self.history.read_text("ascii", "replace").splitlines():
                with contextlib.suppress(ValueError):
                    kept.append(json.loads(line))
        return [text for text in kept if isinstance(text, str)]
