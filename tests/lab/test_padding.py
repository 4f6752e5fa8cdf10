"""Prompts of different length in one batch: the longer one's padding changes nothing for the shorter."""

from __future__ import annotations

import random

import torch
from newbie_pack.lab.drawing.scenes import sample_picture
from newbie_pack.lab.training import dataset, prompts, tokens
from newbie_pack.lab.training.generate import caption, collate, velocity

CPU = torch.device("cpu")
GRID = (8, 8)


def prompt(people, isolated, tokenizers, seed):
    rng = random.Random(seed)
    description = prompts.describe(sample_picture(rng, people=people), rng, complete=True)
    made = tokens.tokenize(prompts.segments(description, "boxes"), isolated, tokenizers)
    return made, torch.from_numpy(dataset.coverage(description, GRID))


def test_a_longer_neighbour_changes_nothing(networks, tokenizers):
    both = [prompt(1, True, tokenizers, 1), prompt(4, True, tokenizers, 2), prompt(2, False, tokenizers, 3)]
    assert len({len(made.ids) for made, _ in both}) == 3
    noise, sigma = torch.randn(3, 16, 16, 16, generator=torch.Generator().manual_seed(0)), torch.full((3,), 0.8)
    batch = collate([made for made, _ in both], torch.stack([covers for _, covers in both]), CPU)
    features, _, pooled = caption(networks, batch)
    together = velocity(networks, noise, sigma, batch, features, pooled)
    for i, (made, covers) in enumerate(both):
        single = collate([made], covers[None], CPU)
        own, _, own_pooled = caption(networks, single)
        alone = velocity(networks, noise[i : i + 1], sigma[:1], single, own, own_pooled)
        assert (features[i : i + 1, : len(made.ids)] - own).norm() <= 1e-5 * own.norm()
        assert (pooled[i : i + 1] - own_pooled).norm() <= 1e-5 * own_pooled.norm()
        assert (together[i : i + 1] - alone).norm() <= 1e-5 * alone.norm()
