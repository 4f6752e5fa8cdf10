"""Muon's steps against the singular value decomposition, and what goes on from a kept state."""

from __future__ import annotations

import torch
from newbie_pack.lab.training.optimizer import LIKE_ADAM, Optimizer, orthogonal
from torch import nn


def test_nearly_orthogonal():
    matrices = torch.randn(3, 24, 64, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonal(matrices).double())
    assert values.min() > 0.6 and values.max() < 1.3  # the quintic's fixed band about 1, in bfloat16
    left, _, right = torch.linalg.svd(matrices.double(), full_matrices=False)
    nearest = left @ right
    cosine = (orthogonal(matrices).double() * nearest).sum((1, 2)) / 24 / values.mean()
    assert cosine.min() > 0.95


def networks(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.ModuleDict({"embed": nn.Embedding(7, 8), "tall": nn.Linear(8, 24), "wide": nn.Linear(24, 8)})


def gradients(network: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for weight in network.parameters():
        weight.grad = torch.randn(weight.shape, generator=generator)


def test_matrices_step_by_their_size_and_all_else_as_adam_does():
    network, reference = networks(1), networks(1)
    optimizer = Optimizer(list(network.named_parameters()), torch.device("cpu"))
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    gradients(network, 2)
    gradients(reference, 2)
    optimizer.step(1e-2)
    adam = torch.optim.AdamW([{"params": [reference["embed"].weight], "weight_decay": 0.01},
                              {"params": [reference["tall"].bias, reference["wide"].bias], "weight_decay": 0.0}],
                             lr=1e-2, betas=(0.9, 0.98))
    adam.step()
    for name in ("embed.weight", "tall.bias", "wide.bias"):
        assert torch.equal(network.get_parameter(name), reference.get_parameter(name))
    for name in ("tall.weight", "wide.weight"):
        moved = network.get_parameter(name) - before[name] * (1 - 1e-2 * 0.01)
        # 8 singular values near 1 in 192 numbers, times the root of the longer side: AdamW's size is 0.2 to 1
        size = moved.square().mean().sqrt() / 1e-2
        assert 0.7 * LIKE_ADAM < size < 1.3 * LIKE_ADAM


def test_goes_on_from_its_own_state_as_if_there_had_been_no_break():
    network = networks(3)
    whole = Optimizer(list(network.named_parameters()), torch.device("cpu"))
    for step in range(2):
        gradients(network, step)
        whole.step(1e-2)
    other = networks(4)
    part = Optimizer(list(other.named_parameters()), torch.device("cpu"))
    with torch.no_grad():
        for mine, theirs in zip(other.parameters(), network.parameters(), strict=True):
            mine.copy_(theirs)
        kept, filled = whole.state(2), part.state(2)
        assert kept.keys() == filled.keys()
        for name, tensors in filled.items():
            for mine, theirs in zip(tensors, kept[name], strict=True):
                mine.copy_(theirs)
    for trained, optimizer in ((network, whole), (other, part)):
        gradients(trained, 9)
        optimizer.step(1e-2)
    for mine, theirs in zip(other.parameters(), network.parameters(), strict=True):
        assert torch.equal(mine, theirs)
