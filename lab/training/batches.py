"""What one step of the diffusion model learns from: latents, their weights and their prompts."""

from __future__ import annotations

import torch
from torch import Tensor

from ...isolation.plan import PADDING
from . import tokens
from .autoencoder import encode
from .dataset import ISOLATED, TOKEN_PIXELS, VARIANTS
from .generate import Batch
from .model import Autoencoder
from .pools import Pool
from .schedule import Clock

KEPT = 12000  # pictures that stay beside their latents, of all groups together: what the decoder is refined on


def prepare(pools: list[Pool], network: Autoencoder, device: torch.device, clock: Clock) -> None:
    """Pictures become latents, of which the first stay as "picture" too; each pool's parts become one tensor a name."""
    share = min(1.0, KEPT / max(1, sum(map(len, pools))))
    for pool in pools:
        parts = pool.arrays
        parts["picture"] = [torch.cat(parts["image"][: max(1, round(share * pool.chunks))])]
        parts["latent"] = [torch.cat([encode(network, part, device) for part in parts.pop("image")])]
        del parts["corner"]
        for name in [n for n in parts if n not in ("latent", "picture")]:
            parts[name] = [torch.cat(parts[name])]
        parts["weight"] = [attention_to_people(parts["box"][0], parts["meeting"][0], pool.group.grid).half()]
    total = sum(len(p.arrays["latent"][0]) for p in pools)
    deviation = torch.cat([p.arrays["latent"][0][:500].float().flatten() for p in pools]).std()
    clock.say(f"{total} pictures encoded, latent std {deviation:.3f}")


def attention_to_people(box: Tensor, meeting: Tensor, grid: tuple[int, int]) -> Tensor:
    """box [N, R, 4] and meeting [N, 4] px -> loss weights [N, rows, columns], mean 1.

    Figures count more than scenery, hands that meet and faces more than that, eyes most: they are two tokens of a
    picture and a quarter of what people look at. Heads are about as wide as the figure, whatever its shape.
    """
    rows, columns = grid
    x = (torch.arange(columns, device=box.device) + 0.5) * TOKEN_PIXELS
    y = (torch.arange(rows, device=box.device) + 0.5) * TOKEN_PIXELS
    weight, half = torch.ones(len(box), rows, columns, device=box.device), TOKEN_PIXELS / 2

    def raise_to(value: float, left: Tensor, top: Tensor, right: Tensor, bottom: Tensor) -> None:
        nonlocal weight
        in_x = (x > left - half) & (x < right + half)
        in_y = (y > top - half) & (y < bottom + half)
        inside = in_y[:, :, None] & in_x[:, None, :] & (right > left)[:, :, None]
        weight = torch.maximum(weight, torch.where(inside, value, 1.0))

    for person in range(box.shape[1]):
        left, top, right, bottom = (edge[:, None] for edge in box[:, person].unbind(1))
        width = right - left
        raise_to(2.8, left, top, right, bottom)
        raise_to(3.5, left + 0.15 * width, top + 0.15 * width, right - 0.15 * width, top + 0.75 * width)
        raise_to(8.0, left + 0.2 * width, top + 0.3 * width, right - 0.2 * width, top + 0.68 * width)
    raise_to(3.5, *(edge[:, None] for edge in meeting.unbind(1)))
    return weight / weight.mean((1, 2), keepdim=True)


Chosen = tuple[Tensor, Tensor]  # pictures [B] of a pool, and which of its prompts [B] each of them has


def choose(pool: Pool, count: int, device: torch.device) -> Chosen:
    rows = torch.randint(len(pool.arrays["latent"][0]), (count,), device=device)
    return rows, torch.randint(len(VARIANTS), (count,), device=device)


def training_batch(pool: Pool, chosen: Chosen) -> tuple[Tensor, Tensor, Batch, Tensor]:
    """-> latents, loss weights, the prompts as a Batch (a tenth empty), isolated [B] bool (plain world: half)."""
    arrays = {name: parts[0] for name, parts in pool.arrays.items()}
    row, variant = chosen
    count, device = len(row), row.device
    isolated = (variant < ISOLATED) & (torch.rand(count, device=device) < pool.group.world.apart)
    nothing = torch.rand(count, device=device) < 0.1
    ids, owner, segment, position = (arrays[n][row, variant].long() for n in ("ids", "owner", "segment", "position"))
    length = arrays["length"][row, variant].long()
    length = torch.where(nothing, 1, length)
    place = torch.arange(ids.shape[1], device=device)[None]
    real = place < length[:, None]
    joint = ~isolated[:, None]
    owner = torch.where(real, torch.where(joint, 0, owner), PADDING)
    segment = torch.where(real, torch.where(joint, 0, segment), PADDING)
    position = torch.where(joint, place, position)
    # the pooled vector of the whole text, or of what is shared alone
    shared = torch.rand(count, device=device) < torch.where(isolated, 0.5, pool.group.world.pooled_apart)
    jina = torch.where(shared[:, None], arrays["shared"][row, variant], arrays["jina"][row, variant]).long()
    jina_length = torch.where(shared, arrays["shared_length"][row, variant], arrays["jina_length"][row, variant]).long()
    bare = torch.full_like(jina, 1)
    bare[:, 0], bare[:, 1] = tokens.JINA_START, tokens.JINA_END
    jina, jina_length = torch.where(nothing[:, None], bare, jina), torch.where(nothing, 2, jina_length)
    covers = arrays["covers"][row, variant.clamp(max=ISOLATED - 1)]
    batch = Batch(ids, owner, segment, position, length, jina, jina_length, covers)
    return arrays["latent"][row].float(), arrays["weight"][row].float(), batch, isolated & ~nothing
