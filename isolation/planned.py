"""What the wrappers of all models share: the plan of a step, and the codes that are made once for every size."""

from __future__ import annotations

from typing import Any

import torch

from ..sampling.progress import progress
from .codes import Codes, make_codes
from .plan import Plan

GRIDS = 8  # sizes whose codes are kept
PROGRESS = "newbie_progress"  # of the transformer options: how far the run was when the step began


class PlannedForward:
    """A DIFFUSION_MODEL wrapper under a plan; subclasses wrap one forward of their model.

    Keeps the codes of the last sizes where they are used, a megabyte or so each: every step needs the same. Making them
    anew took up to 5 % of a step on a GPU, and moving them there in every step would wait for the device in its middle.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan, self.free = plan, plan.released()
        self.kept: dict[tuple[bool, int, int, torch.device], Codes] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "kept": {}}

    def now(self, options: dict[str, Any]) -> Plan:
        """The plan in this step: itself, or what is left of it before its start and after its end."""
        if (self.plan.start, self.plan.until) == (0.0, 1.0):
            return self.plan
        passed = options.get(PROGRESS)
        passed = progress(options) if passed is None else passed
        return self.plan if self.plan.start <= passed < self.plan.until else self.free

    def codes(self, plan: Plan, rows: int, columns: int, device: torch.device) -> Codes:
        """Of one of this wrapper's two plans, for an image of rows x columns tokens."""
        key = plan is self.free, rows, columns, device
        codes = self.kept.get(key)
        if codes is None:
            codes = make_codes(plan, rows, columns).to(device)
            if len(self.kept) >= GRIDS:  # another device's thread may do the same meanwhile
                self.kept.clear()
            self.kept[key] = codes
        return codes
