"""The override for one forward of the host's NextDiT: adds the plan's bias to its attention calls.

The host hands every attention call to transformer_options["optimized_attention_override"]. The calls of one forward
come in a fixed order and tell themselves by their length: the context refiner (L caption tokens), the noise refiner
(N image tokens), the joint layers (L + N, caption first). Where L == N, the order decides: the first
len(context_refiner) calls are the caption's.

The joint layers' bias takes one of two ways, equal up to rounding: appended to queries and keys as codes, where the
device has a kernel for it, or as a dense mask, which every attention function of the host takes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from comfy import model_management
from torch import Tensor

from .appended import AppendedCodes, NoKernelError
from .codes import Codes

OVERRIDE = "optimized_attention_override"
JOINT, CAPTION = "joint", "caption"


@dataclass
class Kernel:
    """Whether attention with appended codes works on this device; None until it has been tried."""

    works: bool | None = None


def may_have_kernel(q: Tensor) -> bool:
    half = q.dtype in (torch.float16, torch.bfloat16)
    return half and model_management.is_nvidia() and model_management.is_device_cuda(q.device)


class IsolatedAttention:
    """Remembers nothing beyond its forward: a region follows the latent's size, whatever that is."""

    def __init__(
        self,
        codes: dict[str, Codes],
        caption: int,
        image: int,
        refiners: int,
        kernel: Kernel,
        inner: Callable | None = None,
    ) -> None:
        """codes: of JOINT and CAPTION, where they have any; caption, image: how many tokens each has."""
        self.codes, self.caption, self.image, self.kernel = codes, caption, image, kernel
        self.refiners, self.inner = refiners, inner
        self.dense: dict[tuple[str, torch.dtype], Tensor] = {}
        self.appended: AppendedCodes | None = None
        self.joint_calls = self.caption_calls = 0

    def layer_of(self, length: int) -> str | None:
        """Which layers a call of this length belongs to; None for those that no plan governs."""
        if length == self.caption + self.image:
            self.joint_calls += 1
            return JOINT
        if length == self.caption and (length != self.image or self.caption_calls < self.refiners):
            self.caption_calls += 1
            return CAPTION
        return None

    def mask(self, layer: str, dtype: torch.dtype) -> Tensor:
        """The dense bias [1, 1, T, T]."""
        if (layer, dtype) not in self.dense:
            tokens = slice(self.caption if layer == CAPTION else None)
            self.dense[layer, dtype] = self.codes[layer].bias(dtype, tokens, tokens)
        return self.dense[layer, dtype]

    def append(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor | None:
        """[B, T, H * D], or None where there is no kernel for it."""
        if self.kernel.works is False or not may_have_kernel(q):
            return None
        if self.appended is None or not self.appended.fits(q):
            self.appended = AppendedCodes(self.codes[JOINT], q)
        try:
            out = self.appended.attend(q, k, v)
            if self.kernel.works is None:
                self.appended.check(q, k, v, out)
        except NoKernelError as problem:
            logging.info("NewBie: isolating with a dense mask, which takes longer, because %s.", problem)
            self.kernel.works, self.appended = False, None
            return None
        self.kernel.works = True
        return out

    def __call__(
        self, func: Callable, q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None, **kwargs: Any
    ) -> Tensor:
        """q, k, v [B, H, T, D]; an override that was there before still decides how to compute."""
        layer = self.layer_of(q.shape[2]) if kwargs.get("skip_reshape") else None
        if layer in self.codes:
            if layer == JOINT and self.inner is None and not kwargs.get("skip_output_reshape"):
                out = self.append(q, k, v)
                if out is not None:
                    return out
            mask = self.mask(layer, q.dtype)
        if self.inner is not None:
            return self.inner(func, q, k, v, heads, mask, **kwargs)
        return func(q, k, v, heads, mask, **kwargs)
