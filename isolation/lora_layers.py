"""What LoRAs add to one layer of a model, split by token.

For a layer's output W x, LoRAs (A_i, B_i) and how much g_i(token) of each every token takes:

    y = W x + B ((A x) * g)          A, B: all A_i, B_i stacked; g: g_i repeated for every rank of LoRA i

One narrow pair of products, however many LoRAs. Every adapter that adds a linear function of x can be split so, as g is
a number a token: y = W x + g D x. A weight-decomposed one (DoRA) with one magnitude m an output scales the whole row,
y = W x + g ((m - 1) W x + m D x).

Nothing is written into W, so quantised layers take it. Pure torch; formats are read in lora.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..xml_prompt import SHARED
from .plan import WHOLE, Plan, Rectangle, coverage

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

    @property
    def inputs(self) -> int:
        return self.down[0].numel()

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

    @property
    def inputs(self) -> int:
        """Of the layer, h and w of a kernel included."""
        raise NotImplementedError

    @property
    def fits(self) -> bool:
        """Whether the factors can be multiplied."""
        return True

    def linear(self, module: nn.Module, x: Tensor, cast: Cast) -> Tensor:
        """D x, in the shape of the layer's output."""
        raise NotImplementedError

    def add(self, module: nn.Module, x: Tensor, out: Tensor, gate: Tensor, cast: Cast) -> Tensor:
        """gate [..., 1], or [1, H, W] for a feature map."""
        return out + gate * self.linear(module, x, cast)


class Product(Adapter):
    """A LoRA by itself: what a Decomposed one consists of."""

    @property
    def inputs(self) -> int:
        return self.down[0].numel()

    @property
    def fits(self) -> bool:
        return 0 < len(self.down) == self.up.shape[1]

    @property
    def weight(self) -> Tensor:
        """D [out, in]"""
        return self.up.float() @ self.down.flatten(1).float()

    def linear(self, module: nn.Module, x: Tensor, cast: Cast) -> Tensor:
        narrow, up = through(module, x, cast(self.down)), cast(self.up)
        return F.conv2d(narrow, up[:, :, None, None]) if is_map(module) else F.linear(narrow, up)


class Whole(Adapter):
    """A difference of weights as such."""

    @property
    def inputs(self) -> int:
        return self.weight[0].numel()

    def linear(self, module: nn.Module, x: Tensor, cast: Cast) -> Tensor:
        return through(module, x, cast(self.weight))


class Hadamard(Adapter):
    """LoHa: D = scale * (w1a w1b) * (w2a w2b), made anew from its factors, which are a hundredth of its size."""

    @property
    def inputs(self) -> int:
        return self.w1b.shape[1]

    @property
    def fits(self) -> bool:
        ranks = self.w1a.shape[1] == len(self.w1b) and self.w2a.shape[1] == len(self.w2b)
        return ranks and (len(self.w1a), self.w1b.shape[1]) == (len(self.w2a), self.w2b.shape[1])

    def linear(self, module: nn.Module, x: Tensor, cast: Cast) -> Tensor:
        weight = (self.w1a.float() @ self.w1b.float()) * (self.w2a.float() @ self.w2b.float())
        return through(module, x, cast(weight))


class Kronecker(Adapter):
    """LoKr: D = scale * (w1 x w2), applied factor by factor: x [.., b * d] by w2 [c, d], then by w1 [a, b]."""

    @property
    def inputs(self) -> int:
        return self.w1.shape[1] * self.w2[0].numel()

    def linear(self, module: nn.Module, x: Tensor, cast: Cast) -> Tensor:
        first, second = cast(self.w1), cast(self.w2)
        if is_map(module):
            first = first[:, :, None, None] if second.ndim == 4 else first
            return through(module, x, torch.kron(first, second))
        blocks = F.linear(x.unflatten(-1, (first.shape[1], -1)), second)  # [..., b, c]
        return (first @ blocks).flatten(-2)


class Decomposed(nn.Module):
    """DoRA with one magnitude an output: the layer's rows, changed by D, are multiplied by magnitude / length.

    The length is that of the layer's own row, as the host has it, or of the changed one, as PEFT has it.
    """

    def __init__(self, inner: Adapter, scale: float, magnitude: Tensor, changed: bool = False) -> None:
        """scale: of inner's D; magnitude [out]; changed: whether lengths are PEFT's, for which inner is a Product."""
        super().__init__()
        self.inner, self.scale, self.magnitude, self.changed = inner, scale, frozen(magnitude), changed
        self.lengths: Tensor | None = None  # [out], once the layer's rows have been looked at
        self.rows = slice(None)  # which of the layer's rows those are

    @property
    def inputs(self) -> int:
        return self.inner.inputs

    @property
    def fits(self) -> bool:
        return self.inner.fits

    def measure(self, weight: Tensor, rows: slice) -> None:
        """weight: the layer's own, of whose rows only these are concerned."""
        self.rows, own = rows, weight[rows].float().flatten(1)
        if self.changed:
            own = own + self.scale * self.inner.weight.to(own)
        self.lengths = own.norm(dim=1) + torch.finfo(torch.float32).eps

    def add(self, module: nn.Module, x: Tensor, out: Tensor, gate: Tensor, cast: Cast) -> Tensor:
        ratio = self.magnitude.float() / self.lengths.to(self.magnitude.device)
        more, ratio = cast(ratio - 1), cast(ratio * self.scale)  # bfloat16 knows small numbers better than those near 1
        bias = None if module.bias is None else cast(module.bias)[self.rows]
        if is_map(module):
            more, ratio, bias = (None if one is None else one[:, None, None] for one in (more, ratio, bias))
        plain = out if bias is None else out - bias
        return out + gate * (more * plain + ratio * self.inner.linear(module, x, cast))


