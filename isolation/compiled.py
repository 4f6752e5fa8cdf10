"""Isolated passes under torch.compile: what the host has compiled runs, for such a pass, in graphs of its own.

Guards decide whether compiled code fits the next call, and the host's TorchCompileModel leaves the options, where
overrides live, out of them: what was traced for one plan would run for another, or for none. So in an isolated pass
every compiled module is called through `call`, whose graphs no plain pass shares, and the plan reaches it as tensors of
one width for any number of characters and of any length. A plan changes their values alone: nothing is traced again for
another prompt. How many layers obeyed is a number that the graph gives back, like its result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..sentences import log
from .bias import TRACED
from .carrier import OVERRIDE, Pass, is_compiled, of_any_length
from .fused import attend
from .nextdit import CAPTION, JOINT, IsolatedAttention, Ran, as_written
from .plan import Plan
from .silhouettes import owned, scores_in

PATCHES, AFTER_LAYER = "patches", "double_block"  # the host's transformer options: functions called behind every layer
UNTRACED = (
    "NewBie: passes with isolated characters run uncompiled, because torch.compile can't compile this model, or what "
    "other nodes do in it, in one piece."
)
# Of one code, which PyTorch compiles 8 times and then no more. `call` runs joint layers and refiners, without LoRAs and
# with one or several, each for the first size and batch and for others.
GRAPHS = 64
PEOPLE = 8  # rows of the table of whose the text is, so that it is the same for fewer


@torch.library.custom_op("newbie::look", mutates_args=())
def look(out: Tensor, own: Tensor, due: Tensor) -> Tensor:
    """What a joint layer shows of the characters, as silhouettes.scores_in; anything where it is not due.

    One step in a graph whose inside the compiler does not see, so that the same graph serves for steps that are looked
    at and for those that are not. due: a truth value, on the processor, where asking for it waits for no device; on the
    device where what runs there is recorded and played again, in which case looking takes its time in every step.
    """
    if due.device.type != "cpu":
        return scores_in(out, own) * due
    return scores_in(out, own) if due else look_fake(out, own, due)


@look.register_fake
def look_fake(out: Tensor, own: Tensor, due: Tensor) -> Tensor:
    return out.new_empty((len(out), len(own), out.shape[1] - own.shape[1]), dtype=torch.float32)


class Codes(NamedTuple):
    """What a plan adds to the attention, as tensors; P pictures, or 1 for all. None: nothing."""

    caption: Tensor | None = None  # [P, 1, L, L], a mask of the context refiner
    joint: Tensor | None = None  # [P, 1, T, T], a mask of the joint layers; or instead of it:
    query: Tensor | None = None  # [P, T, E], appended to theirs
    key: Tensor | None = None  # [P, T, E]
    own: Tensor | None = None  # [C, L], whose the text is, for silhouettes
    due: Tensor | None = None  # whether this step is looked at


class Traced(NamedTuple):
    """What a graph did."""

    joint: int  # calls of joint layers that were isolated
    caption: int  # and of refiners
    layers: int  # joint layers that ran
    seen: Tensor | None  # [B, C, N], the sum of what joint layers show


class TracedAttention:
    """The host's attention override inside a graph: made, called and read there, so that nothing of it remains."""

    def __init__(self, codes: Codes, refiners: int, inner: Callable[..., Tensor] | None) -> None:
        """refiners: how many calls of the caption's length come before the image's, where both are as long."""
        self.codes, self.refiners, self.inner = codes, refiners, inner
        self.joint = self.caption = self.layers = 0  # calls
        self.seen: Tensor | None = None  # [B, C, N], of all joint layers

    def __call__(
        self, func: Callable, q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None, **kwargs: Any
    ) -> Tensor:
        """q, k, v [B, H, T, D]; an override that was there before still decides how to compute."""
        caption, joint, query, key, *_ = self.codes
        length = q.shape[2] if kwargs.get("skip_reshape") and not kwargs.get("skip_output_reshape") else -1
        if query is not None and length == query.shape[1]:
            return self.looked(attend(q, k, v, query, key).transpose(1, 2).flatten(2))
        if joint is not None and length == joint.shape[-1]:
            return self.looked(self.hosts(func, q, k, v, heads, joint, **kwargs))
        if caption is not None and self.caption < self.refiners and length == caption.shape[-1]:
            self.caption += 1
            mask = caption
        return self.hosts(func, q, k, v, heads, mask, **kwargs)

    def hosts(self, func: Callable, *args: Any, **kwargs: Any) -> Tensor:
        return func(*args, **kwargs) if self.inner is None else self.inner(func, *args, **kwargs)

    def looked(self, out: Tensor) -> Tensor:
        """out [B, T, H * D]: of a joint layer."""
        self.joint += 1
        seen = torch.ops.newbie.look(out, self.codes.own, self.codes.due)
        self.seen = seen if self.seen is None else self.seen + seen
        return out

    def behind(self, _layer: dict[str, Any]) -> dict[str, Any]:
        """The host's patch behind every joint layer: counts it."""
        self.layers += 1
        return {}


