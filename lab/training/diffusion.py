"""Trains the diffusion model and both text encoders, as one."""

from __future__ import annotations

import copy
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ...isolation.plan import PADDING
from .batches import choose, training_batch
from .course import Course
from .dataset import Group
from .generate import Batch, Isolated, Networks, caption, mixed, velocity
from .graphs import Steps
from .optimizer import Optimizer
from .pools import Pool
from .ranks import Ranks
from .schedule import Clock, average_into, cosine

KEEP_SECONDS = 200.0
ALONE = Ranks()


def noise_levels(count: int, device: torch.device) -> Tensor:
    """Mostly the high noise that a shift of 6 samples at, three in ten anywhere."""
    u = torch.sigmoid(torch.randn(count, device=device))
    shifted = 3 * u / (1 + 2 * u)
    anywhere = torch.rand(count, device=device)
    return torch.where(torch.rand(count, device=device) < 0.3, anywhere, shifted).clamp(1e-3, 1)


def picture_cut(isolated: Tensor) -> Tensor:
    """isolated [B] -> how much people are kept apart in the picture [B]: nothing, all, or any share between."""
    u = torch.rand(len(isolated), device=isolated.device)
    return torch.where(isolated, ((u - 0.25) / 0.5).clamp(0, 1), 0.0)


def diffusion_loss(networks: Networks, pool: Pool, count: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    return loss_of(networks, training_batch(pool, choose(pool, count, device)), pool.group.world.picture_cut)


def loss_of(
    networks: Networks, made: tuple[Tensor, Tensor, Batch, Tensor], cuts: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """made: of training_batch; cuts: whether isolated people are kept apart in the picture too.

    -> loss, unweighted error of every sample [B], isolated [B].
    """
    data, weight, batch, isolated = made
    device = data.device
    sigma, noise = noise_levels(len(data), device), torch.randn_like(data)
    level = sigma.view(-1, 1, 1, 1)
    with mixed(device):
        features, logits, pooled = caption(networks, batch)
        noisy = (1 - level) * data + level * noise
        cut = picture_cut(isolated) if cuts else 0.0
        predicted = velocity(networks, noisy, sigma, batch, features, pooled, Isolated(picture=cut))
    error = F.avg_pool2d((predicted - (noise - data)).square().mean(1, keepdim=True), 2)[:, 0]  # [B, rows, columns]
    target = batch.ids[:, 1:].masked_fill(batch.owner[:, 1:] == PADDING, -100)
    target[:, 0] = torch.where(batch.length == 1, 0, target[:, 0])  # never a batch without any target
    language = F.cross_entropy(logits[:, :-1].float().flatten(0, 1), target.flatten(), ignore_index=-100)
    return (error * weight).mean() + 0.02 * language, error.detach().mean((1, 2)), isolated


def batch_of(group: Group, course: Course) -> int:
    """Samples of this group in one batch, so that each batch has about as many tokens."""
    tokens = group.length + group.grid[0] * group.grid[1]
    count = course.diffusion_batch * min(1.0, 528 / tokens)
    return max(1, round(count / 8) * 8 if count > 8 else round(count))


def next_pool(pools: list[Pool], course: Course, share: float, rng: random.Random) -> Pool:
    """share: of the whole training that has passed, also where this run is a part of it."""
    if share < pools[0].group.world.first_group_alone:
        return pools[0]
    return rng.choices(pools, [pool.group.share / batch_of(pool.group, course) for pool in pools])[0]


@dataclass
class Trainee:
    """What a run that goes on later needs: the weights, their average, and the optimizer's memory of them."""

    weights: list[nn.Parameter]
    average: list[Tensor]
    optimizer: Optimizer
    step: int = 0

    def tensors(self) -> dict[str, Tensor]:
        """Its own, so that filling them fills it."""
        kept = {"weights": [weight.detach() for weight in self.weights], "average": self.average}
        kept |= self.optimizer.state(self.step)
        return {f"{name}.{i}": tensor for name, some in kept.items() for i, tensor in enumerate(some)}

    def save(self, path: Path) -> None:
        """Whole or not at all: a run cut off while it writes leaves what was there."""
        tensors = {name: tensor.contiguous() for name, tensor in self.tensors().items()}
        save_file(tensors, path.with_suffix(".part"), metadata={"step": str(self.step)})
        path.with_suffix(".part").rename(path)

    def load(self, path: Path) -> None:
        with safe_open(path, "pt", device=str(self.weights[0].device)) as file:
            self.step = int(file.metadata()["step"])
            for name, tensor in self.tensors().items():
                tensor.copy_(file.get_tensor(name))


def train_diffusion(
    course: Course,
    pools: list[Pool],
    device: torch.device,
    clock: Clock,
    networks: Networks,
    keep: Callable[[Networks], None],
    ranks: Ranks = ALONE,
    state: Path | None = None,
) -> Networks:
    """Trains the weights that want it from where they are, or from where the run that wrote `state` left them.

    The networks are on the device. `keep` gets the averages now and then: a run cut off leaves some.
    """
    kept = copy.deepcopy(networks).to(device)
    weights, slow = ([p for p in both.parameters() if p.requires_grad] for both in (networks, kept))
    kept.requires_grad_(False)
    optimizer = Optimizer([(name, p) for name, p in networks.named_parameters() if p.requires_grad], device)
    trainee = Trainee(weights, slow, optimizer)
    if state is not None and state.is_file():
        trainee.load(state)
        clock.say(f"diffusion: goes on from step {trainee.step}")
    steps = Steps(weights, device)
    ranks.wait()
    clock.say("diffusion: begins")
    rng, first = random.Random(course.seed + trainee.step), trainee.step
    begin, skipped, passed = time.monotonic(), 0, torch.zeros(1, device=device)
    seconds = min(course.diffusion_seconds, max(1.0, course.total_seconds - clock.passed()))
    saved, share = begin, course.diffusion_from
    while True:
        rate = course.diffusion_rate * min(1.0, (trainee.step + 1) / 250) * cosine(share, 0.35)
        pool = next_pool(pools, course, share, rng)
        loss, error, isolated = steps(
            pools.index(pool), partial(diffusion_loss, networks, pool, batch_of(pool.group, course), device))
        passed.fill_((time.monotonic() - begin) / seconds)  # averaged too, so that all stop at the same step
        ranks.average([passed, *(p.grad for p in weights)])
        trainee.step += 1
        if nn.utils.clip_grad_norm_(weights, 1.0).isfinite():  # one bad batch shall not cost the run
            optimizer.step(rate)
            average_into(slow, weights, trainee.step, 0.9993)
        else:
            skipped += 1
        if trainee.step % 400 == 0 or trainee.step == first + 1:
            speed = (trainee.step - first) / (time.monotonic() - begin)
            clock.say(f"diffusion step {trainee.step} rate {rate:.1e} loss {loss.item():.4f} joint "
                      f"{error[~isolated].mean():.4f} isolated {error[isolated].mean():.4f} {speed:.1f} steps/s, "
                      f"{skipped} skipped")
            if not math.isfinite(loss.item()):
                raise RuntimeError(f"The loss is {loss.item()} at step {trainee.step}: lower diffusion_rate.")
        if ranks.first and time.monotonic() - saved > KEEP_SECONDS:
            keep(kept)
            saved = time.monotonic()
        if passed.item() >= 1:
            break
        share = course.diffusion_from + (course.diffusion_to - course.diffusion_from) * passed.item()
    clock.say(f"diffusion: {trainee.step - first} steps, {trainee.step} in all")
    if ranks.first:
        keep(kept)
        if state is not None:
            trainee.save(state)
    return kept.eval()
