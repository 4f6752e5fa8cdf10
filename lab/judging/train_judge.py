"""Trains the judge, on drawings and on what the autoencoder makes of them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from ..training.autoencoder import encode
from ..training.course import Course
from ..training.dataset import Drawing
from ..training.generate import mixed
from ..training.graphs import Steps
from ..training.model import Autoencoder
from ..training.pools import Pool, gather_until
from ..training.schedule import Clock, cosine
from .judge import FigureJudge, Judge, PictureJudge, figure_loss, picture_loss, small_pictures

Bank = list[dict[str, Tensor]]
LEARNED_FROM = ("image", "box", "value", "background", "rendering")
JUDGE_PICTURES = 16000  # that the judge waits for


@torch.no_grad()
def judge_bank(pools: list[Pool], network: Autoencoder, device: torch.device) -> Bank:
    """What has been drawn, on the device: half as drawn, half through the autoencoder with some noise."""
    bank = []
    for pool in pools:
        part = {name: torch.cat(pool.arrays[name]).to(device) for name in LEARNED_FROM}
        for start in range(0, len(part["image"]) // 2, 100):
            z = encode(network, part["image"][start : start + 100], device).float()
            z = z + 0.15 * torch.randn_like(z) * torch.rand(len(z), 1, 1, 1, device=device)
            with mixed(device):
                seen = network.taesd_decoder(z.contiguous(memory_format=torch.channels_last)).float().clamp(0, 1)
            part["image"][start : start + len(seen)] = seen.mul(255).round().byte().permute(0, 2, 3, 1)
        bank.append(part)
    return bank


def learn(
    judge: nn.Module, seconds: float, clock: Clock, shares: Sequence[float], loss_of_batch: Callable[[int], Tensor],
    device: torch.device
) -> None:
    """Each step sees a batch of one part of what there is; shares: how often which."""
    if device.type != "cpu":  # some CPUs crash on it
        judge.to(memory_format=torch.channels_last)
    name, weights = type(judge).__name__, list(judge.parameters())
    optimizer = torch.optim.AdamW(weights, lr=2e-3, weight_decay=0.01, fused=device.type != "cpu")
    steps = Steps(weights, device)

    def loss_of(part: int) -> tuple[Tensor]:
        with mixed(device):
            return (loss_of_batch(part),)

    begin, step = time.monotonic(), 0
    while (share := (time.monotonic() - begin) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 100) * cosine(share, 0.0)
        part = random.choices(range(len(shares)), shares)[0]
        loss, = steps(part, partial(loss_of, part))
        nn.utils.clip_grad_norm_(weights, 5.0)
        optimizer.step()
        step += 1
        if step % 250 == 0:
            clock.say(f"{name} step {step} loss {loss.item():.4f}")
    clock.say(f"{name}: {step} steps")


def tinted(images: Tensor) -> Tensor:
    """[B, H, W, 3] uint8 -> [B, 3, H, W] in 0..1, brightness and tint a little off."""
    image = images.permute(0, 3, 1, 2).float().div_(255)
    tint = torch.randn(2, len(image), 3, 1, 1, device=image.device)
    return (image * (1 + 0.06 * tint[0, :, :1]) + 0.03 * tint[1]).clamp(0, 1)


def train_figure_judge(
    judge: FigureJudge, bank: Bank, course: Course, device: torch.device, clock: Clock
) -> None:
    def loss(number: int) -> Tensor:
        part = bank[number]
        index = torch.randint(len(part["image"]), (course.judge_batch,), device=device)
        value = part["value"][index]
        people = (value[:, :, 0] >= 0).sum(1)
        return figure_loss(judge, tinted(part["image"][index]), part["box"][index], value, people)

    learn(judge, course.judge_seconds, clock, [len(part["image"]) for part in bank], loss, device)


def train_picture_judge(
    judge: PictureJudge, bank: Bank, course: Course, device: torch.device, clock: Clock
) -> None:
    """On batches from all groups at once: else a batch's own statistics would tell how many people its group has."""
    images, backgrounds, people, renderings = [], [], [], []
    for part in bank:
        for batch in part["image"].split(500):
            small = small_pictures(batch.permute(0, 3, 1, 2).float())
            images.append(small.round().byte().permute(0, 2, 3, 1))
        backgrounds.append(part["background"])
        people.append((part["value"][:, :, 0] >= 0).sum(1))
        renderings.append(part["rendering"])
    image, background, count, rendering = (torch.cat(some) for some in (images, backgrounds, people, renderings))

    def loss(_number: int) -> Tensor:
        index = torch.randint(len(image), (course.judge_batch,), device=device)
        return picture_loss(judge, tinted(image[index]), background[index], count[index], rendering[index])

    learn(judge, course.picture_judge_seconds, clock, [1.0], loss, device)


def train_judge(
    course: Course, pools: list[Pool], drawing: Drawing, network: Autoencoder, device: torch.device, clock: Clock,
    judge: Judge,
) -> Judge:
    """judge: trained from where it is, as soon as there are pictures enough; more may still be drawn."""
    wanted = JUDGE_PICTURES // course.chunk
    gather_until(lambda: not drawing.waiting or sum(pool.chunks for pool in pools) >= wanted, pools, drawing, device)
    bank = judge_bank(pools, network, device)
    clock.say(f"judge: {sum(len(part['image']) for part in bank)} pictures")
    train_figure_judge(judge.figure.to(device), bank, course, device, clock)
    train_picture_judge(judge.picture.to(device), bank, course, device, clock)
    return judge.requires_grad_(False).eval()
