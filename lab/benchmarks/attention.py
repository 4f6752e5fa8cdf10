"""What isolation costs: a step of the model with it over the host's plain step, in time and in memory.

    ./run bench attention                     the full 3.5B architecture on a GPU, random bf16 weights
    ./run bench attention --model mini        the built-in model's architecture; the default on a CPU
    ./run bench attention --json              one JSON object a line

Every row measures its arms in turn, again and again, and compares medians:

    plain        the host's own forward
    codes        isolated, the bias as codes on queries and keys (on a device that has the kernel)
    dense        isolated, the bias as an [N, N] mask
    one by one   one forward for the shared text and one for every character, as the host's area conditioning does it
                 (single pictures alone: it takes long)

set_up is what it takes to make the codes and bring them to the device, which is done once for a size and not in every
step: as a share of one step.

It fails where `codes` takes more than 1.03 of the plain step or of its memory (on a CPU: `dense` more than 1.10); where
isolating 8 characters costs over 5 % of the plain step with the same text more than isolating 2; where set_up, shared
out over 28 steps, is over 1 % of one; or where the kernel's result differs from a float64 reference by more than 1e-2.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ...isolation.bias import bias_of
from ...isolation.fused import FusedBias, NoKernelError
from ...isolation.plan import CaptionToken, Plan
from ..training.config import DIFFUSION
from .host import add_host

FULL: dict[str, Any] = {  # NewBie-image-Exp0.1, as comfy/model_detection.py reads it from the released weights
    "patch_size": 2, "in_channels": 16, "dim": 2304, "n_layers": 36, "n_refiner_layers": 2, "n_heads": 24,
    "n_kv_heads": 8, "multiple_of": 256, "ffn_dim_multiplier": 4.0, "norm_eps": 1e-5, "qk_norm": True,
    "cap_feat_dim": 2560, "axes_dims": [32, 32, 32], "axes_lens": [1024, 512, 512], "rope_theta": 10000.0,
    "clip_text_dim": 1024,
}  # fmt: skip
GPU_LIMIT, CPU_LIMIT, ERROR_LIMIT = 1.03, 1.10, 1e-2
SET_UP_LIMIT, STEPS = 0.01, 28
PEOPLE_LIMIT = 0.05  # of the step: what the most characters cost more than the fewest
SHARED, OWN = 140, 80  # caption tokens: of the shared text, and of every character


def synchronize(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def make_network(config: dict[str, Any], device: torch.device, dtype: torch.dtype) -> torch.nn.Module:
    """The host's NextDiT with random weights; norms at 1."""
    import comfy.ops
    from comfy.ldm.lumina.model import NextDiT

    network = NextDiT(**config, device=device, dtype=dtype, operations=comfy.ops.disable_weight_init)
    generator = torch.Generator(device).manual_seed(0)
    for weight in network.parameters():
        weight.data.fill_(1.0) if weight.ndim == 1 else weight.data.normal_(0, 0.02, generator=generator)
    return network.requires_grad_(False).eval()


def strips(people: int) -> tuple[tuple[tuple[float, float, float, float], ...], ...]:
    """A region for everyone: side by side, overlapping a little."""
    return tuple(((max(0.0, i / people - 0.02), 0.1, min(1.0, (i + 1) / people + 0.02), 1.0),) for i in range(people))


def plan_of(people: int) -> Plan:
    own = [CaptionToken(character) for character in range(1, people + 1) for _ in range(OWN)]
    return Plan((*[CaptionToken(weight=1.2)] * SHARED, *own), strips(people))


