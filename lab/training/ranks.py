"""Several trainers on one machine, one a GPU, as torchrun starts them: who is who, and what they do together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as distributed
from torch import Tensor


@dataclass(frozen=True)
class Ranks:
    """This trainer's number and how many there are; alone, everything here does nothing."""

    rank: int = 0
    count: int = 1

    @classmethod
    def from_environment(cls) -> Ranks:
        return cls(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))

    @property
    def first(self) -> bool:
        return self.rank == 0

    @property
    def last(self) -> bool:
        return self.rank == self.count - 1

    def device(self) -> torch.device:
        """This trainer's own; asks the GPU's driver, after which no process may be forked."""
        if not torch.cuda.is_available():
            return torch.device("cpu")
        torch.cuda.set_device(self.rank)
        return torch.device("cuda", self.rank)

    def join(self, device: torch.device) -> None:
        if self.count > 1:
            if device.type == "cpu":
                distributed.init_process_group("gloo")
            else:
                distributed.init_process_group("nccl", device_id=device)

    def wait(self) -> None:
        """Until all are here."""
        if self.count > 1:
            distributed.barrier()

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Each tensor becomes its mean over all trainers, in place."""
        if self.count > 1:
            together = torch.cat([tensor.flatten() for tensor in tensors])
            distributed.all_reduce(together)
            parts = (together / self.count).split([tensor.numel() for tensor in tensors])
            torch._foreach_copy_(list(tensors), [p.view_as(t) for p, t in zip(parts, tensors, strict=True)])

    def leave(self) -> None:
        if self.count > 1:
            distributed.destroy_process_group()
