"""Where a benchmark computes, and the ComfyUI whose classes it calls in its own process.

Both are chosen as for every other command: COMFYUI_PATH, or the ComfyUI that the set-up made; NEWBIE_DEVICE.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from ...client import environment, host
from ...client.problem import Problem

ROOT = Path(__file__).resolve().parents[2]


def add_host() -> None:
    """Puts the host on the path, with the flags of one that is started. Before anything of it is imported.

    Raises Problem where there is none.
    """
    here = environment.locate(ROOT)
    if not (here.comfyui / "comfy" / "options.py").is_file():
        raise Problem(f"There is no ComfyUI in {here.comfyui}: run ./run setup, or set COMFYUI_PATH to its folder.")
    cpu = on_cpu(here)
    sys.dont_write_bytecode |= not here.ours  # nothing is written below somebody's own
    sys.path.insert(0, str(here.comfyui))
    from comfy.cli_args import args  # the host parses no command line unless its own main.py asks it to

    args.cpu = cpu
    args.use_pytorch_cross_attention = True


def chosen_device() -> torch.device:
    """For a benchmark without a host."""
    return torch.device("cpu") if on_cpu(environment.locate(ROOT)) else torch.accelerator.current_accelerator()


def on_cpu(here: environment.Environment) -> bool:
    """NEWBIE_DEVICE decides, or else what this process's torch finds. Raises Problem."""
    found = "gpu" if torch.accelerator.is_available() else "cpu"
    wish = os.environ.get("NEWBIE_DEVICE", "auto")
    return host.on_cpu(here, found if wish == "auto" else wish)
