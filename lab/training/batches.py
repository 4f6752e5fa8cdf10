"""What one step of the diffusion model learns from: latents, their weights and their prompts."""

from __future__ import annotations

import torch
from torch import Tensor

from ...isolation.plan import PADDING
from . import tokens
from .autoencoder import encode
from .dataset import ISOLATED, PEOPLE, TOKEN_PIXELS, VARIANTS, Group
from .generate import Batch
from .model import Autoencoder
from .pools import Pool
from .schedule import Clock


def prepare(pools: list[Pool], network: Autoencoder, device: torch.device, clock: Clock) -> None:
    """Pictures become latents; each pool's parts become one tensor a name."""
    for pool in pools:
        parts = pool.arrays
        parts["latent"] = [torch.cat([encode(network, part, device) for part in parts.pop("image")])]
        del parts["corner"]
        for name in [n for n in parts if n != "latent"]:
            parts[name] = [torch.cat(parts[name])]
        parts["weight"] = [attention_to_people(parts["box"][0], pool.group.grid).half()]
    total = sum(len(p.arrays["latent"][0]) for p in pools)
    deviation = torch.cat([p.arrays["latent"][0][:500].float().flatten() for p in pools]).std()
    clock.say(f"{total} pictures encoded, latent std {deviation:.3f}")


def attention_to_people(box: Tensor, grid: tuple[int, int]) -> Tensor:
    """box [N, 4, 4] px -> loss weights [N, rows, columns], mean 1: figures count more, faces and eyes most.

    Eyes are two tokens of a picture and a quarter of what people look at.
    """
    rows, columns = grid
    x = (torch.arange(columns, device=box.device) + 0.5) * TOKEN_PIXELS
    y = (torch.arange(rows, device=box.device) + 0.5) * TOKEN_PIXELS
    weight = torch.ones(len(box), rows, columns, device=box.device)
    half = TOKEN_PIXELS / 2
    for person in range(box.shape[1]):
        left, top, right, bottom = (edge[:, None] for edge in box[:, person].unbind(1))
        width, height = right - left, bottom - top
        for x0, x1, y0, y1, value in ((0, 1, 0, 1, 2.6), (0.15, 0.85, 0.1, 0.5, 3.0), (0.2, 0.8, 0.22, 0.46, 5.0)):
            in_x = (x > left + x0 * width - half) & (x < left + x1 * width + half)
            in_y = (y > top + y0 * height - half) & (y < top + y1 * height + half)
            inside = in_y[:, :, None] & in_x[:, None, :] & (width > 0)[:, :, None]
            weight = torch.maximum(weight, torch.where(inside, value, 1.0))
    return weight / weight.mean((1, 2), keepdim=True)


def training_batch(pool: Pool, count: int, device: torch.device) -> tuple[Tensor, Tensor, Batch, Tensor]:
    """-> latents, loss weights, the prompts as a Batch (a tenth empty), isolated [B] bool (plain world: half)."""
    arrays = {name: parts[0] for name, parts in pool.arrays.items()}
    row = torch.randint(len(arrays["latent"]), (count,), device=device)
    variant = torch.randint(len(VARIANTS), (count,), device=device)
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


def blank_pool(group: Group, device: torch.device, count: int = 8) -> Pool:
    """A pool of zeros with the shapes and types of a real one."""
    rows, columns = group.grid
    short = (count, len(VARIANTS))
    shapes = {
        **dict.fromkeys(("ids", "owner", "segment", "position"), (*short, group.length)),
        **dict.fromkeys(("jina", "shared"), (*short, group.jina_length)),
        **dict.fromkeys(("length", "jina_length", "shared_length"), short),
    }
    arrays = {name: [torch.full(shape, 2, dtype=torch.int16, device=device)] for name, shape in shapes.items()}
    arrays["covers"] = [torch.zeros(count, ISOLATED, PEOPLE, rows * columns, dtype=torch.bool, device=device)]
    arrays["latent"] = [torch.zeros(count, 16, 2 * rows, 2 * columns, dtype=torch.bfloat16, device=device)]
    arrays["weight"] = [torch.ones(count, rows, columns, dtype=torch.float16, device=device)]
    return Pool(group, arrays)
