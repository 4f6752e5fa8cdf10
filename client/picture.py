"""One prompt to one file, with progress on the terminal."""

from __future__ import annotations

from pathlib import Path

from . import api
from .problem import Problem
from .progress import Line, bar


def draw_to(server: api.Server, prompt: api.Prompt, path: Path) -> float:
    """Draws the prompt, writes the first one it saves to `path`, and returns the seconds it took."""
    line = Line("Drawing")

    def show(progress: api.Progress) -> None:
        line.show(f"{progress.title} {bar(progress.value, progress.whole) if progress.whole else ''}")

    try:
        result = api.draw(server, prompt, show)
        saved = [picture for picture in result.pictures if picture.kind == "output"]  # a preview is none
        if not saved:
            raise Problem("The workflow saved no picture: it needs a Save Image node.")
        write(path, api.download(server, saved[0]))
    except BaseException as error:
        line.end("failed" if isinstance(error, Problem) else "stopped")
        raise
    line.end(f"{result.seconds:.1f} s")
    return result.seconds


def check_writable(path: Path) -> None:
    """Raises Problem now rather than after the drawing."""
    if path.is_dir():
        raise Problem(f"{path} is a folder: give the name of a file, such as {path / 'picture.png'}.")
    if not path.absolute().parent.is_dir():
        raise Problem(f"The folder {path.absolute().parent} does not exist: make it, or choose another.")
    if path.suffix.lower() != ".png":
        raise Problem(f"{path} must end in .png: that is what is written.")


def write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise Problem(f"{path} cannot be written: {error.strerror or error}.") from error
