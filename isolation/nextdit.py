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
from .carrier import IsolatedForward, Options, Pass, check_tokens
from .compiled import OVERRIDE, Caller, Codes, Part, Traced, counted, is_compiled, replaced
from .fused import FusedBias, NoKernelError
from .plan import WHOLE, Plan, Rectangle
from .silhouettes import owned

if TYPE_CHECKING:  # nothing of it runs for a prompt without LoRAs
    from .lora import Loras

JOINT, CAPTION = "joint", "caption"
PEOPLE = 8  # rows of the table of whose the text is, inside a compiled graph


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


class Layers:
    """Those of one pass: how they run where they are compiled, which ran, how many isolated, and what they show."""

    def __init__(self, one: Pass, isolated: IsolatedAttention, caller: Caller) -> None:
        self.one, self.isolated, self.caller = one, isolated, caller
        self.ran: dict[str, list[nn.Module]] = {JOINT: [], CAPTION: []}

    @contextmanager
    def as_written(self, joint: Iterable[nn.Module], caption: Iterable[nn.Module]) -> Iterator[None]:
        """While those run uncompiled."""
        joint, caption = attentions(joint), attentions(caption)
        with counted(joint, self.ran[JOINT]), counted(caption, self.ran[CAPTION]), looked_at(self.one, joint):
            yield

    def run(self, part: Part, own: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """One call of a compiled part. own: how plain passes call it."""
        given, inner = kwargs.pop("transformer_options"), self.isolated.inner
        options = {name: value for name, value in given.items() if name != OVERRIDE}
        if part.codes is None:
            with torch.compiler.set_stance("default"):
                return own(*args, transformer_options=options | ({OVERRIDE: inner} if inner else {}), **kwargs)
        found = self.caller(self.one.compiler.settings, part, inner, options, *args, **kwargs)
        if found is not None:
            out, traced = found
            self.told(part, traced)
            return out
        model = self.one.model
        joint, caption = (model.layers, model.context_refiner) if part.whole else ((), ())
        if not part.whole:
            joint, caption = ((), [part.module]) if part.refiners else ([part.module], ())
        with self.as_written(joint, caption):
            return part.module._orig_mod(*args, transformer_options=given, **kwargs)

    def told(self, part: Part, traced: Traced) -> None:
        joint = traced.layers if part.whole else int(not part.refiners)
        self.isolated.calls[JOINT] += traced.joint
        self.isolated.calls[CAPTION] += traced.caption
        self.ran[JOINT] += [part.module] * joint
        self.ran[CAPTION] += [part.module] * (part.refiners if joint or not part.whole else 0)
        sight = self.one.sight
        if sight and traced.seen is not None:
            sight.scores += [traced.seen[:, : len(sight.own)] / traced.joint] * traced.joint


def looked_at(one: Pass, joint: Iterable[nn.Module]) -> AbstractContextManager[None]:
    return one.sight.of(attention.out for attention in joint) if one.sight else nullcontext()


def parts_of(one: Pass, codes: Codes) -> list[Part]:
    """What of the model is compiled, and its share of the plan."""
    model, whole = one.model, one.compiler.whole
    if whole is not None:
        return [Part(whole, codes, len(model.context_refiner), whole=True)]
    shares = (model.layers, codes._replace(caption=None), 0), (model.context_refiner, Codes(codes.caption), 1)
    return [
        Part(layer, own if any(code is not None for code in own) else None, refiners)
        for layers, own, refiners in (*shares, (model.noise_refiner, Codes(), 0))
        for layer in layers
        if is_compiled(layer)
    ]


class IsolatedNextDiT(IsolatedForward):
    compiles = True
    shows = (NextDiT,)

    def __init__(self, plan: Plan, loras: Loras | None = None) -> None:
        super().__init__(plan, loras)
        self.kernel = Kernel()
        self.caller = Caller()

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

    def codes(self, isolated: IsolatedAttention, one: Pass) -> Codes:
        """The plan as tensors."""
        joint, device, dtype = isolated.biases.get(JOINT), one.x.device, one.compiler.dtype
        caption = isolated.mask(CAPTION, dtype) if CAPTION in isolated.biases else None
        if joint is None:
            return Codes(caption)
        own, due = owned(self.plan, PEOPLE + 1).to(device, dtype), torch.tensor(one.sight is not None)
        due = due.to(device) if one.compiler.records else due
        attention = one.model.layers[0].attention
        shape = 1, attention.n_local_heads, isolated.caption + isolated.image, attention.head_dim
        if isolated.inner is None and self.kernel.serves(joint, shape, device, dtype):
            factors = joint.scaled(attention.head_dim, dtype, TRACED)
            return Codes(caption, None, *factors, own, due)
        return Codes(caption, isolated.mask(JOINT, dtype), own=own, due=due)

    @contextmanager
    def isolated(self, one: Pass) -> Iterator[Options]:
        plan, model = self.now(one.options), one.model
        if plan.neutral:
            with looked_at(one, attentions(model.layers)) if one.sight else nullcontext():
                yield one.options
            return
        check_fits(plan, model, one.text, one.arguments.get("ref_latents"))
        rows, columns = (-(-side // model.patch_size) for side in one.x.shape[-2:])  # the host pads to whole patches
        refiners, inner = len(model.context_refiner), one.options.get(OVERRIDE)
        isolated = self.override(plan, rows, columns, one.x.device, refiners, inner, one.places)
        layers = Layers(one, isolated, self.caller)
        parts = parts_of(one, self.codes(isolated, one)) if one.compiler else []
        compiled = {part.module for part in parts}
        whole = one.compiler and one.compiler.whole in compiled
        joint, caption = (
            [] if whole else [layer for layer in some if layer not in compiled]
            for some in (model.layers, model.context_refiner)
        )
        with layers.as_written(joint, caption), replaced(parts, layers.run):
            yield {**one.options, OVERRIDE: isolated}
        for layer, ran in layers.ran.items():
            if layer in isolated.biases:
                self.count(isolated.calls[layer], len(ran))
