"""How much of every LoRA each token takes, by what the tokens of a layer are.

Caption tokens belong to their owner, image tokens to the characters whose region covers them, as far as it does. Where
a layer sees no tokens (modulation, from the time step), shared LoRAs act alone. Pure torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from .lora_layers import Spread

CAPTION, IMAGE, JOINT, EVERYTHING = "caption", "image", "joint", "everything"  # what a layer's tokens are
Strengths = Mapping[int, float]  # of one LoRA: owner -> strength; owner 0 (shared) has it everywhere


def shares(worn: Sequence[Strengths], inside: Tensor) -> Tensor:
    """How much of each LoRA every token takes, [T, K].

    inside [R, T] in 0..1: how much each token is each character's. Where two who wear the same one overlap, the
    stronger counts; what is shared comes on top.
    """
    columns = []
    for strengths in worn:
        everyone = torch.full_like(inside[:1], strengths.get(0, 0.0))  # [1, T]
        own = [strength * inside[owner - 1] for owner, strength in strengths.items() if owner]
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
        """[..., K], or [K, H, W] for a feature map. out: of the layer."""
        return self.everything

    def of(self, place: str, out: Tensor, spread: Spread) -> Tensor:
        """One column a rank, in the dtype of out."""
        size = tuple(out.shape[2:]) if out.ndim == 4 else out.shape[1:-1]
        key = place, size, spread, out.dtype
        if key not in self.made:
            table = self.table(place, out)
            first = out.ndim == 4 and table.ndim == 3
            columns = [
                (table[number] if first else table[..., number]).unsqueeze(0 if first else -1) * scale
                for number, scale, rank in spread
                for _ in range(rank)
            ]
            self.made[key] = torch.cat(columns, 0 if first else -1).to(out)
        return self.made[key]


class PictureGates(Gates):
    """Of a diffusion model: caption tokens by owner, image tokens by region."""

    def __init__(
        self, worn: Sequence[Strengths], caption: Tensor, image: Callable[[int, int], Tensor],
        grids: Mapping[int, tuple[int, int]], device: torch.device,
    ) -> None:
        """caption [R, L]: whose each token is; image: rows, columns -> [R, rows * columns]; grids: by their product."""
        super().__init__(shares(worn, caption[:, :0]).new_tensor([[s.get(0, 0.0) for s in worn]]).to(device))
        self.worn, self.image, self.grids, self.device = worn, image, grids, device
        self.caption = shares(worn, caption).to(device)

    def table(self, place: str, out: Tensor) -> Tensor:
        if place == EVERYTHING:
            return self.everything
        if place == CAPTION:
            return self.caption
        tokens = out.shape[1] - (len(self.caption) if place == JOINT else 0)
        rows, columns = out.shape[2:] if out.ndim == 4 else self.grids.get(tokens, (0, 0))
        if not rows:
            raise ValueError(
                f"A node changed how many tokens the picture has ({tokens}), so that characters' LoRAs don't find "
                "theirs: remove that node, or the LoRAs from the characters."
            )
        image = shares(self.worn, self.image(rows, columns)).to(self.device)  # [N, K]
        if out.ndim == 4:
            return image.T.unflatten(1, (rows, columns))
        return torch.cat([self.caption, image]) if place == JOINT else image


class TextGates(Gates):
    """Of text encoders: by owner of every token read."""

    def __init__(self, worn: Sequence[Strengths], owner: Tensor, people: int, device: torch.device) -> None:
        """owner [..., L]"""
        super().__init__(torch.tensor([[strengths.get(0, 0.0) for strengths in worn]], device=device))
        inside = (owner.flatten() == torch.arange(1, people + 1)[:, None]).float()
        self.tokens = shares(worn, inside).unflatten(0, owner.shape).to(device)  # [..., L, K]

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
