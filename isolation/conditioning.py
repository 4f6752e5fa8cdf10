"""Token features + plan -> the host's CONDITIONING: one ordinary entry that carries its isolation along."""

from __future__ import annotations

from typing import Any

import comfy.hooks
import comfy.patcher_extension
from torch import Tensor

from .planned import PlannedForward

Conditioning = list[list[Any]]  # [[features [1, L, D], {"pooled_output": ..., ...}], ...]


def conditioning(features: Tensor, extra: dict[str, Any], forward: PlannedForward) -> Conditioning:
    """One entry; its hook acts on this entry alone (HookedOnly), with an unpatched MODEL and any sampler."""
    options: dict[str, Any] = {}
    comfy.patcher_extension.add_wrapper_with_key(
        comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL, "newbie_isolation", forward, options
    )
    hooks = comfy.hooks.HookGroup()
    hooks.add(comfy.hooks.TransformerOptionsHook(options, hook_scope=comfy.hooks.EnumHookScope.HookedOnly))
    return comfy.hooks.set_hooks_for_conditioning([[features, extra]], hooks)  # keeps hooks that the CLIP brought
