"""What is typed behind a command: its options, checked before anything is set up, and the text files they name."""

from __future__ import annotations

import argparse
import math
import sys
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from .environment import ROOT
from .problem import Problem
from .workflow import DEMO, SEED_END, Prompt, Settings, load, parse_input, parse_size

PORTS = 65535
MOST_TIMES = 1_000_000

Value = TypeVar("Value")


def demo(parser: argparse.ArgumentParser) -> None:
    xml = "the prompt, a UTF-8 file (default: the demo scene)"
    parser.add_argument("--xml", type=text_file, metavar="FILE", help=xml)
    add_drawing(parser)
    out = Path("newbie-demo.png")
    parser.add_argument("--out", type=png, metavar="FILE", default=out, help="the PNG to write (default: %(default)s)")


def create(parser: argparse.ArgumentParser) -> None:
    add_server(parser)
    add_workflow(parser)
    add_drawing(parser)
    parser.add_argument(
        "--out", type=folder, metavar="FOLDER", default=Path(), help="where the pictures go (default: this folder)"
    )
    parser.epilog = "At the question :help lists the session's commands; an empty line, :quit or Ctrl-D ends it."
    show = "show the pictures in the terminal too, if it can (kitty's way, iTerm2's, or sixel)"
    parser.add_argument("--show", action="store_true", help=show)


def queue(parser: argparse.ArgumentParser) -> None:
    files = "prompts: .xml, .txt (one a line), .jsonl, .csv (prompt, seed, size ... a line), or a folder of these"
    parser.add_argument("files", nargs="+", type=existing, metavar="FILE", help=files)
    server = "a ComfyUI that runs already; several share the work (default: start one here)"
    parser.add_argument("--server", action="append", type=url, default=[], metavar="URL", help=server)
    out = Path("newbie-pictures")
    parser.add_argument("--out", type=Path, default=out, metavar="DIR", help="pictures' folder (default: %(default)s)")
    parser.add_argument("--seeds", type=seeds, default=[], help="every prompt with each, such as 1-10,15")
    times = "every prompt so many times, with its seed and those that follow (default: 1)"
    parser.add_argument("--times", type=_integer(1, MOST_TIMES), default=1, metavar="N", help=times)
    add_workflow(parser)
    add_drawing(parser)
    parser.add_argument("--retry", action="store_true", help="try again what failed by its prompt")
    parser.add_argument("--dry-run", action="store_true", help="say what would be drawn, and ask no server")
    parser.add_argument("--sheet", action="store_true", help="make a contact sheet of the pictures, sheet.jpg")
    ray = "draw on the cards of a Ray cluster, one ComfyUI a card (default: this machine's); see docs/scaling.md"
    parser.add_argument("--ray", nargs="?", const="", metavar="ADDRESS", help=ray)
    parser.add_argument(
        "--actors", type=_integer(1, MOST_TIMES), metavar="N", help="ComfyUIs for --ray (default: one a card)"
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "Exit codes: 0 every picture is there, 1 some prompts failed, 2 the command line or a file is wrong, 3 it\n"
        "ended early (no server left, a full disk), 130 Ctrl-C. After 3 and 130 the same command goes on."
    )


def serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--port", type=_integer(1, PORTS), help="the port (default: 8188, or a free one if that is taken)"
    )


USED = "use a ComfyUI that runs already, such as http://127.0.0.1:8188 (default: start one)"


def add_server(parser: argparse.ArgumentParser, which: str = USED) -> None:
    parser.add_argument("--server", type=url, metavar="URL", help=which)


def add_workflow(parser: argparse.ArgumentParser) -> None:
    """What a command that fills any workflow takes."""
    parser.add_argument(
        "--workflow",
        type=graph,
        metavar="FILE",
        help="a workflow in API form, or a picture that one has drawn (default: the mini's)",
    )
    parser.add_argument(
        "--prompt",
        action="append",
        default=[],
        metavar="NODE.INPUT",
        help="where in the workflow the prompt goes, by a node's id, title or type (default: its only prompt node)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=setting,
        metavar="NODE.INPUT=VALUE",
        help="any other input of the workflow, such as 6.scheduler=beta; may be repeated",
    )


def graph_of(options: argparse.Namespace) -> Prompt:
    """The workflow that was asked for, or else the demo's."""
    return load(ROOT / DEMO) if options.workflow is None else options.workflow


