"""One prompt to its pictures, with progress on the terminal, and pictures to files."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Sequence
from pathlib import Path

from . import api
from .answers import Picture
from .problem import Problem
from .terminal import Line, bar
from .workflow import Prompt

FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
SIGNATURE, LAST_CHUNK = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"  # https://www.w3.org/TR/png-3/


def draw(server: api.Server, prompt: Prompt) -> tuple[list[bytes], float]:
    """Draws the prompt and returns the PNGs that it saves, and the seconds it took."""
    line = Line("Drawing")

    def show(progress: api.Progress) -> None:
        line.show(f"{progress.title} {bar(progress.value, progress.whole) if progress.whole else ''}")

    try:
        result = api.draw(server, prompt, show)
        pictures = [checked(api.download(server, one), one.filename) for one in saved(result.pictures)]
    except BaseException as error:
        line.end("failed" if isinstance(error, Problem) else "stopped")
        raise
    line.end(f"{result.seconds:.1f} s")
    return pictures, result.seconds


def saved(pictures: Sequence[Picture]) -> list[Picture]:
    """Those that are no previews. Raises HostError where there is none."""
    found = [picture for picture in pictures if picture.kind == "output"]
    if not found:
        raise api.HostError("The workflow saved no picture: it needs a Save Image node.")
    return found


def checked(data: bytes, name: str) -> bytes:
    """The bytes of a whole PNG. Raises Problem for anything else that a server sends."""
    whole = data.startswith(SIGNATURE) and data.endswith(LAST_CHUNK) and len(data) > 33
    if not whole or data[12:16] != b"IHDR" or 0 in struct.unpack(">II", data[16:24]):
        raise Problem(f"ComfyUI sent no complete PNG picture for {name}: draw it again.")
    return data


def write(path: Path, data: bytes) -> None:
    """All or nothing: a file that was there stays until the new one is whole."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave the new name on an empty file
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        advice = "free some space" if error.errno in FULL else "choose another folder"
        raise Problem(f"{path} cannot be written ({error.strerror or error}): {advice}.") from error
