"""`./run demo`: from an XML prompt to a PNG, and how long each part took."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from . import api, host, workflow
from .options import add_drawing_options, settings_of
from .picture import check_writable, draw_to
from .setup import prepare
from .text_file import read_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--xml", type=Path, metavar="FILE", help="the prompt, a UTF-8 file (default: the demo scene)")
    add_drawing_options(parser)
    out = Path("newbie-demo.png")
    parser.add_argument("--out", type=Path, metavar="FILE", default=out, help="the PNG to write (default: %(default)s)")


def main(root: Path, options: argparse.Namespace) -> int:
    # Whatever can be wrong with the options is said before minutes of set-up.
    check_writable(options.out)
    xml = read_text(options.xml) if options.xml else None
    prompt = workflow.apply(workflow.load(root / workflow.DEMO), settings_of(options, xml))

    start = time.monotonic()
    environment = prepare(root)
    ready = time.monotonic()
    with host.announced(environment) as running:
        drawn = draw_to(api.server(running.url, running.alive), prompt, options.out)
    sys.stdout.write(
        f"{options.out.absolute()}\n"
        f"set-up {ready - start:.1f} s, start {running.seconds:.1f} s, picture {drawn:.1f} s\n"
    )
    return 0
