"""`./run serve`: ComfyUI with this pack for the browser, until Ctrl-C."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import host
from .problem import Problem
from .setup import prepare

USUAL_PORT = 8188


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, help=f"the port (default: {USUAL_PORT}, or a free one if that is taken)")


def main(root: Path, options: argparse.Namespace) -> int:
    if options.port and not host.port_is_free(options.port):
        raise Problem(f"Port {options.port} is taken: choose another, or leave --port out.")
    environment = prepare(root)
    port = options.port or (USUAL_PORT if host.port_is_free(USUAL_PORT) else 0)
    with host.announced(environment, port) as running:
        pictures = environment.home / "output"
        sys.stdout.write(f"{running.url}  (Ctrl-C stops; pictures go to {pictures}; log: {running.log})\n")
        sys.stdout.flush()
        code = running.process.wait()
        raise Problem(f"ComfyUI stopped (exit code {code}). Its last words:\n{host.last(running.log)}")
