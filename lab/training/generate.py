"""Pictures from the training networks, many prompts in one batch: for evaluation, where the host would take too long.

The same arithmetic as the host's euler_ancestral for rectified flow (comfy/k_diffusion/sampling.py) on its simple
schedule, and the same rules and segments as isolation.encode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ...isolation.plan import PADDING, caption_rules, joint_rules
from . import config, model, tokens
from .tokens import Tokens


def mixed(device: torch.device) -> torch.autocast:
    """bfloat16 where it is fast; a CPU computes in float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type != "cpu")


class Networks(nn.Module):
    """Everything that one prompt passes through."""

    def __init__(
        self,
        diffusion: dict[str, Any] = config.DIFFUSION,
        gemma: dict[str, Any] = config.GEMMA,
        jina: dict[str, Any] = config.JINA,
    ) -> None:
        super().__init__()
        self.diffusion, self.gemma, self.jina = model.NextDiT(diffusion), model.Gemma(gemma), model.Jina(jina)

    def initialise(self) -> None:
        for network in (self.diffusion, self.gemma, self.jina):
            network.initialise()

    def keep_encoders(self, other: Networks) -> None:
        """Takes another's encoders, which training leaves as they are."""
        self.gemma, self.jina = other.gemma.requires_grad_(False), other.jina.requires_grad_(False)


@dataclass(frozen=True)
class Batch:
    """B prompts as tensors. isolation.plan's owner and segment: PADDING beyond the caption's length."""

    ids: Tensor  # [B, L]
    owner: Tensor  # [B, L]
    segment: Tensor  # [B, L]
    position: Tensor  # [B, L]
    length: Tensor  # [B]
    jina: Tensor  # [B, J]
    jina_length: Tensor  # [B]
    covers: Tensor  # [B, R, N] bool


def encoder_rules(segment: Tensor) -> Tensor:
    """segment [B, L] -> [B, L, L]: causal, each piece behind the shared prefix (segment 0) alone."""
    length = segment.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=segment.device).tril()
    q, k = segment[:, :, None], segment[:, None, :]
    return causal & (k != PADDING) & ((k == 0) | (k == q))


