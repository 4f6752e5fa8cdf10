"""`./run test`: the tests, in the environment that the set-up made. All arguments go to pytest.

Without any, the whole suite runs on several processes, a file of tests on one of them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from .environment import ROOT, become, locate

MOST = 4  # processes: each has a PyTorch and a ComfyUI of its own in memory


def main(typed: Sequence[str]) -> int:
    os.chdir(ROOT)
    os.environ["NEWBIE_HOST"] = str(locate().comfyui)
    cores = os.cpu_count() or 1
    workers = min(cores, MOST)
    if typed or workers < 2:
        return become([sys.executable, "-m", "pytest", *typed])
    os.environ["OMP_NUM_THREADS"] = str(cores // workers)
    spread = ["-n", str(workers), "--dist", "loadfile", "--no-loadscope-reorder"]  # tests/conftest.py has the order
    return become([sys.executable, "-m", "pytest", *spread])
