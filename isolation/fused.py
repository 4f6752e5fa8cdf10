"""Attention with the bias's factors appended to queries and keys: almost free, where a kernel takes such widths.

Values keep their own width, which of PyTorch's kernels cuDNN's alone does without padding. On an H100 every other way
costs an eighth of a step or more (lab/benchmarks/attention.py measures it).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from .bias import Bias

ROWS = 16  # queries whose result is compared, spread over all tokens
TOLERANCE = 0.05  # of their norm; bfloat16 itself rounds to 0.004


class NoKernelError(RuntimeError):
    """This device, dtype or width has no kernel, or none that is right; str() says which."""


def attend(q: Tensor, k: Tensor, v: Tensor, query: Tensor, key: Tensor) -> Tensor:
    """q, k, v [B, H, T, D], query and key [P, T, E] -> [B, H, T, D]: for a graph, whose compiler sees what it can join.

    Token by token in memory, as the model's own, so that neither side of the kernel is turned round.
    """

    def wide(own: Tensor, codes: Tensor) -> Tensor:
        own = own.transpose(1, 2)  # [B, T, H, D]
        codes = codes[:, :, None].expand(len(own), -1, own.shape[2], -1)
        return torch.cat([own, codes], -1).transpose(1, 2)

    return cudnn(wide(q, query), wide(k, key), v, q.shape[-1] ** -0.5)


def cudnn(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """The kernel itself, as a graph can hold it."""
    return torch.ops.aten._scaled_dot_product_cudnn_attention(q, k, v, None, False, 0.0, False, False, scale=scale)[0]


class FusedBias:
    """Two buffers [B, T, H, D + E] that every layer of a forward shares; the factors are written once."""

    def __init__(self, bias: Bias, q: Tensor, least: int = 0) -> None:
        """q [B, H, T, D]: the first layer's, for sizes, dtype and device."""
        batch, heads, tokens, self.width = q.shape
        query, key = bias.scaled(self.width, q.dtype, least)  # [P, T, E]
        shape = (batch, tokens, heads, self.width + query.shape[2])
        self.query, self.key = q.new_empty(shape), q.new_empty(shape)
        self.query[..., self.width :] = query[:, :, None]
        self.key[..., self.width :] = key[:, :, None]

    def fits(self, q: Tensor) -> bool:
        batch, tokens, heads, _ = self.query.shape
        return q.shape == (batch, heads, tokens, self.width) and q.dtype == self.query.dtype

    def wide(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """q, k [B, H, T, D] -> [B, H, T, D + E]."""
        query, key = self.query.transpose(1, 2), self.key.transpose(1, 2)
        query[..., : self.width].copy_(q)
        key[..., : self.width].copy_(k)
        return query, key

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k, v [B, H, T, D] -> [B, T, H * D]. Raises NoKernelError."""
        query, key = self.wide(q, k)
        try:
            with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
                out = F.scaled_dot_product_attention(query, key, v, scale=self.width**-0.5)
        except RuntimeError as problem:
            if isinstance(problem, torch.OutOfMemoryError):
                raise
            raise NoKernelError(f"no kernel for width {query.shape[-1]} in {q.dtype}") from problem
        return out.transpose(1, 2).flatten(2)

    def check(self, q: Tensor, k: Tensor, v: Tensor, out: Tensor) -> None:
        """Raises NoKernelError if out is not what plain arithmetic gives for some of the queries.

        Kernels for uncommon widths are young, and a wrong one would spoil pictures without a word.
        """
        batch, heads, tokens, _ = q.shape
        rows = torch.linspace(0, tokens - 1, min(ROWS, tokens), device=q.device).long()
        query, key = (wide[:, :, 0, self.width :] for wide in (self.query, self.key))  # [B, T, E], of any head
        bias = query[:, rows].float() @ key.float().transpose(1, 2)  # [B, R, T]
        scores = (q[:, :, rows].float() @ k.float().transpose(2, 3) + bias[:, None]) * self.width**-0.5
        expected = (scores.softmax(-1) @ v.float()).transpose(1, 2).flatten(2)  # [B, R, H * D]
        error = (out[:, rows].float() - expected).norm() / expected.norm()
        if not error <= TOLERANCE:  # a NaN is not either
            raise NoKernelError(f"the kernel for width {self.query.shape[-1]} in {q.dtype} is off by {error:.0%}")
