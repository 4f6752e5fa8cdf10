"""What a ComfyUI's log says."""

from __future__ import annotations

import re
from pathlib import Path

from .environment import ROOT

LEVEL = re.compile(r"^\[\w+\] ")
NOT_LOADED = re.compile("calling comfy_entrypoint|Cannot import|did not return a|module for custom nodes")


def last(log: Path, lines: int = 12) -> str:
    return "\n".join(words(log)[-lines:])


def words(log: Path) -> list[str]:
    return said(log.read_text("utf-8", "replace"))


def said(text: str) -> list[str]:
    """A log's lines that say something, without their colours."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return [line for line in text.splitlines() if line.strip()]


def not_loaded(lines: list[str]) -> list[str]:
    """Of a log's lines, those that say which nodes could not be loaded, and why."""
    return list(dict.fromkeys(LEVEL.sub("", line.strip()) for line in lines if NOT_LOADED.search(line)))


def about_us(line: str) -> bool:
    """Whether a line names this pack's folder, here or on another machine."""
    return re.search(rf"[\\/]{re.escape(ROOT.name)}(?=[\s:]|$)", line) is not None
