"""Runs a module of this pack in the environment's Python, as the package that it is inside the host.

As a program: python client/inside.py client.prompt_tool check scene.xml
So it works without a set-up too: COMFYUI_PATH=/folder python client/inside.py lab.benchmarks.attention
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PACKAGE = "newbie_pack"  # the folder's own name may be anything, and need not be a Python name


def run_module(python: Path, root: Path, module: str, arguments: Sequence[str]) -> int:
    """Calls main(arguments) of a module of the pack, and returns its exit code."""
    command = [str(python), "-P", str(root / "client" / "inside.py"), module, *arguments]
    return call(command, dict(os.environ, PYTHONUTF8="1"))


def call(command: Sequence[str], variables: Mapping[str, str], folder: Path | None = None) -> int:
    """Runs a program in the terminal that we have, and waits for its end even when Ctrl-C comes."""
    process = subprocess.Popen(list(command), cwd=folder, env=dict(variables))
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.wait()  # Ctrl-C reached it too; let it put its things in order
        raise


def load_pack(root: Path) -> None:
    """Makes the pack importable, the way the host does."""
    spec = importlib.util.spec_from_file_location(PACKAGE, root / "__init__.py", submodule_search_locations=[str(root)])
    assert spec is not None and spec.loader is not None  # the file is this one's own neighbour
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    if Path(sys.path[0]).resolve() == here:  # without -P; our neighbours' names are other modules' too
        del sys.path[0]
    load_pack(here.parent)
    sys.argv[0] = sys.argv[1]  # what a --help calls itself
    problem = importlib.import_module(f"{PACKAGE}.client.problem")
    try:
        sys.exit(importlib.import_module(f"{PACKAGE}.{sys.argv[1]}").main(sys.argv[2:]))
    except problem.Problem as sentence:
        sys.exit(str(sentence))
    except KeyboardInterrupt:
        sys.exit(130)
