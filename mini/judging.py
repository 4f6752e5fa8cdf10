"""Trains the judge, on drawings and on what the autoencoder makes of them."""

from __future__ import annotations

import random
import time

import torch
from torch import Tensor, nn

from .autoencoder import encode
from .generate import mixed
from .judge import Judge, judge_loss
from .model import Autoencoder
from .plan import Plan
from .pools import Pool
from .schedule import Clock, cosine

JUDGE_CHUNKS = 110  # chunks the judge learns from, kept on the device


@torch.no_grad()
def judge_bank(pools: list[Pool], network: Autoencoder, device: torch.device) -> list[dict[str, Tensor]]:
    """Per group, JUDGE_CHUNKS chunks on the device: half as drawn, half through the autoencoder with some noise."""
    bank = []
    for pool in pools:
        share = max(1, round(JUDGE_CHUNKS * pool.group.share))
        part = {n: torch.cat(pool.arrays[n][:share]).to(device) for n in ("image", "box", "value", "background")}
        for start in range(0, len(part["image"]) // 2, 100):
            z = encode(network, part["image"][start : start + 100], device).float()
            z = z + 0.15 * torch.randn_like(z) * torch.rand(len(z), 1, 1, 1, device=device)
            with mixed(device):
                seen = network.taesd_decoder(z.contiguous(memory_format=torch.channels_last)).float().clamp(0, 1)
            part["image"][start : start + len(seen)] = seen.mul(255).round().byte().permute(0, 2, 3, 1)
        bank.append(part)
    return bank


def train_judge(plan: Plan, pools: list[Pool], network: Autoencoder, device: torch.device, clock: Clock) -> Judge:
    bank = judge_bank(pools, network, device)
    clock.say(f"judge: {sum(len(part['image']) for part in bank)} pictures")
    judge = Judge().to(device)
    weights = list(judge.parameters())
    optimizer = torch.optim.AdamW(weights, lr=2e-3, weight_decay=0.01)
    begin, step = time.monotonic(), 0
    while (share := (time.monotonic() - begin) / plan.judge_seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 100) * cosine(share, 0.0)
        part = random.choices(bank, [len(p["image"]) for p in bank])[0]
        index = torch.randint(len(part["image"]), (plan.judge_batch,), device=device)
        image = part["image"][index].permute(0, 3, 1, 2).float().div_(255)
        tint = torch.randn(2, len(image), 3, 1, 1, device=device)
        image = (image * (1 + 0.06 * tint[0, :, :1]) + 0.03 * tint[1]).clamp(0, 1)
        value = part["value"][index]
        people = (value[:, :, 0] >= 0).sum(1)
        chosen = (torch.rand(len(image), device=device) * people).long()
        with mixed(device):
            loss = judge_loss(judge, image, part["box"][index], value, part["background"][index], people, chosen)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 5.0)
        optimizer.step()
        step += 1
        if step % 250 == 0:
            clock.say(f"judge step {step} loss {loss.item():.4f}")
    clock.say(f"judge: {step} steps")
    return judge.requires_grad_(False).eval()
