"""How much of every LoRA each token takes, by what the tokens of a layer are.

Caption tokens belong to their owner, image tokens to the characters whose region covers them, as far as it does. Where
a layer sees no tokens (modulation, from the time step), shared LoRAs act alone. Pure torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..xml_prompt import SHARED
from .lora_layers import Spread
from .plan import WHOLE, Plan, Rectangle, coverage

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