def settings_of(options: argparse.Namespace, xml: str | None = None) -> Settings:
    given = vars(options)
    names = ("seed", "steps", "guidance", "eta", "size")
    return Settings(
        xml,
        **{name: given[name] for name in names},
        prompt=tuple(given.get("prompt", ())),
        inputs=tuple(given.get("set", ())),
    )


def add_drawing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=SETTINGS["seed"], help="the random seed (default: the workflow's)")
    parser.add_argument("--steps", type=SETTINGS["steps"], help="sampling steps (default: 28)")
    guidance = "how strongly the prompt is followed (default: 7.5)"
    parser.add_argument("--guidance", type=SETTINGS["guidance"], help=guidance)
    parser.add_argument("--eta", type=SETTINGS["eta"], help="fresh noise at every step, 0 for none (default: 0.3)")
    parser.add_argument("--size", type=size, metavar="WxH", help="size in pixels (default: the workflow's)")


# --- types ------------------------------------------------------------------------------------------------------------


def _integer(least: int, most: int) -> Callable[[str], int]:
    def integer(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{value} is not between {least} and {most}")
        return value

    return integer


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not math.isfinite(value) or value < 0:
        raise argparse.ArgumentTypeError(f"{text} is not 0 or more")
    return value


def _told(reader: Callable[[str], Value]) -> Callable[[str], Value]:
    """The reader, with its sentence where argparse says what is wrong."""

    def read(text: str) -> Value:
        try:
            return reader(text)
        except (Problem, ValueError) as problem:
            raise argparse.ArgumentTypeError(str(problem)) from None

    return read


size = _told(parse_size)
seeds = _told(lambda text: parse_seeds(text))
SETTINGS: dict[str, Callable[[str], object]] = {  # by their names on a command line and in a file of prompts
    "seed": _integer(0, SEED_END - 1),
    "steps": _integer(1, 1000),
    "guidance": _number,
    "eta": _number,
    "size": size,
}
setting = _told(parse_input)
graph = _told(lambda name: load(Path(name)))
text_file = _told(lambda name: read_text(Path(name)))


def parse_seeds(text: str) -> list[int]:
    """1-10,15 -> 1, 2, ... 10, 15. Raises ValueError with a sentence."""
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        try:
            low, high = int(first), int(last if dash else first)
        except ValueError:
            raise ValueError(f"{part.strip()!r} is no seed: write numbers and ranges, such as 1-10,15") from None
        if not 0 <= low <= high < SEED_END or high - low >= MOST_TIMES:
            raise ValueError(f"{part.strip()!r} must go from a smaller seed to a larger one, a million at most")
        seeds += range(low, high + 1)
    return seeds


def existing(name: str) -> Path:
    if not Path(name).exists():
        raise argparse.ArgumentTypeError(f"{name} does not exist")
    return Path(name)


def url(text: str) -> str:
    """The address of a server; http:// may be left out."""
    whole = text if "://" in text else f"http://{text}"
    try:
        parts = urllib.parse.urlsplit(whole)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        fine = fine and not (parts.query or parts.fragment)
    except ValueError:
        fine = False
    if not fine:
        raise argparse.ArgumentTypeError(f"{text!r} is not a server's address, such as http://127.0.0.1:8188")
    return whole.rstrip("/")


def png(name: str) -> Path:
    """Where a PNG can be written, told now rather than after the drawing."""
    path = Path(name)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is a folder: give the name of a file, such as {path / 'picture.png'}")
    if path.suffix.lower() != ".png":
        raise argparse.ArgumentTypeError(f"{path} must end in .png: pictures are written as PNG")
    folder(path.absolute().parent)
    return path


def folder(name: str | Path) -> Path:
    """A folder in which files can be made."""
    path = Path(name)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"the folder {path} does not exist: make it, or choose another")
    try:
        probe = path / ".newbie-writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"nothing can be written to {path} ({error.strerror or error})") from None
    return path


def read_text(source: Path | str) -> str:
    """UTF-8 text; "-" is standard input. Raises Problem."""
    try:
        if source == "-":
            if sys.stdin is None:
                raise Problem("Standard input is closed: name a file instead of -.")
            data = sys.stdin.buffer.read()
        else:
            data = Path(source).read_bytes()
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Problem(f"{source} is not UTF-8 text: save it as UTF-8.") from None
    except OSError as error:
        raise Problem(f"{source} cannot be read: {error.strerror or error}.") from error
