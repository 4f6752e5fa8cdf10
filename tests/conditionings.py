"""What tests look for in the host's CONDITIONING."""

from __future__ import annotations


def entry(conditioning):
    """(features, values) of the only entry."""
    assert len(conditioning) == 1
    return conditioning[0]


def plan_of(conditioning):
    """The plan that rides in the only entry."""
    return entry(conditioning)[1]["model_conds"]["newbie_isolation"].cond.forward.plan


def owned(conditioning, owner):
    """The features [1, L, D] of one owner's tokens."""
    import torch

    return entry(conditioning)[0][:, torch.tensor(plan_of(conditioning).owners) == owner]


def with_hooks(clip):
    """A CLIP that brings hooks of somebody else's, and these."""
    import comfy.hooks

    theirs = comfy.hooks.HookGroup()
    theirs.add(comfy.hooks.WeightHook())
    copy = clip.clone()
    copy.apply_hooks_to_conds = theirs
    return copy, theirs
