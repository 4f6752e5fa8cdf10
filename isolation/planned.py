"""What the wrappers of all models share: the plan of a step, and the codes that are made once for every size."""

from __future__ import annotations

from typing import Any

import torch

from ..sampling.progress import progress
from .codes import Codes, make_codes
from .plan import Plan

GRIDS = 8  # sizes whose codes are kept


class PlannedForward:
    """A DIFFUSION_MODEL wrapper under a plan; subclasses wrap one forward of their model.

    Keeps the codes of the last sizes in main memory, a megabyte or so: every step needs the same, and making them anew
    took up to 5 % of a step on a GPU.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan, self.free = plan, plan.released()
        self.kept: dict[tuple[bool, int, int], Codes] = {}

    def now(self, options: dict[str, Any]) -> Plan:
        """The plan in this step: itself, or what is left of it before its start and after its end."""
        if (self.plan.start, self.plan.until) == (0.0, 1.0):
            return self.plan
        return self.plan if self.plan.start <= progress(options) < self.plan.until else self.free

    def codes(self, plan: Plan, rows: int, columns: int, device: torch.device) -> Codes:
        """Of one of this wrapper's two plans, for an image of rows x columns tokens."""
        key = plan is self.free, rows, columns
        codes = self.kept.get(key)
        if codes is None:
            codes = make_codes(plan, rows, columns)
            if len(self.kept) >= GRIDS:  # another device's thread may do the same meanwhile
                self.kept.clear()
            self.kept[key] = codes
        return codes.to(device)
