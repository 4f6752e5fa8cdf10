"""`./run serve`: ComfyUI with this pack for the browser, until Ctrl-C."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from . import host
from .commands import parser_of
from .environment import USUAL_PORT, locate, log_end, port_is_free
from .problem import Problem

PREVIEWS = ("--preview-method", "auto")  # the picture while it is drawn; ComfyUI's own default is none


def main(typed: Sequence[str]) -> int:
    options = parser_of("serve").parse_args(typed)
    if options.port and not port_is_free(options.port):
        raise Problem(f"Port {options.port} is taken or not allowed: choose another, or leave --port out.")
    environment = locate()
    port = options.port or (USUAL_PORT if port_is_free(USUAL_PORT) else 0)
    with host.announced(environment, port, PREVIEWS) as running:
        pictures = environment.home / "output"
        sys.stdout.write(f"{running.url}  (Ctrl-C stops; pictures go to {pictures}; log: {running.log})\n")
        sys.stdout.flush()
        code = running.process.wait()
        raise Problem(f"ComfyUI stopped (exit code {code}). The end of its log:\n{log_end(running.log)}")
