"""LoRAs of several characters: on their own, do they bleed into the others, and what do they cost.

    ./run bench lora --loras FOLDER --out FOLDER       pictures, with what ./run mini lora trained
    ./run bench lora --speed                           a step of the full 3.5B architecture on a GPU
    ./run bench lora --speed --model mini              the default on a CPU

Pictures of the mini, 1 to 3 people on held-out combinations, each person with a LoRA of their own (of three people the
third has none), in several ways:

    ours         isolated, each LoRA on its own character's tokens (isolation/lora_layers.py)
    everywhere   isolated, all LoRAs on the whole model
    today        one prompt for all, all LoRAs on the whole model: what people do
    hooks        the host's hook LoRAs with masks: every character's own prompt, as if alone in the picture, and the
                 negative one, each in a pass with that LoRA on the whole model, which counts in that box; where nobody
                 is, the whole prompt without LoRAs (the host's default conditioning)
    none         isolated, without LoRAs: what the judge sees where there is nothing
    alone        ours, with everybody gone but one of those who have a LoRA, who is as large and stands where they stood
    gentle, gentle alone   as ours and alone, but for the text, which is read at once (gentle's default)
    drawings     nothing sampled: the drawings themselves, through the autoencoder. More than that no judge sees

recall: who has their own LoRA's concept, by pixels (judging/concepts.py); leak: who has another's, of all pairs;
attributes: what else the prompt states (not what the LoRA changes); frechet: of figures' features, from drawings of the
same scenes. Nobody of them does anything together with another, which no prompt of one alone could say.

Speed: ratios of medians to the isolated step, with LoRAs of rank 32 on all matrices that see tokens; `a pass each` is
what hook LoRAs need at least, without the time in which the host exchanges the weights.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ...client.problem import Problem
from ...isolation.lora_layers import (
    CAPTION,
    EVERYTHING,
    JOINT,
    Gates,
    Host,
    Pair,
    Target,
    hooked,
    layer_of,
    nextdit_place,
)
from ..drawing.attributes import CONCEPT, VALUES
from ..drawing.draw import render
from ..drawing.scenes import Picture, sample_picture
from ..judging import concepts
from ..judging.evaluate import Mini, load, sheet, true_labels
from ..judging.judge import figure_features, judge_figures
from ..training import prompts, tokens
from ..training.autoencoder import encode
from ..training.config import DIFFUSION
from ..training.generate import Batch, Predict, collate, decode, empty, predictor
from ..training.lora import shares, with_concept
from . import attention
from .binding_arms import coverage, draw, weighted_mean
from .binding_measures import frechet
from .gentle_arms import Gentle, joint_predictor, joint_tokens
from .host import add_host, chosen_device

WEIGHTS = Path(__file__).resolve().parents[2] / "mini" / "weights"
SAMPLING = {"guidance": 7.5, "guidance_end": 0.75, "eta": 0.3}
ARMS = ("ours", "everywhere", "today", "hooks", "none", "alone", "drawings", "gentle", "gentle alone")
ALONE = ("alone", "gentle alone")
PEOPLE, SIZE, RANK, LIMIT = (1, 2, 3), (320, 320), 32, 1.15
NAMES = tuple(CONCEPT)
ACCESSORY = list(VALUES).index("accessory")


# ------------------------------------------------------------------ pictures


def present(folder: Path) -> tuple[str, ...]:
    """The concepts that there are LoRAs of. Raises Problem where there are fewer than two."""
    found = tuple(name for name in NAMES if (folder / f"{name}.safetensors").is_file())
    if len(found) < 2:
        raise Problem(f"{folder} needs LoRAs of two concepts or more: make them with ./run mini lora --out {folder}.")
    return found


def read(folder: Path) -> list[Target]:
    """All concepts' LoRAs that are there, stacked, by the training network's layers."""
    files = {NAMES.index(name): load_file(folder / f"{name}.safetensors") for name in present(folder)}
    first = next(iter(files.values()))
    paths = [key.removeprefix("diffusion_model.").removesuffix(".lora_A.weight") for key in first if "lora_A" in key]
    return [
        Target(path, layer_of([
            (number, Pair(*(file[f"diffusion_model.{path}.lora_{side}.weight"].float() for side in "AB"), 1.0))
            for number, file in files.items()
        ]))
        for path in paths
    ]


class Autocast(Host):
    """Weights in the dtype in which the layer computes."""

    def cast(self, weight: Tensor, x: Tensor) -> Tensor:
        dtype = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
        return weight.to(x.device, dtype)


class BatchGates(Gates):
    """Of a batch of prompts, each with wearers of its own."""

    def __init__(self, caption: Tensor, image: Tensor) -> None:
        """[B, L, K], [B, N, K]"""
        super().__init__(torch.zeros_like(image[:, :1]))
        self.caption, self.image = caption, image

    def table(self, place: str, out: Tensor) -> Tensor:
        parts = {CAPTION: self.caption, JOINT: torch.cat([self.caption, self.image], 1), EVERYTHING: self.everything}
        return parts.get(place, self.image)


def acting(network: nn.Module, targets: Sequence[Target], predict: Predict, gates: Gates) -> Predict:
    def with_loras(x: Tensor, sigma: Tensor) -> Tensor:
        found = [
            (network.get_submodule(t.path), t, partial(gates.of, nextdit_place(t.path))) for t in targets
        ]
        with hooked(found, Autocast()):
            return predict(x, sigma)

    return with_loras


def gates_for(wearers: Tensor, owner: Tensor, covers: Tensor, everywhere: bool) -> BatchGates:
    """wearers [B, R, K]; owner [B, L]; covers [B, R, N]."""
    if everywhere:
        every = wearers.amax(1, keepdim=True)
        return BatchGates(every.expand(-1, owner.shape[1], -1), every.expand(-1, covers.shape[2], -1))
    return BatchGates(*shares(wearers, owner, covers))


Predictors = tuple[Predict, Predict]


def predictors(
    mini: Mini, arm: str, targets: Sequence[Target], wearers: dict[int, Tensor], tokenizers: tokens.Tokenizers,
    form: str, alone: dict[int, Sequence[prompts.Description]], described: Sequence[prompts.Description],
    grid: tuple[int, int],
) -> Predictors:
    """wearers: of each description, by its id, [R, K]; form: of prompts.segments; alone: of each description, the
    prompts of everyone as if nobody else were there.
    """
    covered = torch.from_numpy(coverage(described, grid))
    worn = torch.zeros(len(described), covered.shape[1], len(NAMES), device=mini.device)
    for i, one in enumerate(described):
        worn[i, : len(one.boxes)] = wearers[id(one)]
    nothing = empty(len(described), covered.shape[2], mini.device)
    negative, covers = predictor(mini.networks, nothing), covered.to(mini.device)
    network = mini.networks.diffusion
    if arm == "hooks":
        return by_hooks(mini, targets, worn, covers, tokenizers, described, alone, grid)
    written = [prompts.segments(one, form) for one in described]
    if arm == "gentle":
        batch = collate([joint_tokens(one, tokenizers) for one in written], covered, mini.device)
        positive = joint_predictor(mini, Gentle(form, strength=1.0), described, grid, tokenizers)
    else:
        batch = collate([tokens.tokenize(one, arm != "today", tokenizers) for one in written], covered, mini.device)
        positive = predictor(mini.networks, batch)
    if arm == "none":
        return positive, negative
    everywhere = arm not in ("ours", "gentle")
    return (
        acting(network, targets, positive, gates_for(worn, batch.owner, covers, everywhere)),
        acting(network, targets, negative, gates_for(worn, nothing.owner, covers, everywhere)),
    )


def by_hooks(
    mini: Mini, targets: Sequence[Target], worn: Tensor, covers: Tensor, tokenizers: tokens.Tokenizers,
    described: Sequence[prompts.Description], alone: dict[int, Sequence[prompts.Description]], grid: tuple[int, int],
) -> Predictors:
    """Forwards as comfy/samplers.py's calc_cond_batch has them for conditionings with hooks and masks."""
    masks = covers.view(len(described), -1, 1, *grid).float().repeat_interleave(2, -2).repeat_interleave(2, -1)
    people, count = max(len(one.boxes) for one in described), len(described)
    weights = [masks[:, owner] for owner in range(people)]
    weights.append((1 - sum(weights)).clamp(min=0))  # finalize_default_conds

    def of(texts: Sequence[prompts.Description | None]) -> Batch:
        made = [tokens.tokenize(prompts.segments(one, "boxes") if one else (), False, tokenizers) for one in texts]
        return collate(made, covers.cpu(), mini.device)

    theirs = [of([alone[id(one)][k] if k < len(one.boxes) else None for one in described]) for k in range(people)]
    sides = []
    for prompted in (True, False):
        nothing = empty(count, covers.shape[2], mini.device)
        batches = [*theirs, of(described)] if prompted else [nothing] * (people + 1)
        predictions = [predictor(mini.networks, batch) for batch in batches]
        for k in range(people):
            gates = gates_for(worn[:, k : k + 1], batches[k].owner, covers, everywhere=True)
            predictions[k] = acting(mini.networks.diffusion, targets, predictions[k], gates)
        sides.append(weighted_mean(predictions, weights))
    return sides[0], sides[1]


