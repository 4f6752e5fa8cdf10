"""`./run doctor`, of this machine or of a server. Only a server's answers need aiohttp."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from ..commands import parser_of
from ..environment import ROOT, locate
from ..problem import Problem
from ..process import run_module
from ..terminal import padded, say
from .findings import WRONG
from .machine import of_machine


def main(typed: Sequence[str]) -> int:
    """Returns 0 where nothing is wrong, 1 otherwise."""
    options = parser_of("doctor").parse_args(typed)
    if options.server is None:
        findings = list(of_machine())
    elif importlib.util.find_spec("aiohttp"):
        from .server import of_server  # needs aiohttp

        findings = list(of_server(options.server))
    else:
        python = locate().python
        if not python.exists():
            raise Problem("A server can be asked once the set-up is done: ./run setup, or set COMFYUI_PATH.")
        return run_module(python, ROOT, "client.doctor.command", typed)
    wrong = sum(finding.state == WRONG for finding in findings)
    if options.json:
        sys.stdout.write(json.dumps({"wrong": wrong, "findings": [asdict(one) for one in findings]}) + "\n")
        return min(wrong, 1)
    width = max(len(finding.about) for finding in findings) + 2
    for one in findings:
        say(f"{one.state:5}  {padded(one.about, width)}{one.says}")
        if one.advice:
            say(f"       {' ' * width}-> {one.advice}")
    say({0: "Nothing is wrong.", 1: "1 thing is wrong."}.get(wrong, f"{wrong} things are wrong."))
    return min(wrong, 1)
