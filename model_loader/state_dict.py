"""Tensors by the names of any release -> by the host's names. Pure functions of a state dict; values are not copied.

The names of the authors' folder (NewBie-AI/NewBie-image-Exp0.1) are those of the libraries that saved it:
transformer   the model's own, which are the host's, with tensors that inference does not use
text_encoder  transformers' Gemma 3: language_model.model. or model.language_model. before every name
clip_model    Jina CLIP v2: text_model.transformer.roberta. before every name; weights with adapters beside them
Sources: models/model.py and the trainer's conversion script of github.com/NewBieAI-Lab; the host's comfy/text_encoders.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .checkpoint import CheckpointError
from .identify import prefix_before

StateDict = dict[str, Tensor]

QUERY_KEY_VALUE = ("to_q", "to_k", "to_v")
OWN = ("qkv", "out", "q_norm", "k_norm")  # the parts of an attention, by the host's names
PART = re.compile(r"(.*\.attention\.)(\w+)\..*")
ATTENTION = (  # (a name in other libraries, the host's)
    (re.compile(r"attention\.to_out\.0\."), "attention.out."),
    (re.compile(r"attention\.norm_q\."), "attention.q_norm."),
    (re.compile(r"attention\.norm_k\."), "attention.k_norm."),
)
ADAPTED = ".parametrizations.weight."  # torch.nn.utils.parametrize: .original, .0.lora_A, .0.lora_B


def without_prefix(tensors: StateDict, prefix: str, new: str = "") -> StateDict:
    """The tensors behind the prefix alone, with `new` in its place."""
    return {new + name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}


def diffusion_model(tensors: StateDict, where: Path) -> StateDict:
    """Any prefix removed; separate q, k and v joined; the output projection and the norms called as the host does.

    The authors' own files have the host's names. Those of ATTENTION and to_q, to_k, to_v are the diffusers library's,
    which the host knows too, but splits evenly: NewBie has fewer keys and values than queries.
    Raises CheckpointError for an attention by other names.
    """
    tensors = without_prefix(tensors, prefix_before(tensors, "cap_embedder.1.weight"))
    tensors = with_qkv({attention_name(name): value for name, value in tensors.items()}, where)
    for name in tensors:
        part = PART.fullmatch(name)
        if part and part[2] not in OWN and f"{part[1]}qkv.weight" not in tensors:
            raise CheckpointError(
                f"{where} names its attention in an unknown way ({name}, but no {part[1]}qkv.weight): use a file with "
                "attention.qkv, such as the authors'."
            )
    return tensors


def attention_name(name: str) -> str:
    for other, host in ATTENTION:
        name = other.sub(host, name)
    return name


def with_qkv(tensors: StateDict, where: Path) -> StateDict:
    """to_q, to_k, to_v -> qkv, row by row. Raises CheckpointError if one is missing or keeps a scale of its own."""
    done: StateDict = {}
    for name, value in tensors.items():
        stem, dot, end = name.partition(".to_q.")
        if any(f".{part}." in name for part in QUERY_KEY_VALUE) and not name.endswith((".weight", ".bias")):
            raise CheckpointError(
                f"{where} has {name}, which can't become part of attention.qkv: use a file with attention.qkv, or bf16."
            )
        if dot:
            parts = [tensors.get(f"{stem}.{part}.{end}") for part in QUERY_KEY_VALUE]
            if any(part is None for part in parts):
                raise CheckpointError(f"{where} lacks the key or value that belongs to {name}: download it again.")
            done[f"{stem}.qkv.{end}"] = torch.cat([part for part in parts if part is not None])
        elif ".to_k." not in name and ".to_v." not in name:
            done[name] = value
    return done


def gemma(tensors: StateDict) -> StateDict:
    """The language model alone, behind model.; its tokenizer is kept."""
    prefix = prefix_before(tensors, "layers.0.self_attn.q_norm.weight")
    return without_prefix(tensors, prefix, "model.") | tokenizer(tensors)


def jina(tensors: StateDict, config: dict[str, Any], where: Path) -> StateDict:
    """The text model alone, behind model., with its default adapter in the weights; its tokenizer is kept."""
    plain = "embeddings.word_embeddings.weight"
    prefix = prefix_before(tensors, plain, plain.replace(".weight", f"{ADAPTED}original"))
    return adapted(without_prefix(tensors, prefix, "model."), config, where) | tokenizer(tensors)


def tokenizer(tensors: StateDict) -> StateDict:
    return {name: tensors[name] for name in ("spiece_model",) if name in tensors}


# --- Jina's adapters -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Adapter:
    """Which task's, and what its change of the weights is multiplied by."""

    index: int
    scale: float


