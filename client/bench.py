"""`./run bench NAME`: runs one benchmark. Alone it lists them; further arguments go to the benchmark."""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path

from .inside import run_module
from .problem import Problem
from .setup import prepare

PASSES_ON = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def main(root: Path, options: argparse.Namespace) -> int:
    known = benchmarks(root)
    name, *rest = options.rest or ["--help"]
    if name in ("-h", "--help"):
        width = max(map(len, known))
        lines = [f"  {name:{width}}  {title}\n" for name, title in known.items()]
        sys.stdout.write(f"usage: ./run bench NAME [options]\n\n{''.join(lines)}\nOptions: ./run bench NAME --help\n")
        return 0
    if name not in known:
        raise Problem(f"There is no benchmark {name!r}: choose one of {', '.join(known)}.")
    environment = prepare(root, wanted=("lxml", "cv2", "numpy", "safetensors", "sentencepiece"))
    return run_module(environment.python, root, f"lab.benchmarks.{name}", rest)


def benchmarks(root: Path) -> dict[str, str]:
    """Names and the first lines of what they say; they are read, as importing them takes torch. Parts have no main."""
    found = {}
    for path in sorted((root / "lab" / "benchmarks").glob("*.py")):
        module = ast.parse(path.read_text("utf-8"))
        if any(isinstance(part, ast.FunctionDef) and part.name == "main" for part in module.body):
            found[path.stem] = (ast.get_docstring(module) or "").partition("\n")[0]
    return found
