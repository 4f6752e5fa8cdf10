"""The modes of isolation, what a user may change about them, and which mode a checkpoint was trained for.

strict   for models trained with isolated characters (the built-in mini)
gentle   for models trained on whole prompts (docs/gentle.md)
off      ComfyUI's own way
auto     what the checkpoint says: the loader notes it on the text encoders' module, which CLIP.clone() and LoRA nodes
         share, so the word survives every node between loader and encoder
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..sampling.steps import check_interval

if TYPE_CHECKING:  # the lab reads plans without a host
    from comfy.sd import CLIP

AUTO, STRICT, GENTLE, OFF = "auto", "strict", "gentle", "off"
MODES = (AUTO, STRICT, GENTLE, OFF)
BY_MODE, CLOSED, OPEN = "as the mode", "closed", "open"
LEAKS = (BY_MODE, CLOSED, OPEN)

_ATTRIBUTE = "newbie_isolation"  # on clip.cond_stage_model


@dataclass(frozen=True)
class Options:
    """What a user may change about a mode; the values here are neutral."""

    strength: float = 1.0  # 1 cuts what isolation forbids; less lets 1 - strength of it through; 0 is none
    start: float = 0.0  # fraction of the steps before which there is no isolation; weights and genders hold always
    end: float = 1.0  # and after which there is none
    soft_edge: float = 0.0  # of the picture's shorter side: how far a box's edge reaches out
    gender_strength: float = 0.0  # 1 hides tokens of another gender from a character's region; 0 is none
    apart: float = 0.0  # 1 keeps the places of two characters alone from reading each other; 0 is none
    swapped: float = 0.0  # share of the negative that is the same prompt with the characters exchanged
    # The ways from one character to another, each one of LEAKS. closed:
    encoder: str = BY_MODE  # every character is encoded alone
    joint_layers: str = BY_MODE  # a character's text and its place in the picture see no other's
    context_refiner: str = BY_MODE  # the model's layers over the text alone are isolated
    pooled: str = BY_MODE  # the pooled vector is of the shared text alone


NEUTRAL = Options()
WAYS = {
    STRICT: {"encoder": CLOSED, "joint_layers": CLOSED, "context_refiner": CLOSED, "pooled": OPEN},
    GENTLE: {"encoder": OPEN, "joint_layers": CLOSED, "context_refiner": OPEN, "pooled": OPEN},
}


def settled(options: Options, mode: str) -> Options:
    """The options with every way closed or open. mode: strict or gentle. Raises ValueError if no step is isolated."""
    check_interval(options.start, options.end, ("start", "end"))
    return replace(options, **{way: to for way, to in WAYS[mode].items() if getattr(options, way) == BY_MODE})


def check_for_clip_text(options: Options) -> None:
    """Raises ValueError for what can't be changed with the encoders of SD1.5, SD2 and SDXL."""
    changed = [name for name in ("encoder", "context_refiner", "pooled") if getattr(options, name) != BY_MODE]
    if changed:
        raise ValueError(
            f"SD1.5, SD2 and SDXL always read each character's tags alone, so {' and '.join(changed)} can't be "
            f'changed: choose "{BY_MODE}" in NewBie Isolation Options.'
        )
    if options.apart > 0:
        raise ValueError("apart works only with NewBie and Lumina 2: set it to 0 in NewBie Isolation Options.")


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
