"""What isolation costs: a step of the model with it over the host's plain step, in time and in memory.

    ./run bench attention                     the full 3.5B architecture on a GPU, random bf16 weights
    ./run bench attention --model mini        the built-in model's architecture; the default on a CPU
    ./run bench attention --compile           torch.compile's arms too: layer by layer; --compile whole: as one
    ./run bench attention --compile --fp8     and the blocks' matrices in scaled fp8, as the host computes with them
    ./run bench attention --compile --profile FILE    and the kernels that every arm's time goes to
    ./run bench attention --json              one JSON object a line

Every row measures its arms in turn, again and again, and compares medians:

    plain        the host's own forward
    codes        isolated, the bias as codes on queries and keys (on a device that has the kernel)
    dense        isolated, the bias as an [N, N] mask
    one by one   one forward for the shared text and one for every character, as the host's area conditioning does it
                 (single pictures alone: it takes long)

    cudnn              plain, in the kernel that codes run in
    compiled           the host's forward under torch.compile, as TorchCompileModel does it
    compiled cudnn     the same in that kernel
    compiled codes     isolated, compiled
    fp8, compiled fp8, compiled fp8 codes    the same three in scaled fp8
    compiled fp8 mended, compiled fp8 mended codes    with the one line of the host changed that can't be traced; asked
                                                      for by --arms

With --compile every caption of a size is as long; with --lengths own they are as long as they are. Isolated passes'
graphs are for any length (with --lengths fixed for this one, to compare), the host's own from the second length on.
compiling is what an arm's first call took, in seconds. set_up is what it takes to make the codes and bring them to the
device, which is done once for a size and not in every step: as a share of one step.

It fails where `codes` takes more than 1.03 of the plain step or of its memory (on a CPU: `dense` more than 1.10); where
isolating 8 characters costs over 5 % of the plain step with the same text more than isolating 2; where set_up, shared
out over 28 steps, is over 1 % of one; or where the kernel's result differs from a float64 reference by more than 1e-2.
With --compile also where `compiled codes` takes more than .91 of the plain step (.88 from 1536 px on), .97 of
`compiled`, 1.03 of `compiled cudnn` or of the plain step's memory, or differs from `codes` by over 1.2 times as much as
the host's own compiled step differs from its plain one: fused layers round less often, and 36 of them add it up.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from ...isolation.bias import bias_of
from ...isolation.fused import FusedBias, NoKernelError
from ...isolation.plan import CaptionToken, Plan
from ..training.config import DIFFUSION
from .fullsize_files import quantized
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
COMPILED_LIMITS = {"plain": 0.91, "compiled": 0.97, "compiled cudnn": 1.03}  # of compiled codes
OWN_ERRORS = 1.2  # of what compiling makes of the host's own step
LARGE, LARGE_LIMIT = 1536, 0.88  # pixels from which another limit holds beside the plain step
LONG = 1024  # tokens; shorter attention is the refiners'
OVERRIDE = "optimized_attention_override"  # of the host's transformer options
SHARED, OWN = 140, 80  # caption tokens: of the shared text, and of every character


def in_fp8(network: torch.nn.Module, config: dict[str, Any]) -> torch.nn.Module:
    """The same weights as the host reads scaled fp8 from a file, and computes with them."""
    import comfy.ops
    from comfy.ldm.lumina.model import NextDiT

    weight = network.x_embedder.weight
    operations = comfy.ops.mixed_precision_ops({}, weight.dtype)
    made = NextDiT(**config, device=weight.device, dtype=weight.dtype, operations=operations)
    made.load_state_dict(dict(quantized(network.state_dict().items(), "fp8_scaled")))
    return made.requires_grad_(False).eval()


@contextlib.contextmanager
def mended() -> Iterator[None]:
    """The host as it could be: cast_bias_weight is told the type of its input in place of asking a tensor that is being

    traced for its own fields, where torch.compile breaks off at every layer.
    """
    import comfy.ops

    own = comfy.ops.cast_bias_weight

    def told(module: Any, x: Any = None, dtype: Any = None, *more: Any, compute_dtype: Any = None, **rest: Any) -> Any:
        return own(module, x, dtype or compute_dtype, *more, compute_dtype=compute_dtype, **rest)

    with mock.patch.object(comfy.ops, "cast_bias_weight", told):
        yield


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


def plan_of(people: int, among: int = 0) -> Plan:
    """among: how many people's text the caption is as long as."""
    own = [CaptionToken(character) for character in range(1, people + 1) for _ in range(OWN)]
    shared = SHARED + OWN * max(0, among - people)
    return Plan((*[CaptionToken(weight=1.2)] * shared, *own), strips(people))


