"""What lies in the models folders, before anything is opened: files that the host lists, releases, half downloads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .. import checkpoint
from ..checkpoint import unreadable

SUFFIXES = (".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".pth", ".pkl", ".bin", ".gguf")  # the host's, and GGUF
HALF = (".part", ".crdownload", ".incomplete", ".aria2", ".download")
OF_FILES = ("diffusion_models", "text_encoders", "vae", "checkpoints", "loras")
OF_RELEASES = "diffusers"

Folders = Mapping[str, Sequence[Path]]  # name in models/ -> where the host looks


@dataclass
class Contents:
    """files: (name of the folder, its root, file); releases: what looks like one, wherever it lies."""

    files: list[tuple[str, Path, Path]] = field(default_factory=list)
    releases: list[Path] = field(default_factory=list)
    halves: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def contents(folders: Folders) -> Contents:
    """A file that two roots of one name list, once."""
    found = Contents()
    for name in (*OF_FILES, OF_RELEASES):
        seen: set[str] = set()
        for root in folders.get(name, ()):
            for folder, files in walk(root, seen, found):
                if looks_like_a_release(folder) and folder not in found.releases:
                    found.releases.append(folder)
                for path in files:
                    if path.suffix.lower() in HALF:
                        found.halves.append(path)
                    elif name != OF_RELEASES and path.suffix.lower() in SUFFIXES and real(path) not in seen:
                        seen.add(real(path))
                        found.files.append((name, root, path))
    found.halves = list(dict.fromkeys(found.halves))
    return found


def walk(root: Path, seen: set[str], found: Contents) -> Iterator[tuple[Path, list[Path]]]:
    """(folder, what lies in it that is no folder) in order, through links as the host does, each folder once.

    Safari's half download is a folder, and counts as a file here.
    """

    def tell(problem: OSError) -> None:
        if not isinstance(problem, FileNotFoundError | NotADirectoryError):
            found.problems.append(str(unreadable(root, problem)))

    for here, subfolders, files in os.walk(root, followlinks=True, onerror=tell):
        halves = [name for name in subfolders if name.lower().endswith(HALF)]
        subfolders[:] = sorted(set(subfolders) - set(halves) - {".git"})
        if real(here) in seen:
            subfolders.clear()
            continue
        seen.add(real(here))
        yield Path(here), [Path(here, name) for name in sorted([*files, *halves])]


def real(path: Path | str) -> str:
    return os.path.realpath(path)


def looks_like_a_release(folder: Path) -> bool:
    parts = checkpoint.parts_in(folder)
    return len(parts) > 1 and bool(parts & set(checkpoint.LISTED_BY))