def call(
    module: nn.Module,
    codes: Codes,
    refiners: int,
    inner: Callable[..., Tensor] | None,
    transformer_options: dict[str, Any],  # as the host's guards know it
    *args: Any,
    **kwargs: Any,
) -> tuple[Tensor, Traced]:
    """What is compiled. -> the module's output, and what was done on the way."""
    attention = TracedAttention(codes, refiners, inner)
    patches = transformer_options.get(PATCHES, {})
    patches = {**patches, AFTER_LAYER: [attention.behind, *patches.get(AFTER_LAYER, [])]}
    options = {**transformer_options, OVERRIDE: attention, PATCHES: patches}
    out = module(*args, transformer_options=options, **kwargs)
    return out, Traced(attention.joint, attention.caption, attention.layers, attention.seen)


@dataclass(frozen=True)
class Part:
    """A compiled module in an isolated pass. codes: of what it reads; None where nothing of that is isolated."""

    module: nn.Module
    codes: Codes | None
    joint: bool = False  # whether it is a joint layer
    refiners: int = 0  # layers of the caption alone in it
    whole: bool = False  # the network, and not one of its layers


@contextmanager
def replaced(parts: Sequence[Part], run: Callable[..., Tensor]) -> Iterator[None]:
    """Within, a call of a part is one of run(part, its own way, ...)."""
    before = [part.module.forward for part in parts]
    try:
        for part, own in zip(parts, before, strict=True):
            part.module.forward = partial(run, part, own)
        yield
    finally:
        for part, own in zip(parts, before, strict=True):
            part.module.forward = own


class Caller:
    """`call` under torch.compile, for all passes of one isolation: with equal settings it finds its graphs again.

    As one graph or not at all: the rest of one that breaks would be compiled by the host's guards, beside plain passes.
    """

    def __init__(self) -> None:
        self.settings: Mapping[str, Any] | None = None
        self.compiled: Callable[..., Any] | None = None

    def __call__(
        self, settings: Mapping[str, Any], part: Part, inner: Callable[..., Tensor] | None, options: dict[str, Any],
        *args: Any, **kwargs: Any,
    ) -> tuple[Tensor, Traced] | None:
        """A call of the part, whose codes are given; None where it can't be traced, which is not tried again."""
        from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException

        if self.settings != settings:
            self.settings, self.compiled = settings, torch.compile(call, **{**settings, "fullgraph": True})
        if self.compiled is None:
            return None
        try:
            with torch.compiler.set_stance("default"):
                return self.compiled(part.module._orig_mod, part.codes, part.refiners, inner, options, *args, **kwargs)
        except (TorchDynamoException, FailOnRecompileLimitHit) as problem:
            log.info(UNTRACED)
            log.debug("%s", problem)
            self.compiled = None
            return None


def parts_of(one: Pass, codes: Codes, loras: bool) -> list[Part]:
    """What of the model is compiled, and its share of the plan; none of it is as in plain passes where LoRAs act."""
    model, whole = one.model, one.compiler.whole
    if whole is not None:
        return [Part(whole, codes, refiners=len(model.context_refiner), whole=True)]
    shares = (
        (model.layers, codes._replace(caption=None), True, 0), (model.context_refiner, Codes(codes.caption), False, 1),
        (model.noise_refiner, Codes(), False, 0),
    )
    return [
        Part(layer, own if loras or any(code is not None for code in own) else None, joint, refiners)
        for layers, own, joint, refiners in shares
        for layer in layers
        if is_compiled(layer)
    ]


