"""Tells which things of attributes.CONCEPT a figure has: a linear probe on the judge's features and the crop's colours.

It is fitted anew each time, in seconds, on drawings that went through the autoencoder, and says how often it is right
on others of them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..drawing.attributes import CONCEPT
from ..drawing.draw import render
from ..drawing.scenes import Picture, sample_picture
from ..training.autoencoder import encode
from ..training.generate import decode
from ..training.lora import with_concept
from .evaluate import Mini, true_labels
from .judge import Judge, crop, window

NAMES = tuple(CONCEPT)
COLOURS = (28, 18)  # rows and columns of the crop's colours
HELD_OUT = 4  # one in so many


@dataclass(frozen=True)
class Probe:
    weight: Tensor  # [F + 1, K]
    scale: Tensor  # [F]
    right: tuple[float, ...]  # of each concept, the share of held-out figures told rightly

    def has(self, judge: Judge, images: Tensor, index: Tensor, boxes: Tensor) -> Tensor:
        """images [P, 3, H, W] in 0..1; figure n should stand at boxes[n] of images[index[n]] -> [N, K] bool."""
        found = features(judge, images, index, boxes) / self.scale
        return F.pad(found, (0, 1), value=1.0) @ self.weight > 0


@torch.no_grad()
def features(judge: Judge, images: Tensor, index: Tensor, boxes: Tensor, batch: int = 256) -> Tensor:
    """[N, F]"""
    found = []
    for start in range(0, len(index), batch):
        crops = crop(images[index[start : start + batch]], window(boxes[start : start + batch]))
        figure = judge.figure
        seen = figure.features(figure.body(figure.stem(crops)))
        small = F.interpolate(crops.contiguous(), size=COLOURS, mode="area")
        found.append(torch.cat([seen, small.flatten(1), (small.flatten(1) - 0.5).square()], 1))
    return torch.cat(found).float()


def pictures_with(count: int, seed: int, people: Sequence[int] = (1, 2, 3)) -> tuple[list[Picture], Tensor]:
    """-> pictures in which about half of the people have one concept, or two; [N, K] who has which."""
    rng, pictures, truth = random.Random(seed), [], []
    for _ in range(count):
        picture = sample_picture(rng, (320, 320), rng.choice(people))
        for person in range(len(picture.figures)):
            concept = rng.choice((*NAMES, *[""] * len(NAMES)))
            picture = with_concept(picture, person, concept) if concept else picture
            truth.append([concept == name for name in NAMES])
        pictures.append(picture)
    return pictures, torch.tensor(truth).float()


def fit(mini: Mini, count: int, seed: int = 11) -> Probe:
    pictures, truth = pictures_with(count, seed)
    drawn = torch.from_numpy(np.stack([render(picture) for picture in pictures]))
    images = decode(mini.autoencoder, encode(mini.autoencoder, drawn, mini.device).float())
    index, boxes, _ = true_labels(pictures, mini.device)
    seen, truth = features(mini.judge, images, index, boxes), truth.to(mini.device)
    scale = seen.std(0) + 1e-3
    seen = F.pad(seen / scale, (0, 1), value=1.0)
    held = torch.arange(len(seen), device=seen.device) % HELD_OUT == 0
    with torch.enable_grad():
        weight = torch.zeros(seen.shape[1], len(NAMES), device=seen.device, requires_grad=True)
        optimizer = torch.optim.LBFGS([weight], max_iter=60, history_size=20, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimizer.zero_grad()
            error = F.binary_cross_entropy_with_logits(seen[~held] @ weight, truth[~held])
            total = error + 3e-4 * weight.square().sum()
            total.backward()
            return total

        optimizer.step(loss)
    weight = weight.detach()
    right = ((seen[held] @ weight > 0) == (truth[held] > 0)).float().mean(0)
    return Probe(weight, scale, tuple(right.tolist()))
