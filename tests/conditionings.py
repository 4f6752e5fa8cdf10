"""What tests look for in the host's CONDITIONING. Import it after the host is known to be there."""

from __future__ import annotations

from comfy.patcher_extension import WrappersMP


def entry(conditioning):
    """(features, values) of the only entry."""
    assert len(conditioning) == 1
    return conditioning[0]


def plan_of(conditioning):
    """The plan that rides in the only entry."""
    (hook,) = entry(conditioning)[1]["hooks"].hooks
    (wrapper,) = hook.transformers_dict["wrappers"][WrappersMP.DIFFUSION_MODEL]["newbie_isolation"]
    return wrapper.plan


def owned(conditioning, owner):
    """The features [1, L, D] of one owner's tokens."""
    import torch

    return entry(conditioning)[0][:, torch.tensor(plan_of(conditioning).owner) == owner]