def is_adapted(names: Any) -> bool:
    return any(ADAPTED in name for name in names)


def default_adapter(config: dict[str, Any], where: Path) -> Adapter | None:
    """That of the task that the text model uses when it is told none; None where its config states that there is none.

    config: that of Jina CLIP v2, in the folder `where`; without one, its first adapter (retrieval.query, which is its
    default) and scale 1. Raises CheckpointError for a value that can't be.
    """
    path, text_field, extra_field = where / "config.json", "text_config", "text_config.hf_model_config_kwargs"

    def refuse(field: str, value: Any, what: str) -> CheckpointError:
        said = json.dumps(value, ensure_ascii=False)
        return CheckpointError(f"In {path}, {field} is {said[:60]} instead of {what}: download it again.")

    text = config.get(text_field, {})
    if not isinstance(text, dict):
        raise refuse(text_field, text, "an object")
    extra = text.get("hf_model_config_kwargs", {})
    if not isinstance(extra, dict):
        raise refuse(extra_field, extra, "an object")
    tasks = extra.get("lora_adaptations", ["retrieval.query"])
    if not isinstance(tasks, list) or not tasks:
        raise refuse(f"{extra_field}.lora_adaptations", tasks, "a list of tasks")
    task = text.get("default_lora_task", tasks[0])
    if task is not None and task not in tasks:
        raise refuse(f"{text_field}.default_lora_task", task, "one of its lora_adaptations")
    rank = extra.get("lora_rank", 4)
    alpha = extra.get("lora_alpha", rank)
    for field, value in (("lora_rank", rank), ("lora_alpha", alpha)):
        if type(value) not in (int, float) or not 0 < value < 1e9:
            raise refuse(f"{extra_field}.{field}", value, "a number above 0")
    return None if task is None else Adapter(tasks.index(task), alpha / rank)


def adapted(tensors: StateDict, config: dict[str, Any], where: Path) -> StateDict:
    """W + scale B A of the default adapter, in place of W and all adapters. Raises CheckpointError."""
    adapter = default_adapter(config, where) if is_adapted(tensors) else None
    done: StateDict = {}
    for name, value in tensors.items():
        stem, parametrized, end = name.partition(ADAPTED)
        if not parametrized:
            done[name] = value
        elif end == "original":
            a, b = (tensors.get(f"{stem}{ADAPTED}0.lora_{side}") for side in "AB")
            if adapter is not None and a is not None and b is not None:
                try:
                    value = with_adapter(value, a[adapter.index], b[adapter.index], adapter.scale)
                except (IndexError, ValueError) as problem:  # fewer tasks than stated; other shapes
                    raise CheckpointError(
                        f"The adapters of {stem} in {where} do not fit its weight or config.json: download the whole "
                        "folder again."
                    ) from problem
            done[f"{stem}.weight"] = value
    return done


def with_adapter(weight: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
    """weight [O, I]; a [R, I] and b [O, R], or, for an embedding, a [O, R] and b [R, I].

    Raises ValueError or IndexError for other shapes.
    """
    tall, wide = (b, a) if b.shape[0] == weight.shape[0] else (a, b)
    if (tall.shape[0], wide.shape[1]) != weight.shape or tall.shape[1] != wide.shape[0]:
        raise ValueError(f"{list(a.shape)} and {list(b.shape)} for {list(weight.shape)}")
    return (weight.float() + scale * (tall.float() @ wide.float())).to(weight.dtype)
