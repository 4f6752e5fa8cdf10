"""A LoRA for this model -> the same under names, and with the alpha, that the host's LoraLoader reads.

The authors' trainer saves PEFT's names, base_model.model.layers.0.attention.qkv.lora_A.weight, and alpha elsewhere
(alpha.py); its LoKr has LyCORIS' names and alpha beside each layer. The host ignores such names (names.py).
Standard library. Sources: save_lora_model in train_newbie_lora.py of github.com/NewBieAI-Lab/NewbieLoraTrainer; the
host's comfy/lora.py.
"""

from __future__ import annotations

import json
import shutil
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import identify
from ..checkpoint import CheckpointError, Header, read_header
from .alpha import alphas
from .names import APART, PAIRS, Name, parse


@dataclass(frozen=True)
class Converted:
    """layers: how many it changes; written: whether a new file was needed; scaled: whether every alpha is known."""

    layers: int
    written: bool
    scaled: bool


def passed_over(header: Header) -> bool:
    """Whether it is a LoRA for this model with names that the host does not read."""
    names = parsed(header)
    return any(not own.known for own in names.values()) and not misfit(header, names)


def convert(path: Path, target: Path) -> Converted:
    """Writes a new file unless the host reads this one as it is. Raises CheckpointError, OSError."""
    header = read_header(path)
    names = named(path, header)
    ranks = ranks_of(path, header, names)
    found = alphas(path, header.metadata, ranks)
    done = Converted(
        layers=len({own.stem for own in names.values()}),
        written=any(not own.known for own in names.values()) or any(found[layer] != ranks[layer] for layer in found),
        scaled=found.keys() == ranks.keys(),
    )
    if done.written:
        check_target(target)
        write(path, target, names, found)
    return done


def parsed(header: Header) -> dict[str, Name]:
    """The names of a LoRA for this model, in their parts."""
    return {name: own for name in header.shapes if (own := parse(name))}


def misfit(header: Header, names: Mapping[str, Name]) -> str:
    """What tells that it is another model's, though some names may be the same; "" where nothing does."""
    for name, shape in header.shapes.items():
        own = names.get(name)
        if APART.search(name):
            return f"{name} targets separate q, k or v matrices; NewBie fuses them into one"
        if own is not None and own.layer.endswith("qkv") and own.end in PAIRS and shape[1:] != (identify.NEWBIE_WIDTH,):
            return f"{name} does not have {identify.NEWBIE_WIDTH} columns"
    return ""


def named(path: Path, header: Header) -> dict[str, Name]:
    """Every tensor's name in its parts. Raises CheckpointError if there are others."""
    names = parsed(header)
    why = misfit(header, names)
    if why or not names:
        raise CheckpointError(f"{path} is not a LoRA for NewBie: {why or 'none of its tensors has the name of one'}.")
    strange = next((name for name in header.shapes if name not in names or not names[name].convertible), None)
    if strange is not None:
        raise CheckpointError(
            f"{path} has {strange}, which ComfyUI's LoraLoader can't read for NewBie and converting would lose."
        )
    ((most, count),) = Counter(own.hosts for own in names.values()).most_common(1)
    if count > 1:
        raise CheckpointError(f"{path} has {most} under two names: it is unclear which of them counts.")
    return names


def ranks_of(path: Path, header: Header, names: Mapping[str, Name]) -> dict[str, int]:
    """Of plain LoRA's layers without an alpha, by the host's names. Raises CheckpointError if a matrix is missing."""
    shapes = {own.hosts: header.shapes[name] for name, own in names.items()}
    ranks: dict[str, int] = {}
    for stem in dict.fromkeys(own.stem for own in names.values()):
        for down, up in PAIRS.items():
            one, other = shapes.get(f"{stem}.{down}"), shapes.get(f"{stem}.{up}")
            if one is None and other is None:
                continue
            if one is None or other is None or len(one) < 2 or len(other) < 2 or not one[0] == other[1] > 0:
                raise CheckpointError(f"{path} is damaged: {stem} lacks {down} or {up}, or their shapes don't match.")
            if f"{stem}.alpha" not in shapes:
                ranks[stem] = one[0]
    return ranks


def check_target(target: Path) -> None:
    """Raises CheckpointError."""
    if target.suffix.lower() != ".safetensors":
        raise CheckpointError(f"{target} must end in .safetensors.")
    if not target.absolute().parent.is_dir():
        raise CheckpointError(f"The folder {target.absolute().parent} does not exist: make it, or choose another.")
    if target.exists():
        raise CheckpointError(f"{target} already exists: choose another name.")


def write(path: Path, target: Path, names: Mapping[str, Name], found: Mapping[str, float]) -> None:
    """The same bytes behind a new header, and the alphas after them. Leaves no half of a file. Raises OSError."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        entries: dict[str, Any] = json.loads(file.read(length))
        metadata = entries.pop("__metadata__", {})
        renamed = {names[name].hosts: entry for name, entry in entries.items()}
        end = max(entry["data_offsets"][1] for entry in renamed.values())
        for i, layer in enumerate(found):
            offsets = [end + 4 * i, end + 4 * i + 4]
            renamed[f"{layer}.alpha"] = {"dtype": "F32", "shape": [], "data_offsets": offsets}
        text = json.dumps({"__metadata__": metadata, **renamed}).encode()
        text += b" " * (-len(text) % 8)
        with target.open("xb") as out:
            try:
                out.write(struct.pack("<Q", len(text)) + text)
                shutil.copyfileobj(file, out)
                out.write(struct.pack(f"<{len(found)}f", *found.values()))
            except BaseException:
                out.close()
                target.unlink()
                raise