def codes_of(plan: Plan, one: Pass, isolated: IsolatedAttention) -> Codes:
    """The plan as tensors."""
    joint, device, dtype = isolated.biases.get(JOINT), one.x.device, one.compiler.dtype
    caption = of_any_length(isolated.mask(CAPTION, dtype), 2, 3) if CAPTION in isolated.biases else None
    if joint is None:
        return Codes(caption)
    own, due = of_any_length(owned(plan, PEOPLE + 1).to(device, dtype), 1), torch.tensor(one.sight is not None)
    due = due.to(device) if one.compiler.records else due
    attention = one.model.layers[0].attention
    shape = 1, attention.n_local_heads, isolated.caption + isolated.image, attention.head_dim
    if isolated.inner is None and isolated.kernel.serves(joint, shape, device, dtype):
        factors = (of_any_length(factor, 1) for factor in joint.scaled(attention.head_dim, dtype, TRACED))
        return Codes(caption, None, *factors, own, due)
    return Codes(caption, of_any_length(isolated.mask(JOINT, dtype), 2, 3), own=own, due=due)


class Layers:
    """Those of one pass: how they run, which ran, how many isolated, and what they show."""

    def __init__(self, one: Pass, isolated: IsolatedAttention, ran: Ran, caller: Caller) -> None:
        self.one, self.isolated, self.ran, self.caller = one, isolated, ran, caller

    def run(self, part: Part, own: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """One call of a compiled part. own: how plain passes call it."""
        given, inner = kwargs.pop("transformer_options"), self.isolated.inner
        options = {name: value for name, value in given.items() if name != OVERRIDE}
        if part.codes is None:
            with torch.compiler.set_stance("default"):
                return own(*args, transformer_options=options | ({OVERRIDE: inner} if inner else {}), **kwargs)
        self.free(*args, *kwargs.values())
        found = self.caller(self.one.compiler.settings, part, inner, options, *args, **kwargs)
        if found is not None:
            out, traced = found
            self.told(part, traced)
            return out
        model = self.one.model
        joint, caption = (model.layers, model.context_refiner) if part.whole else ((), ())
        if not part.whole:
            joint, caption = [part.module] * part.joint, [part.module] * part.refiners
        with as_written(self.one, self.ran, joint, caption):
            return part.module._orig_mod(*args, transformer_options=given, **kwargs)

    def free(self, *passed: Any) -> None:
        """Of what a part is given, tokens and their places [B, T, ...]: neither vectors nor pictures."""
        lengths = self.isolated.caption, self.isolated.caption + self.isolated.image
        for tensor in passed:
            if isinstance(tensor, Tensor) and tensor.ndim not in (0, 1, 2, 4) and tensor.shape[1] in lengths:
                of_any_length(tensor, 1)

    def told(self, part: Part, traced: Traced) -> None:
        joint = traced.layers if part.whole else int(part.joint)
        self.isolated.calls[JOINT] += traced.joint
        self.isolated.calls[CAPTION] += traced.caption
        self.ran[JOINT] += [part.module] * joint
        self.ran[CAPTION] += [part.module] * (part.refiners if joint or not part.whole else 0)
        sight = self.one.sight
        if sight and traced.seen is not None:
            sight.scores += [traced.seen[:, : len(sight.own)] / traced.joint] * traced.joint


@contextmanager
def running(
    plan: Plan, one: Pass, isolated: IsolatedAttention, ran: Ran, caller: Caller, loras: bool
) -> Iterator[None]:
    """Around one pass: what is compiled runs with the plan's codes, the rest as it is written.

    loras: whether the model's layers have some added to them.
    """
    model, parts = one.model, parts_of(one, codes_of(plan, one, isolated), loras)
    compiled = {part.module for part in parts}
    joint, caption = (
        [] if one.compiler.whole in compiled else [layer for layer in layers if layer not in compiled]
        for layers in (model.layers, model.context_refiner)
    )
    with (
        torch._dynamo.config.patch(recompile_limit=max(GRAPHS, torch._dynamo.config.recompile_limit)),
        as_written(one, ran, joint, caption), replaced(parts, Layers(one, isolated, ran, caller).run),
    ):
        yield
