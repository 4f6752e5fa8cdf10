"""Where one network's tensors lie, read from headers alone: one file, or a folder of shards with its config.json.

A file is safetensors, or a sentence about what it is instead: an 8-byte little-endian header length, the header (JSON:
tensors and "__metadata__"), then the tensors' bytes. Source: https://github.com/huggingface/safetensors#format

A release as a folder is the form in which the libraries save a whole pipeline:
NAME/transformer, NAME/text_encoder (and tokenizer), NAME/clip_model (and clip_tokenizer), NAME/vae.
Source: https://huggingface.co/docs/transformers/main/en/models#sharded-checkpoints
"""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..sentences import visible
from .identify import DIFFUSION, GEMMA, JINA, PARTS, VAE, Header

MAX_HEADER = 100_000_000  # bytes; the format's own limit
START = 4096  # bytes that tell what a file is
QUOTED = 100  # letters of a text that are quoted

USE = "Use {}."
LOOKS = (  # (first bytes, what the file is, what to do; {} is what belongs in its place)
    (b"version https://git-lfs", "a Git LFS pointer, not the model", "Fetch {}, e.g. with git lfs pull."),
    (b"<", "a web page, not a model", "Download {}, not its page."),
    (b"PK\x03\x04", "a pickle, which can run code when it is opened", USE),
    (b"\x80", "a pickle, which can run code when it is opened", USE),
    (b"GGUF", "a GGUF file", USE),
    (bytes(16), "an unfinished download (it begins with zeros)", "Download {} again."),
)
UNKNOWN = ("not a safetensors file", USE)
ANY = "the model's .safetensors file"  # where it isn't known what belongs there


class CheckpointError(ValueError):
    """A file that can't be loaded. str() is one visible sentence: which file, what is wrong, what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(visible(sentence).replace("\n", "\\n"))


def read_header(path: Path, expected: str = "") -> Header:
    """Reads the header alone, however large the file. Raises CheckpointError.

    expected: what belongs in its place, as requirements.wanted says it, where that is known.
    """
    again = f"Download {expected or 'it'} again."
    try:
        if not path.is_file():
            raise CheckpointError(no_file(path))
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(START)
            length = int.from_bytes(start[:8], "little")
            if len(start) < 8 or not 2 <= length <= MAX_HEADER or start[8:9] != b"{":
                what, advice = instead(start)
                raise CheckpointError(f"{path} is {what}. {advice.format(expected or ANY)}")
            file.seek(8)
            text = file.read(length)
    except OSError as problem:
        raise unreadable(path, problem) from problem
    if len(text) < length:
        raise CheckpointError(f"{path} ends inside its header: the download was cut off. {again}")
    try:
        entries = json.loads(text)
        metadata = dict(entries.pop("__metadata__", {}))
        shapes = {name: shape_of(entry) for name, entry in entries.items()}
        dtypes = {name: str(entry["dtype"]) for name, entry in entries.items()}
        end = 8 + length + end_of(entries)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as problem:
        raise CheckpointError(f"{path} has a damaged header. {again}") from problem
    if size < end:
        raise CheckpointError(f"{path} has only {size:,} of {end:,} bytes: the download was cut off. {again}")
    if size > end:
        raise CheckpointError(f"{path} is damaged: it has {size:,} bytes instead of {end:,}. {again}")
    return Header(metadata, shapes, dtypes, size)


def shape_of(entry: dict[str, Any]) -> tuple[int, ...]:
    shape = tuple(map(int, entry["shape"]))
    if any(length < 0 for length in shape):
        raise ValueError(shape)
    return shape


def end_of(entries: dict[str, Any]) -> int:
    """Where the last tensor ends. Raises ValueError unless each begins where another ends, as the format has it."""
    end = 0
    for first, last in sorted(entry["data_offsets"] for entry in entries.values()):
        if first != end or last < first:
            raise ValueError(f"a tensor at {first} to {last} after {end}")
        end = last
    return end


def no_file(path: Path) -> str:
    if path.is_dir():
        return f"{path} is a folder: choose a file in it."
    if path.is_symlink():
        return f"{path} is a link to a file that does not exist: put the file there, or delete the link."
    if path.exists():
        return f"{path} is not a file but a pipe or a device: put the model's file there."
    return f"{path} does not exist: put the file there, or choose another one."


def instead(start: bytes) -> tuple[str, str]:
    """(what a file is that begins so and is no safetensors file, what to do; {} is what belongs in its place)"""
    if not start:
        return "empty", "Download {} again."
    body = start.removeprefix(codecs.BOM_UTF8).lstrip()
    for magic, what, advice in LOOKS:
        if body.startswith(magic):
            return what, advice
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(body)  # the last letter may be cut
    except UnicodeDecodeError:
        return UNKNOWN
    text = " ".join(text.split())
    if not text.isprintable():
        return UNKNOWN
    kind = "JSON" if text.startswith(("{", "[")) else "plain text"
    quoted = text if len(text) <= QUOTED else f"{text[:QUOTED]} ..."
    return f"{kind}, not a model ({quoted})", "Download {}; its site may ask you to log in first."


def unreadable(path: Path, problem: OSError) -> CheckpointError:
    why = (problem.strerror or str(problem)).lower()
    return CheckpointError(
        f"{problem.filename or path} can't be read ({why}): check its permissions, or download it again."
    )


def check_complete(
    where: Path, expected: Set[str], present: Set[str], advice: str = "it belongs to another model"
) -> None:
    """Raises CheckpointError if the file lacks tensors that the model needs."""
    missing = sorted(expected - present)
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise CheckpointError(f"{where} lacks the tensor {missing[0]}{more}: {advice}.")


# Of one file or of many: the source of a network

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


def releases(roots: Iterable[Path | str]) -> dict[str, Path]:
    """Name in the loader's list -> folder, for every release directly below one of these folders.

    A folder that is not there or may not be read has none: this makes a node's list, which must not fail.
    """
    found: dict[str, Path] = {}
    for root in roots:
        try:
            folders = sorted(Path(root).iterdir())
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
