"""The judge: tells from a picture alone what every figure looks like, where it really stands, and how many there are.

It sees a crop around the place where a figure should be, and was trained on the drawings and on their reconstructions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..training.world import PLAIN, World

CROP = (168, 112)  # height, width in pixels of the crop that the judge sees
MARGIN = 0.25  # seen around the box, as a share of its size on each side


class Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm2(self.second(F.relu(self.norm1(self.first(x))))) + self.skip(x))


class FigureJudge(nn.Module):
    """Crops [N, 3, *CROP] -> logits of every attribute, of presence (2), and the figure's box within the crop (4)."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.heads = [*(len(values) for values in world.values.values()), 2, 4]
        self.stem = nn.Sequential(nn.Conv2d(3, 24, 3, 1, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU())
        self.body = nn.Sequential(
            Residual(24, 32, 2), Residual(32, 56, 2), Residual(56, 80, 2), Residual(80, 112, 2), nn.Conv2d(112, 48, 1)
        )
        self.features = nn.Sequential(nn.AdaptiveAvgPool2d((7, 5)), nn.Flatten(), nn.Linear(48 * 35, 160), nn.ReLU())
        self.out = nn.Linear(160, sum(self.heads))

    def forward(self, crops: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        *attributes, present, box = self.out(self.features(self.body(self.stem(crops)))).split(self.heads, -1)
        return attributes, present, box


def small_pictures(pictures: Tensor) -> Tensor:
    """[N, 3, H, W] -> [N, 3, 128, 128]."""
    return F.interpolate(pictures.contiguous(), size=(128, 128), mode="area")  # channels last crashes on some CPUs


class PictureJudge(nn.Module):
    """Pictures [N, 3, H, W] -> logits of the background, of the number of people (up to one more than there are ever),
    and, where there are several, of the rendering.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        self.heads = [len(world.backgrounds), world.most_people + 2]
        self.heads += [len(world.renderings)] if len(world.renderings) > 1 else []
        self.body = nn.Sequential(Residual(3, 16, 2), Residual(16, 32, 2), Residual(32, 48, 2), Residual(48, 64, 2))
        self.out = nn.Linear(64 * 16, sum(self.heads))

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        pooled = F.adaptive_avg_pool2d(self.body(small_pictures(pictures)), 4).flatten(1)
        return self.out(pooled).split(self.heads, -1)


class Judge(nn.Module):
    """Knows the values that the world's pictures show; those of attributes.VALUES that they don't come last there."""

    def __init__(self, world: World = PLAIN) -> None:
        super().__init__()
        self.world = world
        self.figure, self.picture = FigureJudge(world), PictureJudge(world)


def window(boxes: Tensor) -> Tensor:
    """boxes [N, 4] (left, top, right, bottom) in pixels -> the same with MARGIN around them."""
    size = (boxes[:, 2:] - boxes[:, :2]) * MARGIN
    return torch.cat([boxes[:, :2] - size, boxes[:, 2:] + size], 1)


def crop(pictures: Tensor, windows: Tensor) -> Tensor:
    """pictures [N, 3, H, W], windows [N, 4] in pixels -> [N, 3, *CROP]; beyond the edge, the edge is repeated."""
    height, width = pictures.shape[-2:]
    u = torch.linspace(0, 1, CROP[1], device=pictures.device)
    v = torch.linspace(0, 1, CROP[0], device=pictures.device)
    x = (windows[:, 0, None] + (windows[:, 2] - windows[:, 0])[:, None] * u) / width * 2 - 1  # [N, w]
    y = (windows[:, 1, None] + (windows[:, 3] - windows[:, 1])[:, None] * v) / height * 2 - 1  # [N, h]
    grid = torch.stack([x[:, None, :].expand(-1, CROP[0], -1), y[:, :, None].expand(-1, -1, CROP[1])], -1)
    return F.grid_sample(pictures, grid.to(pictures.dtype), padding_mode="border", align_corners=False)


def box_in_window(boxes: Tensor, windows: Tensor) -> Tensor:
    """Pixels -> fractions of the window."""
    size = (windows[:, 2:] - windows[:, :2]).repeat(1, 2)
    return (boxes - windows[:, :2].repeat(1, 2)) / size


def box_from_window(fractions: Tensor, windows: Tensor) -> Tensor:
    size = (windows[:, 2:] - windows[:, :2]).repeat(1, 2)
    return fractions * size + windows[:, :2].repeat(1, 2)


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes [N, 4] and [N, 4] -> [N]."""
    inner = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    area = [(box[:, 2:] - box[:, :2]).clamp(min=0).prod(1) for box in (a, b)]
    return inner / (area[0] + area[1] - inner).clamp(min=1e-6)


@dataclass(frozen=True)
class Verdict:
    """What the judge says of N figures: attributes [N, 10], present [N] bool, box [N, 4] in pixels."""

    attributes: Tensor
    present: Tensor
    box: Tensor


@torch.no_grad()
def judge_figures(judge: Judge, pictures: Tensor, index: Tensor, boxes: Tensor, batch: int = 256) -> Verdict:
    """pictures [P, 3, H, W] in 0..1; figure n should stand at boxes[n] (pixels) of pictures[index[n]]."""
    found = []
    for start in range(0, len(index), batch):
        windows = window(boxes[start : start + batch])
        attributes, present, box = judge.figure(crop(pictures[index[start : start + batch]], windows))
        values = torch.stack([logits.argmax(-1) for logits in attributes], 1)
        found.append((values, present.argmax(-1) == 1, box_from_window(box.float(), windows)))
    return Verdict(*(torch.cat(parts) for parts in zip(*found, strict=True)))


@torch.no_grad()
def figure_features(judge: Judge, pictures: Tensor, index: Tensor, boxes: Tensor, batch: int = 256) -> Tensor:
    """Of the last layer but one, [N, 160]; the rest as judge_figures."""
    figure, found = judge.figure, []
    for start in range(0, len(index), batch):
        crops = crop(pictures[index[start : start + batch]], window(boxes[start : start + batch]))
        found.append(figure.features(figure.body(figure.stem(crops))))
    return torch.cat(found)


@torch.no_grad()
def judge_pictures(judge: Judge, pictures: Tensor, batch: int = 256) -> tuple[Tensor, Tensor, Tensor]:
    """-> background index [P], number of people [P], rendering index [P] (0 where all pictures have the same)."""
    parts = [judge.picture(pictures[i : i + batch]) for i in range(0, len(pictures), batch)]
    background, people, *rendering = (torch.cat([x.argmax(-1) for x in one]) for one in zip(*parts, strict=True))
    return background, people, rendering[0] if rendering else torch.zeros_like(people)


def jittered(boxes: Tensor) -> Tensor:
    """Training crops are off by what generated figures may be off: place, size and proportion."""
    size = boxes[:, 2:] - boxes[:, :2]
    middle = (boxes[:, 2:] + boxes[:, :2]) / 2 + size * 0.09 * torch.randn_like(size)
    half = size / 2 * (1 + 0.12 * torch.randn_like(size)).clamp(0.7, 1.4)
    return torch.cat([middle - half, middle + half], 1)


def figure_loss(
    judge: FigureJudge, pictures: Tensor, boxes: Tensor, values: Tensor, people: Tensor
) -> Tensor:
    """pictures [B, 3, H, W]; boxes [B, R, 4] px; values [B, R, 10]; people [B]: how many there are.

    One figure a picture is looked at; a quarter of the crops are moved to where nobody stands.
    """
    device = pictures.device
    row = torch.arange(len(pictures), device=device)
    chosen = (torch.rand(len(pictures), device=device) * people).long()
    true = boxes[row, chosen]
    seen = jittered(true)
    height, width = pictures.shape[-2:]
    away = torch.rand(len(pictures), device=device) < 0.25
    shift = torch.stack([torch.rand(len(pictures), device=device) * side for side in (width, height)], 1)
    moved = torch.cat([shift, shift + true[:, 2:] - true[:, :2]], 1)
    someone = values[:, :, 0] >= 0  # [B, R]
    overlaps = torch.stack([overlap(moved, boxes[:, i]) * someone[:, i] for i in range(boxes.shape[1])], 1).amax(1)
    away = away & (overlaps < 0.1)
    windows = window(torch.where(away[:, None], moved, seen))
    attributes, present, box = judge(crop(pictures, windows))
    here = ~away
    target = values[row, chosen].masked_fill(away[:, None], -1)
    loss = F.cross_entropy(present.float(), here.long())
    for head, logits in enumerate(attributes):
        loss = loss + F.cross_entropy(logits.float(), target[:, head], ignore_index=-1)
    off = F.smooth_l1_loss(box.float(), box_in_window(true, windows), beta=0.05, reduction="none").mean(1)
    return loss + 10 * (off * here).sum() / here.sum().clamp(min=1)


def picture_loss(
    judge: PictureJudge, pictures: Tensor, backgrounds: Tensor, people: Tensor, renderings: Tensor
) -> Tensor:
    """pictures [B, 3, H, W]; backgrounds, people and renderings [B]."""
    seen = judge(pictures)
    wanted = (backgrounds, people, renderings)[: len(seen)]
    return sum(F.cross_entropy(logits.float(), target) for logits, target in zip(seen, wanted, strict=True))
