"""From the launcher's Python into the environment's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .problem import Problem


def run_module(python: Path, root: Path, module: str, arguments: Sequence[str]) -> int:
    """Becomes main(arguments) of a module of the pack, in that Python."""
    return become([str(python), "-P", str(root / "client" / "inside.py"), module, *arguments])


def become(command: Sequence[str]) -> int:
    """One process for one command: signals, terminal and exit code are the program's own. Windows waits for it."""
    variables = dict(os.environ, PYTHONUTF8="1")
    sys.stdout.flush()
    try:
        if os.name != "nt":
            os.execve(command[0], list(command), variables)
        return subprocess.run(command, env=variables).returncode
    except OSError as error:
        raise Problem(f"{command[0]} does not run: {error.strerror or error}.") from error
