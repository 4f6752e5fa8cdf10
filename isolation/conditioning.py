"""Token features + plan -> the host's CONDITIONING: one ordinary entry that carries its isolation along."""

from __future__ import annotations

import logging
from typing import Any

import comfy.hooks
from comfy.conds import CONDConstant
from comfy.patcher_extension import WrapperExecutor, WrappersMP, add_wrapper_with_key
from torch import Tensor

from .mixed import SENTENCE, mixed
from .plan import Plan
from .planned import PlannedForward
from .uncompiled import uncompiled

Conditioning = list[list[Any]]  # [[features [1, L, D], {"pooled_output": ..., ...}], ...]

KEY = "newbie_isolation"  # of the wrappers, and of what comes with the text among the model's arguments


class Isolation:
    """What comes with an entry's text into every pass of the model."""

    def __init__(self, forward: PlannedForward, features: Tensor) -> None:
        self.forward, self.features = forward, features
        self.run: Tensor | None = None  # the sigmas of the run whose text has been looked at

    def look(self, text: Tensor, options: dict[str, Any]) -> None:
        """Once a run, as it may wait for the device."""
        run = options.get("sample_sigmas")
        if run is not self.run:
            self.run = run
            if mixed(self.features, text):
                logging.warning(SENTENCE)


class OfItsText:
    """The entry's wrappers, which do what the text at hand asks for.

    Where one entry has an area, the host makes others of the same area that have its hooks and another entry's text
    (create_cond_with_same_area_if_none). The text's own isolation, or none, comes with that text as an argument.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def around_apply(self, executor: WrapperExecutor, *args: Any, **kwargs: Any) -> Tensor:
        """args: x, t, c_concat, c_crossattn, control, transformer_options."""
        isolation = kwargs.get(KEY)
        if isolation is None:
            return executor(*args, **kwargs)
        isolation.look(args[3], args[5])
        return uncompiled(executor, *args, **kwargs)

    def __call__(self, executor: WrapperExecutor, *args: Any, **kwargs: Any) -> Tensor:
        """Around the diffusion model's own forward."""
        isolation = kwargs.pop(KEY, None)
        return executor(*args, **kwargs) if isolation is None else isolation.forward(executor, *args, **kwargs)


def conditioning(features: Tensor, extra: dict[str, Any], forward: PlannedForward) -> Conditioning:
    """One entry; its hook acts on this entry alone (HookedOnly), with an unpatched MODEL and any sampler."""
    options: dict[str, Any] = {}
    wrapper = OfItsText(forward.plan)
    add_wrapper_with_key(WrappersMP.APPLY_MODEL, KEY, wrapper.around_apply, options)
    add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, KEY, wrapper, options)
    comes_with_text = {**extra.get("model_conds", {}), KEY: CONDConstant(Isolation(forward, features))}
    hooks = comfy.hooks.HookGroup()
    hooks.add(comfy.hooks.TransformerOptionsHook(options, hook_scope=comfy.hooks.EnumHookScope.HookedOnly))
    entry = [features, {**extra, "model_conds": comes_with_text}]
    return comfy.hooks.set_hooks_for_conditioning([entry], hooks)  # keeps hooks that the CLIP brought
