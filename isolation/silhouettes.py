"""Where in the picture every character is, seen in the model's attention in a run's last steps, with no further pass.

The output of a joint attention layer, before its projection, is in one space for caption and picture. An image token is
as much a character's as its output points where those of the character's own caption tokens do on average, more than
where those of the shared text or of anybody else do (Helbling et al. 2025, "ConceptAttention"); the mean of all joint
layers and of the last steps. On the mini's own drawings the figures found so overlap the true ones by .82 (IoU), their
boxes by .64 (lab/benchmarks/masks.py). Pure torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..xml_prompt import SHARED
from .plan import Plan, Region, coverage

LAST = 0.85  # of the steps lie behind when looking begins
LEVELS = 64  # of the scores, among which the edge is chosen


class Sight:
    """What the joint layers of one forward show."""

    def __init__(self, own: Tensor, image: int) -> None:
        """own [1 + R, L], as owned gives it; image: how many tokens the picture has."""
        self.own, self.image = own, image
        self.scores: list[Tensor] = []  # [B, 1 + R, N], one a layer

    def note(self, _layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        out = inputs[0].detach()
        if out.shape[1] == self.own.shape[1] + self.image:  # if not, another node has changed text or picture
            self.scores.append(scores_in(out, self.own.to(out)))

    @contextmanager
    def of(self, layers: Iterable[nn.Module]) -> Iterator[None]:
        """layers: those that project the joint attention's output [B, L + N, D]."""
        handles = [layer.register_forward_pre_hook(self.note) for layer in layers]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


class Silhouettes:
    """What one entry's passes show of its characters; of the last run."""

    def __init__(self) -> None:
        self.total: Tensor | None = None  # [B, R, rows, columns]: each one's score, summed over layers and steps
        self.count = 0
        self.drawn = False  # whether a run has begun

    def forget(self) -> None:
        """When a run begins."""
        self.total, self.count, self.drawn = None, 0, True

    @contextmanager
    def watching(self, plan: Plan, rows: int, columns: int) -> Iterator[Sight]:
        """Around one forward."""
        sight = Sight(owned(plan), rows * columns)
        yield sight
        if sight.scores:
            self.add(torch.stack(sight.scores).mean(0), rows, columns)

    def add(self, scores: Tensor, rows: int, columns: int) -> None:
        """scores [B, 1 + R, N]: of one forward, the mean of its layers."""
        total = above_the_others(scores).unflatten(-1, (rows, columns))
        same = self.total is not None and self.total.shape == total.shape
        self.total, self.count = (self.total + total, self.count + 1) if same else (total, 1)

    def masks(self, regions: Sequence[Region], picture: int, height: int, width: int) -> Tensor:
        """-> [R, height, width] of 0 and 1, each within its own region; where two overlap, whoever scores more.

        picture: of the batch. Raises ValueError where nothing has been seen.
        """
        if self.total is None and self.drawn:
            raise ValueError(
                "The sampler showed no silhouettes: a cache of steps skipped the last ones, or it drew in tiles or "
                "areas. Set the cache's end_percent to 0.8, or draw the picture as a whole; or choose boxes."
            )
        if self.total is None:
            raise ValueError(
                "No silhouettes were recorded: connect the LATENT of a sampler that drew with this same "
                "conditioning, in the mode strict or gentle, with a NewBie or Lumina 2 model; or choose boxes."
            )
        if not 0 <= picture < len(self.total):
            raise ValueError(f"picture is {picture + 1}, but {len(self.total)} were drawn: choose one of them.")
        scores = F.interpolate(self.total[picture : picture + 1].cpu() / self.count, (height, width), mode="bicubic")[0]
        inside = torch.stack([coverage(one, height, width).unflatten(0, (height, width)) > 0 for one in regions])
        found = torch.stack([
            here & (score > edge(score[here])) if here.any() else here
            for score, here in zip(scores, inside, strict=True)
        ])
        best = scores.masked_fill(~found, -torch.inf).argmax(0)  # [height, width]
        return (found & (best == torch.arange(len(regions))[:, None, None])).float()


def owned(plan: Plan, rows: int = 0) -> Tensor:
    """[1 + R, L], the shared text's first: each one's tokens, in equal shares; no fewer rows than `rows`."""
    owners = torch.tensor(plan.owners)
    own = (owners == torch.arange(max(rows, len(plan.regions) + 1))[:, None]).float()
    return own / own.sum(1, keepdim=True).clamp(min=1)


def scores_in(out: Tensor, own: Tensor) -> Tensor:
    """out [B, L + N, D]: of a joint attention, before its projection; own [C, L] -> [B, C, N]."""
    caption, image = out.split([own.shape[1], out.shape[1] - own.shape[1]], 1)
    concepts = F.normalize(own @ F.normalize(caption, dim=-1), dim=-1)  # [B, C, D]
    lengths = torch.linalg.vector_norm(image.float(), dim=-1)[:, None]  # [B, 1, N]
    return (concepts @ image.transpose(1, 2)).float() / lengths.clamp(min=1e-6)


def above_the_others(scores: Tensor) -> Tensor:
    """[B, 1 + R, N], the first of shared text -> [B, R, N]: by how much each character's is above all others."""
    rows = range(1, scores.shape[1])
    others = [torch.cat([scores[:, :row], scores[:, row + 1 :]], 1).amax(1) for row in rows]
    return scores[:, 1:] - torch.stack(others, 1)


def edge(scores: Tensor) -> float:
    """The value that parts them into two groups, each as alike as can be. Otsu 1979."""
    counts = torch.histc(scores, LEVELS)
    low, high = scores.min(), scores.max()
    middles = low + (torch.arange(LEVELS) + 0.5) * (high - low) / LEVELS
    below, sums = counts.cumsum(0), (counts * middles).cumsum(0)
    apart = (sums[-1] * below / below[-1] - sums).square() / (below * (below[-1] - below)).clamp(min=1)
    return float(middles[apart >= apart.max() * (1 - 1e-5)].mean())  # in the middle of the gap between them


def steps_from(options: dict[str, Any]) -> float:
    """The fraction of this run's steps from which on it is looked: the last few, and at least the last."""
    sigmas = options.get("sample_sigmas")
    steps = len(sigmas) - 1 if sigmas is not None and len(sigmas) > 1 else 1
    return min(LAST, 1 - 1 / steps) - 1e-6


def can_be_seen(plan: Plan) -> bool:
    return any(owner != SHARED for owner in plan.owners)
