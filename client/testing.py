"""`./run test`: the tests, in the environment that the set-up made."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from .inside import call
from .setup import prepare

PASSES_ON = True  # all arguments, to pytest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def main(root: Path, options: argparse.Namespace) -> int:
    environment = prepare(root, wanted=("lxml", "pytest", "hypothesis", "cv2", "sentencepiece"))
    variables = dict(os.environ, NEWBIE_HOST=str(environment.comfyui), PYTHONUTF8="1")
    command = [str(environment.python), "-m", "pytest", *options.rest]
    return call(command, variables, root)
