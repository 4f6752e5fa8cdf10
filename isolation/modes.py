"""The three ways to encode characters, and which one a checkpoint asks for.

strict is for models trained with isolated characters, gentle for models trained on whole prompts, off is the host's
own way. A checkpoint says which it was trained for in its metadata; the loader notes that on the text encoders'
module, which CLIP.clone() and LoRA nodes share, so the word survives every node between loader and encoder.
"""

from __future__ import annotations

from comfy.sd import CLIP

AUTO, STRICT, GENTLE, OFF = "auto", "strict", "gentle", "off"
MODES = (AUTO, STRICT, GENTLE, OFF)

_ATTRIBUTE = "newbie_isolation"  # on clip.cond_stage_model


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
