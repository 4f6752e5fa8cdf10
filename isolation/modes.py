"""The three ways to encode characters, which one a checkpoint asks for, and what each closes.

strict is for models trained with isolated characters, gentle for models trained on whole prompts, off is the host's
own way. A checkpoint says which it was trained for in its metadata; the loader notes that on the text encoders'
module, which CLIP.clone() and LoRA nodes share, so the word survives every node between loader and encoder.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from comfy.sd import CLIP

AUTO, STRICT, GENTLE, OFF = "auto", "strict", "gentle", "off"
MODES = (AUTO, STRICT, GENTLE, OFF)
BY_MODE, CLOSED, OPEN = "as the mode", "closed", "open"
LEAKS = (BY_MODE, CLOSED, OPEN)

_ATTRIBUTE = "newbie_isolation"  # on clip.cond_stage_model


@dataclass(frozen=True)
class Options:
    """What a user may change about a mode; the values here are neutral."""

    strength: float = 1.0
    start: float = 0.0  # fractions of the steps
    end: float = 1.0
    soft_edge: float = 0.0  # of the picture's shorter side
    gender_strength: float = 0.0
    encoder: str = BY_MODE  # one of LEAKS, as are the following
    joint_layers: str = BY_MODE
    context_refiner: str = BY_MODE
    pooled: str = BY_MODE
    swapped: float = 0.0  # share of the negative that is the same prompt with the characters exchanged


@dataclass(frozen=True)
class Closed:
    """Which ways from one character to another are closed."""

    encoder: bool  # every character is encoded alone
    joint_layers: bool
    context_refiner: bool
    pooled: bool  # the pooled vector is of the shared text alone


STRICTLY = Closed(encoder=True, joint_layers=True, context_refiner=True, pooled=False)
GENTLY = Closed(encoder=False, joint_layers=True, context_refiner=False, pooled=False)  # docs/gentle.md


def closed_by(mode: str, options: Options) -> Closed:
    """mode: strict or gentle. Raises ValueError where no step is left to isolate."""
    if options.start >= options.end:
        raise ValueError(
            f"Isolation would begin at {options.start:g} of the steps and end at {options.end:g}: choose an earlier "
            "start, a later end, or the mode off for none."
        )
    closed = STRICTLY if mode == STRICT else GENTLY
    chosen = {name: getattr(options, name) for name in ("encoder", "joint_layers", "context_refiner", "pooled")}
    return replace(closed, **{name: leak == CLOSED for name, leak in chosen.items() if leak != BY_MODE})


def check_chunk_options(options: Options) -> None:
    """Raises ValueError for what the encoders of SD1.5, SD2 and SDXL can't obey."""
    changed = [name for name in ("encoder", "context_refiner", "pooled") if getattr(options, name) != BY_MODE]
    if changed:
        raise ValueError(
            f"{' and '.join(changed)} of Encode Characters can't be changed for SD1.5, SD2 and SDXL, which read every "
            f'character\'s tags alone: set to "{BY_MODE}".'
        )


def declare(clip: CLIP, mode: str) -> None:
    """Note on the text encoders what "auto" means for them; anything but "strict" means gentle."""
    setattr(clip.cond_stage_model, _ATTRIBUTE, mode)


def resolve(clip: CLIP, mode: str) -> str:
    """The mode to use: what the user chose, or for "auto" what the checkpoint was trained for."""
    if mode not in MODES:
        raise ValueError(f"Unknown isolation mode {mode!r}: choose one of {', '.join(MODES)}.")
    if mode != AUTO:
        return mode
    return STRICT if getattr(clip.cond_stage_model, _ATTRIBUTE, GENTLE) == STRICT else GENTLE
