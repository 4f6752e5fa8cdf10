"""Token features + plan -> the host's CONDITIONING: one ordinary entry that carries its isolation along."""

from __future__ import annotations

import logging
from typing import Any

import torch
from comfy.conds import CONDConstant
from comfy.controlnet import ControlBase
from comfy.patcher_extension import WrapperExecutor, WrappersMP
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

    Where one entry has an area, the host makes others of the same area that have its control and another entry's text
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


class IsolationControl(ControlBase):
    """Rides as the entry's control, which the host asks before every pass and shows that pass's options.

    Hooks could carry the wrappers too, but for an entry with hooks, whatever they do, the host (0.30) takes the model
    out of its dynamic memory management, reads the files again and keeps a second copy. Real ControlNets are chained
    behind this one, or it behind them.
    """

    def __init__(self, wrapper: OfItsText) -> None:
        super().__init__()
        self.wrapper = wrapper

    def get_control(
        self, x_noisy: Tensor, t: Tensor, cond: dict[str, Any], batched_number: int, transformer_options: dict[str, Any]
    ) -> dict[str, Any] | None:
        """Nothing of its own. transformer_options: of this pass alone, a copy that the host has just made."""
        wrappers = transformer_options.setdefault("wrappers", {})
        around = ((WrappersMP.APPLY_MODEL, self.wrapper.around_apply), (WrappersMP.DIFFUSION_MODEL, self.wrapper))
        for kind, wrapper in around:  # first, so that it is outside of the model's own wrappers
            wrappers[kind] = {KEY: [wrapper], **wrappers.get(kind, {})}
        before = self.previous_controlnet
        return before and before.get_control(x_noisy, t, cond, batched_number, transformer_options)

    def deepclone_multigpu(self, load_device: torch.device, autoregister: bool = False) -> IsolationControl:
        """It has no weights, and its codes move to wherever they are asked for."""
        clone = IsolationControl(self.wrapper)
        if autoregister:
            self.multigpu_clones[load_device] = clone
        return clone


def conditioning(features: Tensor, extra: dict[str, Any], forward: PlannedForward) -> Conditioning:
    """One entry; what rides in it acts on this entry alone, with an unpatched MODEL and any sampler.

    extra: the entry's other values; hooks that the CLIP brought stay.
    """
    comes_with_text = {**extra.get("model_conds", {}), KEY: CONDConstant(Isolation(forward, features))}
    control = IsolationControl(OfItsText(forward.plan))
    return [[features, {**extra, "model_conds": comes_with_text, "control": control}]]
