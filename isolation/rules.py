"""Who may read whom, as boolean matrices: the exact rules of isolation, for any batch. Pure torch, no host.

Owners: 0 is shared text, r is character r's text, PADDING is no token at all. True means "may attend".
The rules, with image q and k left free among themselves (isolating image from image splits the picture in two):

    caption q of r,  caption k     k shared or owned by r
    shared caption q, caption k    k shared
    image q,         caption k     k shared, or owned by a character whose region covers q
    caption q of r,  image k       the region of r covers k
    shared caption q, image k      always
"""

from __future__ import annotations

import torch
from torch import Tensor

PADDING = -1


def caption_rules(owner: Tensor) -> Tensor:
    """owner [B, L] -> [B, L, L]: what a caption token (row) may read of the caption (column)."""
    q, k = owner[:, :, None], owner[:, None, :]  # [B, L, 1], [B, 1, L]
    return (k != PADDING) & ((k == 0) | (k == q))


def image_to_caption_rules(owner: Tensor, covers: Tensor) -> Tensor:
    """owner [B, L], covers [B, R, N] (character r covers image token n) -> [B, N, L]."""
    shared = covers.new_ones(covers.shape[0], 1, covers.shape[2])  # reaches everyone
    everyone = torch.cat([shared, covers], 1)  # [B, 1+R, N]
    index = owner.clamp(min=0)[:, :, None].expand(-1, -1, covers.shape[2])  # [B, L, N]
    return (everyone.gather(1, index) & (owner != PADDING)[:, :, None]).transpose(1, 2)


def joint_rules(owner: Tensor, covers: Tensor) -> Tensor:
    """owner [B, L], covers [B, R, N] -> [B, L+N, L+N] for the joint layers, caption tokens first."""
    image_reads_caption = image_to_caption_rules(owner, covers)  # [B, N, L]
    shared_or_padding = (owner <= 0)[:, :, None]
    caption_reads_image = image_reads_caption.transpose(1, 2) | shared_or_padding  # [B, L, N]
    count = covers.shape[2]
    image_reads_image = owner.new_ones((owner.shape[0], count, count), dtype=torch.bool)
    return torch.cat(
        [
            torch.cat([caption_rules(owner), caption_reads_image], 2),
            torch.cat([image_reads_caption, image_reads_image], 2),
        ],
        1,
    )