class Layer(nn.Module):
    """All that the LoRAs of a prompt add to one layer; outputs, inputs: of the layer, kernels included."""

    def __init__(self, parts: Sequence[nn.Module], spreads: Sequence[Spread], outputs: int) -> None:
        super().__init__()
        self.parts, self.spreads, self.outputs = nn.ModuleList(parts), tuple(spreads), outputs
        self.inputs = parts[0].inputs

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
    sizes = {(len(one.up), one.down[0].numel()) for _, one in pairs} | {(o.outputs, o.part.inputs) for _, o in rest}
    if len(sizes) > 1:
        raise ValueError("These LoRAs were made for different models: use those of one model together.")
    parts: list[nn.Module] = [one.part for _, one in rest]
    spreads: list[Spread] = [((number, one.scale, 1),) for number, one in rest]
    if not pairs:
        return Layer(parts, spreads, rest[0][1].outputs)
    spread = tuple((number, one.scale, len(one.down)) for number, one in pairs)
    stacked = Pairs([one.down for _, one in pairs], [one.up for _, one in pairs])
    return Layer([stacked, *parts], [spread, *spreads], len(stacked.up))


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


def measure(target: Target, host: Host, module: nn.Module, x: Tensor) -> None:
    """What has to be known of the layer's own weight. x: for dtype and device."""
    for part in target.layer.parts:
        if isinstance(part, Decomposed) and part.lengths is None:
            rows = slice(None) if target.rows is None else slice(target.rows[0], sum(target.rows))
            part.measure(host.weight(module, x), rows)


def add_to_output(
    target: Target, gate: Gate, host: Host, module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor
) -> Tensor:
    """A forward hook of the target's layer."""
    x = inputs[0]
    measure(target, host, module, x)
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


class WithLoras(nn.Module):
    """A layer together with what is added to it, for code that is compiled.

    A compiler does not ask again whether a layer has other hooks. But it reads which modules there are, and takes their
    tensors as they come: other weights and gates of the same shapes are other numbers in the same graph.
    """

    def __init__(self, module: nn.Module, added: Sequence[tuple[Target, Sequence[Tensor]]], host: Host) -> None:
        """added: several where files change parts of the layer's outputs; each with the gates of its layer's parts."""
        super().__init__()
        self.module, self.added, self.host = module, [(target, list(gates)) for target, gates in added], host

    def forward(self, x: Tensor) -> Tensor:
        out = self.module(x)
        for target, own in self.added:
            gate = partial(following, iter(own))
            out = add_to_output(target, gate, self.host, self.module, (x,), out)
        return out


def following(gates: Iterator[Tensor], _out: Tensor, _spread: Spread) -> Tensor:
    """As a Gate, of those that were made for a layer's parts in their order."""
    return next(gates)


@contextmanager
def exchanged(found: Iterable[tuple[nn.Module, str, nn.Module]]) -> Iterator[None]:
    """Within, modules have others in them: a module, the name of one in it, and what is there instead."""
    before = []
    try:
        for parent, name, other in found:
            before.append((parent, name, parent._modules[name]))
            parent._modules[name] = other
        yield
    finally:
        for parent, name, own in before:
            parent._modules[name] = own


# The gates: how much of every LoRA each token takes, by what the tokens of a layer are. Caption tokens belong to their
# owner, image tokens to the characters whose region covers them, as far as it does. Where a layer sees no tokens
# (modulation, from the time step), shared LoRAs act alone.

CAPTION, IMAGE, JOINT, EVERYTHING = "caption", "image", "joint", "everything"  # what a layer's tokens are
Strengths = Mapping[int, float]  # of one LoRA: owner -> strength; that of SHARED counts everywhere


def everyones(worn: Sequence[Strengths]) -> Tensor:
    """[1, K]: the shares of what is nobody's."""
    return torch.tensor([[strengths.get(SHARED, 0.0) for strengths in worn]])


def owned(owners: Sequence[int], people: int) -> Tensor:
    """[people, L]: 1 where a token is a character's."""
    return (torch.tensor(tuple(owners)) == torch.arange(1, people + 1)[:, None]).float()


