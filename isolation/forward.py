"""One forward of the host's NextDiT under a plan: the wrapper that rides in the CONDITIONING (conditioning.py)."""

from __future__ import annotations

from typing import Any

from comfy.ldm.lumina.model import NextDiT
from comfy.patcher_extension import WrapperExecutor
from torch import Tensor

from .attention import OVERRIDE, IsolatedAttention
from .plan import Plan


def progress(options: dict[str, Any]) -> float:
    """The fraction of this run's steps that lies behind: 0 in the first step. Source: the host's sample_sigmas."""
    sigmas, sigma = options.get("sample_sigmas"), options.get("sigmas")
    if sigmas is None or sigma is None or len(sigmas) < 2:
        return 0.0
    return float((sigmas > sigma.max().to(sigmas) * (1 + 1e-6)).sum()) / (len(sigmas) - 1)


def plan_now(plan: Plan, options: dict[str, Any]) -> Plan:
    """The plan in this step: itself, or what is left of it before its start and after its end."""
    if (plan.start, plan.until) == (0.0, 1.0):
        return plan
    return plan if plan.start <= progress(options) < plan.until else plan.released()


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
    now = plan_now(plan, options)
    if now.neutral:
        return executor(x, timesteps, context, num_tokens, attention_mask, **kwargs)
    model = executor.class_obj
    check(now, model, context, kwargs.get("ref_latents"))
    rows, columns = (-(-side // model.patch_size) for side in x.shape[-2:])  # the host pads to whole patches
    isolated = IsolatedAttention(now, rows, columns, x.device, len(model.context_refiner), options.get(OVERRIDE))
    kwargs["transformer_options"] = {**options, OVERRIDE: isolated}
    out = executor(x, timesteps, context, num_tokens, attention_mask, **kwargs)
    if isolated.joint_calls == 0:
        raise RuntimeError(
            "The isolation of the characters did not reach the model's attention: another node replaces it. "
            "Remove that node, or set the mode of Encode Characters to off."
        )
    return out
