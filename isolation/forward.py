"""One forward of the host's NextDiT (NewBie, Lumina 2) under a plan: the wrapper that rides in the CONDITIONING."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from comfy.ldm.lumina.model import NextDiT
from comfy.patcher_extension import WrapperExecutor
from torch import Tensor

from .attention import CAPTION, JOINT, OVERRIDE, IsolatedAttention, Kernel
from .plan import Plan
from .planned import PlannedForward


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
            "remove the node that joins conditionings after Encode Characters, or set its mode to off."
        )
    width = model.cap_embedder[-1].in_features
    if context.shape[2] != width:
        raise ValueError(
            f"The isolated prompt has text features {context.shape[2]} wide, but this model takes {width}: "
            "load the text encoders of the same release as the model."
        )


class IsolatedForward(PlannedForward):
    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.kernel = Kernel()

    def override(
        self,
        plan: Plan,
        rows: int,
        columns: int,
        device: torch.device,
        refiners: int,
        inner: Callable[..., Tensor] | None = None,
    ) -> IsolatedAttention:
        """plan: of this step. rows x columns image tokens; refiners: how many layers read the caption alone."""
        joint = plan if plan.joint else self.free
        codes = {}
        if not joint.neutral:
            codes[JOINT] = self.codes(joint, rows, columns, device)
        if plan.refiner and plan.divides:
            codes[CAPTION] = self.codes(plan, rows, columns, device)
        return IsolatedAttention(codes, len(plan.owner), rows * columns, refiners, self.kernel, inner)

    def __call__(
        self, executor: WrapperExecutor, x: Tensor, timesteps: Tensor, context: Tensor, *rest: Any, **kwargs: Any
    ) -> Tensor:
        """One forward of x [B, C, H, W] under the plan."""
        options = kwargs.get("transformer_options", {})
        plan, model = self.now(options), executor.class_obj
        if plan.neutral:
            return executor(x, timesteps, context, *rest, **kwargs)
        check(plan, model, context, kwargs.get("ref_latents"))
        rows, columns = (-(-side // model.patch_size) for side in x.shape[-2:])  # the host pads to whole patches
        isolated = self.override(plan, rows, columns, x.device, len(model.context_refiner), options.get(OVERRIDE))
        kwargs["transformer_options"] = {**options, OVERRIDE: isolated}
        out = executor(x, timesteps, context, *rest, **kwargs)
        if isolated.joint_calls == 0:
            raise RuntimeError(
                "The isolation of the characters did not reach the model's attention: another node replaces it. "
                "Remove that node, or set the mode of Encode Characters to off."
            )
        return out
