"""Isolated passes under torch.compile: what the host has compiled runs, for such a pass, in graphs of its own.

Guards decide whether compiled code fits the next call, and the host's TorchCompileModel leaves the options, where
overrides live, out of them: what was traced for one plan would run for another, or for none. So in an isolated pass
every compiled module is called through `call`, whose graphs no plain pass shares, and the plan reaches it as tensors of
one width for any number of characters. A plan changes their values alone: nothing is traced again for another prompt of
as many tokens. How many layers obeyed is a number that the graph gives back, like its result.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from comfy.model_base import BaseModel
from comfy_api.torch_helpers.torch_compile import TORCH_COMPILE_KWARGS
from torch import Tensor, nn

from .fused import attend

OVERRIDE = "optimized_attention_override"  # the host's transformer option that every attention call goes through
PATCHES, AFTER_LAYER = "patches", "double_block"  # and the one of functions called behind every layer


class Codes(NamedTuple):
    """What a plan adds to the attention, as tensors; P pictures, or 1 for all. None: nothing."""

    caption: Tensor | None = None  # [P, 1, L, L], a mask of the context refiner
    joint: Tensor | None = None  # [P, 1, T, T], a mask of the joint layers; or instead of it:
    query: Tensor | None = None  # [P, T, E], appended to theirs
    key: Tensor | None = None  # [P, T, E]


@dataclass(frozen=True)
class Compiler:
    """How the host has compiled the model of a pass."""

    settings: Mapping[str, Any]  # torch.compile's arguments
    whole: nn.Module | None  # the compiled network; None where some of its layers are compiled
    dtype: torch.dtype  # that the model computes in


def is_compiled(module: nn.Module) -> bool:
    """Whether torch.compile gave it; nothing is imported to find out."""
    dynamo = sys.modules.get("torch._dynamo")
    return dynamo is not None and isinstance(module, dynamo.OptimizedModule)


def compiler_of(model: BaseModel) -> Compiler | None:
    """During a pass; None where the host does not know how the model was compiled, or it is not."""
    settings = model.current_patcher.model_options.get(TORCH_COMPILE_KWARGS)
    network = model.diffusion_model
    whole = network if is_compiled(network) else None
    return None if settings is None else Compiler(settings, whole, model.get_dtype_inference())


def plain(network: nn.Module) -> nn.Module:
    """Without its compiled cover."""
    return network._orig_mod if is_compiled(network) else network


class TracedAttention:
    """The host's attention override inside a graph: made, called and read there, so that nothing of it remains."""

    def __init__(self, codes: Codes, refiners: int, inner: Callable[..., Tensor] | None) -> None:
        """refiners: how many calls of the caption's length come before the image's, where both are as long."""
        self.codes, self.refiners, self.inner = codes, refiners, inner
        self.joint = self.caption = self.layers = 0  # calls

    def __call__(
        self, func: Callable, q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None, **kwargs: Any
    ) -> Tensor:
        """q, k, v [B, H, T, D]; an override that was there before still decides how to compute."""
        caption, joint, query, key = self.codes
        length = q.shape[2] if kwargs.get("skip_reshape") else -1
        if query is not None and length == query.shape[1]:
            self.joint += 1
            out = attend(q, k, v, query, key)
            return out if kwargs.get("skip_output_reshape") else out.transpose(1, 2).flatten(2)
        if joint is not None and length == joint.shape[-1]:
            self.joint += 1
            mask = joint
        elif caption is not None and length == caption.shape[-1] and self.caption < self.refiners:
            self.caption += 1
            mask = caption
        if self.inner is not None:
            return self.inner(func, q, k, v, heads, mask, **kwargs)
        return func(q, k, v, heads, mask, **kwargs)

    def behind(self, _layer: dict[str, Any]) -> dict[str, Any]:
        """The host's patch behind every joint layer: counts it."""
        self.layers += 1
        return {}


def call(
    module: nn.Module,
    codes: Codes,
    refiners: int,
    inner: Callable[..., Tensor] | None,
    transformer_options: dict[str, Any],  # as the host's guards know it
    *args: Any,
    **kwargs: Any,
) -> tuple[Tensor, int, int, int]:
    """What is compiled. -> the module's output; how many joint and refiner calls were isolated; joint layers run."""
    attention = TracedAttention(codes, refiners, inner)
    patches = transformer_options.get(PATCHES, {})
    patches = {**patches, AFTER_LAYER: [attention.behind, *patches.get(AFTER_LAYER, [])]}
    options = {**transformer_options, OVERRIDE: attention, PATCHES: patches}
    out = module(*args, transformer_options=options, **kwargs)
    return out, attention.joint, attention.caption, attention.layers


@dataclass(frozen=True)
class Part:
    """A compiled module in an isolated pass. codes: of what it reads; None where nothing of that is isolated."""

    module: nn.Module
    codes: Codes | None
    refiners: int = 0  # layers of the caption alone in it


def run(
    part: Part,
    compiled: Callable[..., Any],
    inner: Callable[..., Tensor] | None,
    told: Callable[[Part, int, int, int], None],
    own: Callable[..., Tensor],
    *args: Any,
    transformer_options: dict[str, Any],
    **kwargs: Any,
) -> Tensor:
    """One call of the part. own: how it is called in plain passes; told: of calls and layers, as `call` counts them."""
    options = {name: value for name, value in transformer_options.items() if name != OVERRIDE}
    with torch.compiler.set_stance("default"):
        if part.codes is None:
            return own(*args, transformer_options=options | ({OVERRIDE: inner} if inner else {}), **kwargs)
        out, *counts = compiled(part.module._orig_mod, part.codes, part.refiners, inner, options, *args, **kwargs)
    told(part, *counts)
    return out


@contextmanager
def traced(
    parts: Sequence[Part],
    compiled: Callable[..., Any],
    inner: Callable[..., Tensor] | None,
    told: Callable[[Part, int, int, int], None],
) -> Iterator[None]:
    """Within, the parts run compiled with their codes; all else that is compiled runs as it is written."""
    before = [part.module.forward for part in parts]
    try:
        for part, own in zip(parts, before, strict=True):
            part.module.forward = partial(run, part, compiled, inner, told, own)
        yield
    finally:
        for part, own in zip(parts, before, strict=True):
            part.module.forward = own
