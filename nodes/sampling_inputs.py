"""Inputs that the sampling nodes share, and what is checked of them before anything runs."""

from __future__ import annotations

from comfy_api.latest import io

from ..sampling.samplers import SAMPLERS, check_eta
from ..sampling.steps import GUIDANCE_END, check_interval


def guidance() -> io.Float.Input:
    return io.Float.Input(
        "guidance",
        default=7.5,
        min=0.0,
        max=100.0,
        step=0.1,
        round=0.01,
        tooltip="How closely to follow the prompt. 1 is neutral: no negative, twice as fast (not with cfg_pp).",
    )


def guidance_start() -> io.Float.Input:
    return io.Float.Input(
        "guidance_start",
        default=0.0,
        min=0.0,
        max=1.0,
        step=0.01,
        advanced=True,
        tooltip="Where guidance begins, as a fraction of the steps. 0 is neutral: from the first on.",
    )


def guidance_end() -> io.Float.Input:
    return io.Float.Input(
        "guidance_end",
        default=GUIDANCE_END,
        min=0.0,
        max=1.0,
        step=0.01,
        tooltip="Where guidance ends, as a fraction of the steps. 1 is neutral: never. At three quarters, strong "
        "guidance keeps its colours clean, and the steps after it take half the time (not with cfg_pp).",
    )


def renorm() -> io.Float.Input:
    return io.Float.Input(
        "renorm",
        default=0.0,
        min=0.0,
        max=10.0,
        step=0.05,
        round=0.01,
        advanced=True,
        tooltip="Bounds the guided prediction to so many times the norm of the positive prompt's own, against burnt "
        "pictures; Lumina-Image-2.0 uses 1. 0 is neutral: no bound.",
    )


def sampler() -> io.Combo.Input:
    return io.Combo.Input(
        "sampler",
        options=list(SAMPLERS),
        default="euler_ancestral",
        tooltip="euler_ancestral uses eta; with eta 0 it is euler. Those with cfg_pp want a guidance of 1 to 2, "
        "and every step of theirs takes both passes.",
    )


def eta() -> io.Float.Input:
    return io.Float.Input(
        "eta",
        default=0.3,
        min=0.0,
        max=1.0,
        step=0.05,
        round=0.01,
        tooltip="Fresh noise in every step. 0 is neutral: deterministic. "
        "Only the samplers with ancestral, sde or seeds in their name have it.",
    )


def s_noise() -> io.Float.Input:
    return io.Float.Input(
        "s_noise",
        default=1.0,
        min=0.0,
        max=2.0,
        step=0.01,
        round=0.001,
        optional=True,  # graphs saved before it was here stay valid
        advanced=True,
        tooltip="A factor on the noise that eta adds: less smooths, more gives texture. 1 is neutral.",
    )


def sampler_problem(sampler: str | None, eta: float | None) -> str | None:
    """One sentence, or None where they go together; a linked value is None here and checked when it arrives."""
    if sampler is not None and sampler not in SAMPLERS:
        return f"There is no sampler {sampler}: choose one of {', '.join(SAMPLERS)}."
    if eta is not None and not 0 <= eta <= 1:
        return f"eta is {eta:g}: choose a number from 0 to 1."
    try:
        check_eta(sampler or SAMPLERS[0], eta or 0.0)
    except ValueError as problem:
        return str(problem)
    return None


def interval_problem(start: float | None, end: float | None) -> str | None:
    """One sentence, or None where something is left between them."""
    if start is None or end is None:
        return None
    try:
        check_interval(start, end)
    except ValueError as problem:
        return str(problem)
    return None
