"""Trains the autoencoder on crops of the pictures, while they are still being drawn."""

from __future__ import annotations

import math
import random
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .course import Course
from .dataset import Drawing
from .generate import mixed
from .model import Autoencoder
from .pools import Pool, gather
from .schedule import Clock, average_into, cosine

CROP = 128  # the autoencoder learns from crops: what it does is local


def edges(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[:, :, 1:] - x[:, :, :-1], x[:, :, :, 1:] - x[:, :, :, :-1]


def unlikeness(x: Tensor, y: Tensor) -> Tensor:
    """Of pictures [B, 3, H, W]: how far y is from x, in colours and in lines."""
    edge = sum((a - b).abs().mean() for a, b in zip(edges(x), edges(y), strict=True))
    return (x - y).abs().mean() + edge + 2 * F.mse_loss(x, y)


def random_crops(pools: list[Pool], count: int) -> Tensor:
    """[count, 3, CROP, CROP] in 0..1 from pictures of one group; three in four around a figure: there is the detail."""
    pool = random.choices(pools, [len(p) for p in pools])[0]
    chunk = random.randrange(len(pool.arrays["image"]))
    images, boxes = pool.arrays["image"][chunk], pool.arrays["corner"][chunk]
    height, width = images.shape[1:3]
    crops = []
    for index in random.choices(range(len(images)), k=count):
        left, top = random.randint(0, width - CROP), random.randint(0, height - CROP)
        if random.random() < 0.75:
            x0, y0, x1, y1 = random.choice(boxes[index])
            left = min(max(0, round(random.uniform(x0, x1) - CROP / 2)), width - CROP)
            top = min(max(0, round(random.uniform(y0, y1) - CROP / 2)), height - CROP)
        crops.append(images[index, top : top + CROP, left : left + CROP])
    return torch.stack(crops).permute(0, 3, 1, 2).float().div_(255)


def train_autoencoder(
    course: Course, pools: list[Pool], drawing: Drawing, device: torch.device, clock: Clock,
    start: Autoencoder | None = None,
) -> Autoencoder:
    """start: one whose decoder is trained further; its encoder stays, so that latents mean what they did."""
    torch.manual_seed(course.seed)
    network = Autoencoder()
    network.initialise()
    if start is not None:
        network.load_state_dict(start.state_dict())
        network.taesd_encoder.requires_grad_(False)
    network.to(device, memory_format=torch.channels_last)
    weights, top_rate = [p for p in network.parameters() if p.requires_grad], 1.2e-3 if start is None else 5e-4
    slow = [p.detach().clone() for p in weights]
    fused = device.type == "cuda"
    optimizer = torch.optim.AdamW(weights, lr=top_rate, betas=(0.9, 0.99), weight_decay=1e-4, fused=fused)
    encoder, decoder = network.taesd_encoder, network.taesd_decoder
    begin, step = time.monotonic(), 0
    while (share := (time.monotonic() - begin) / course.autoencoder_seconds) < 1:
        if step % 25 == 0:
            gather(pools, drawing, device, most=2)
        for group in optimizer.param_groups:
            group["lr"] = top_rate * min(1.0, (step + 1) / 100) * cosine(share, 0.5)
        x = random_crops(pools, course.autoencoder_batch).contiguous(memory_format=torch.channels_last)
        with mixed(device):
            z = encoder(x).float()
            noise = 0.06 * torch.randn_like(z) * torch.rand(len(z), 1, 1, 1, device=device)
            y = decoder(z + noise).float()
        mean, deviation = z.mean((0, 2, 3)), z.std((0, 2, 3))
        standard = mean.square().mean() + deviation.log().square().mean() + F.relu(z.abs() - 3).square().mean()
        loss = unlikeness(x, y) + 0.02 * standard
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        step += 1
        average_into(slow, weights, step, 0.998)
        if step % 250 == 0:
            quality = -10 * math.log10(F.mse_loss(x, y).item())
            clock.say(f"autoencoder step {step} loss {loss.item():.4f} psnr {quality:.2f} std {deviation.mean():.2f}")
    for p, average in zip(weights, slow, strict=True):
        p.data.copy_(average)
    clock.say(f"autoencoder: {step} steps")
    return network.requires_grad_(False).eval()


@torch.no_grad()
def encode(network: Autoencoder, images: Tensor, device: torch.device) -> Tensor:
    """images [N, H, W, 3] uint8 -> latents [N, 16, H/8, W/8] bf16 on the device."""
    parts = []
    with mixed(device):
        for batch in images.split(100):
            x = batch.to(device).permute(0, 3, 1, 2).float().div_(255).contiguous(memory_format=torch.channels_last)
            parts.append(network.taesd_encoder(x).bfloat16())
    return torch.cat(parts)
