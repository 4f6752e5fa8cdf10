"""What LoRAs add to one layer of a model, split by token.

For a layer's output W x, LoRAs (A_i, B_i) and how much g_i(token) of each every token takes:

    y = W x + B ((A x) * g)          A, B: all A_i, B_i stacked; g: g_i repeated for every rank of LoRA i

One narrow pair of products, however many LoRAs. Every adapter that adds a linear function of x can be split so, as g is
a number a token: y = W x + g D x. A weight-decomposed one (DoRA) with one magnitude m an output scales the whole row,
y = W x + g ((m - 1) W x + m D x).

Nothing is written into W, so quantised layers take it. Pure torch; formats are read in lora_files.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Spread = tuple[tuple[int, float, int], ...]  # number of a LoRA, its scale, its rank: the columns of a gate
Cast = Callable[[Tensor], Tensor]  # a weight to where and in what dtype the layer computes
Gate = Callable[[Tensor, Spread], Tensor]  # output of a layer -> how much every column counts, one row a token


def frozen(weight: Tensor) -> nn.Parameter:
    return nn.Parameter(weight, requires_grad=False)


def is_map(module: nn.Module) -> bool:
    """Whether the layer is a convolution, whose tokens are the places of a feature map [B, C, H, W]."""
    return isinstance(module, nn.Conv2d)


def through(module: nn.Module, x: Tensor, weight: Tensor) -> Tensor:
    """x by another weight in the place of the layer's own, without bias; a convolution keeps its stride and padding."""
    if not is_map(module):
        return F.linear(x, weight.flatten(1))
    if weight.ndim == 2:
        weight = weight.unflatten(1, (-1, *module.kernel_size))
    return F.conv2d(x, weight, None, module.stride, module.padding, module.dilation)


class Pairs(nn.Module):
    """Plain LoRAs of one layer, stacked."""

    def __init__(self, downs: Sequence[Tensor], ups: Sequence[Tensor]) -> None:
        """downs [rank, in ...] and ups [out, rank], one a LoRA."""
        super().__init__()
        self.down, self.up = frozen(torch.cat(list(downs))), frozen(torch.cat(list(ups), 1))

    def add(self, module: nn.Module, x: Tensor, out: Tensor, gate: Tensor, cast: Cast) -> Tensor:
        """out [..., O] + B ((A x) * gate); gate [..., ranks], or [ranks, H, W] for a feature map."""
        narrow = through(module, x, cast(self.down)).mul_(gate)
        up = cast(self.up)
        if is_map(module):
            return out + F.conv2d(narrow, up[:, :, None, None])
        if out.requires_grad or not out.is_contiguous():
            return out + F.linear(narrow, up)
        out.view(-1, len(up)).addmm_(narrow.flatten(0, -2), up.T)  # in place: without a copy of out
        return out


class Adapter(nn.Module):
    """One adapter of any form that adds a linear function of x; its factors stay as they are in the file."""

    def __init__(self, factors: dict[str, Tensor]) -> None:
        super().__init__()
        for name, factor in factors.items():
            self.register_parameter(name, frozen(factor))

    def linear(self, module: nn.Module, x: Tensor, cast: Cast) -> Tensor:
        """D x, in the shape of the layer's output."""
        raise NotImplementedError

    def add(self, module: nn.Module, x: Tensor, out: Tensor, gate: Tensor, cast: Cast) -> Tensor:
        """gate [..., 1], or [1, H, W] for a feature map."""
        return out + gate * self.linear(module, x, cast)


class Product(Adapter):
    """A LoRA by itself: what a Decomposed one consists of."""

    def linear(self, module: nn.Module, x: Tensor, cast: Cast) -> Tensor:
        narrow, up = through(module, x, cast(self.down)), cast(self.up)
        return F.conv2d(narrow, up[:, :, None, None]) if is_map(module) else F.linear(narrow, up)


class Whole(Adapter):
    """A difference of weights as such."""

    def linear(self, module: nn.Module, x: Tensor, cast: Cast) -> Tensor:
        return through(module, x, cast(self.weight))


class Hadamard(Adapter):
    """LoHa: D = scale * (w1a w1b) * (w2a w2b), made anew from its factors, which are a hundredth of its size."""

    def linear(self, module: nn.Module, x: Tensor, cast: Cast) -> Tensor:
        weight = (self.w1a.float() @ self.w1b.float()) * (self.w2a.float() @ self.w2b.float())
        return through(module, x, cast(weight))


class Kronecker(Adapter):
    """LoKr: D = scale * (w1 x w2), applied factor by factor: x [.., b * d] by w2 [c, d], then by w1 [a, b]."""

    def linear(self, module: nn.Module, x: Tensor, cast: Cast) -> Tensor:
        first, second = cast(self.w1), cast(self.w2)
        if is_map(module):
            first = first[:, :, None, None] if second.ndim == 4 else first
            return through(module, x, torch.kron(first, second))
        blocks = F.linear(x.unflatten(-1, (first.shape[1], -1)), second)  # [..., b, c]
        return (first @ blocks).flatten(-2)


