"""Which version of this pack it is: pyproject.toml says so. And which mini it brings, by its weights."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path


def pack_version() -> str:
    return tomllib.loads((Path(__file__).parent / "pyproject.toml").read_text("utf-8"))["project"]["version"]


def mini_version() -> str:
    """The beginning of the SHA-256 of its diffusion model."""
    weights = Path(__file__).parent / "mini" / "weights" / "diffusion_model.safetensors"
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]