def shares(worn: Sequence[Strengths], inside: Tensor) -> Tensor:
    """How much of each LoRA every token takes, [T, K].

    inside [R, T] in 0..1: how much each token is each character's. Where two who wear the same one overlap, the
    stronger counts; what is shared comes on top.
    """
    columns = []
    for strengths in worn:
        everyone = inside.new_full((1, inside.shape[1]), strengths.get(SHARED, 0.0))
        own = [strength * inside[owner - 1] for owner, strength in strengths.items() if owner != SHARED]
        theirs = torch.stack([torch.zeros_like(everyone[0]), *own])
        columns.append(everyone + theirs.gather(0, theirs.abs().argmax(0, keepdim=True)))
    return torch.cat(columns).T


class Gates:
    """How much of every LoRA each token of one forward takes."""

    def __init__(self, everything: Tensor) -> None:
        """everything [1, K]: of a layer without tokens, the shared ones alone."""
        self.everything = everything
        self.made: dict[tuple, Tensor] = {}

    def table(self, place: str, out: Tensor) -> Tensor:
        """[..., K], or [..., K, H, W] for a feature map. out: of the layer."""
        return self.everything

    def of(self, place: str, out: Tensor, spread: Spread) -> Tensor:
        """One column a rank, in the dtype of out."""
        size = tuple(out.shape[2:]) if out.ndim == 4 else out.shape[1:-1]
        key = place, size, spread, out.dtype
        if key not in self.made:
            table = self.table(place, out)
            axis = -3 if out.ndim == 4 and table.ndim > 2 else -1
            numbers = torch.tensor([number for number, _, rank in spread for _ in range(rank)], device=table.device)
            scales = table.new_tensor([scale for _, scale, rank in spread for _ in range(rank)])
            scales = scales[:, None, None] if axis == -3 else scales
            self.made[key] = (table.index_select(axis, numbers) * scales).to(out)
        return self.made[key]


class PictureGates(Gates):
    """Of a diffusion model: caption tokens by owner, image tokens by region."""

    def __init__(
        self, worn: Sequence[Strengths], plan: Plan, owners: Sequence[int], grids: Mapping[int, tuple[int, int]],
        device: torch.device, places: Sequence[Rectangle] = (WHOLE,),
    ) -> None:
        """owners: one a caption token; grids: rows and columns of the picture's tokens, by their number; places: what

        of the picture they are, in one tile or each of a batch of them.
        """
        super().__init__(everyones(worn).to(device))
        self.worn, self.plan, self.grids, self.device, self.places = worn, plan, grids, device, places
        self.caption = shares(worn, owned(owners, len(plan.regions))).to(device)  # [L, K]

    def image(self, rows: int, columns: int) -> Tensor:
        """[rows * columns, K], or one for each of several places."""
        soft, regions = self.plan.options.soft_edge, self.plan.regions
        made = []
        for place in self.places:
            covered = [coverage(region, rows, columns, soft, place) for region in regions]
            made.append(shares(self.worn, torch.stack([torch.zeros(rows * columns), *covered])[1:]))
        return (made[0] if len(made) == 1 else torch.stack(made)).to(self.device)

    def table(self, place: str, out: Tensor) -> Tensor:
        if place == EVERYTHING:
            return self.everything
        if place == CAPTION:
            return self.caption
        if out.ndim == 4:
            return self.image(*out.shape[2:]).transpose(-1, -2).unflatten(-1, tuple(out.shape[2:]))  # [.., K, H, W]
        tokens = out.shape[1] - (len(self.caption) if place == JOINT else 0)
        if tokens not in self.grids:
            raise ValueError(
                f"A node changed the picture's number of tokens to {tokens}, so the characters' LoRAs can't be "
                "placed: remove that node, or the characters' LoRAs."
            )
        image = self.image(*self.grids[tokens])
        if place != JOINT:
            return image
        return torch.cat([self.caption.expand(*image.shape[:-2], -1, -1), image], -2)


class TextGates(Gates):
    """Of text encoders: by the owner of every token read."""

    def __init__(
        self, worn: Sequence[Strengths], owners: Sequence[Sequence[int]], people: int, device: torch.device
    ) -> None:
        """owners: of every text the tokens', all texts equally long; none: everything is shared."""
        super().__init__(everyones(worn).to(device))
        self.tokens = self.everything
        if any(map(any, owners)):
            tables = [shares(worn, owned(text, people)) for text in owners]
            self.tokens = torch.stack(tables).to(device)  # [B, L, K]

    def table(self, place: str, out: Tensor) -> Tensor:
        return self.everything if place == EVERYTHING or out.ndim < 3 else self.tokens


def nextdit_place(path: str) -> str:
    if "adaLN" in path or path.startswith(("t_embedder", "time_text_embed", "clip_text_pooled_proj")):
        return EVERYTHING
    if path.startswith(("context_refiner", "cap_embedder")):
        return CAPTION
    return IMAGE if path.startswith(("noise_refiner", "x_embedder")) else JOINT


def unet_place(path: str) -> str:
    if path.startswith(("time_embed", "label_emb")) or ".emb_layers." in path:
        return EVERYTHING
    return CAPTION if path.endswith(("attn2.to_k", "attn2.to_v")) else IMAGE


def text_place(path: str) -> str:
    """Jina's vector is of the whole prompt, and its tokens are not the caption's."""
    return EVERYTHING if path.startswith("jina.") else CAPTION
