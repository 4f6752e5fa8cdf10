"""What the host's caches of steps save and cost with isolated characters, on the built-in model.

    ./run bench caches --out FOLDER                       a table, rows.jsonl and contact sheets
    ./run bench caches --out FOLDER --arms none easy-0.2 lazy-0.2 --count 4
    ./run bench caches --out FOLDER --seconds 1200        as many pictures as are done by then
    ./run bench caches --full                             time alone: the full 3.5B architecture, random weights, a GPU

An arm is a node and its threshold: easy (EasyCache), lazy (LazyCache), and tea (TeaCache of the pack
CUI-Lumina2-TeaCache, in the folder that --pack names); the rest of the node as it comes. steps is no cache, but as many
steps instead, which a cache has to be better than. Every picture is drawn in all arms, one after the other: 2 and 3
people in usual places with complete prompts and 2 with sparse ones, each twice, the second time with one person in
other colours (bleed). 28 steps, guidance 7.5 until 0.75, eta 0.3, strict.

passes: of the model, as a share of those without a cache; seconds: of sampling, the same. The measures are binding's;
accuracy_less is the difference to no cache on the same pictures. It recommends the arm that saves most of those which
save at least 35 % of the passes and lose at most half a point of accuracy, if there is one.

With --full the same sampling runs with 2 characters and random text features; every arm once to warm up and then in
turns. Which steps are skipped says nothing of real weights there; pass_ms is what every pass that was not took, so what
a cache costs beside what it saves.
"""

from __future__ import annotations

import argparse
import json
import runpy
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
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
COLUMNS = ("arm", "pictures", "passes", "seconds", "accuracy", "accuracy_less", *SHARES[1:], "bleed_less")


def cached(model: Any, arm: str, pack: Path | None = None) -> Any:
    """The model behind the arm's node."""
    from comfy_extras.nodes_easycache import EasyCacheNode, LazyCacheNode

    kind, _, threshold = arm.partition("-")
    if kind in (NONE, FEWER):
        return model
    if kind == "tea":
        tea = runpy.run_path(str(pack / "TeaCache_Lumina2.py"))
        node, own = tea["TeaCache_Lumina2"](), str(tea["DEFAULT_COEFFICIENTS"])
        return node.patch_teacache(model, float(threshold), 0, 1, own)[0]
    node = {"easy": EasyCacheNode, "lazy": LazyCacheNode}[kind]
    return node.execute(model, float(threshold), 0.15, 0.95, False).result[0]


class Host:
    """The built-in model in the host, and how it draws."""

    def __init__(self, weights: Path, steps: int, pack: Path | None) -> None:
        add_host()
        import comfy.utils

        from ...isolation.plan import declare
        from ...model_loader import mini

        comfy.utils.set_progress_bar_enabled(False)
        mini.WEIGHTS = weights
        self.model, self.clip, self.vae, isolation = mini.load()
        declare(self.clip, isolation)
        self.steps, self.passes, self.pack = steps, 0, pack
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
        steps = int(arm.removeprefix(f"{FEWER}-")) if arm.startswith(FEWER) else self.steps
        begin = time.perf_counter()
        drawn = sample(cached(self.model, arm, self.pack), positive, negative, latent, seed=seed, steps=steps)
        seconds = time.perf_counter() - begin
        return decode(self.vae, drawn["samples"])[0].permute(2, 0, 1).cpu(), seconds


class Arm:
    """What an arm has drawn: of every set the pictures, and their twins in other colours."""

    def __init__(self, sets: int) -> None:
        self.pictures: list[tuple[list[Tensor], list[Tensor]]] = [([], []) for _ in range(sets)]
        self.passes, self.seconds = 0, 0.0


def cut(test: PictureSet, some: slice) -> PictureSet:
    """Some of the set's pictures."""
    names = ("pictures", "described", "recoloured", "redescribed", "changed")
    return replace(test, **{name: getattr(test, name)[some] for name in names})


def draw_all(host: Host, arms: dict[str, Arm], sets: Sequence[PictureSet], number: int) -> None:
    """The picture of this number of every set, in every arm."""
    for test, place in zip(sets, range(len(sets)), strict=True):
        for twin, described in enumerate((test.described[number], test.redescribed[number])):
            for name, arm in arms.items():
                before = host.passes
                picture, seconds = host.draw(name, described, test.size, SEED + number)
                arm.pictures[place][twin].append(picture)
                arm.passes, arm.seconds = arm.passes + host.passes - before, arm.seconds + seconds


