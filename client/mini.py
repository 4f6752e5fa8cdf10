"""`./run mini train|evaluate`: makes and measures the built-in model. Further arguments go to it."""

from __future__ import annotations

import argparse
from pathlib import Path

from .inside import run_module
from .problem import Problem
from .setup import prepare

PASSES_ON = True
TASKS = {"train": "lab.training.train", "evaluate": "lab.judging.evaluate"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def main(root: Path, options: argparse.Namespace) -> int:
    task, *rest = options.rest or [""]
    if task not in TASKS:
        raise Problem(f"./run mini is followed by {' or '.join(TASKS)}, then by that task's options, such as --help.")
    environment = prepare(root, wanted=("cv2", "numpy", "safetensors", "sentencepiece"))
    return run_module(environment.python, root, TASKS[task], rest)
