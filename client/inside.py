"""Runs a module of this pack in the environment's Python, as the package that it is inside the host.

As a program: python client/inside.py client.prompt_tool check scene.xml
So it works without a set-up too: COMFYUI_PATH=/folder python client/inside.py lab.benchmarks.attention
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

PACKAGE = "newbie_pack"  # the folder's own name may be anything, and need not be a Python name


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
    sys.exit(problem.exit_code(lambda: importlib.import_module(f"{PACKAGE}.{sys.argv[1]}").main(sys.argv[2:])))