class Decomposed(nn.Module):
    """DoRA with one magnitude an output: the layer's rows, changed by D, are brought to the lengths that it states."""

    def __init__(self, inner: Adapter, scale: float, magnitude: Tensor) -> None:
        """scale: of inner's D; magnitude [out]: the lengths of the rows."""
        super().__init__()
        self.inner, self.scale, self.magnitude = inner, scale, frozen(magnitude)
        self.lengths: Tensor | None = None  # [out]: of the layer's own rows, once they have been looked at

    def measure(self, weight: Tensor) -> None:
        """weight: the layer's own."""
        self.lengths = weight.float().flatten(1).norm(dim=1) + torch.finfo(torch.float32).eps

    def add(self, module: nn.Module, x: Tensor, out: Tensor, gate: Tensor, cast: Cast) -> Tensor:
        ratio = cast(self.magnitude.float() / self.lengths.to(self.magnitude.device))
        bias = None if module.bias is None else cast(module.bias)
        if is_map(module):
            ratio, bias = (None if one is None else one[:, None, None] for one in (ratio, bias))
        plain = out if bias is None else out - bias
        return out + gate * ((ratio - 1) * plain + ratio * self.scale * self.inner.linear(module, x, cast))


class Layer(nn.Module):
    """All that the LoRAs of a prompt add to one layer.

    outputs, inputs: of the layer, h and w of a kernel included; inputs None: as an adapter of several factors has them.
    """

    def __init__(
        self, parts: Sequence[nn.Module], spreads: Sequence[Spread], outputs: int, inputs: int | None = None
    ) -> None:
        super().__init__()
        self.parts, self.spreads, self.outputs, self.inputs = nn.ModuleList(parts), tuple(spreads), outputs, inputs

    @property
    def numbers(self) -> set[int]:
        """Which LoRAs."""
        return {number for spread in self.spreads for number, _, _ in spread}

    def add(self, module: nn.Module, x: Tensor, out: Tensor, gate: Gate, cast: Cast) -> Tensor:
        """x and out: of the layer."""
        for part, spread in zip(self.parts, self.spreads, strict=True):
            out = part.add(module, x, out, gate(out, spread), cast)
        return out


@dataclass(frozen=True)
class Pair:
    """A plain LoRA of one layer: down [rank, in ...], up [out, rank], and what their product is multiplied by."""

    down: Tensor
    up: Tensor
    scale: float


@dataclass(frozen=True)
class Other:
    """Anything else. scale: as above; outputs: of the layer."""

    part: Adapter | Decomposed
    scale: float
    outputs: int


def layer_of(found: Sequence[tuple[int, Pair | Other]]) -> Layer:
    """found: (number of the LoRA, Pair or Other) of one layer. Raises ValueError where they differ in size."""
    pairs = [(number, one) for number, one in found if isinstance(one, Pair)]
    rest = [(number, one) for number, one in found if not isinstance(one, Pair)]
    sizes = {(len(one.up), one.down.shape[1]) for _, one in pairs} | {(one.outputs,) for _, one in rest}
    if len({size[0] for size in sizes}) > 1 or len({size for size in sizes if len(size) > 1}) > 1:
        raise ValueError("These LoRAs were made for different models: use those of one model together.")
    parts: list[nn.Module] = [one.part for _, one in rest]
    spreads: list[Spread] = [((number, one.scale, 1),) for number, one in rest]
    if not pairs:
        return Layer(parts, spreads, rest[0][1].outputs)
    spread = tuple((number, one.scale, len(one.down)) for number, one in pairs)
    stacked = Pairs([one.down for _, one in pairs], [one.up for _, one in pairs])
    return Layer([stacked, *parts], [spread, *spreads], len(stacked.up), stacked.down.shape[1])


@dataclass(frozen=True)
class Target:
    """A layer of a model and what is added to it; rows: first and number of the outputs concerned, all where None."""

    path: str
    layer: Layer
    rows: tuple[int, int] | None = None


class Host:
    """How a layer's weights are got at; here, as they are. lora.py has the host's way."""

    def cast(self, weight: Tensor, x: Tensor) -> Tensor:
        return weight.to(x)

    def weight(self, module: nn.Module, x: Tensor) -> Tensor:
        return module.weight


def add_to_output(
    target: Target, gate: Gate, host: Host, module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor
) -> Tensor:
    """A forward hook of the target's layer."""
    x = inputs[0]
    for part in target.layer.parts:
        if isinstance(part, Decomposed) and part.lengths is None:
            part.measure(host.weight(module, x))
    concerned = out if target.rows is None else out.narrow(-1, *target.rows)
    changed = target.layer.add(module, x, concerned, gate, lambda weight: host.cast(weight, x))
    if target.rows is None:
        return changed
    concerned.copy_(changed)
    return out


@contextmanager
def hooked(found: Iterable[tuple[nn.Module, Target, Gate]], host: Host) -> Iterator[None]:
    """Layers of a network, what is added to them, and how much of it."""
    handles = []
    try:
        for module, target, gate in found:
            handles.append(module.register_forward_hook(partial(add_to_output, target, gate, host)))
        yield
    finally:
        for handle in handles:
            handle.remove()
