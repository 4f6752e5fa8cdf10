"""What a checkpoint file is, read from its first bytes: safetensors or a sentence about what it is instead.

Format: an 8-byte little-endian header length, the header (JSON: tensors and "__metadata__"), then the tensors' bytes.
Source: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..sentences import visible

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


@dataclass(frozen=True)
class Header:
    """metadata: the file's own words; shapes and dtypes (F32, BF16 ...): every tensor's, by name; size: in bytes."""

    metadata: dict[str, str]
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str] = field(default_factory=dict)
    size: int = 0


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
