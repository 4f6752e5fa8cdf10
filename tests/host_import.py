"""Puts a ComfyUI on the path, for tests that call its classes in this process, on the CPU.

The environment variable NEWBIE_HOST names its folder (the one with main.py). conftest.py calls add_host(); a test
module begins with pytest.importorskip("comfy.options", reason=NO_HOST), and so is skipped where there is none.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

NO_HOST = "NEWBIE_HOST does not name a ComfyUI folder"


def add_host() -> None:
    """Before anything of the host's is imported: its folder first on the path, so that `nodes` is the host's."""
    root = Path(os.environ.get("NEWBIE_HOST", "")).resolve()
    if str(root) in sys.path or not (root / "comfy" / "options.py").is_file():
        return
    sys.path.insert(0, str(root))
    from comfy.cli_args import args  # the host parses no command line unless its own main.py asks it to

    args.cpu = True
    args.use_pytorch_cross_attention = True
