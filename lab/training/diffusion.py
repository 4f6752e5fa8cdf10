"""Trains the diffusion model and both text encoders, as one."""

from __future__ import annotations

import copy
import math
import os
import random
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...isolation.plan import PADDING
from .batches import blank_pool, training_batch
from .course import Plan
from .dataset import WORLDS
from .generate import Networks, caption, mixed, velocity
from .pools import Pool
from .schedule import Clock, average_into, cosine

KEEP_SECONDS = 200.0


def noise_levels(count: int, device: torch.device) -> Tensor:
    """Mostly the high noise that a shift of 6 samples at, three in ten anywhere."""
    u = torch.sigmoid(torch.randn(count, device=device))
    shifted = 3 * u / (1 + 2 * u)
    anywhere = torch.rand(count, device=device)
    return torch.where(torch.rand(count, device=device) < 0.3, anywhere, shifted).clamp(1e-3, 1)


def diffusion_loss(networks: Networks, pool: Pool, count: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """-> loss, unweighted error of every sample [B], isolated [B]."""
    data, weight, batch, isolated = training_batch(pool, count, device)
    sigma, noise = noise_levels(count, device), torch.randn_like(data)
    level = sigma.view(-1, 1, 1, 1)
    with mixed(device):
        features, logits, pooled = caption(networks, batch)
        predicted = velocity(networks, (1 - level) * data + level * noise, sigma, batch, features, pooled)
    error = F.avg_pool2d((predicted - (noise - data)).square().mean(1, keepdim=True), 2)[:, 0]  # [B, rows, columns]
    target = batch.ids[:, 1:].masked_fill(batch.owner[:, 1:] == PADDING, -100)
    target[(batch.length == 1).nonzero().flatten(), 0] = 0  # never a batch without any target
    language = F.cross_entropy(logits[:, :-1].float().flatten(0, 1), target.flatten(), ignore_index=-100)
    return (error * weight).mean() + 0.02 * language, error.detach().mean((1, 2)), isolated


def compile_blocks(networks: Networks) -> None:
    torch._dynamo.config.cache_size_limit = 64
    diffusion = networks.diffusion
    for block in [*diffusion.layers, *diffusion.noise_refiner, *diffusion.context_refiner,
                  *networks.gemma.model.layers, *networks.jina.model.encoder.layers]:
        block.compile(dynamic=False)


def compile_ahead(plan: Plan, encoders_kept: bool) -> None:
    """Runs in a process of its own while other stages run: leaves every compiled shape in the compiler's disk cache."""
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "3"
    device = torch.device("cuda")
    torch.set_float32_matmul_precision("high")
    networks = Networks().to(device)
    networks.initialise()
    if encoders_kept:
        networks.keep_encoders(networks)
    compile_blocks(networks)
    for group in WORLDS[plan.world][: plan.groups]:
        diffusion_loss(networks, blank_pool(group, device), plan.diffusion_batch, device)[0].backward()


def next_pool(pools: list[Pool], share: float) -> Pool:
    """share: of the whole training that has passed, also where this run is a part of it."""
    if share < pools[0].group.world.first_group_alone:
        return pools[0]
    return random.choices(pools, [len(p.arrays["latent"][0]) for p in pools])[0]


def train_diffusion(
    plan: Plan,
    pools: list[Pool],
    device: torch.device,
    clock: Clock,
    networks: Networks,
    keep: Callable[[Networks], None],
) -> Networks:
    """Trains the weights that want it from where they are.

    `keep` gets the averages now and then, so that a run cut off leaves some.
    """
    networks = networks.to(device)
    kept = copy.deepcopy(networks)
    if plan.compiled:
        compile_blocks(networks)
    weights, slow = ([p for p in both.parameters() if p.requires_grad] for both in (networks, kept))
    kept.requires_grad_(False)
    optimizer = torch.optim.AdamW(
        [{"params": [p for p in weights if p.ndim > 1], "weight_decay": 0.01},
         {"params": [p for p in weights if p.ndim <= 1], "weight_decay": 0.0}],
        lr=plan.diffusion_rate, betas=(0.9, 0.98), fused=device.type == "cuda",
    )
    for pool in pools:  # compile every shape before the clock starts
        diffusion_loss(networks, pool, plan.diffusion_batch, device)[0].backward()
    networks.zero_grad(set_to_none=True)
    clock.say("diffusion: compiled")
    begin, step, skipped = time.monotonic(), 0, 0
    seconds = min(plan.diffusion_seconds, max(1.0, plan.total_seconds - clock.passed()))
    saved = begin
    while (passed := (time.monotonic() - begin) / seconds) < 1:
        share = plan.diffusion_from + (1 - plan.diffusion_from) * passed
        for group in optimizer.param_groups:
            group["lr"] = plan.diffusion_rate * min(1.0, (step + 1) / 250) * cosine(share, 0.35)
        pool = next_pool(pools, share)
        loss, error, isolated = diffusion_loss(networks, pool, plan.diffusion_batch, device)
        networks.zero_grad(set_to_none=True)
        loss.backward()
        step += 1
        if nn.utils.clip_grad_norm_(weights, 1.0).isfinite():  # one bad batch shall not cost the run
            optimizer.step()
            average_into(slow, weights, step, 0.999)
        else:
            skipped += 1
        if step % 400 == 0 or step == 1:
            speed = step / (time.monotonic() - begin)
            clock.say(f"diffusion step {step} loss {loss.item():.4f} joint {error[~isolated].mean():.4f} "
                      f"isolated {error[isolated].mean():.4f} {speed:.1f} steps/s, {skipped} skipped")
            if not math.isfinite(loss.item()):
                raise RuntimeError(f"The loss is {loss.item()} at step {step}: lower diffusion_rate.")
        if time.monotonic() - saved > KEEP_SECONDS:
            keep(kept)
            saved = time.monotonic()
    clock.say(f"diffusion: {step} steps")
    keep(kept)
    return kept.eval()