def caption(networks: Networks, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """-> caption features [B, L, C], next-token logits [B, L, V], pooled [B, P]."""
    features, logits = networks.gemma(batch.ids, batch.position, encoder_rules(batch.segment))
    return features, logits, networks.jina(batch.jina, batch.jina_length)


@dataclass(frozen=True)
class Isolated:
    """Which parts of the diffusion model keep owned tokens apart; off is for measuring what each of them does.

    picture: the share (0..1) of what one person's part of the picture sees of another's that is cut, for all prompts
    or for each [B]; layers: the joint layers in which it is; steps: from which fraction of the steps until which.
    """

    refiner: bool = True
    joint: bool = True
    picture: float | Tensor = 0.0
    layers: range | None = None
    steps: tuple[float, float] = (0.0, 1.0)

    def now(self, sigma: float) -> Isolated:
        """What holds in the step that begins with this sigma."""
        begins, ends = (shifted(1 - part) * (1 + 1e-4) for part in self.steps)  # with room for float32
        return self if self.steps == (0, 1) or ends < sigma <= begins else replace(self, picture=0.0)


EVERYWHERE = Isolated()
Predict = Callable[[Tensor, Tensor], Tensor]  # x [B, 16, h, w], sigma [B] -> velocity [B, 16, h, w]


def apart(covers: Tensor) -> Tensor:
    """covers [B, R, N] -> [B, N, N]: whether two image tokens belong to one person alone each, and not to the same.

    Scenery, the gaps that interactions open and places where boxes overlap are left to all.
    """
    alone = covers & (covers.sum(1, keepdim=True) == 1)  # [B, R, N]
    mine = alone.half()
    same, owned = mine.transpose(1, 2) @ mine > 0, alone.any(1)
    return owned[:, :, None] & owned[:, None, :] & ~same


def velocity(
    networks: Networks, x: Tensor, sigma: Tensor, batch: Batch, features: Tensor, pooled: Tensor,
    isolated: Isolated = EVERYWHERE, bias: Tensor | None = None,
) -> Tensor:
    """x [B, 16, h, w], sigma [B] -> [B, 16, h, w]. A batch whose owners are all shared is not isolated at all.

    bias [B, L+N, L+N]: added to the joint layers' logits in place of the rules, padding included.
    """
    refiner, joint = (
        batch.owner if kept else batch.owner.clamp(max=0) for kept in (isolated.refiner, isolated.joint)
    )
    between = joint_rules(joint, batch.covers) if bias is None else bias
    if isinstance(isolated.picture, Tensor) or isolated.picture:
        whole, length = model.additive(between, features.dtype), features.shape[1]
        cut = torch.as_tensor(isolated.picture, dtype=torch.float32, device=x.device).expand(len(x)).clamp(max=1 - 1e-4)
        kept = torch.log1p(-cut).to(features.dtype)[:, None, None]
        between = whole.clone()
        between[:, length:, length:] += torch.where(apart(batch.covers), kept, 0.0)
        if isolated.layers is not None:
            between = [between if i in isolated.layers else whole for i in range(len(networks.diffusion.layers))]
    return networks.diffusion(
        x, sigma, features, batch.length, pooled, caption_rules(refiner), between
    ).float()


def predictor(networks: Networks, batch: Batch, isolated: Isolated = EVERYWHERE) -> Predict:
    """The prompts encoded once, for every step."""
    features, _, pooled = caption(networks, batch)
    return lambda x, sigma: velocity(networks, x, sigma, batch, features, pooled, isolated.now(sigma[0]))


def collate(prompts: Sequence[Tokens], covers: Tensor, device: torch.device) -> Batch:
    length = max(len(p.ids) for p in prompts)
    jina_length = max(len(p.jina) for p in prompts)

    def stack(name: str) -> Tensor:
        rows = tokens.padded((getattr(p, name) for p in prompts), length, tokens.PAD_VALUES[name])
        return torch.tensor(rows, device=device)

    return Batch(
        stack("ids"), stack("owner"), stack("segment"), stack("position"),
        torch.tensor([len(p.ids) for p in prompts], device=device),
        torch.tensor(tokens.padded((p.jina for p in prompts), jina_length, 1), device=device),
        torch.tensor([len(p.jina) for p in prompts], device=device),
        covers.to(device),
    )


def empty(count: int, image_tokens: int, device: torch.device) -> Batch:
    """The unconditional side of guidance: a prompt of no words."""
    nothing = Tokens([tokens.GEMMA_START], [0], [0], [0], [tokens.JINA_START, tokens.JINA_END], [])
    return collate([nothing] * count, torch.zeros(count, 1, image_tokens, dtype=torch.bool), device)


def shifted(t: float, shift: float = 6.0) -> float:
    """Sigma at time t: 1 is pure noise. comfy.model_sampling.time_snr_shift."""
    return shift * t / (1 + (shift - 1) * t)


def sigmas(steps: int, denoise: float = 1.0) -> list[float]:
    """The host's simple schedule on its 1000-step table, shifted as ModelSamplingDiscreteFlow does; its last steps."""
    table = [shifted((i + 1) / 1000) for i in range(1000)]
    whole = int(steps / denoise)
    return [*(table[-1 - int(i * 1000 / whole)] for i in range(whole)), 0.0][-(steps + 1) :]


def norm(x: Tensor) -> Tensor:
    """[B, C, h, w] -> [B, 1, 1, 1], of each picture as a whole."""
    return torch.linalg.vector_norm(x, dim=(1, 2, 3), keepdim=True)


@torch.no_grad()
def generate(
    networks: Networks, batch: Batch, noise: Tensor, isolated: Isolated = EVERYWHERE, **options: Any
) -> Tensor:
    """noise [B, 16, h, w] -> latent [B, 16, h, w], guided away from the empty prompt. options: those of sample."""
    nothing = empty(len(noise), batch.covers.shape[2], noise.device)
    with mixed(noise.device):
        return sample(predictor(networks, batch, isolated), predictor(networks, nothing), noise, **options)


@torch.no_grad()
def sample(
    positive: Predict,
    negative: Predict,
    noise: Tensor,
    steps: int = 28,
    guidance: float = 7.5,
    eta: float = 0.3,
    seed: int = 0,
    guidance_end: float = 1.0,
    renorm: float = 0.0,
    denoise: float = 1.0,
) -> Tensor:
    """noise [B, 16, h, w] -> latent [B, 16, h, w], euler_ancestral in the form for rectified flow.

    guidance_end (a fraction of the steps) and renorm as in sampling/guidance.py. With a denoise below 1, noise is a
    picture noised to the first of sigmas(steps, denoise).
    """
    device = noise.device
    generator = torch.Generator().manual_seed(seed)
    x = noise.float()
    for step, (now, after) in enumerate(pairwise(sigmas(steps, denoise))):
        sigma = torch.full((len(x),), now, device=device)
        guided = positive(x, sigma)
        if guidance != 1 and step / steps < guidance_end:
            plain = negative(x, sigma)
            limit = renorm * norm(guided)
            guided = plain + guidance * (guided - plain)
            if renorm > 0:
                guided = guided * (limit / norm(guided)).clamp(max=1)
        data = x - now * guided
        if after == 0:
            x = data
            continue
        down = after * (1 + (after / now - 1) * eta)
        x = down / now * x + (1 - down / now) * data
        if eta > 0:
            keep, down_keep = 1 - after, 1 - down
            renoise = max(0.0, after**2 - down**2 * keep**2 / down_keep**2) ** 0.5
            x = keep / down_keep * x + torch.randn(x.shape, generator=generator).to(device) * renoise
    return x


@torch.no_grad()
def decode(autoencoder: model.Autoencoder, latent: Tensor, batch: int = 32) -> Tensor:
    """latent [B, 16, h, w] -> pictures [B, 3, 8h, 8w] in 0..1."""
    parts = []
    with mixed(latent.device):
        for start in range(0, len(latent), batch):
            parts.append(autoencoder.taesd_decoder(latent[start : start + batch]).float().clamp(0, 1))
    return torch.cat(parts)