def scenes(people: int, count: int, seed: int, names: Sequence[str] = NAMES) -> list[Picture]:
    """Held-out looks, nobody together with another; the first two people have each a concept of their own, of these."""
    rng, made = random.Random(seed), []
    while len(made) < count:
        picture = sample_picture(rng, SIZE, people, held_out=True)
        if any(figure.height < 120 or figure.partner is not None for figure in picture.figures):
            continue  # below that height, a judge sees too little
        for person, concept in enumerate(rng.sample(names, min(people, 2))):
            picture = with_concept(picture, person, concept)
        made.append(picture)
    return made


def lone(picture: Picture, person: int) -> Picture:
    """That person alone, who does nothing together with another."""
    return replace(picture, figures=(picture.figures[person],))


def drawings(pictures: Sequence[Picture], device: torch.device) -> Tensor:
    """[P, 3, H, W] in 0..1."""
    drawn = torch.from_numpy(np.stack([render(picture) for picture in pictures])).to(device)
    return drawn.permute(0, 3, 1, 2).float() / 255


def measure(
    mini: Mini, traces: concepts.Traces, pictures: Sequence[Picture], images: Tensor, drawn: Tensor
) -> dict[str, float]:
    """Percentages, and the Frechet distance."""
    index, boxes, values = true_labels(pictures, mini.device)
    looks = [figure.look for picture in pictures for figure in picture.figures]
    own = torch.tensor([[look.get("concept") == name for name in NAMES] for look in looks], device=mini.device)
    mine = torch.tensor([pictures[i].figures[k].look.get("concept") == thing
                         for (i, k), thing in zip(traces.figures, traces.things, strict=True)])
    has, things = traces.has(images), np.array(traces.things)
    verdict = judge_figures(mini.judge, images, index, boxes)
    right = (verdict.attributes == values) & verdict.present[:, None]
    counted = torch.ones_like(right)
    counted[own[:, NAMES.index("cone")], ACCESSORY] = False
    features = [figure_features(mini.judge, one, index, boxes).float().cpu().numpy() for one in (images, drawn)]

    def share(of: Tensor, among: Tensor) -> float:
        return round(100 * (of & among).sum().item() / max(1, among.sum().item()), 1)

    return {
        "recall": share(has, mine), "leak": share(has, ~mine), "attributes": share(right, counted),
        "frechet": round(frechet(*features), 2), "wearers": int(mine.sum()), "others": int((~mine).sum()),
        **{f"{what} {name}": share(has, torch.from_numpy(things == name) & among)
           for what, among in (("recall", mine), ("leak", ~mine)) for name in dict.fromkeys(traces.things)
           if len(pictures[0].figures) > 1 or what == "recall"},
    }


