"""Isolation inside the host's NextDiT: a wrapper around one forward that biases its attention calls.

The host hands every attention call to transformer_options["optimized_attention_override"]. The calls of one forward
come in a fixed order and tell themselves by their length: the context refiner (L caption tokens), the noise refiner
(N image tokens), the joint layers (L + N, caption first). Where L == N, the order decides: the first
len(context_refiner) calls are the caption's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from comfy.ldm.lumina.model import NextDiT
from comfy.patcher_extension import WrapperExecutor
from torch import Tensor

from .plan import Plan
from .rules import caption_rules, covers_tokens, joint_rules

OVERRIDE = "optimized_attention_override"


def bias(rule: Tensor, dtype: torch.dtype, added: Tensor | None = None) -> Tensor | None:
    """rule [1, Q, K], added [1, Q, K] -> additive [1, 1, Q, K]: `added`, or 0, where allowed.

    None where all is allowed and nothing added, so that nothing changes at all. The cut is half the dtype's lowest
    number: no exp() survives it, and, unlike -inf, no backend turns it into NaN where a whole block of keys is cut.
    """
    if rule.all() and added is None:
        return None
    cut = torch.finfo(dtype).min / 2
    values = torch.zeros_like(rule, dtype=dtype) if added is None else added.to(dtype, copy=True)
    return values.masked_fill_(~rule, cut)[:, None]


class IsolatedAttention:
    """The override for one forward. Remembers nothing beyond it: a box follows the latent's size, whatever that is."""

    def __init__(
        self, plan: Plan, rows: int, columns: int, device: torch.device, refiners: int, inner: Callable | None = None
    ) -> None:
        self.plan, self.inner, self.refiners = plan, inner, refiners
        self.caption, self.image = len(plan.owner), rows * columns
        self.owner = torch.tensor([plan.owner], device=device)  # [1, L]
        covers = [covers_tokens(rectangles, rows, columns) for rectangles in plan.regions]
        nobody = torch.zeros(0, self.image, dtype=torch.bool)
        self.covers = (torch.stack(covers) if covers else nobody)[None].to(device)  # [1, R, N]
        self.biases: dict[tuple[str, torch.dtype], Tensor | None] = {}
        self.joint_calls = self.caption_calls = 0

    def rule_of(self, length: int) -> str | None:
        """Which rule governs a call of this length: "joint", "caption" or None."""
        if length == self.caption + self.image:
            self.joint_calls += 1
            return "joint"
        if length == self.caption and self.caption_calls < self.refiners:
            self.caption_calls += 1
            return "caption" if self.plan.refiner else None
        return None

    def bias_for(self, rule: str, dtype: torch.dtype) -> Tensor | None:
        if (rule, dtype) not in self.biases:
            joint = rule == "joint"
            allowed = joint_rules(self.owner, self.covers) if joint else caption_rules(self.owner)
            self.biases[rule, dtype] = bias(allowed, dtype, self.weights() if joint and self.plan.weight else None)
        return self.biases[rule, dtype]

    def weights(self) -> Tensor:
        """[1, L+N, L+N]: the picture counts a caption token of weight w as w of them."""
        length = self.caption + self.image
        added = torch.zeros(1, length, length, device=self.owner.device)
        added[:, self.caption :, : self.caption] = torch.tensor(self.plan.weight, device=added.device).log()
        return added

    def __call__(
        self, func: Callable, q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None, **kwargs: Any
    ) -> Tensor:
        """q, k, v [B, H, N, D]; an override that was there before still decides how to compute."""
        rule = self.rule_of(q.shape[2]) if kwargs.get("skip_reshape") else None
        if rule is not None:
            mask = self.bias_for(rule, q.dtype)
        if self.inner is not None:
            return self.inner(func, q, k, v, heads, mask, **kwargs)
        return func(q, k, v, heads, mask, **kwargs)


def progress(options: dict[str, Any]) -> float:
    """The fraction of this run's steps that lies behind: 0 in the first step. Source: the host's sample_sigmas."""
    sigmas, sigma = options.get("sample_sigmas"), options.get("sigmas")
    if sigmas is None or sigma is None or len(sigmas) < 2:
        return 0.0
    return float((sigmas > sigma.max().to(sigmas) * (1 + 1e-6)).sum()) / (len(sigmas) - 1)


def check(plan: Plan, model: object, context: Tensor, references: object) -> None:
    """Raises ValueError, one sentence, where the plan can't be kept: isolation is never dropped silently."""
    if not isinstance(model, NextDiT) or model.pad_tokens_multiple is not None:
        raise ValueError(
            f"The isolated prompt is for NewBie's transformer, and this {type(model).__name__} is another: "
            "use a NewBie model, or set the mode of Encode Characters to off."
        )
    if references:
        raise ValueError("Isolated characters can't be combined with reference latents: set the mode to off.")
    if context.shape[1] != len(plan.owner):
        raise ValueError(
            f"The isolated prompt has {len(plan.owner)} tokens, but the model was given {context.shape[1]}: "
            "remove the node that joins or averages conditionings after Encode Characters, or set its mode to off."
        )


def isolated_forward(
    plan: Plan,
    executor: WrapperExecutor,
    x: Tensor,
    timesteps: Tensor,
    context: Tensor,
    num_tokens: int,
    attention_mask: Tensor | None = None,
    **kwargs: Any,
) -> Tensor:
    """A DIFFUSION_MODEL wrapper (with plan bound first): one forward of x [B, C, H, W] under the plan."""
    options = kwargs.get("transformer_options", {})
    if plan.until < 1 and progress(options) >= plan.until:
        if not plan.weight:
            return executor(x, timesteps, context, num_tokens, attention_mask, **kwargs)
        plan = plan.released()
    model = executor.class_obj
    check(plan, model, context, kwargs.get("ref_latents"))
    rows, columns = (-(-side // model.patch_size) for side in x.shape[-2:])  # the host pads to whole patches
    isolated = IsolatedAttention(plan, rows, columns, x.device, len(model.context_refiner), options.get(OVERRIDE))
    kwargs["transformer_options"] = {**options, OVERRIDE: isolated}
    out = executor(x, timesteps, context, num_tokens, attention_mask, **kwargs)
    if isolated.joint_calls == 0:
        raise RuntimeError(
            "The isolation of the characters did not reach the model's attention: another node replaces it. "
            "Remove that node, or set the mode of Encode Characters to off."
        )
    return out
