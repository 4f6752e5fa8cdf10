"""The table of commands, and the way from the command line into one.

Every command but three runs in the environment's own Python, where lxml, aiohttp and torch are; `setup` makes that
environment, and `models` and `doctor` must do without any. What is wrong with a command line is said before anything
is set up.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .problem import Problem

CLIENT = ("aiohttp", "lxml", "numpy", "PIL")  # what drawing on other servers needs: no set-up, where it is there
TRAINING = ("cv2", "numpy", "safetensors", "sentencepiece")


@dataclass(frozen=True)
class Command:
    """module: whose main(arguments) does it, or what tells the module and its arguments from what is typed (None: all
    has been said).

    parsed: arguments has its options, under its name, and they are checked before the set-up; else the module's own
    parser checks them. wanted: modules that the Python of a ComfyUI you have must offer. here: in the Python that runs
    ./run, without a set-up.
    """

    help: str
    module: str | Callable[[Path, Sequence[str]], tuple[str, Sequence[str]] | None]
    parsed: bool = False
    wanted: tuple[str, ...] = ("lxml",)
    here: bool = False


def mini(root: Path, typed: Sequence[str]) -> tuple[str, Sequence[str]]:
    modules = {"train": "lab.training.train", "evaluate": "lab.judging.evaluate", "lora": "lab.training.lora"}
    if not typed or typed[0] not in modules:
        raise Problem(f"./run mini is followed by {' or '.join(modules)}, then by that task's options, such as --help.")
    return modules[typed[0]], typed[1:]


def bench(root: Path, typed: Sequence[str]) -> tuple[str, Sequence[str]] | None:
    known = benchmarks(root)
    name = typed[0] if typed else "--help"
    if name in ("-h", "--help"):
        width = max(map(len, known), default=0)
        lines = "".join(f"  {one:{width}}  {title}\n" for one, title in known.items())
        sys.stdout.write(f"usage: ./run bench NAME [options]\n\n{lines}\nOptions: ./run bench NAME --help\n")
        return None
    if name not in known:
        raise Problem(f"There is no benchmark {name!r}: choose one of {', '.join(known)}.")
    return f"lab.benchmarks.{name}", typed[1:]


def benchmarks(root: Path) -> dict[str, str]:
    """Names and the first lines of what they say; they are read, as importing them takes torch. Parts have no main."""
    found = {}
    for path in sorted((root / "lab" / "benchmarks").glob("*.py")):
        module = ast.parse(path.read_text("utf-8"))
        if any(isinstance(part, ast.FunctionDef) and part.name == "main" for part in module.body):
            found[path.stem] = (ast.get_docstring(module) or "").partition("\n")[0]
    return found


COMMANDS = {
    "setup": Command("install the virtual environment and ComfyUI, nothing else", "setup", here=True),
    "demo": Command("draw a picture from an XML prompt with the built-in mini model", "demo", parsed=True),
    "create": Command("ask for prompts and draw them, one after the other", "session.command", parsed=True),
    "queue": Command("draw every prompt of some files, on one server or many", "queue.command", parsed=True),
    "serve": Command("run ComfyUI with this pack, for the browser", "serve", parsed=True),
    "prompt": Command("show, check, render or convert a prompt's file, without starting ComfyUI", "prompt_tool"),
    "doctor": Command("say what is missing or wrong, and what to do about it", "doctor", here=True),
    "test": Command(
        "run the tests; further arguments go to pytest",
        "testing",
        wanted=("lxml", "pytest", "xdist", "hypothesis", "cv2", "sentencepiece"),
    ),
    "models": Command(
        "check: which of the full model's files are there; lora: rename a trainer's LoRA", "models", here=True
    ),
    "mini": Command("train or evaluate the built-in model, or train LoRAs for it", mini, wanted=TRAINING),
    "bench": Command("run a benchmark; without a name, list them", bench, wanted=("lxml", *TRAINING)),
}


PUBLISHED = ("models", "doctor")  # what works in the registry's archive, which has no set-up and no lab (.comfyignore)


def launch(root: Path, typed: Sequence[str]) -> int:
    """Runs one command and returns its exit code. Raises Problem."""
    whole = (root / "setup").is_dir()
    there = [name for name in COMMANDS if whole or name in PUBLISHED]
    parser = argparse.ArgumentParser(
        prog="./run",
        usage="./run COMMAND [options]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="\n".join(f"  {name:8} {COMMANDS[name].help}" for name in there),
        epilog="Options of a command: ./run COMMAND --help. Where ./run does not start: python run COMMAND.\n"
        "COMFYUI_PATH and COMFYUI_PYTHON use a ComfyUI you have"
        + (
            "; NEWBIE_DEVICE=cpu|gpu chooses where it computes;\n"
            "NEWBIE_HOME moves what the set-up installs to another folder."
            if whole
            else ", where it is not the one around this folder.\n"
            "The other commands of the README come with the repository, not with this archive."
        ),
    )
    parser.add_argument("command", choices=there, metavar="COMMAND", help="one of the above")
    if not typed:
        parser.print_help()
        return 2
    name, rest = parser.parse_args(typed[:1]).command, typed[1:]
    command = COMMANDS[name]
    options = parser_of(name).parse_args(rest) if command.parsed else None
    if command.here:
        return importlib.import_module(f".{command.module}", __package__).main(rest)
    from .environment import run_module
    from .setup import prepare  # not in the archive, where nothing needs it

    work = (f"client.{command.module}", rest) if isinstance(command.module, str) else command.module(root, rest)
    if work is None:
        return 0
    elsewhere = getattr(options, "server", None) and all(map(importlib.util.find_spec, CLIENT))
    return run_module(Path(sys.executable) if elsewhere else prepare(root, command.wanted).python, root, *work)


def parser_of(name: str) -> argparse.ArgumentParser:
    """The parser of a command whose options are in arguments."""
    from . import arguments  # not in the archive

    parser = argparse.ArgumentParser(prog=f"./run {name}", description=COMMANDS[name].help)
    getattr(arguments, name)(parser)
    return parser
