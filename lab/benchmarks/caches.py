"""What the host's caches of steps save and cost with isolated characters, on the built-in model.

    ./run bench caches --out FOLDER                       a table, rows.jsonl and contact sheets
    ./run bench caches --out FOLDER --arms none easy-0.2 lazy-0.2 --count 4
    ./run bench caches --out FOLDER --seconds 1200        as many pictures as are done by then
    ./run bench caches --out FOLDER --part 2/8            draws every eighth picture alone, for eight at a time; then
    ./run bench caches --out FOLDER --judge               the table of all that is drawn
    ./run bench caches --full                             time alone: the full 3.5B architecture, random weights, a GPU

An arm is a node and its threshold: easy (EasyCache), lazy (LazyCache), tea and tea2 (TeaCache of the packs
CUI-Lumina2-TeaCache and ComfyUI-TeaCache, in the folder that --packs names); the rest of the node as it comes. steps is
no cache, but as many steps instead, which a cache has to be better than. Every picture is drawn in all arms, one after
the other: 2 and 3 people in usual places with complete prompts and 2 with sparse ones, each twice, the second time with
one person in other colours (bleed). 28 steps, guidance 7.5 until 0.75, eta 0.3, strict.

passes: of the model, as a share of those without a cache; seconds: of sampling, the same (of pictures drawn one at a
time; with --part beside each other). The measures are binding's;
accuracy_less is the difference to no cache on the same pictures. It recommends the arm that saves most of those which
save at least 35 % of the passes and lose at most half a point of accuracy within the interval, if there is one.

With --full the same sampling runs with 2 characters and random text features; every arm once to warm up and then in
turns. Which steps are skipped says nothing of real weights there, so tea-every2 takes every second step's passes and
every3 every third's; pass_ms is what every pass that was not skipped took, so what a cache costs beside what it saves.
"""

from __future__ import annotations

import argparse
import json
import runpy
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ...isolation.plan import Plan
from ..judging.evaluate import Mini, load
from ..training import prompts
from ..training.config import DIFFUSION
from . import binding_measures as measures
from .attention import FULL, make_network, plan_of, timed
from .binding import write_sheet
from .binding_arms import SEED, STEPS, change, coverage, judged
from .binding_scenes import PictureSet, sparse_set, truth_of, usual_set
from .binding_tables import Row, rounded
from .host import ROOT, add_host, chosen_device

NONE, FEWER, ARMS = "none", "steps", ("none", "easy-0.2", "easy-0.3", "easy-0.4", "lazy-0.3")
LEAST_SAVED, MOST_LOST = 0.35, 0.5  # of the passes; points of accuracy
SHARES = ("accuracy", "leak_stated", "leak_unstated", "bleed")
HOSTS, EVERY = ("easy", "lazy"), "every"
SHOWN = 12  # pictures of an arm's sheet
COLUMNS = ("arm", "pictures", "passes", "seconds", "accuracy", "accuracy_less", *SHARES[1:], "bleed_less")


def cached(model: Any, arm: str, packs: Path | None = None) -> Any:
    """The model behind the arm's node."""
    from comfy_extras.nodes_easycache import EasyCacheNode, LazyCacheNode

    kind, _, threshold = arm.partition("-")
    if kind in (NONE, FEWER):
        return model
    if kind in HOSTS:
        node = {"easy": EasyCacheNode, "lazy": LazyCacheNode}[kind]
        return node.execute(model, float(threshold), 0.15, 0.95, False).result[0]
    vars(model.model.diffusion_model).pop("teacache_state", None)  # the other pack's
    distance = float(threshold.removeprefix(EVERY))
    if kind == "tea":
        tea = runpy.run_path(str(packs / "CUI-Lumina2-TeaCache" / "TeaCache_Lumina2.py"))
        node, own = tea["TeaCache_Lumina2"](), str(tea["DEFAULT_COEFFICIENTS"])
        model = node.patch_teacache(model, distance, 0, 1, own)[0]
    else:
        node = runpy.run_path(str(packs / "ComfyUI-TeaCache" / "nodes.py"))["TeaCache"]()
        model = node.apply_teacache(model, "lumina_2", distance, 0, 1, "cuda")[0]
    if threshold.startswith(EVERY):
        model.model_options["transformer_options"]["coefficients"] = [1.0]  # every step is as far from the last
    return model


