"""Tensors by the names of any release -> by the host's names. Pure functions of a state dict; values are not copied.

The names of the authors' folder (NewBie-AI/NewBie-image-Exp0.1) are those of the libraries that saved it:
transformer   the model's own, which are the host's, with tensors that inference does not use
text_encoder  transformers' Gemma 3: language_model.model. or model.language_model. before every name
clip_model    Jina CLIP v2: text_model.transformer.roberta. before every name; weights with adapters beside them
Sources: models/model.py and the trainer's conversion script of github.com/NewBieAI-Lab; the host's comfy/text_encoders.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from .checkpoint import CheckpointError

Tensors = dict[str, Tensor]

QUERY_KEY_VALUE = ("to_q", "to_k", "to_v")
ATTENTION = (  # (a name in other libraries, the host's)
    (re.compile(r"attention\.to_out\.0\."), "attention.out."),
    (re.compile(r"attention\.norm_q\."), "attention.q_norm."),
    (re.compile(r"attention\.norm_k\."), "attention.k_norm."),
)
ADAPTED = ".parametrizations.weight."  # torch.nn.utils.parametrize: .original, .0.lora_A, .0.lora_B


def prefix_before(names: Any, *ends: str) -> str:
    """What stands before one of these names, e.g. "model.diffusion_model."; "" if none is there."""
    for end in ends:
        for name in names:
            if name == end or name.endswith(f".{end}"):
                return name.removesuffix(end)
    return ""


def without_prefix(tensors: Tensors, prefix: str, new: str = "") -> Tensors:
    """The tensors behind the prefix alone, with `new` in its place."""
    return {new + name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}


def diffusion_model(tensors: Tensors) -> Tensors:
    """Any prefix removed; separate q, k and v joined; the output projection and the norms called as the host does."""
    tensors = without_prefix(tensors, prefix_before(tensors, "cap_embedder.1.weight"))
    return joined({attention_name(name): value for name, value in tensors.items()})


def attention_name(name: str) -> str:
    for other, host in ATTENTION:
        name = other.sub(host, name)
    return name


def joined(tensors: Tensors) -> Tensors:
    """to_q, to_k, to_v -> qkv, row by row. Raises CheckpointError if one is missing or keeps a scale of its own."""
    done: Tensors = {}
    for name, value in tensors.items():
        stem, dot, end = name.partition(".to_q.")
        if any(f".{part}." in name for part in QUERY_KEY_VALUE) and not name.endswith((".weight", ".bias")):
            raise CheckpointError(
                f"The diffusion model has {name}, which can't be joined: use a file with attention.qkv, or bf16."
            )
        if dot:
            parts = [tensors.get(f"{stem}.{part}.{end}") for part in QUERY_KEY_VALUE]
            if any(part is None for part in parts):
                raise CheckpointError(f"The diffusion model lacks the key or the value beside {name}.")
            done[f"{stem}.qkv.{end}"] = torch.cat([part for part in parts if part is not None])
        elif ".to_k." not in name and ".to_v." not in name:
            done[name] = value
    return done


def gemma(tensors: Tensors) -> Tensors:
    """The language model alone, behind model.; its tokenizer is kept."""
    prefix = prefix_before(tensors, "layers.0.self_attn.q_norm.weight")
    return without_prefix(tensors, prefix, "model.") | tokenizer(tensors)


def jina(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    """The text model alone, behind model., with its default adapter in the weights; its tokenizer is kept."""
    plain = "embeddings.word_embeddings.weight"
    prefix = prefix_before(tensors, plain, plain.replace(".weight", f"{ADAPTED}original"))
    return adapted(without_prefix(tensors, prefix, "model."), config) | tokenizer(tensors)


def tokenizer(tensors: Tensors) -> Tensors:
    return {name: tensors[name] for name in ("spiece_model",) if name in tensors}


# --- Jina's adapters -------------------------------------------------------------------------------------------------


def adapted(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    """W + scale B A of the task that the text model uses when it is told none, in place of W and its adapters.

    config: that of Jina CLIP v2; without one, its first adapter (retrieval.query, which is its default) and scale 1.
    """
    text = config.get("text_config", {})
    extra = text.get("hf_model_config_kwargs", {})
    tasks = extra.get("lora_adaptations") or ["retrieval.query"]
    task = text.get("default_lora_task", tasks[0])
    done: Tensors = {}
    for name, value in tensors.items():
        stem, parametrized, end = name.partition(ADAPTED)
        if not parametrized:
            done[name] = value
        elif end == "original":
            a, b = (tensors.get(f"{stem}{ADAPTED}0.lora_{side}") for side in "AB")
            if task in tasks and a is not None and b is not None:
                index, rank = tasks.index(task), int(extra.get("lora_rank", 4))
                value = with_adapter(value, a[index], b[index], float(extra.get("lora_alpha", rank)) / rank)
            done[f"{stem}.weight"] = value
    return done


def with_adapter(weight: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
    """weight [O, I]; a [R, I] and b [O, R], or, for an embedding, a [O, R] and b [R, I]."""
    a, b = a.float(), b.float()
    change = b @ a if b.shape[0] == weight.shape[0] else a @ b
    return (weight.float() + scale * change).to(weight.dtype)
