"""Where one network's tensors lie: one file, or a folder of shards with its config.json. Reads headers, no tensors.

A release as a folder is the form in which the libraries save a whole pipeline:
NAME/transformer, NAME/text_encoder (and tokenizer), NAME/clip_model (and clip_tokenizer), NAME/vae.
Source: https://huggingface.co/docs/transformers/main/en/models#sharded-checkpoints
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .checkpoint import CheckpointError, Header, read_header
from .kinds import DIFFUSION, GEMMA, JINA, VAE

FOLDERS = {DIFFUSION: "transformer", GEMMA: "text_encoder", JINA: "clip_model", VAE: "vae"}  # of a release
TOKENIZERS = {GEMMA: ("text_encoder", "tokenizer"), JINA: ("clip_model", "clip_tokenizer", "tokenizer_2")}
SUFFIX = " (folder)"  # how the loader's list tells a release from a file
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
MAX_JSON = 50_000_000  # bytes


@dataclass(frozen=True)
class Source:
    """where: what a sentence calls it; config: its config.json; tokenizer: the folders that may have one."""

    where: Path
    paths: tuple[Path, ...]
    header: Header
    config: dict[str, Any] = field(default_factory=dict)
    tokenizer: tuple[Path, ...] = ()


def of_file(path: Path) -> Source:
    return Source(path, (path,), read_header(path))


def of_folder(release: Path, part: str) -> Source:
    """One network of a release. Raises CheckpointError."""
    folder = release / FOLDERS[part]
    if not folder.is_dir():
        raise CheckpointError(f"{release} has no folder {folder.name}: download the whole release, or choose a file.")
    paths = shards(folder)
    tokenizers = tuple(release / name for name in TOKENIZERS.get(part, ()) if (release / name).is_dir())
    return Source(folder, paths, merged(paths), read_json(folder / "config.json"), tokenizers)


def releases(roots: Iterable[Path]) -> dict[str, Path]:
    """Name in the loader's list -> folder, for every release directly below one of these folders.

    A folder that is not there or may not be read has none: this makes a node's list, which must not fail.
    """
    found: dict[str, Path] = {}
    for root in roots:
        try:
            folders = sorted(root.iterdir())
        except OSError:
            continue
        for folder in folders:
            if all((folder / FOLDERS[part]).is_dir() for part in (DIFFUSION, JINA)):
                found.setdefault(folder.name + SUFFIX, folder)
    return found


def shards(folder: Path) -> tuple[Path, ...]:
    """The files that the index names; without one, all. Raises CheckpointError if one is missing."""
    indices = sorted(folder.glob("*.safetensors.index.json"))
    if indices:
        names = read_json(indices[0]).get("weight_map", {})
        files = sorted({str(name) for name in names.values()}) if isinstance(names, dict) else []
        if not files or any(Path(name).name != name for name in files):
            raise CheckpointError(f"{indices[0]} is damaged: download it again.")
        for name in files:
            if not (folder / name).is_file():
                raise CheckpointError(f"{folder} lacks {name}, one of its {len(files)} parts: download it too.")
        return tuple(folder / name for name in files)
    paths = tuple(sorted(folder.glob("*.safetensors")))
    if not paths and any(path.suffix in PICKLES for path in folder.iterdir()):
        raise CheckpointError(f"{folder} has only pickles, which can run code when opened: download its .safetensors.")
    if not paths:
        raise CheckpointError(f"{folder} has no .safetensors file: download it into that folder.")
    return paths


def merged(paths: tuple[Path, ...]) -> Header:
    """All shards' tensors as one header. Raises CheckpointError where two have the same tensor."""
    headers = [read_header(path) for path in paths]
    whole = Header({}, {}, {})
    for path, header in zip(paths, headers, strict=True):
        double = next((name for name in header.shapes if name in whole.shapes), None)
        if double is not None:
            raise CheckpointError(
                f"{path} has the tensor {double}, and another file beside it too: keep one copy of the model."
            )
        whole.metadata.update(header.metadata)
        whole.shapes.update(header.shapes)
        whole.dtypes.update(header.dtypes)
    return whole


def read_json(path: Path) -> dict[str, Any]:
    """{} where there is no such file. Raises CheckpointError if it is something else."""
    if not path.is_file():
        return {}
    try:
        with path.open("rb") as file:
            value = json.loads(file.read(MAX_JSON))
    except (ValueError, RecursionError) as problem:
        raise CheckpointError(f"{path} is damaged: download it again.") from problem
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} is damaged: download it again.")
    return value
