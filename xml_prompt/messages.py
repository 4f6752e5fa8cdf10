"""What a user is told: an English sentence with named places, and the same sentence in other languages.

The template at the place that raises it is the key to messages.LANGUAGE.json beside this file; the same named places
stand in both. A place may hold a message, which is then told in the same language, or a list.
"""

from __future__ import annotations

import json
import locale
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

LANGUAGES = ("en", "zh")
LONGEST = 60  # of a value; what was typed may be of any length

Value = "str | int | float | Message | tuple[str | Message, ...]"


@dataclass(frozen=True, init=False)
class Message:
    """str() is English."""

    template: str
    values: tuple[tuple[str, Value], ...]

    def __init__(self, template: str, /, **values: Value) -> None:
        object.__setattr__(self, "template", template)
        object.__setattr__(self, "values", tuple(values.items()))

    def __str__(self) -> str:
        return self.text()

    def text(self, language: str = "en") -> str:
        """In one of LANGUAGES."""
        template = catalogue(language).get(self.template, self.template)
        return template.format(**{name: _shown(value, language) for name, value in self.values})


def at_line(message: Message, line: int, column: int) -> Message:
    """The message behind its 1-based place in the prompt; line 0: it has none."""
    return (
        Message("line {line}, column {column}: {message}", line=line, column=column, message=message)
        if line
        else message
    )


def language_of(locale: str) -> str:
    """The one of LANGUAGES that a locale (`zh-CN`, `zh_CN.UTF-8`, `Chinese (Simplified)_China`) asks for."""
    return "zh" if locale.lower().startswith(("zh", "chinese")) else "en"


def system_language() -> str:
    """The one that the process's own locale asks for."""
    stated = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return language_of(next(filter(None, stated), None) or locale.getlocale()[0] or "")


@lru_cache(maxsize=len(LANGUAGES))
def catalogue(language: str) -> dict[str, str]:
    """English template -> the same in this language; English itself needs none."""
    if language == "en":
        return {}
    return json.loads((Path(__file__).parent / f"messages.{language}.json").read_text(encoding="utf-8"))


def _shown(value: Value, language: str) -> str | int | float:
    if isinstance(value, Message):
        return value.text(language)
    if isinstance(value, tuple):
        return ("、" if language == "zh" else ", ").join(str(_shown(one, language)) for one in value)
    if isinstance(value, str):
        value = value.replace("\n", "\\n")
        return value if len(value) <= LONGEST else f"{value[: LONGEST - 3]}..."
    return value
