"""A LoRA as the authors' trainer saves it -> the same under names that the host's LoraLoader reads. Standard library.

The trainer saves PEFT's names, base_model.model.layers.0.attention.qkv.lora_A.weight, and alpha in the metadata. The
host (ComfyUI 0.30.0) looks for diffusion_model.layers.0.attention.qkv, and for alpha beside it; it passes over PEFT's
names of this model with no more than a line in its log.
Sources: save_lora_model in train_newbie_lora.py of github.com/NewBieAI-Lab/NewbieLoraTrainer; the host's comfy/lora.py.
"""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

from .checkpoint import CheckpointError, Header, read_header

TRAINERS, HOSTS = "base_model.model.", "diffusion_model."
SIDE = ".lora_A.weight"


def is_trainers(header: Header) -> bool:
    """Whether it has the trainer's names for blocks of this model."""
    start = (f"{TRAINERS}layers.", f"{TRAINERS}noise_refiner.", f"{TRAINERS}context_refiner.")
    return any(name.startswith(start) and name.endswith(SIDE) for name in header.shapes)


def convert(path: Path, target: Path) -> int:
    """Writes the renamed copy and returns how many layers it changes. Raises CheckpointError."""
    header = read_header(path)
    if not is_trainers(header):
        raise CheckpointError(
            f"{path} is not a LoRA with the trainer's names ({TRAINERS}layers...): ComfyUI's LoraLoader takes it as it "
            "is, or it was made for another model."
        )
    strange = next((name for name in header.shapes if not name.endswith((SIDE, ".lora_B.weight"))), None)
    if strange is not None:
        raise CheckpointError(
            f"{path} has {strange}, which is not plain LoRA: it can't be converted without changing it."
        )
    if target.exists():
        raise CheckpointError(f"{target} is there already: choose another name.")
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        entries: dict[str, Any] = json.loads(file.read(length))
        metadata = entries.pop("__metadata__", {})
        renamed = {HOSTS + name.removeprefix(TRAINERS): entry for name, entry in entries.items()}
        layers = [name.removesuffix(SIDE) for name in renamed if name.endswith(SIDE)]
        alphas = b""
        if alpha_of(path, metadata) is not None:
            end = max(entry["data_offsets"][1] for entry in renamed.values())
            alphas = struct.pack("<f", alpha_of(path, metadata)) * len(layers)
            for i, layer in enumerate(layers):
                offsets = [end + 4 * i, end + 4 * i + 4]
                renamed[f"{layer}.alpha"] = {"dtype": "F32", "shape": [], "data_offsets": offsets}
        text = json.dumps({"__metadata__": metadata, **renamed}).encode()
        text += b" " * (-len(text) % 8)
        with target.open("wb") as out:
            out.write(struct.pack("<Q", len(text)) + text)
            shutil.copyfileobj(file, out)
            out.write(alphas)
    return len(layers)


def alpha_of(path: Path, metadata: dict[str, str]) -> float | None:
    """Without one, the host takes the LoRA at scale 1. Raises CheckpointError."""
    try:
        return float(metadata["lora_alpha"]) if "lora_alpha" in metadata else None
    except ValueError as problem:
        raise CheckpointError(f"{path} says lora_alpha {metadata['lora_alpha']!r}, which is no number.") from problem
