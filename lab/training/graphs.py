"""Loss and gradient of a training step, recorded once for each shape and replayed after that.

At the mini's sizes starting the two or three thousand kernels of a step takes longer than they run: a recorded step
(a CUDA graph) is started as one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor, nn

Loss = Callable[[], tuple[Tensor, ...]]


class Steps:
    """Leaves the gradients in the weights' own .grad, which stay the same tensors. On a CPU nothing is recorded."""

    def __init__(self, weights: Sequence[nn.Parameter], device: torch.device) -> None:
        self.weights = [weight for weight in weights if weight.requires_grad]
        for weight in self.weights:
            weight.grad = torch.zeros_like(weight)
        self.gradients = [weight.grad for weight in self.weights]
        self.recorded: dict[Hashable, tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...]]] = {}
        self.records = device.type != "cpu"
        if self.records:
            self.stream, self.memory = torch.cuda.Stream(device), torch.cuda.graph_pool_handle()

    def once(self, loss: Loss) -> tuple[Tensor, ...]:
        torch._foreach_zero_(self.gradients)
        results = loss()
        results[0].backward()
        return tuple(result.detach() for result in results)

    def __call__(self, shape: Hashable, loss: Loss) -> tuple[Tensor, ...]:
        """loss() -> the loss and whatever else is to be seen of the step, all tensors of its device.

        It must not wait for the device, nor decide by anything but `shape`; what it reads must stay where it is. The
        results hold until the next step.
        """
        if not self.records:
            return self.once(loss)
        if shape not in self.recorded:
            self.recorded[shape] = self.record(loss)
        graph, results = self.recorded[shape]
        graph.replay()
        return results

    def record(self, loss: Loss) -> tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...]]:
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):  # compiles, and finds the fastest kernels: neither can be recorded
            for _ in range(2):
                self.once(loss)
        torch.cuda.current_stream().wait_stream(self.stream)
        graph = torch.cuda.CUDAGraph()
        # other threads (the one that watches over several GPUs) go on asking the device meanwhile
        with torch.cuda.graph(graph, pool=self.memory, stream=self.stream, capture_error_mode="thread_local"):
            results = self.once(loss)
        return graph, results
