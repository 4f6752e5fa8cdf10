"""Muon for the matrices between layers, AdamW for everything else: embeddings, norms, biases, the first and last layer.

Muon (K. Jordan and others, 2024, https://kellerjordan.github.io/posts/muon) replaces a matrix's momentum by the nearest
orthogonal one, so that every direction of it learns at the same speed. Its steps are scaled to the size of AdamW's, so
that both follow one learning rate (Liu and others, 2502.16982, section 2.2).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
DECAY = 0.01  # of matrices, an Adam's too
LIKE_ADAM = 0.2  # the root mean square of AdamW's steps, in learning rates
OUTSIDE = ("embed", "final_layer")  # in the names of what reads or writes tokens: not for orthogonal steps


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """matrices [K, m, n], m <= n -> with singular values near 1, by the quintic Newton-Schulz iteration of Muon."""
    x = matrices.bfloat16()
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT  # [K, m, m]
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return x


class Optimizer:
    """Steps weights by their .grad. The state is tensors alone, so that a run can be kept and gone on with."""

    def __init__(self, named: list[tuple[str, nn.Parameter]], device: torch.device) -> None:
        inner = [p for name, p in named if p.ndim == 2 and not any(word in name for word in OUTSIDE)]
        others = [p for name, p in named if not any(p is matrix for matrix in inner)]
        self.shapes: dict[torch.Size, list[nn.Parameter]] = {}
        for matrix in inner:
            self.shapes.setdefault(matrix.shape, []).append(matrix)
        self.momentum = {shape: torch.zeros(len(group), *shape, device=device) for shape, group in self.shapes.items()}
        self.adam = torch.optim.AdamW(
            [{"params": [p for p in others if p.ndim > 1], "weight_decay": DECAY},
             {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0}],
            lr=1e-3, betas=(0.9, 0.98), fused=device.type == "cuda",
        )

    @torch.no_grad()
    def step(self, rate: float) -> None:
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.adam.step()
        for shape, matrices in self.shapes.items():
            gradient = torch.stack([matrix.grad for matrix in matrices])  # [K, m, n]
            momentum = self.momentum[shape].lerp_(gradient, 1 - MOMENTUM)
            ahead = gradient.lerp(momentum, MOMENTUM)  # Nesterov's
            wide = shape[0] <= shape[1]
            update = orthogonal(ahead if wide else ahead.mT)
            update = (update if wide else update.mT).to(gradient.dtype)
            torch._foreach_mul_(matrices, 1 - rate * DECAY)
            torch._foreach_add_(matrices, list(update.unbind()), alpha=-rate * LIKE_ADAM * max(shape) ** 0.5)

    def state(self, steps: int) -> dict[str, list[Tensor]]:
        """What going on after so many steps needs: its own tensors, zeros before the first."""
        rest = [weight for group in self.adam.param_groups for weight in group["params"]]
        for weight in rest:
            if not self.adam.state[weight]:
                self.adam.state[weight].update(step=torch.tensor(float(steps), device=weight.device),
                                               exp_avg=torch.zeros_like(weight), exp_avg_sq=torch.zeros_like(weight))
        adam = {name: [self.adam.state[weight][name] for weight in rest] for name in ("exp_avg", "exp_avg_sq")}
        return {"momentum": list(self.momentum.values()), **adam}
