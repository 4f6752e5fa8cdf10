"""Isolation inside the host's NextDiT (NewBie, Lumina 2): adds the plan's bias to its attention calls.

The host hands every attention call to transformer_options["optimized_attention_override"]. The calls of one forward
come in a fixed order and tell themselves by their length: the context refiner (L caption tokens), the noise refiner
(N image tokens), the joint layers (L + N, caption first). Where L == N, the order decides: the first
len(context_refiner) calls are the caption's.

The joint layers' bias takes one of two ways, equal up to rounding: fused into queries and keys, where the device has a
kernel for it, or as a dense mask, which every attention function of the host takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from comfy import model_management
from comfy.ldm.lumina.model import NextDiT
from torch import Tensor, nn

from ..sentences import log
from .bias import TRACED, Bias
from .carrier import OVERRIDE, IsolatedForward, Options, Pass, check_tokens, counted
from .fused import FusedBias, NoKernelError
from .plan import WHOLE, Plan, Rectangle

if TYPE_CHECKING:  # nothing of them runs where nothing is compiled, and for a prompt without LoRAs
    from .compiled import Caller
    from .lora import Loras

JOINT, CAPTION = "joint", "caption"
Ran = dict[str, list[nn.Module]]  # of JOINT and CAPTION, the layers of a pass that ran


@dataclass
class Kernel:
    """Whether fused attention works on this device; None until it has been tried."""

    works: bool | None = None

    def serves(self, bias: Bias, shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> bool:
        """Tries it, where nobody has, on anything of this shape [1, H, T, D]."""
        if self.works is None:
            if not may_have_kernel(torch.empty(0, device=device, dtype=dtype)):
                return False
            generator = torch.Generator(device).manual_seed(0)
            q, k, v = (torch.randn(shape, device=device, dtype=dtype, generator=generator) for _ in range(3))
            one = replace(bias, query=bias.query[:1], key=bias.key[:1])
            self.attend(FusedBias(one, q, TRACED), q, k, v)
        return bool(self.works)

    def attend(self, fused: FusedBias, q: Tensor, k: Tensor, v: Tensor) -> Tensor | None:
        """[B, T, H * D], or None where there is no kernel that is right."""
        try:
            out = fused.attend(q, k, v)
            if self.works is None:
                fused.check(q, k, v, out)
        except NoKernelError as problem:
            log.info("NewBie: isolation uses a dense mask, which takes longer, because %s.", problem)
            self.works = False
            return None
        self.works = True
        return out


def may_have_kernel(q: Tensor) -> bool:
    half = q.dtype in (torch.float16, torch.bfloat16)
    return half and model_management.is_nvidia() and model_management.is_device_cuda(q.device)


class IsolatedAttention:
    """Remembers nothing beyond its forward: a region follows the latent's size, whatever that is."""

    def __init__(
        self,
        biases: dict[str, Bias],
        caption: int,
        image: int,
        refiners: int,
        kernel: Kernel,
        inner: Callable | None = None,
    ) -> None:
        """biases: of JOINT and CAPTION, where they have any; caption, image: how many tokens each has."""
        self.biases, self.caption, self.image, self.kernel = biases, caption, image, kernel
        self.refiners, self.inner = refiners, inner
        self.dense: dict[tuple[str, torch.dtype], Tensor] = {}
        self.fused: FusedBias | None = None
        self.calls = {JOINT: 0, CAPTION: 0}

    def layer_of(self, length: int) -> str | None:
        """Which layers a call of this length belongs to; None for those that no plan governs."""
        if length == self.caption + self.image:
            self.calls[JOINT] += 1
            return JOINT
        if length == self.caption and (length != self.image or self.calls[CAPTION] < self.refiners):
            self.calls[CAPTION] += 1
            return CAPTION
        return None

    def mask(self, layer: str, dtype: torch.dtype) -> Tensor:
        """The dense bias [P, 1, T, T]."""
        if (layer, dtype) not in self.dense:
            tokens = slice(self.caption if layer == CAPTION else None)
            self.dense[layer, dtype] = self.biases[layer].matrix(dtype, tokens, tokens)
        return self.dense[layer, dtype]

    def fuse(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor | None:
        """[B, T, H * D], or None where there is no kernel for it."""
        if self.kernel.works is False or not may_have_kernel(q):
            return None
        if self.fused is None or not self.fused.fits(q):
            self.fused = FusedBias(self.biases[JOINT], q)
        return self.kernel.attend(self.fused, q, k, v)

    def __call__(
        self, func: Callable, q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None, **kwargs: Any
    ) -> Tensor:
        """q, k, v [B, H, T, D]; an override that was there before still decides how to compute."""
        layer = self.layer_of(q.shape[2]) if kwargs.get("skip_reshape") else None
        if layer in self.biases:
            if layer == JOINT and self.inner is None and not kwargs.get("skip_output_reshape"):
                out = self.fuse(q, k, v)
                if out is not None:
                    return out
            mask = self.mask(layer, q.dtype)
        if self.inner is not None:
            return self.inner(func, q, k, v, heads, mask, **kwargs)
        return func(q, k, v, heads, mask, **kwargs)


def check_fits(plan: Plan, model: object, context: Tensor, references: object) -> None:
    """Raises ValueError, one sentence, where the plan can't be kept: isolation is never dropped silently."""
    if not isinstance(model, NextDiT) or model.pad_tokens_multiple is not None:
        raise ValueError(
            f"This prompt was encoded for NewBie or Lumina 2, but the model is a {type(model).__name__}: encode it "
            "with that model's own CLIP, or set the mode of Encode Characters to off."
        )
    if references:
        raise ValueError(
            "Isolated characters can't be combined with reference latents: set the mode of Encode Characters to off."
        )
    check_tokens(plan, context)
    width = model.cap_embedder[-1].in_features
    if context.shape[2] != width:
        raise ValueError(
            f"The text features are {context.shape[2]} wide, but this model takes {width}: use the text encoders of "
            "the model's own release."
        )


def attentions(layers: Iterable[nn.Module]) -> list[nn.Module]:
    """Of the layers that have one: other packs put modules of their own among them, which may skip the rest."""
    return [layer.attention for layer in layers if hasattr(layer, "attention")]


@contextmanager
def as_written(one: Pass, ran: Ran, joint: Iterable[nn.Module], caption: Iterable[nn.Module]) -> Iterator[None]:
    """While those layers run uncompiled."""
    joint, caption = attentions(joint), attentions(caption)
    with counted(joint, ran[JOINT]), counted(caption, ran[CAPTION]), looked_at(one, joint):
        yield


def looked_at(one: Pass, joint: Iterable[nn.Module]) -> AbstractContextManager[None]:
    return one.sight.of(attention.out for attention in joint) if one.sight else nullcontext()


class IsolatedNextDiT(IsolatedForward):
    compiles = True
    shows = (NextDiT,)

    def __init__(self, plan: Plan, loras: Loras | None = None) -> None:
        super().__init__(plan, loras)
        self.kernel = Kernel()
        self.caller: Caller | None = None

    def override(
        self,
        plan: Plan,
        rows: int,
        columns: int,
        device: torch.device,
        refiners: int,
        inner: Callable[..., Tensor] | None = None,
        places: Sequence[Rectangle] = (WHOLE,),
    ) -> IsolatedAttention:
        """plan: of this step. rows x columns image tokens; refiners: how many layers read the caption alone."""
        joint = plan if plan.joint else self.free
        biases = {}
        if not joint.neutral:
            biases[JOINT] = self.bias(joint, rows, columns, device, places)
        if plan.refiner and plan.divides:
            biases[CAPTION] = self.bias(plan, rows, columns, device, places)
        return IsolatedAttention(biases, len(plan.tokens), rows * columns, refiners, self.kernel, inner)

    @contextmanager
    def isolated(self, one: Pass) -> Iterator[Options]:
        plan, model = self.now(one.options), one.model
        worn = one.compiler is not None and self.loras is not None and not one.sight
        if plan.neutral and not worn:
            with looked_at(one, attentions(model.layers)) if one.sight else nullcontext():
                yield one.options
            return
        if not plan.neutral:
            check_fits(plan, model, one.text, one.arguments.get("ref_latents"))
        rows, columns = (-(-side // model.patch_size) for side in one.x.shape[-2:])  # the host pads to whole patches
        refiners, inner = len(model.context_refiner), one.options.get(OVERRIDE)
        isolated = self.override(plan, rows, columns, one.x.device, refiners, inner, one.places)
        ran: Ran = {JOINT: [], CAPTION: []}
        with self.running(one, isolated, ran):
            yield {**one.options, OVERRIDE: isolated}
        for layer, modules in ran.items():
            if layer in isolated.biases:
                self.count(isolated.calls[layer], len(modules))

    def running(self, one: Pass, isolated: IsolatedAttention, ran: Ran) -> AbstractContextManager[None]:
        if one.compiler is None:
            return as_written(one, ran, one.model.layers, one.model.context_refiner)
        from .compiled import Caller, running  # nothing of it runs where nothing is compiled

        self.caller = self.caller or Caller()
        return running(self.plan, one, isolated, ran, self.caller, self.loras is not None)
