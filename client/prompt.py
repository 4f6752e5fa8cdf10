"""`./run prompt show|check|render|convert`: what a prompt is understood to say. Starts no host."""

from __future__ import annotations

import argparse
from pathlib import Path

from .inside import run_module
from .setup import prepare

PASSES_ON = True  # all arguments, to prompt_tool, which runs where lxml is


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def main(root: Path, options: argparse.Namespace) -> int:
    return run_module(prepare(root).python, root, "client.prompt_tool", options.rest)