def bench_pictures(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    mini = load(options.weights, chosen_device())
    targets, tokenizers = read(options.loras), tokens.Tokenizers()
    for people in options.people:
        together = scenes(people, options.count, 300 + people, present(options.loras))
        apart = [lone(p, i) for p in together for i, figure in enumerate(p.figures) if figure.look.get("concept")]
        known = [(some, concepts.traces(some), drawings(some, mini.device)) for some in (together, apart)]
        for arm in options.arms:
            pictures, traces, drawn = known[arm in ALONE]
            images = paint(mini, arm, targets, tokenizers, pictures, drawn, options.steps, options.form)
            yield {"arm": arm, "people": people, **measure(mini, traces, pictures, images, drawn)}
            if options.out:
                options.out.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(options.out / f"{arm}_{people}.jpg"), sheet(images[:12], 6)[..., ::-1])


def paint(
    mini: Mini, arm: str, targets: Sequence[Target], tokenizers: tokens.Tokenizers, pictures: Sequence[Picture],
    drawn: Tensor, steps: int, form: str = "boxes",
) -> Tensor:
    """[P, 3, H, W] in 0..1"""
    if arm == "drawings":
        whole = (drawn.permute(0, 2, 3, 1) * 255).round().byte()
        return decode(mini.autoencoder, encode(mini.autoencoder, whole, mini.device).float())
    rng = random.Random(len(pictures[0].figures))
    described = [prompts.describe(picture, rng, complete=True) for picture in pictures]
    wearers = {
        id(one): torch.tensor(
            [[picture.figures[k].look.get("concept") == name for name in NAMES] for k in one.order]
        ).float()
        for one, picture in zip(described, pictures, strict=True)
    }
    alone = {
        id(one): [prompts.describe(lone(picture, k), rng, complete=True) for k in one.order] if arm == "hooks" else ()
        for one, picture in zip(described, pictures, strict=True)
    }
    way = {"alone": "ours", "gentle alone": "gentle"}.get(arm, arm)
    conditioned = partial(predictors, mini, way, targets, wearers, tokenizers, form, alone)
    return draw(mini, conditioned, described, SIZE, steps, SAMPLING)


# ------------------------------------------------------------------ speed