def shares(mini: Mini, arm: Arm, sets: Sequence[PictureSet]) -> dict[str, measures.Quotient]:
    found = []
    for test, (pictures, twins) in zip(sets, arm.pictures, strict=True):
        truth = truth_of(test)
        images, others = (torch.stack(some).to(mini.device) for some in (pictures, twins))
        covered = coverage(test.described, (test.size[1] // 16, test.size[0] // 16))
        bleed = change(images, others, truth, test.changed)
        found.append(measures.quotients(truth, judged(mini, truth, images, covered, bleed)))
    return {name: measures.joined([each[name] for each in found]) for name in SHARES}


def rows_of(mini: Mini, arms: dict[str, Arm], sets: Sequence[PictureSet]) -> Iterator[Row]:
    """Percent with intervals, of whole pictures drawn again."""
    plain = shares(mini, arms[NONE], sets)
    for name, arm in arms.items():
        own = shares(mini, arm, sets)
        row: Row = {"arm": name, "pictures": sum(2 * len(test.pictures) for test in sets)}
        row |= {"passes": round(arm.passes / arms[NONE].passes, 3)}
        row |= {"seconds": round(arm.seconds / arms[NONE].seconds, 3)}
        row |= {share: rounded(measures.interval(own[share])) for share in SHARES}
        if name != NONE:
            less = {share: rounded(measures.difference(own[share], plain[share])) for share in ("accuracy", "bleed")}
            row |= {f"{share}_less": found for share, found in less.items()}
        yield row


def recommended(rows: Sequence[Row]) -> str:
    good = [
        row for row in rows
        if row["arm"] != NONE and 1 - row["passes"] >= LEAST_SAVED and row["accuracy_less"][0] >= -MOST_LOST
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

    def draw(arm: str) -> Any:
        return sample(cached(patcher, arm), positive, negative, latent, seed=SEED, steps=options.steps)

    arms: dict[str, list[tuple[float, int]]] = {arm: [] for arm in dict.fromkeys((NONE, *options.arms))}
    for run in range(-1, options.runs):
        for arm, found in arms.items():
            passes.clear()
            taken = timed(partial(draw, arm), device) / 1000
            found += [(taken, len(passes))] if run >= 0 else []
    seconds = {arm: statistics.median(taken for taken, _ in found) for arm, found in arms.items()}
    for arm, found in arms.items():
        count = found[0][1]
        row: Row = {"arm": arm, "passes": count, "seconds": round(seconds[arm], 3)}
        yield row | {"ratio": round(seconds[arm] / seconds[NONE], 3), "pass_ms": round(1000 * seconds[arm] / count, 2)}


def run(options: argparse.Namespace) -> None:
    begin = time.perf_counter()
    torch.set_grad_enabled(False)
    host = Host(options.weights, options.steps, options.pack)
    sets = [usual_set(2, options.count), usual_set(3, options.count), sparse_set(2, options.count)]
    arms = {name: Arm(len(sets)) for name in dict.fromkeys((NONE, *options.arms))}
    done = options.first
    while done < options.count and time.perf_counter() - begin < options.seconds:
        draw_all(host, arms, sets, done)
        done += 1
        saved = ", ".join(f"{name} {arm.passes / arms[NONE].passes:.2f}" for name, arm in arms.items())
        print(f"{done} of {options.count} after {time.perf_counter() - begin:.0f} s; passes: {saved}", file=sys.stderr)
    sets = [cut(test, slice(options.first, done)) for test in sets]
    rows = list(rows_of(load(options.weights, chosen_device()), arms, sets))
    options.out.mkdir(parents=True, exist_ok=True)
    for name, arm in arms.items():
        for test, (pictures, _) in zip(sets, arm.pictures, strict=True):
            write_sheet(options.out / f"{name}_{test.kind}_{test.people}.jpg", torch.stack(pictures))
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
    parser.add_argument("--first", type=int, default=0, help="the picture of each set to begin with")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no further picture after these")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--pack", type=Path, help="folder of CUI-Lumina2-TeaCache, for its arms")
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
