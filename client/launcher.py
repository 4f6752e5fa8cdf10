"""From the command line to a command: arguments, exit codes, and the promise that nobody sees a traceback."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from .problem import Problem

INTERRUPTED = 130  # what a shell calls a program that Ctrl-C ended


def launch(root: Path, commands: Mapping[str, tuple[str, str]], arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="./run",
        usage="./run COMMAND [options]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="\n".join(f"  {name:8} {text}" for name, (_, text) in commands.items()),
        epilog="Options of a command: ./run COMMAND --help. Where ./run does not start: python run COMMAND.\n"
        "COMFYUI_PATH and COMFYUI_PYTHON use a ComfyUI you have; NEWBIE_DEVICE=cpu|gpu chooses where it computes;\n"
        "NEWBIE_HOME moves what the set-up installs to another folder.",
    )
    parser.add_argument("command", choices=list(commands), metavar="COMMAND", help="one of the above")
    if not arguments:
        parser.print_help()
        return 2
    command = parser.parse_args(arguments[:1]).command
    module = importlib.import_module(commands[command][0])
    own = argparse.ArgumentParser(prog=f"./run {command}", description=commands[command][1])
    module.add_arguments(own)
    if getattr(module, "PASSES_ON", False):  # its arguments are another program's
        options = argparse.Namespace(rest=list(arguments[1:]))
    else:
        options = own.parse_args(arguments[1:])

    # A polite kill must end like Ctrl-C, through every `finally`, or the host would outlive us.
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores one on purpose
            signal.signal(number, _interrupt)
    try:
        return module.main(root, options)
    except Problem as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    except OSError as error:  # a full disk, a folder that may not be written
        sys.stderr.write(f"{error.filename or 'run'}: {error.strerror or error}.\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped.\n")
        return INTERRUPTED


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
