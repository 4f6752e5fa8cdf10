"""Which version of this pack it is: pyproject.toml says so."""

from __future__ import annotations

import tomllib
from pathlib import Path


def pack_version() -> str:
    return tomllib.loads((Path(__file__).parent / "pyproject.toml").read_text("utf-8"))["project"]["version"]