class Step:
    """One forward of one size, in each of the arms."""

    def __init__(
        self, network: torch.nn.Module, config: dict[str, Any], size: int, people: int, batch: int, among: int = 0
    ) -> None:
        from ...isolation.nextdit import IsolatedNextDiT

        self.network, self.people = network, people
        self.plan = plan_of(people, among)
        self.isolation = IsolatedNextDiT(self.plan)  # one for all steps, as a CONDITIONING has it
        weight = network.x_embedder.weight
        self.device, dtype = weight.device, weight.dtype
        generator = torch.Generator(weight.device).manual_seed(1)

        def noise(*shape: int) -> Tensor:
            return torch.randn(shape, device=weight.device, dtype=dtype, generator=generator)

        self.x = noise(batch, config["in_channels"], size // 8, size // 8)
        self.context = noise(batch, len(self.plan.tokens), config["cap_feat_dim"])
        self.pooled = noise(batch, config["clip_text_dim"])
        self.level = torch.full((batch,), 0.6, device=weight.device, dtype=dtype)

    def forward(self, context: Tensor, options: dict[str, Any], network: torch.nn.Module | None = None) -> Tensor:
        """network: another cover of the same."""
        return (self.network if network is None else network)(
            self.x, self.level, context, context.shape[1], transformer_options=options, clip_text_pooled=self.pooled
        )

    def plain(self) -> Tensor:
        return self.forward(self.context, {})

    def isolated(self, **options: Any) -> Tensor:
        from ...isolation.carrier import Pass

        with self.isolation.isolated(Pass(self.network, self.x, self.context, options)) as within:
            return self.forward(self.context, within)

    def compiled_isolated(self, cover: Cover, loras: Any = None) -> Tensor:
        """loras: lora.Loras, fitted to the network."""
        from ...isolation.carrier import Pass, plain

        self.isolation.loras, dtype = loras, cover.compiler.dtype
        one = Pass(plain(cover.network), self.x, self.context, compiler=cover.compiler)
        acting = loras.acting(one.model, self.x, self.context, compiled=dtype) if loras else contextlib.nullcontext()
        with self.isolation.isolated(one) as within, acting:
            return self.forward(self.context, within, cover.network)

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


@dataclass(frozen=True)
class Cover:
    """A network under torch.compile; its weights are the bare one's."""

    network: torch.nn.Module
    compiler: Any

    @staticmethod
    def of(network: torch.nn.Module, whole: bool, backend: str) -> Cover:
        """As the host's TorchCompileModel, and as its torch_helpers with the keys of the blocks."""
        from ...isolation.carrier import Compiler

        settings = {"backend": backend, "options": None, "mode": None, "fullgraph": False, "dynamic": None}
        dtype = network.x_embedder.weight.dtype
        if whole:
            cover = torch.compile(network, **settings)
            return Cover(cover, Compiler(settings, cover, dtype))
        cover = copy.copy(network)
        cover._modules = dict(network._modules)
        for name in ("layers", "context_refiner", "noise_refiner"):
            blocks = (torch.compile(block, **settings) for block in network._modules[name])
            cover._modules[name] = torch.nn.ModuleList(blocks)
        return Cover(cover, Compiler(settings, None, dtype))


def in_cudnn(
    func: Callable[..., Tensor], q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None, **kwargs: Any
) -> Tensor:
    """An attention override: plain attention over caption and picture in the kernel that codes take."""
    from ...isolation.fused import cudnn

    if q.shape[2] < LONG:
        return func(q, k, v, heads, mask, **kwargs)
    return cudnn(q, k, v, q.shape[-1] ** -0.5).transpose(1, 2).flatten(2)


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


def arms_of(
    step: Step, covers: dict[str, Cover], networks: dict[str, torch.nn.Module]
) -> dict[str, Callable[[], Any]]:
    """By "" the network itself, by "fp8" the same in fp8."""
    cover, small, text = covers.get(""), covers.get("fp8"), step.context
    return {
        "plain": step.plain, "codes": step.isolated, "dense": step.dense, "one by one": step.one_by_one,
        "cudnn": lambda: step.forward(text, {OVERRIDE: in_cudnn}),
        "compiled": lambda: step.forward(text, {}, cover.network),
        "compiled cudnn": lambda: step.forward(text, {OVERRIDE: in_cudnn}, cover.network),
        "compiled codes": lambda: step.compiled_isolated(cover),
        "fp8": lambda: step.forward(text, {}, networks["fp8"]),
        "compiled fp8": lambda: step.forward(text, {}, small.network),
        "compiled fp8 codes": lambda: step.compiled_isolated(small),
        "compiled fp8 mended": mended()(lambda: step.forward(text, {}, small.network)),
        "compiled fp8 mended codes": mended()(lambda: step.compiled_isolated(small)),
    }  # fmt: skip


def measure(step: Step, chosen: dict[str, Callable[[], Any]], runs: int) -> dict[str, Any]:
    """chosen: the arms, the plain one among them."""
    row: dict[str, Any] = {}
    for name in chosen:
        if name.startswith("compiled"):
            row[f"{name} compiling"] = round(timed(chosen[name], step.device) / 1000, 1)
            print(f"{name}: {row[f'{name} compiling']} s for its first call", file=sys.stderr, flush=True)
    memory = {name: peak(work, step.device) for name, work in chosen.items()}  # and a first warm-up
    times: dict[str, list[float]] = {name: [] for name in chosen}
    for run in range(runs):
        for name, work in chosen.items():
            if name not in ("dense", "one by one") or run < max(3, runs // 4):
                times[name].append(timed(work, step.device))
    median = {name: statistics.median(values) for name, values in times.items()}
    row["plain_ms"] = round(median.pop("plain"), 2)
    for name, value in median.items():
        row[name] = round(value / row["plain_ms"], 4)
        if memory["plain"]:
            row[f"{name} memory"] = round(memory[name] / memory["plain"], 4)
    row["set_up"] = round(statistics.median(timed(step.set_up, step.device) for _ in range(9)) / row["plain_ms"], 5)
    for name, uncompiled in (("compiled", "plain"), ("compiled codes", "codes")):
        if name in chosen:
            reference, out = (chosen[one]().double() for one in (uncompiled, name))
            row[f"{name} error"] = round(((out - reference).norm() / reference.norm()).item(), 6)
    return row


def profile_of(step: Step, chosen: dict[str, Callable[[], Any]], rows: int = 20) -> Iterator[str]:
    """Which kernels every arm's step goes to, and how long the processor was at it."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if step.device.type != "cpu":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    key = f"self_{step.device.type}_time_total"
    for name, work in chosen.items():
        work()
        synchronize(step.device)
        with torch.profiler.profile(activities=activities) as found:
            taken = timed(work, step.device)
        yield f"\n{name}: {taken:.1f} ms under the profiler"
        yield found.key_averages().table(sort_by=key, row_limit=rows, max_name_column_width=70)


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
        limits = {measured: limit, f"{measured} memory": limit, "compiled codes memory": limit}
        if "compiled codes" in row and measured == "codes":  # the limits are of a GPU
            limits["compiled codes"] = LARGE_LIMIT if row["size"] >= LARGE else COMPILED_LIMITS["plain"]
            for other in ("compiled", "compiled cudnn"):
                if row["compiled codes"] > COMPILED_LIMITS[other] * row.get(other, math.inf):
                    ratio = row["compiled codes"] / row[other]
                    yield f"{where}: compiled codes is {ratio:.3f} of {other}, over {COMPILED_LIMITS[other]}."
            if not row["compiled codes error"] <= OWN_ERRORS * row.get("compiled error", math.inf):
                yield (f"{where}: compiled codes differs from codes by {row['compiled codes error']}, the host's own "
                       f"compiled step from its plain one by {row['compiled error']}.")
        for name, most in limits.items():
            if row.get(name, 0) > most:
                yield f"{where}: {name} is {row[name]} of the plain step's, over {most}."
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
    parser.add_argument("--compile", nargs="?", const="blocks", choices=("blocks", "whole"))
    parser.add_argument("--lengths", choices=("same", "own", "fixed"), default="same", help="of captions")
    parser.add_argument("--backend", default="inductor")
    parser.add_argument("--fp8", action="store_true")
    parser.add_argument("--dtype", choices=("bfloat16", "float16", "float32"), help="bfloat16 on a GPU")
    parser.add_argument("--arms", nargs="+", help="these alone, after plain and codes")
    parser.add_argument("--profile", type=Path, metavar="FILE")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args(arguments)
    add_host()
    import comfy.model_management

    device = comfy.model_management.get_torch_device()
    on_cpu = device.type == "cpu"
    model = options.model or ("mini" if on_cpu else "full")
    config = DIFFUSION if model == "mini" else FULL
    measured, limit = ("dense", CPU_LIMIT) if on_cpu else ("codes", GPU_LIMIT)
    torch.set_grad_enabled(False)
    if options.lengths == "fixed":
        from ...isolation import compiled

        compiled.of_any_length = lambda tensor, *_dimensions: tensor
    failed = False
    for row in () if on_cpu else errors(device):
        failed |= not row["error"] <= ERROR_LIMIT
        print(json.dumps(row) if options.json else "heads of {head}, {dtype}: relative error {error:.1e}".format(**row))
    rows: list[dict[str, Any]] = []
    network = make_network(config, device, getattr(torch, options.dtype or ("float32" if on_cpu else "bfloat16")))
    networks = {"": network} | ({"fp8": in_fp8(network, config)} if options.fp8 else {})
    if not options.json:
        count = sum(weight.numel() for weight in network.parameters())
        print(f"\n{count / 1e9:.2f}B parameters on {device}; ratios to the host's plain step")
    same_length = options.compile is not None and options.lengths != "own"
    for size in options.sizes or ([320, 512] if model == "mini" else [1024, 1536]):
        for batch in options.batches:
            covers: dict[str, Cover] = {}
            if options.compile:
                torch.compiler.reset()
                whole = options.compile == "whole"
                covers = {name: Cover.of(one, whole, options.backend) for name, one in networks.items()}
            for people in options.people:
                row = {"size": size, "batch": batch, "people": people}
                step = Step(network, config, size, people, batch, max(options.people) if same_length else 0)
                arms = arms_of(step, covers, networks)
                names = arms_for(options, on_cpu, batch)
                chosen = {name: arms[name] for name in names}
                row |= measure(step, chosen, options.runs)
                rows.append(row)
                if len(rows) == 1 and not options.json:
                    print("".join(f"{name:>18}" for name in row))
                line = json.dumps(row) if options.json else "".join(f"{value:>18}" for value in row.values())
                print(line, flush=True)
                if options.profile and len(rows) == 1:
                    options.profile.write_text("\n".join(profile_of(step, chosen)), encoding="utf-8")
    for fault in (found := list(faults(rows, measured, limit))):
        print(fault, file=sys.stderr)
    return int(failed or bool(found))


def arms_for(options: argparse.Namespace, on_cpu: bool, batch: int) -> list[str]:
    """The plain one first, then what is measured."""
    if not options.compile:
        return ["plain", "dense"] if on_cpu else ["plain", "codes", "dense"] + ["one by one"] * (batch == 1)
    names = ["compiled", "compiled codes", *([] if on_cpu else ["cudnn", "compiled cudnn"])]
    names += ["fp8", "compiled fp8", "compiled fp8 codes"] if options.fp8 else []
    asked = ["compiled fp8 mended", "compiled fp8 mended codes"] if options.fp8 else []  # by name: they trace code anew
    chosen = [name for name in (*names, *asked) if name in (options.arms or names)]
    return ["plain", *(["dense"] if on_cpu else []), "codes", *chosen]
