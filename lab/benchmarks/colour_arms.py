"""The ways of conditioning that lab/benchmarks/colours compares, through the pack's own functions and any model's.

off, gentle, strict  the modes. In usual places off reads of places in words alone, the others of boxes too
area                 the host's mask conditioning: every character's own prompt, its box stated, encoded plainly and
                     counting where its box is, beside the shared prompt, which counts everywhere
encoding-open, refiner-open, joint-open, pooled-closed
                     strict but for one way from one character to another, as Encode Characters has inputs for it
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...xml_prompt import SHARED, Box, Scene, layout, parse, render_xml, text_of
from .colour_measures import Rectangle, within
from .colour_scenes import Wanted

if TYPE_CHECKING:
    from comfy.sd import CLIP

MINI = "NewBie mini (built in)"
AREA = "area"
ARMS: dict[str, tuple[str, dict[str, str]]] = {  # mode, and what of it is opened or closed
    "off": ("off", {}),
    "gentle": ("gentle", {}),
    "strict": ("strict", {}),
    AREA: ("off", {}),
    "encoding-open": ("strict", {"encoder": "open"}),
    "refiner-open": ("strict", {"context_refiner": "open"}),
    "joint-open": ("strict", {"joint_layers": "open"}),
    "pooled-closed": ("strict", {"pooled": "closed"}),
}
DEFAULT_ARMS = ("off", "gentle", "strict", AREA)


def fractions_of(boxes: Sequence[Box]) -> list[Rectangle]:
    from ...isolation.plan import fractions

    return [rectangle for (rectangle,) in fractions([[box] for box in boxes])]


def encode_areas(clip: CLIP, scene: Scene, boxes: Sequence[Box], size: tuple[int, int]) -> list:
    """One entry for what is shared, and one a character with its box as a mask [height, width]."""
    import torch

    from nodes import ConditioningSetMask

    from ...isolation.encode import encode_plain

    segments = render_xml(scene, boxes)

    def plain(owner: int) -> list:
        return encode_plain(clip, text_of(segment for segment in segments if segment.owner == owner))

    entries = list(plain(SHARED))
    for owner, box in enumerate(fractions_of(boxes), start=1):
        mask = torch.zeros(size[1], size[0])
        within(mask, box).fill_(1)
        entries += ConditioningSetMask().append(plain(owner), mask, "default", 1.0)[0]
    return entries


class Painter:
    """The model, loaded once, through the pack's own functions."""

    def __init__(self, files: Sequence[str], size: tuple[int, int], steps: int) -> None:
        from ...isolation.plan import declare
        from ...model_loader import full, mini

        if files[0] == MINI:
            self.model, self.clip, self.vae, isolation = mini.load()
        else:
            self.model, self.clip, self.vae, isolation = full.load(*files, None)
        declare(self.clip, isolation)
        self.size, self.steps = size, steps

    def laid_out(self, wanted: Wanted) -> tuple[Scene, Sequence[Box]]:
        scene = parse(wanted.xml())
        return scene, layout(scene, self.size[0] / self.size[1])

    def boxes(self, wanted: Wanted) -> list[Rectangle]:
        return fractions_of(self.laid_out(wanted)[1])

    def encode(self, wanted: Wanted, arm: str) -> tuple[list, list]:
        """Positive and negative."""
        from ...isolation.encode import encode, encode_negative
        from ...isolation.plan import Options

        mode, leaks = ARMS[arm]
        scene, boxes = self.laid_out(wanted)
        options = Options(**leaks)
        negative = encode_negative(self.clip, scene, boxes, mode, "", options)
        if arm == AREA:
            return encode_areas(self.clip, scene, boxes, self.size), negative
        return encode(self.clip, scene, boxes, mode, options), negative

    def paint(self, wanted: Wanted, arm: str, seed: int) -> np.ndarray:
        """[H, W, 3] uint8"""
        import torch

        from ...sampling.decode import decode
        from ...sampling.sample import sample

        width, height = self.size
        positive, negative = self.encode(wanted, arm)
        latent = {"samples": torch.zeros(1, 16, height // 8, width // 8), "downscale_ratio_spacial": 8}
        drawn = sample(self.model, positive, negative, latent, seed=seed, steps=self.steps)
        return decode(self.vae, drawn["samples"])[0].float().mul(255).round().byte().cpu().numpy()
