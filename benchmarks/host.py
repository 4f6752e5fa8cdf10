"""Puts a ComfyUI on the path and the pack beside it, for benchmarks that call the host's classes in this process."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
PACK = "newbie_pack"


def add_host(folder: Path, cpu: bool) -> None:
    """Before anything of the host's is imported. Raises SystemExit where there is no ComfyUI."""
    if not (folder / "comfy" / "options.py").is_file():
        raise SystemExit(f"{folder} is not a ComfyUI folder: name one with --host or NEWBIE_HOST.")
    sys.path.insert(0, str(folder.resolve()))
    from comfy.cli_args import args  # the host parses no command line unless its own main.py asks it to

    if cpu:
        args.cpu = True
        args.use_pytorch_cross_attention = True


def pack(room: str) -> ModuleType:
    """A module of the pack, as the host imports it: pack("sampling.sample")."""
    if PACK not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            PACK, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
        )
        sys.modules[PACK] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[PACK])
    return importlib.import_module(f"{PACK}.{room}")
