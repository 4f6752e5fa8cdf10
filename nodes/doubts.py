"""What is drawn all the same, though the model was not made for it: told on the node that draws."""

from __future__ import annotations

from typing import Any

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io, ui

from ..isolation.plan import KEY, PIXELS, Plan, misfit
from ..sentences import visible
from .size import SIZES

MINI = [size for name, size in SIZES.items() if name.startswith("mini ")]
PEOPLE = 4  # the most in a picture that the mini was trained on
FAR = 2.0  # times more or fewer pixels, or times longer than wide
GEMMA_4B = 2560  # the width of the full model's text features
LEAST = 512  # pixels a side of the full model's pictures


def plans_of(conditioning: list) -> list[Plan]:
    """Of what Encode Characters made; none of what others did."""
    carried = (values.get("model_conds", {}).get(KEY) for _, values in conditioning)
    return [one.cond.forward.plan for one in carried if one is not None]


def doubt_of_size(config: dict[str, Any], width: int, height: int) -> str | None:
    """config: the diffusion model's, as the host has detected it. width, height: in pixels."""
    drawn = f"This picture is {width} x {height} pixels"
    if config.get("cap_feat_dim") == GEMMA_4B:
        if min(width, height) >= LEAST:
            return None
        return f"{drawn}, and NewBie draws nothing sound below {LEAST}: choose 1024 x 1024 or more."
    pixels = [w * h for w, h in MINI]
    far = width * height > FAR * max(pixels) or FAR * width * height < min(pixels)
    if not far and max(width, height) <= FAR * min(width, height):
        return None
    known = ", ".join(f"{w} x {h}" for w, h in MINI)
    return f"{drawn}, far from what the mini was trained on: choose one of {known}."


def doubt_of_people(config: dict[str, Any], people: int) -> str | None:
    if people <= PEOPLE or config.get("cap_feat_dim") == GEMMA_4B:
        return None
    return f"The prompt has {people} characters, and the mini knows pictures of up to {PEOPLE}: leave some out."


def doubts(model: ModelPatcher, positive: list, latent: dict[str, Any]) -> list[str]:
    """Sentences, each once."""
    rows, columns = latent["samples"].shape[-2:]
    plans, config = plans_of(positive), model.model.model_config.unet_config
    found = [misfit(plan.size, (rows, columns)) for plan in plans]
    if config.get("clip_text_dim") is not None:  # NewBie's architecture, of whatever size
        found.append(doubt_of_size(config, PIXELS * columns, PIXELS * rows))
        found += [doubt_of_people(config, len(plan.regions)) for plan in plans]
    return list(dict.fromkeys(one for one in found if one))


def with_doubts(found: list[str], *results: Any) -> io.NodeOutput:
    """The node's results, with the sentences on the node; a program finds them among the prompt's outputs."""
    return io.NodeOutput(*results, ui=ui.PreviewText(visible("\n".join(found))) if found else None)