def random_layers(network: nn.Module, rank: int) -> dict[str, Pair]:
    """A LoRA on every matrix that sees tokens, by the names of lora.layer_name."""
    made = {}
    for path, module in network.named_modules():
        if isinstance(module, nn.Linear) and (".attention." in path or ".feed_forward." in path):
            weight = module.weight
            down = torch.randn(rank, weight.shape[1], device=weight.device, dtype=weight.dtype) * 0.01
            up = torch.randn(weight.shape[0], rank, device=weight.device, dtype=weight.dtype) * 0.01
            made[path.replace(".", "_")] = Pair(down, up, 1.0)
    return made


def with_loras(
    step: attention.Step, layers: Sequence[dict[str, Pair]], cover: attention.Cover | None = None
) -> Callable[[], Tensor]:
    """The isolated step with a LoRA for every character; cover: the network compiled."""
    from ...isolation.lora import Loras, Stack

    stack = Stack([f"LoRA {i + 1}" for i in range(len(layers))], layers, lambda _name: True)
    weights = SimpleNamespace(stack=stack, names=stack.names)
    worn = SimpleNamespace(weights=weights, model=[{i + 1: 1.0} for i in range(len(layers))])
    loras = Loras(worn, step.plan)
    known = {path: f"{path}.weight" for path, _ in step.network.named_modules()}
    loras.targets = stack.fit(known, step.network)
    if cover is not None:
        return partial(step.compiled_isolated, cover, loras)

    def work() -> Tensor:
        with loras.acting(step.network, step.x, step.context):
            return step.isolated()

    return work


def bench_speed(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    add_host()
    import comfy.model_management

    device = comfy.model_management.get_torch_device()
    full = (options.model or ("mini" if device.type == "cpu" else "full")) == "full"
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    network = attention.make_network(attention.FULL if full else DIFFUSION, device, dtype)
    for size in options.sizes or ([1024, 1536] if full else [320]):
        for people in options.characters:
            step = attention.Step(network, attention.FULL if full else DIFFUSION, size, people, 1)
            layers = [random_layers(network, RANK) for _ in range(people)]
            arms = {
                "isolated": step.isolated, "one LoRA": with_loras(step, layers[:1]), "LoRAs": with_loras(step, layers),
                "a pass each": step.one_by_one,
            }
            if options.compile:
                cover = attention.Cover.of(network, options.compile == "whole", options.backend)
                arms["compiled"] = partial(step.compiled_isolated, cover)
                arms["compiled LoRAs"] = with_loras(step, layers, cover)
                del arms["a pass each"]
            memory = {name: attention.peak(work, device) for name, work in arms.items()}
            times: dict[str, list[float]] = {name: [] for name in arms}
            for _ in range(options.runs):
                for name, work in arms.items():
                    times[name].append(attention.timed(work, device))
            median = {name: statistics.median(found) for name, found in times.items()}
            row: dict[str, Any] = {"size": size, "people": people, "layers": len(layers[0]), "rank": RANK}
            row["isolated_ms"] = round(median["isolated"], 2)
            row |= {name: round(median[name] / median["isolated"], 4) for name in list(arms)[1:]}
            if memory["isolated"]:
                row["memory"] = round(memory["LoRAs"] / memory["isolated"], 4)
            if options.compile:
                eager, out = (arms[name]().double() for name in ("LoRAs", "compiled LoRAs"))
                row["compiled error"] = round(((out - eager).norm() / eager.norm()).item(), 6)
            yield row


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./run bench lora", description=__doc__.splitlines()[0])
    parser.add_argument("--loras", type=Path, help="folder of ./run mini lora: pictures are drawn and judged")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--compile", nargs="?", const="blocks", choices=("blocks", "whole"), help="with --speed")
    parser.add_argument("--backend", default="inductor")
    parser.add_argument("--characters", type=int, nargs="+", default=(2, 4), help="with --speed")
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--out", type=Path, help="folder for contact sheets")
    parser.add_argument("--count", type=int, default=96, help="pictures per arm")
    parser.add_argument("--steps", type=int, default=28)
    parser.add_argument("--people", type=int, nargs="+", default=list(PEOPLE), choices=PEOPLE)
    parser.add_argument("--form", choices=("boxes", "xml"), default="boxes", help="whether prompts state boxes")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument("--model", choices=("full", "mini"))
    parser.add_argument("--sizes", type=int, nargs="+")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args(arguments)
    if not options.loras and not options.speed:
        parser.error("Say --loras FOLDER for pictures, or --speed.")
    torch.set_grad_enabled(False)
    slow = False
    for bench, wanted in ((bench_pictures, options.loras), (bench_speed, options.speed)):
        for row in bench(options) if wanted else ():
            print(json.dumps(row) if options.json else "  ".join(f"{k} {v}" for k, v in row.items()), flush=True)
            slow |= row.get("LoRAs", 0) > LIMIT and row["size"] >= 1024
    return int(slow)
