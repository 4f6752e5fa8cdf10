"""`./run demo`: from an XML prompt to a PNG, and how long each part took."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from . import host, workflow
from .arguments import settings_of
from .commands import parser_of
from .environment import ROOT, locate
from .picture import draw, write


def main(typed: Sequence[str]) -> int:
    options = parser_of("demo").parse_args(typed)
    prompt = workflow.apply(workflow.load(ROOT / workflow.DEMO), settings_of(options, options.xml))
    with host.announced(locate()) as running:
        pictures, drawn = draw(running.server(), prompt)
    write(options.out, pictures[0])
    sys.stdout.write(f"{options.out.absolute()}\nstart {running.seconds:.1f} s, picture {drawn:.1f} s\n")
    return 0
