"""What became of every job: a line of JSON for each thing that happened, in manifest.jsonl beside the pictures.

    {"job": KEY, "sent": "http://...", "id": UUID}                      before it is sent
    {"job": KEY, "state": "done", "prompt": ..., "seed": ..., "file": ..., "sha256": ..., "bytes": ..., ...}
    {"job": KEY, "state": "failed", ..., "error": "...", "fault": "prompt"}   it is not tried again, or in the next run
                                                                              where it was a "station"'s fault

The last line about a job counts. A picture is whole under its name before its line is written, and the line is on the
disk before the next thing happens; a line that a kill has torn off is dropped when the file is opened again, as if it
had not begun. One run at a time has the file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..picture import write
from ..problem import Problem, Unfinished

NAME = "manifest.jsonl"
DONE, FAILED = "done", "failed"
Line = dict[str, Any]
SENT = {"job", "sent", "id"}
ENDED = {"job", "state", "prompt", "seed", "settings", "versions", "server", "at", "from", "error"}


class Manifest:
    def __init__(self, folder: Path, file: int) -> None:
        self.folder, self._file = folder, file
        self.last: dict[str, Line] = {}  # of every job
        for line in lines(folder / NAME):
            self.last[line["job"]] = line

    def ended(self, key: str) -> str | None:
        """DONE or FAILED; None for a job that is still to be drawn, one whose picture is gone or cut off too."""
        line = self.last.get(key, {})
        state = line.get("state")
        if state == DONE and not all(self._whole(picture) for picture in pictures(line)):
            return None
        return state

    def sent(self, key: str) -> tuple[str, str] | None:
        """(server, id) of a job that was sent and of which nothing is known since."""
        line = self.last.get(key, {})
        return (line["sent"], line["id"]) if "sent" in line else None

    def keep(self, stem: str, data: list[bytes]) -> list[Line]:
        """Writes a job's pictures -> what its line says of them."""
        kept = []
        for number, picture in enumerate(data, 1):
            name = f"{stem}.png" if number == 1 else f"{stem}-{number}.png"
            try:
                write(self.folder / name, picture)
            except Problem as problem:
                raise Unfinished(str(problem)) from problem
            kept.append({"file": name, "sha256": hashlib.sha256(picture).hexdigest(), "bytes": len(picture)})
        return kept

    def append(self, line: Line, safe: bool = True) -> None:
        """safe: the line is on the disk, not only in the system's memory, when this returns."""
        data = (json.dumps(line) + "\n").encode()
        try:
            while data:
                data = data[os.write(self._file, data) :]
            if safe:
                os.fsync(self._file)
        except OSError as error:
            raise Unfinished(f"{self.folder / NAME} cannot be written: {error.strerror or error}.") from error
        self.last[line["job"]] = line

    def _whole(self, picture: Line) -> bool:
        path = self.folder / str(picture["file"])
        return path.is_file() and path.stat().st_size == picture["bytes"]


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Manifest]:
    """Raises Problem where another run has it, or nothing can be written."""
    path = folder / NAME
    if folder.exists() and not folder.is_dir():
        raise Unfinished(f"{folder} is a file: choose a folder for the pictures with --out.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o644)
    except OSError as error:
        raise Unfinished(f"{path} cannot be written: {error.strerror or error}.") from error
    try:
        if not locked(file):
            raise Unfinished(f"Another run is writing {path}: wait for its end, or choose another folder with --out.")
        os.ftruncate(file, whole_lines(path))
        for part in folder.glob(".*.part"):  # pictures that a kill has cut off
            part.unlink(missing_ok=True)
        yield Manifest(folder, file)
    finally:
        os.close(file)


def lines(path: Path) -> Iterator[Line]:
    """The lines about jobs; what is none, as where a disk has lost some, is passed over."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), path.open("rb") as file:
        for text in file:
            with contextlib.suppress(ValueError, RecursionError):
                line = json.loads(text)
                if isinstance(line, dict) and any(needed <= line.keys() for needed in (SENT, ENDED)):
                    yield line


def pictures(line: Line) -> list[Line]:
    return [line, *line.get("more", [])] if "file" in line else []


def whole_lines(path: Path) -> int:
    """How many bytes the lines that were written to their end take."""
    size = path.stat().st_size
    with path.open("rb") as file:
        end = size
        while end:
            start = max(0, end - 65536)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
    return 0


def locked(file: int) -> bool:
    """Whether the file is ours alone now; until we end, however we end."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
