"""Makes the pack importable as `newbie_pack` for a benchmark, and puts a ComfyUI on the path where it needs one."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def add_pack() -> None:
    if "newbie_pack" in sys.modules:
        return
    entry, places = ROOT / "__init__.py", [str(ROOT)]
    spec = importlib.util.spec_from_file_location("newbie_pack", entry, submodule_search_locations=places)
    module = importlib.util.module_from_spec(spec)
    sys.modules["newbie_pack"] = module
    spec.loader.exec_module(module)


def add_host() -> None:
    """COMFYUI_PATH, or the ComfyUI that `./run setup` made. Before anything of the host's is imported."""
    import torch

    host = Path(os.environ.get("COMFYUI_PATH") or ROOT / ".comfyui")
    if not (host / "comfy" / "options.py").is_file():
        raise SystemExit(f"There is no ComfyUI in {host}: run ./run setup, or set COMFYUI_PATH to a ComfyUI folder.")
    sys.path.insert(0, str(host))
    from comfy.cli_args import args

    args.cpu = not torch.accelerator.is_available()
    args.use_pytorch_cross_attention = True
