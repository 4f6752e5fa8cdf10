"""Refines the autoencoder's decoder on what the finished diffusion model makes, not on clean latents alone.

A sampled latent is the model's guess at its last step, and is off by several times the noise that the autoencoder was
trained with: lines and eyes smear. What the drawing beneath a guess looked like is known in training.
"""

from __future__ import annotations

import random
import time

import torch
from torch import Tensor, nn

from .autoencoder import unlikeness
from .batches import choose, training_batch
from .course import Course
from .generate import Isolated, Networks, caption, mixed, velocity
from .model import Autoencoder
from .pools import Pool
from .schedule import Clock, average_into, cosine

RATE = 4e-4
BATCH = 24
CLEAN = 0.3  # share of latents as the encoder makes them: a picture put in shall still come out
GUESSED_AT = 0.05, 0.45  # sigma; the last steps of the host's schedule


@torch.no_grad()
def guesses(networks: Networks, pool: Pool, device: torch.device) -> tuple[Tensor, Tensor]:
    """-> pictures [B, 3, H, W] in 0..1, and their latents as the model guesses them, or clean ones."""
    pictures = pool.arrays["picture"][0]
    _, prompt = choose(pool, min(BATCH, len(pictures)), device)
    row = torch.randint(len(pictures), prompt.shape, device=device)
    data, _, batch, _ = training_batch(pool, (row, prompt))
    sigma = torch.empty(len(row), device=device).uniform_(*GUESSED_AT)
    level = sigma.view(-1, 1, 1, 1)
    noisy = (1 - level) * data + level * torch.randn_like(data)
    with mixed(device):
        features, _, pooled = caption(networks, batch)
        guess = noisy - level * velocity(networks, noisy, sigma, batch, features, pooled, Isolated()).float()
    clean = torch.rand_like(level) < CLEAN
    return pictures[row].permute(0, 3, 1, 2).float().div_(255), torch.where(clean, data, guess)


def refine_decoder(
    course: Course, pools: list[Pool], networks: Networks, network: Autoencoder, device: torch.device, clock: Clock
) -> Autoencoder:
    """network: the autoencoder, whose encoder stays, so that latents mean what they did."""
    decoder = network.taesd_decoder.requires_grad_(True).train()
    weights = list(decoder.parameters())
    slow = [weight.detach().clone() for weight in weights]
    optimizer = torch.optim.AdamW(weights, lr=RATE, betas=(0.9, 0.99), weight_decay=1e-4, fused=device.type == "cuda")
    rng, begin, step = random.Random(course.seed), time.monotonic(), 0
    while (share := (time.monotonic() - begin) / course.decoder_seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 50) * cosine(share, 0.5)
        pool = rng.choices(pools, [pool.group.share for pool in pools])[0]
        x, z = guesses(networks, pool, device)
        x = x.contiguous(memory_format=torch.channels_last)
        with mixed(device):
            y = decoder(z.contiguous(memory_format=torch.channels_last)).float()
        loss = unlikeness(x, y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        step += 1
        average_into(slow, weights, step, 0.99)
        if step % 100 == 0:
            clock.say(f"decoder step {step} loss {loss.item():.4f}")
    for weight, average in zip(weights, slow, strict=True):
        weight.data.copy_(average)
    clock.say(f"decoder: {step} steps")
    return network.requires_grad_(False).eval()
