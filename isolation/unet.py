"""Isolation inside the host's UNet (SD1.5, SD2, SDXL): a wrapper around one forward that biases its cross-attention.

Text reaches this model in one place only: image queries [B, N, H*D] against caption keys [B, L, H*D], in every
transformer block at every resolution. There an image token reads the shared text and the text of the characters whose
region covers its cell; the image's own attention is left alone.

Both attentions of a block reach one override, and their lengths don't tell them apart where N == L. So a patch in front
of each notes which it is: the host gives it the image as context in one case, the text in the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from torch import Tensor

from .bias import Bias
from .carrier import OVERRIDE, IsolatedForward, Options, Pass, check_tokens
from .plan import WHOLE, Plan, Rectangle

PATCHES = "patches"
BEFORE_ATTENTION = ("attn1_patch", "attn2_patch")


class IsolatedCrossAttention:
    """The override for one forward. Remembers nothing beyond it: a region follows the latent's size, whatever that is.

    bias_of: (rows, columns) -> the plan's bias for that image.
    """

    def __init__(self, caption: int, bias_of: Callable[[int, int], Bias], inner: Callable | None = None) -> None:
        self.caption, self.bias_of, self.inner = caption, bias_of, inner
        self.matrices: dict[tuple[int, int, torch.dtype], Tensor] = {}
        self.reads_text = False  # the next call, if nobody replaces it
        self.announced = self.reached = 0

    def note(self, image: Tensor, context: Tensor, value: Tensor | None, _options: dict) -> tuple:
        """The patch in front of every attention: changes nothing."""
        self.reads_text = context is not image
        self.announced += self.reads_text
        return image, context, value

    def matrix(self, rows: int, columns: int, dtype: torch.dtype) -> Tensor:
        """[P, 1, rows * columns, L]"""
        key = rows, columns, dtype
        if key not in self.matrices:
            caption, image = slice(self.caption), slice(self.caption, None)
            self.matrices[key] = self.bias_of(rows, columns).matrix(dtype, image, caption)
        return self.matrices[key]

    def __call__(
        self, func: Callable, q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None, **kwargs: Any
    ) -> Tensor:
        """q [B, N, H*D], k and v [B, L, H*D]; an override that was there before still decides how to compute."""
        if self.reads_text:
            self.reads_text = False
            self.reached += 1
            rows, columns = kwargs["transformer_options"]["activations_shape"][-2:]
            check_lengths(self.caption, k.shape[-2], q.shape[-2], rows, columns)
            mask = self.matrix(rows, columns, q.dtype)
        if self.inner is not None:
            return self.inner(func, q, k, v, heads, mask, **kwargs)
        return func(q, k, v, heads, mask, **kwargs)


def check_lengths(expected: int, caption: int, image: int, rows: int, columns: int) -> None:
    """Raises ValueError where another node has changed the text or the image in front of a cross-attention."""
    if caption != expected or image != rows * columns:
        raise ValueError(
            f"The cross-attention expected {expected} text and {rows * columns} image tokens, but a model patch "
            f"changed them to {caption} and {image}: remove the node that patches it, or set the mode of Encode "
            "Characters to off."
        )


def check_fits(plan: Plan, model: object, context: Tensor) -> None:
    """Raises ValueError, one sentence, where the plan can't be kept: isolation is never dropped silently."""
    if not isinstance(model, UNetModel):
        raise ValueError(
            f"This prompt was encoded for SD1.5, SD2 or SDXL, but the model is a {type(model).__name__}: encode it "
            "with that model's own CLIP, or set the mode of Encode Characters to off."
        )
    check_tokens(plan, context)


def with_patch(options: dict[str, Any], patch: Callable) -> dict[str, Any]:
    """Options with the patch in front of both attentions, first of all, so that it sees what the model gives."""
    patches = options.get(PATCHES, {})
    return {**options, PATCHES: {**patches, **{name: [patch, *patches.get(name, [])] for name in BEFORE_ATTENTION}}}


class IsolatedUNet(IsolatedForward):
    def override(
        self,
        plan: Plan,
        device: torch.device,
        inner: Callable | None = None,
        places: Sequence[Rectangle] = (WHOLE,),
    ) -> IsolatedCrossAttention:
        """plan: of this step."""

        def bias_of(rows: int, columns: int) -> Bias:
            return self.bias(plan, rows, columns, device, places)

        return IsolatedCrossAttention(len(plan.tokens), bias_of, inner)

    @contextmanager
    def isolated(self, one: Pass) -> Iterator[Options]:
        check_fits(self.plan, one.model, one.text)
        plan = self.now(one.options)
        plan = plan if plan.joint else self.free
        if plan.neutral:
            yield one.options
            return
        isolated = self.override(plan, one.x.device, one.options.get(OVERRIDE), one.places)
        yield with_patch({**one.options, OVERRIDE: isolated}, isolated.note)
        self.count(isolated.reached, isolated.announced)
