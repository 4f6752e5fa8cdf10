"""What the doctor finds, and how it judges what this machine and a server have alike."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..environment import too_old
from ..logs import about_us, not_loaded

FINE, NOTE, WRONG = "fine", "note", "wrong"
LITTLE = 2e9  # bytes of disk with which pictures soon can't be saved
GPU_NEEDED = 8e9  # bytes of the full model's smallest card, docs/fullsize.md


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, and what to do."""

    about: str
    state: str  # FINE, NOTE: worth knowing, or WRONG: something has to be done
    says: str
    advice: str = ""


def of_version(version: str, where: str) -> Finding:
    if too_old(version):
        return Finding("ComfyUI", WRONG, f"{version}{where}", "update it: this pack needs 0.27 or newer")
    return Finding("ComfyUI", FINE if version[:1].isdigit() else NOTE, f"{version}{where}")


def of_cards(devices: list[dict[str, Any]]) -> Iterator[Finding]:
    """name, vram_free and vram_total of each: as the host tells them, too."""
    cards = [one for one in devices if one.get("type") != "cpu"]
    for one in cards:
        free, total = one["vram_free"], one["vram_total"]
        text = f"{one['name']}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free" if total else one["name"]
        short = total and free < GPU_NEEDED
        advice = "for the full model, free 8 GB: close what else uses the card" if short else ""
        yield Finding("GPU", NOTE if short else FINE, text, advice)
    if not cards:
        there = Path("/dev/nvidiactl").exists()
        says = "torch sees none, though an NVIDIA driver is there" if there else "none: pictures are drawn on the CPU"
        advice = "install a torch for your card and driver (pytorch.org), or set NEWBIE_DEVICE=cpu" if there else ""
        yield Finding("GPU", WRONG if there else NOTE, says, advice)


def of_disk(folder: Path, needed: float) -> Finding:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    says = f"{free / 1e9:.1f} GB free in {folder}"
    if free < needed:
        advice = f"free some: {needed / 1e9:.0f} GB are needed, or set NEWBIE_HOME to a folder on another disk"
        return Finding("Disk", WRONG, says, advice)
    return Finding("Disk", FINE, says)


def of_log(lines: list[str], where: str) -> Iterator[Finding]:
    """Nodes that could not be loaded, and why. Ours must be; those of others are worth knowing."""
    for line in not_loaded(lines):
        advice = "with ComfyUI's Python: -m pip install -r requirements.txt; then restart it" if "lxml" in line else ""
        yield Finding("Nodes", WRONG if about_us(line) else NOTE, f"{where} says: {line}", advice)