class Step:
    """One forward of one size, in each of the arms."""

    def __init__(self, network: torch.nn.Module, config: dict[str, Any], size: int, people: int, batch: int) -> None:
        from ...isolation.nextdit import IsolatedNextDiT

        self.network, self.people = network, people
        self.plan = plan_of(people)
        self.isolation = IsolatedNextDiT(self.plan)  # one for all steps, as a CONDITIONING has it
        weight = next(network.parameters())
        self.device, dtype = weight.device, weight.dtype
        generator = torch.Generator(weight.device).manual_seed(1)

        def noise(*shape: int) -> Tensor:
            return torch.randn(shape, device=weight.device, dtype=dtype, generator=generator)

        self.x = noise(batch, config["in_channels"], size // 8, size // 8)
        self.context = noise(batch, len(self.plan.tokens), config["cap_feat_dim"])
        self.pooled = noise(batch, config["clip_text_dim"])
        self.level = torch.full((batch,), 0.6, device=weight.device, dtype=dtype)

    def forward(self, context: Tensor, options: dict[str, Any]) -> Tensor:
        return self.network(
            self.x, self.level, context, context.shape[1], transformer_options=options, clip_text_pooled=self.pooled
        )

    def plain(self) -> Tensor:
        return self.forward(self.context, {})

    def isolated(self, **options: Any) -> Tensor:
        from ...isolation.carrier import Pass

        with self.isolation.isolated(Pass(self.network, self.x, self.context, options)) as within:
            return self.forward(self.context, within)

    def dense(self) -> Tensor:
        """An override that was there before gets the bias as a mask."""
        return self.isolated(optimized_attention_override=lambda function, *args, **kwargs: function(*args, **kwargs))

    def one_by_one(self) -> Tensor:
        shared = self.context[:, :SHARED]
        parts = self.context[:, SHARED:].split(OWN, 1)
        return sum(self.forward(torch.cat([shared, part], 1), {}) for part in (shared[:, :0], *parts))

    def set_up(self) -> None:
        """What isolation computes before the first layer of the first step at a size, alone."""
        rows = self.x.shape[-1] // 2
        self.isolation.kept.clear()
        self.isolation.bias(self.plan, rows, rows, self.device).scaled(96, self.x.dtype)


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Milliseconds."""
    synchronize(device)
    begin = time.perf_counter()
    work()
    synchronize(device)
    return (time.perf_counter() - begin) * 1000


def peak(work: Callable[[], object], device: torch.device) -> float:
    """GiB at the most during work, weights included; 0 where the device does not count."""
    if device.type == "cpu":
        return 0.0
    torch.accelerator.reset_peak_memory_stats(device)
    work()
    synchronize(device)
    return torch.accelerator.max_memory_allocated(device) / 2**30


def measure(step: Step, names: list[str], runs: int) -> dict[str, Any]:
    arms: dict[str, Callable[[], object]] = {
        "plain": step.plain, "codes": step.isolated, "dense": step.dense, "one by one": step.one_by_one,
    }  # fmt: skip
    chosen = {name: arms[name] for name in names}
    memory = {name: peak(work, step.device) for name, work in chosen.items()}  # and a first warm-up
    times: dict[str, list[float]] = {name: [] for name in chosen}
    for run in range(runs):
        for name, work in chosen.items():
            if name in ("plain", "codes") or run < max(3, runs // 4):
                times[name].append(timed(work, step.device))
    median = {name: statistics.median(values) for name, values in times.items()}
    row: dict[str, Any] = {"plain_ms": round(median["plain"], 2)}
    for name in names[1:]:
        row[name] = round(median[name] / median["plain"], 4)
        if memory["plain"]:
            row[f"{name} memory"] = round(memory[name] / memory["plain"], 4)
    row["set_up"] = round(statistics.median(timed(step.set_up, step.device) for _ in range(9)) / median["plain"], 5)
    return row


def errors(device: torch.device) -> Iterator[dict[str, Any]]:
    """The kernel on this device against float64, at several widths of heads; NaN where there is none."""
    rows, columns = 24, 20
    for width in (64, 96, 120, 128):
        for dtype in (torch.bfloat16, torch.float16):
            people = 3 if width < 120 else 8
            known = tuple(CaptionToken((i * 7919) % (people + 1), 1 + 0.1 * (i % 7)) for i in range(301))
            plan = Plan(known, strips(people))
            generator = torch.Generator(device).manual_seed(2)
            shape = (2, 4, len(known) + rows * columns, width)
            q, k, v = (torch.randn(shape, device=device, dtype=dtype, generator=generator) for _ in range(3))
            bias = bias_of(plan, rows, columns).to(device)
            row = {"head": width, "dtype": str(dtype).removeprefix("torch.")}
            try:
                out = FusedBias(bias, q).attend(q, k, v).double()
            except NoKernelError:
                yield {**row, "error": math.nan}
                continue
            scores = q.double() @ k.double().transpose(-1, -2) * width**-0.5 + bias.matrix(torch.float64)
            expected = (scores.softmax(-1) @ v.double()).transpose(1, 2).flatten(2)
            yield {**row, "error": ((out - expected).norm() / expected.norm()).item()}


def faults(rows: Sequence[dict[str, Any]], measured: str, limit: float) -> Iterator[str]:
    """rows: with the ratio and the memory of `measured`, and set_up. One sentence each."""
    for row in rows:
        where = f"{row['size']} px, batch {row['batch']}, {row['people']} characters"
        for name in (measured, f"{measured} memory"):
            if row.get(name, 1) > limit:
                yield f"{where}: {name} is {row[name]} of the plain step's, over {limit}."
        if row["set_up"] / STEPS > SET_UP_LIMIT:
            share = row["set_up"] / STEPS
            yield f"{where}: the set-up is {share:.1%} of each of {STEPS} steps, over {SET_UP_LIMIT:.0%}."
    for size, batch in dict.fromkeys((row["size"], row["batch"]) for row in rows):
        same = [row for row in rows if (row["size"], row["batch"]) == (size, batch)]
        few, many = (pick(same, key=lambda row: row["people"]) for pick in (min, max))
        if many[measured] - few[measured] > PEOPLE_LIMIT:
            yield (f"{size} px, batch {batch}: isolating {many['people']} characters costs "
                   f"{many[measured] - few[measured]:.1%} of a step more than isolating {few['people']}.")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./run bench attention", description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=("full", "mini"))
    parser.add_argument("--sizes", type=int, nargs="+")
    parser.add_argument("--people", type=int, nargs="+", default=[2, 4, 6, 8])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args(arguments)
    add_host()
    import comfy.model_management

    device = comfy.model_management.get_torch_device()
    on_cpu = device.type == "cpu"
    model = options.model or ("mini" if on_cpu else "full")
    config = DIFFUSION if model == "mini" else FULL
    names = ["plain", "dense"] if on_cpu else ["plain", "codes", "dense", "one by one"]
    measured, limit = names[1], CPU_LIMIT if on_cpu else GPU_LIMIT
    torch.set_grad_enabled(False)
    failed = False
    for row in () if on_cpu else errors(device):
        failed |= not row["error"] <= ERROR_LIMIT
        print(json.dumps(row) if options.json else "heads of {head}, {dtype}: relative error {error:.1e}".format(**row))
    rows: list[dict[str, Any]] = []
    network = make_network(config, device, torch.float32 if on_cpu else torch.bfloat16)
    count = sum(weight.numel() for weight in network.parameters())
    if not options.json:
        print(f"\n{count / 1e9:.2f}B parameters on {device}; ratios to the host's plain step")
    first = True
    for size in options.sizes or ([320, 512] if model == "mini" else [1024, 1536]):
        for batch in options.batches:
            for people in options.people:
                row = {"size": size, "batch": batch, "people": people}
                arms = names if batch == 1 else names[:3]
                row |= measure(Step(network, config, size, people, batch), arms, options.runs)
                rows.append(row)
                if options.json:
                    print(json.dumps(row), flush=True)
                    continue
                if first:
                    print("".join(f"{name:>18}" for name in row))
                    first = False
                print("".join(f"{value:>18}" for value in row.values()), flush=True)
    for fault in (found := list(faults(rows, measured, limit))):
        print(fault, file=sys.stderr)
    return int(failed or bool(found))