def steps_of(arm: str, steps: int) -> int:
    return int(arm.removeprefix(f"{FEWER}-")) if arm.startswith(FEWER) else steps


class Host:
    """The built-in model in the host, and how it draws."""

    def __init__(self, weights: Path, steps: int, packs: Path | None) -> None:
        add_host()
        import comfy.utils

        from ...isolation.plan import declare
        from ...model_loader import mini

        comfy.utils.set_progress_bar_enabled(False)
        mini.WEIGHTS = weights
        self.model, self.clip, self.vae, isolation = mini.load()
        declare(self.clip, isolation)
        self.steps, self.passes, self.packs = steps, 0, packs
        self.model.model.diffusion_model.layers[-1].register_forward_pre_hook(self.count)

    def count(self, *_: Any) -> None:
        self.passes += 1

    def draw(self, arm: str, described: prompts.Description, size: tuple[int, int], seed: int) -> tuple[Tensor, float]:
        """-> the picture [3, H, W] in 0..1, and the seconds that sampling took."""
        from ...isolation.encode import encode, encode_negative
        from ...sampling.decode import decode
        from ...sampling.sample import sample

        latent = {"samples": torch.zeros(1, 16, size[1] // 8, size[0] // 8)}
        positive = encode(self.clip, described.scene, described.boxes, "strict")
        negative = encode_negative(self.clip, described.scene, described.boxes, "strict", "")
        model, steps = cached(self.model, arm, self.packs), steps_of(arm, self.steps)
        begin = time.perf_counter()
        drawn = sample(model, positive, negative, latent, seed=seed, steps=steps)
        seconds = time.perf_counter() - begin
        return decode(self.vae, drawn["samples"])[0].permute(2, 0, 1).cpu(), seconds


@dataclass
class Arm:
    """What an arm has drawn, by the picture's number: of every set the picture and its twin in other colours."""

    pictures: dict[int, list[tuple[Tensor, Tensor]]] = field(default_factory=dict)  # [3, H, W] in bytes
    passes: dict[int, float] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)


def draw_all(host: Host, names: Sequence[str], sets: Sequence[PictureSet], number: int, file: Path) -> None:
    """The picture of this number of every set, in every arm, into a file: arm/set/twin, and arm/took."""
    found: dict[str, Tensor] = {}
    took = {name: torch.zeros(2, dtype=torch.float64) for name in names}  # passes, seconds
    for place, test in enumerate(sets):
        for twin, described in enumerate((test.described[number], test.redescribed[number])):
            for name in names:
                before = host.passes
                picture, seconds = host.draw(name, described, test.size, SEED + number)
                found[f"{name}/{place}/{twin}"] = (picture * 255).round().byte()
                took[name] += torch.tensor([host.passes - before, seconds])
    save_file(found | {f"{name}/took": both for name, both in took.items()}, file)


def drawn_in(folder: Path, sets: int) -> dict[str, Arm]:
    """What the arms have drawn there: the pictures that all of them have."""
    arms: dict[str, Arm] = {}
    for file in sorted(folder.glob("*.safetensors")):
        found, number = load_file(file), int(file.stem)
        for name in (key.removesuffix("/took") for key in found if key.endswith("/took")):
            arm = arms.setdefault(name, Arm())
            arm.pictures[number] = [tuple(found[f"{name}/{place}/{twin}"] for twin in (0, 1)) for place in range(sets)]
            arm.passes[number], arm.seconds[number] = found[f"{name}/took"].tolist()
    return arms


def shares(mini: Mini, arm: Arm, sets: Sequence[PictureSet], numbers: Sequence[int]) -> dict[str, measures.Quotient]:
    found = []
    for place, whole in enumerate(sets):
        test = only(whole, numbers)
        truth = truth_of(test)
        images, others = (
            torch.stack([arm.pictures[number][place][twin] for number in numbers]).to(mini.device) / 255
            for twin in (0, 1)
        )
        covered = coverage(test.described, (test.size[1] // 16, test.size[0] // 16))
        bleed = change(images, others, truth, test.changed)
        found.append(measures.quotients(truth, judged(mini, truth, images, covered, bleed)))
    return {name: measures.joined([each[name] for each in found]) for name in SHARES}


def only(test: PictureSet, numbers: Sequence[int]) -> PictureSet:
    """Some of the set's pictures."""
    names = ("pictures", "described", "recoloured", "redescribed", "changed")
    return replace(test, **{name: tuple(getattr(test, name)[number] for number in numbers) for name in names})


def rows_of(mini: Mini, arms: dict[str, Arm], sets: Sequence[PictureSet], numbers: Sequence[int]) -> Iterator[Row]:
    """Percent with intervals, of whole pictures drawn again."""

    def part(name: str, what: str) -> float:
        own, plain = (sum(getattr(arms[arm], what)[number] for number in numbers) for arm in (name, NONE))
        return round(own / plain, 3)

    plain = shares(mini, arms[NONE], sets, numbers)
    for name, arm in arms.items():
        own = shares(mini, arm, sets, numbers)
        row: Row = {"arm": name, "pictures": len(sets) * len(numbers)}
        row |= {what: part(name, what) for what in ("passes", "seconds")}
        row |= {share: rounded(measures.interval(own[share])) for share in SHARES}
        if name != NONE:
            less = {share: rounded(measures.difference(own[share], plain[share])) for share in ("accuracy", "bleed")}
            row |= {f"{share}_less": found for share, found in less.items()}
        yield row


def recommended(rows: Sequence[Row]) -> str:
    good = [
        row for row in rows
        if row["arm"] != NONE and 1 - row["passes"] >= LEAST_SAVED and row["accuracy_less"][1] >= -MOST_LOST
    ]  # fmt: skip
    return min(good, key=lambda row: row["passes"])["arm"] if good else "none of them"


def full_size(options: argparse.Namespace) -> Iterator[Row]:
    """Seconds of sampling, medians of --runs."""
    add_host()
    import comfy.model_management
    import comfy.model_patcher
    import comfy.supported_models
    import comfy.utils

    from ...isolation.carrier import conditioning
    from ...isolation.nextdit import IsolatedNextDiT
    from ...sampling.sample import sample

    comfy.utils.set_progress_bar_enabled(False)
    device, dtype = comfy.model_management.get_torch_device(), torch.bfloat16
    sizes = DIFFUSION if options.model == "mini" else FULL
    config = comfy.supported_models.Lumina2(dict(sizes))
    config.set_inference_dtype(dtype, None)
    model = config.get_model({}, "", device="meta")
    model.diffusion_model = make_network(sizes, device, dtype)
    patcher, passes = comfy.model_patcher.ModelPatcher(model, device, device), []
    model.diffusion_model.layers[-1].register_forward_pre_hook(lambda *_: passes.append(1))
    generator, plan = torch.Generator().manual_seed(0), plan_of(2)

    def entry(plan: Any) -> Any:
        text = torch.randn(1, len(plan.tokens), sizes["cap_feat_dim"], generator=generator)
        values = {"pooled_output": torch.randn(1, sizes["clip_text_dim"], generator=generator)}
        return conditioning(text, values, IsolatedNextDiT(plan)) if plan.regions else [[text, values]]

    positive, negative = entry(plan), entry(Plan(plan.tokens[:64], ()))
    latent = {"samples": torch.zeros(1, 16, options.size // 8, options.size // 8)}

    arms: dict[str, list[tuple[float, int]]] = {arm: [] for arm in (NONE, *options.arms)}
    for run in range(-1, options.runs):
        for arm, found in arms.items():
            passes.clear()
            draw = partial(sample, cached(patcher, arm, options.packs), positive, negative, latent, seed=SEED)
            taken = timed(partial(draw, steps=steps_of(arm, options.steps)), device) / 1000
            found += [(taken, len(passes))] if run >= 0 else []
    seconds = {arm: statistics.median(taken for taken, _ in found) for arm, found in arms.items()}
    for arm, found in arms.items():
        count = found[0][1]
        row: Row = {"arm": arm, "passes": count, "seconds": round(seconds[arm], 3)}
        yield row | {"ratio": round(seconds[arm] / seconds[NONE], 3), "pass_ms": round(1000 * seconds[arm] / count, 2)}


def run(options: argparse.Namespace) -> None:
    torch.set_grad_enabled(False)
    sets = [usual_set(2, options.count), usual_set(3, options.count), sparse_set(2, options.count)]
    drawn = options.out / "drawn"
    drawn.mkdir(parents=True, exist_ok=True)
    if not options.judge:
        draw(options, sets, drawn)
    if options.part is None:
        judge(options, sets, drawn)


def draw(options: argparse.Namespace, sets: Sequence[PictureSet], drawn: Path) -> None:
    begin = time.perf_counter()
    host = Host(options.weights, options.steps, options.packs)
    first, among = map(int, (options.part or "0/1").split("/"))
    for number in range(first % among, options.count, among):
        if time.perf_counter() - begin > options.seconds:
            break
        draw_all(host, list(dict.fromkeys((NONE, *options.arms))), sets, number, drawn / f"{number}.safetensors")
        print(f"Picture {number} of each set after {time.perf_counter() - begin:.0f} s.", file=sys.stderr, flush=True)


def judge(options: argparse.Namespace, sets: Sequence[PictureSet], drawn: Path) -> None:
    arms = drawn_in(drawn, len(sets))
    numbers = sorted(set.intersection(*(set(arm.pictures) for arm in arms.values()), range(options.count)))
    rows = list(rows_of(load(options.weights, chosen_device()), arms, sets, numbers))
    for name, arm in arms.items():
        for place, test in enumerate(sets):
            some = torch.stack([arm.pictures[number][place][0] for number in numbers[:SHOWN]]) / 255
            write_sheet(options.out / f"{name}_{test.kind}_{test.people}.jpg", some)
    (options.out / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    if options.json:
        print(*map(json.dumps, rows), sep="\n")
        return
    print(measures.table(rows, COLUMNS))
    print(f"Recommended: {recommended(rows)}.")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./run bench caches", description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=ROOT / "mini" / "weights", help="folder of the built-in model")
    parser.add_argument("--out", type=Path, help="folder for the table, its rows and contact sheets")
    parser.add_argument("--arms", nargs="+", default=ARMS, metavar="ARM", help=" ".join(ARMS))
    parser.add_argument("--count", type=int, default=12, help="pictures of each of the three sets, drawn twice an arm")
    parser.add_argument("--part", metavar="K/N", help="draw every Nth picture alone, from the Kth on, and don't judge")
    parser.add_argument("--judge", action="store_true", help="what is drawn in --out, of as many pictures as --count")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no further picture after these")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--packs", type=Path, help="folder of the packs' own, for tea and tea2")
    parser.add_argument("--full", action="store_true", help="time alone, of the full architecture")
    parser.add_argument("--model", choices=("full", "mini"), default="full", help="with --full: whose architecture")
    parser.add_argument("--size", type=int, default=1024, help="with --full, in pixels")
    parser.add_argument("--runs", type=int, default=3, help="with --full")
    options = parser.parse_args(arguments)
    if options.full:
        torch.set_grad_enabled(False)
        for row in full_size(options):
            print(json.dumps(row), flush=True)
    elif options.out is None:
        parser.error("Say --out FOLDER for pictures, or --full.")
    else:
        run(options)
    return 0
