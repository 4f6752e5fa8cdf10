"""Silhouettes and boxes of characters, against the true figures of drawings: intersection over union.

    ./run bench masks                      the built-in model; a minute on a CPU

Drawings go through the autoencoder and get the noise of a run's last steps; the model sees them with their prompts, as
in a run, and isolation/silhouettes.py tells where everyone is. What a figure covers, only its drawing knows. It fails
where the mean is under .75.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...isolation.plan import CaptionToken, Plan, fractions
from ...isolation.silhouettes import LAST, Silhouettes
from ...xml_prompt import regions
from ..drawing.draw import render
from ..drawing.scenes import Picture, sample_picture
from ..judging.evaluate import Mini, load
from ..training import prompts, tokens
from ..training.autoencoder import encode
from ..training.dataset import coverage
from ..training.generate import caption, collate, mixed, sigmas, velocity
from .host import chosen_device

WEIGHTS = Path(__file__).resolve().parents[2] / "mini" / "weights"
SIZE, STEPS, LEAST, TALL = (320, 320), 28, 0.75, 100
DIFFERENT = 12  # of 255: what a figure changes at least where it is


def figures_of(picture: Picture) -> list[np.ndarray]:
    """[H, W] bool for each: what it changes in the picture without anybody."""
    bare = replace(picture, figures=(), background="white_background")
    nobody = render(bare).astype(int)
    return [
        np.abs(render(replace(bare, figures=(replace(figure, partner=None),))) - nobody).max(2) > DIFFERENT
        for figure in picture.figures
    ]


def scenes(count: int, seed: int) -> list[Picture]:
    """One to three people, none shaking hands (whose arms are drawn between them)."""
    rng, found = random.Random(seed), []
    while len(found) < count:
        picture = sample_picture(rng, SIZE, 1 + len(found) % 3)
        if all(figure.height > TALL and figure.partner is None for figure in picture.figures):
            found.append(picture)
    return found


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))


def seen(mini: Mini, described: prompts.Description, latent: Tensor, steps: int, seed: int) -> Tensor:
    """latent [1, 16, h, w] of a finished picture -> masks [R, 8h, 8w] in the prompt's order."""
    height, width = latent.shape[-2:]
    grid = height // 2, width // 2
    text = tokens.tokenize(prompts.segments(described, "boxes"), True, tokens.Tokenizers())
    covers = torch.from_numpy(coverage(described, grid))[None, : len(described.boxes)]
    batch = collate([text], covers, mini.device)
    where = fractions(regions(described.scene, described.boxes))
    plan = Plan(tuple(map(CaptionToken, text.owner)), where)
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(seed)).to(latent)
    found, network = Silhouettes(), mini.networks.diffusion
    with mixed(mini.device):
        features, _, pooled = caption(mini.networks, batch)
        for level in sigmas(steps)[int(np.ceil(LAST * steps)) : steps]:
            with found.watching(plan, *grid) as sight, sight.of(layer.attention.out for layer in network.layers):
                sigma = torch.full((1,), level, device=mini.device)
                velocity(mini.networks, (1 - level) * latent + level * noise, sigma, batch, features, pooled)
    return found.masks(where, 0, 8 * height, 8 * width)


@torch.no_grad()
def measure(mini: Mini, pictures: Sequence[Picture], steps: int = STEPS) -> dict[str, float]:
    silhouettes, boxes = [], []
    for number, picture in enumerate(pictures):
        described = prompts.describe(picture, random.Random(number), complete=True)
        latent = encode(mini.autoencoder, torch.from_numpy(render(picture))[None], mini.device).float()
        masks = seen(mini, described, latent, steps, number)
        true = figures_of(picture)
        for mask, index in zip(masks, described.order, strict=True):
            figure = picture.figures[index]
            box, left, top = np.zeros_like(true[index]), round(figure.x), round(figure.y)
            box[top : round(figure.y + figure.height), left : round(figure.x + figure.width)] = True
            silhouettes.append(overlap(mask.numpy() > 0, true[index]))
            boxes.append(overlap(box, true[index]))
    return {"figures": len(boxes), "silhouettes": round(float(np.mean(silhouettes)), 3),
            "worst_tenth": round(float(np.quantile(silhouettes, 0.1)), 3), "boxes": round(float(np.mean(boxes)), 3)}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./run bench masks", description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--count", type=int, default=60, help="drawings")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args(arguments)
    row = measure(load(options.weights, chosen_device()), scenes(options.count, 5))
    print(json.dumps(row) if options.json else "  ".join(f"{name} {value}" for name, value in row.items()))
    return int(row["silhouettes"] < LEAST)
