"""`./run test`: the tests, in the environment that the set-up made. All arguments go to pytest."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from .environment import ROOT, become, locate


def main(typed: Sequence[str]) -> int:
    os.chdir(ROOT)
    os.environ["NEWBIE_HOST"] = str(locate().comfyui)
    return become([sys.executable, "-m", "pytest", *typed])
