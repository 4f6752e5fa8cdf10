"""Where one network's tensors lie: one file, or a folder of shards with its config.json. Reads headers, no tensors.

A release as a folder is the form in which the libraries save a whole pipeline:
NAME/transformer, NAME/text_encoder (and tokenizer), NAME/clip_model (and clip_tokenizer), NAME/vae.
Source: https://huggingface.co/docs/transformers/main/en/models#sharded-checkpoints
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .checkpoint import CheckpointError, Header, read_header, unreadable
from .identify import DIFFUSION, GEMMA, JINA, PARTS, VAE

FOLDERS = {DIFFUSION: "transformer", GEMMA: "text_encoder", JINA: "clip_model", VAE: "vae"}  # of a release
TOKENIZERS = {GEMMA: ("text_encoder", "tokenizer"), JINA: ("clip_model", "clip_tokenizer", "tokenizer_2")}
LISTED_BY = (DIFFUSION, JINA)  # Jina's folder is what other pipelines don't have
SUFFIX = " (folder)"  # how the loader's list tells a release from a file
SAFETENSORS = (".safetensors", ".sft")  # by which the host decides how to read a file
CONTROL = ".aria2"  # beside a file that aria2 has not finished, which has its whole size from the start
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


def of_file(path: Path, expected: str = "") -> Source:
    """expected: what belongs there, where that is known (read_header). Raises CheckpointError."""
    return Source(path, (path,), header_of(path, expected))


def header_of(path: Path, expected: str = "") -> Header:
    """Of a whole file that the host reads as safetensors. Raises CheckpointError."""
    if os.path.exists(f"{path}{CONTROL}"):  # noqa: PTH110 - Path's raises where the name gets too long
        raise CheckpointError(
            f"{path} is incomplete ({path.name}{CONTROL} is still there): let aria2 finish, or delete both and "
            f"download {expected or 'it'} again."
        )
    header = read_header(path, expected)
    if path.suffix.lower() not in SAFETENSORS:
        raise CheckpointError(
            f"{path} is a safetensors file with another extension: rename it to {path.stem}.safetensors."
        )
    return header


def of_folder(release: Path, part: str) -> Source:
    """One network of a release. Raises CheckpointError."""
    folder = release / FOLDERS[part]
    try:
        if not folder.is_dir():
            other = "" if part in LISTED_BY else ", or choose a file"
            raise CheckpointError(f"{release} has no folder {folder.name}: download it from the same release{other}.")
        paths, index = shards(folder)
        tokenizers = tuple(release / name for name in TOKENIZERS.get(part, ()) if (release / name).is_dir())
        header = merged(paths, index, f"{PARTS[part].what} of this release")
        return Source(folder, paths, header, read_json(folder / "config.json"), tokenizers)
    except OSError as problem:
        raise unreadable(folder, problem) from problem


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
            if set(LISTED_BY) <= parts_in(folder):
                found.setdefault(folder.name + SUFFIX, folder)
    return found


def parts_in(release: Path) -> set[str]:
    """The parts for which there is a folder, whatever is in it."""
    try:
        return {part for part, name in FOLDERS.items() if (release / name).is_dir()}
    except OSError:
        return set()


def shards(folder: Path) -> tuple[tuple[Path, ...], dict[str, str]]:
    """(the files that the index names, tensor -> its file); without an index, all files and nothing.

    Raises CheckpointError if one is missing.
    """
    indices = sorted(folder.glob("*.safetensors.index.json"))
    if indices:
        names = read_json(indices[0]).get("weight_map")
        index = {name: str(file) for name, file in names.items()} if isinstance(names, dict) else {}
        files = sorted(set(index.values()))
        if not files or any(Path(name).name != name for name in files):
            raise CheckpointError(f"{indices[0]} is damaged: download it again.")
        for name in files:
            if not (folder / name).is_file():
                raise CheckpointError(f"{folder} lacks {name}, one of its {len(files)} parts: download that too.")
        return tuple(folder / name for name in files), index
    paths = tuple(sorted(folder.glob("*.safetensors")))
    if not paths and any(path.suffix in PICKLES for path in folder.iterdir()):
        raise CheckpointError(
            f"{folder} has only pickles, which can run code when opened: download its .safetensors files."
        )
    if not paths:
        raise CheckpointError(f"{folder} has no .safetensors file: download it into that folder.")
    return paths, {}


def merged(paths: tuple[Path, ...], index: dict[str, str], expected: str) -> Header:
    """All shards' tensors as one header. expected: what they are parts of.

    Raises CheckpointError where two have the same tensor, or one has not what the index says.
    """
    headers = [header_of(path, expected) for path in paths]
    whole = Header({}, {}, {}, sum(header.size for header in headers))
    for path, header in zip(paths, headers, strict=True):
        lost = next((name for name, file in index.items() if file == path.name and name not in header.shapes), None)
        if lost is not None:
            raise CheckpointError(f"{path} lacks the tensor {lost}, which its index names: download both again.")
        double = next((name for name in header.shapes if name in whole.shapes), None)
        if double is not None:
            raise CheckpointError(
                f"{path} has the tensor {double}, which another file beside it has too: keep one copy of the model."
            )
        whole.metadata.update(header.metadata)
        whole.shapes.update(header.shapes)
        whole.dtypes.update(header.dtypes)
    return whole


def read_json(path: Path) -> dict[str, Any]:
    """{} where there is no such file. Raises CheckpointError if it is something else, OSError."""
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
