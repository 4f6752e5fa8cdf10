"""A skip of our own: late steps that compute a part of the picture anew, where the layout says that things happen.

    ./run bench skip --out FOLDER                         a table, rows.jsonl and contact sheets
    ./run bench skip --out FOLDER --arms none boxes-0.3 steps-17 --count 4

A prototype on the built-in model's training twin, after region-adaptive sampling (Liu et al. 2025, arXiv 2502.10389).
The first quarter of the steps is whole, and of the rest every fourth. In the others a share of the image tokens is
computed, and all of the caption: the other tokens keep the keys and values of the last step that computed them, and
what they then predicted of the finished picture. Arms, each with that share:

    boxes    the characters' boxes first, and in them, then elsewhere, what changed most
    change   what changed most, as the paper chooses; a token that has waited longer counts as having changed more
    random   any
    steps    fewer whole steps instead, as many as stated

passes: tokens that went through the joint layers, as a share of those without a skip; seconds: the same, on this
machine. Pictures and measures are those of caches, but drawn in batches.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...isolation.plan import caption_rules, joint_rules
from ..judging.evaluate import Mini, load
from ..training import tokens
from ..training.generate import Batch, Predict, caption, collate, empty
from ..training.model import additive, attend, axis_rotations, normed_and_turned
from . import binding_measures as measures
from .binding import write_sheet
from .binding_arms import ARMS as WAYS
from .binding_arms import SAMPLING, STEPS, Predictors, coverage, draw, prompt_tokens
from .binding_scenes import PictureSet, sparse_set, usual_set
from .caches import COLUMNS, NONE, Arm, recommended, rows_of
from .host import ROOT, chosen_device

ARMS = (NONE, "boxes-0.3", "change-0.3", "random-0.3", "boxes-0.5", "change-0.5", "steps-17", "steps-20")
WHOLE_UNTIL, WHOLE_EVERY = 0.25, 4  # of the steps
WAITING = 1.15  # how much more a token counts with every step that it has waited
Turn = tuple[Tensor, Tensor]  # cosines and sines [B, T, 1, D / 2] of the tokens' places


@dataclass(frozen=True)
class Skip:
    how: str
    share: float = 1.0  # of the image tokens
    steps: int = STEPS

    @staticmethod
    def of(arm: str) -> Skip:
        how, _, number = arm.partition("-")
        return Skip(how, steps=int(number)) if how == "steps" else Skip(how, float(number or 1))


class Choice:
    """Which image tokens a step computes, for the prompts of a batch and for both sides of guidance."""

    def __init__(self, skip: Skip, boxed: Tensor) -> None:
        """boxed [B, N]: 1 in a character's box."""
        self.skip, self.boxed, self.step = skip, boxed, -1
        self.index: Tensor | None = None  # [B, A]; None: all of them
        self.moved, self.waited = torch.zeros_like(boxed), torch.zeros_like(boxed)  # since a token was computed

    def begin(self) -> None:
        self.step, self.index = self.step + 1, None
        late = self.step - int(WHOLE_UNTIL * self.skip.steps)
        if self.skip.share < 1 and late >= 0 and (late + 1) % WHOLE_EVERY:
            count = round(self.skip.share * self.boxed.shape[1])
            self.index = self.priority().topk(count, 1).indices.sort(1).values

    def priority(self) -> Tensor:
        if self.skip.how == "random":
            generator = torch.Generator().manual_seed(self.step)
            return torch.rand(self.boxed.shape, generator=generator).to(self.boxed)
        changed = self.moved * WAITING**self.waited
        changed = changed / changed.amax(1, keepdim=True).clamp(min=1e-9)
        return changed + self.boxed if self.skip.how == "boxes" else changed

    def saw(self, before: Tensor, after: Tensor) -> None:
        """before, after [B, N, D]: what the positive side predicts of the finished picture."""
        moved, waited = (after - before).abs().mean(2), self.waited + 1
        self.moved = put(self.moved, self.index, picked(moved, self.index))
        self.waited = put(waited, self.index, picked(torch.zeros_like(waited), self.index))


def spread(index: Tensor, x: Tensor) -> Tensor:
    return index.view(*index.shape, *(1,) * (x.ndim - 2)).expand(-1, -1, *x.shape[2:])


def picked(x: Tensor, index: Tensor | None) -> Tensor:
    """x [B, N, ...], index [B, A] -> [B, A, ...]; all of it without an index."""
    return x if index is None else x.gather(1, spread(index, x))


def put(into: Tensor, index: Tensor | None, x: Tensor) -> Tensor:
    """[B, N, ...] with x [B, A, ...] in the places of index."""
    return x if index is None else into.scatter(1, spread(index, into), x)


class Side:
    """One side of guidance: a prompt's passes, and what they leave for the next."""

    def __init__(self, mini: Mini, batch: Batch, choice: Choice, leads: bool) -> None:
        """leads: whether its predictions decide what the next steps compute."""
        self.network, self.batch, self.choice, self.leads = mini.networks.diffusion, batch, choice, leads
        self.features, _, self.pooled = caption(mini.networks, batch)
        self.kept: dict[nn.Module, tuple[Tensor, Tensor]] = {}  # keys and values [B, T, H, D] of every attention
        self.picture: Tensor | None = None  # [B, N, D], as last predicted
        self.computed = 0.0  # tokens of one picture, over all passes

    def attention(
        self, module: nn.Module, index: Tensor | None, x: Tensor, cos: Tensor, sin: Tensor, bias: Tensor | None
    ) -> Tensor:
        """The module's forward of some tokens x [B, A, D], which see the kept keys and values of all others."""
        heads = module.qkv(x).unflatten(-1, (-1, module.width))
        q, k, v = heads.split([module.heads, module.kv_heads, module.kv_heads], 2)
        q = normed_and_turned(q, module.q_norm.weight, module.q_norm.eps, cos, sin)
        k = normed_and_turned(k, module.k_norm.weight, module.k_norm.eps, cos, sin)
        before = self.kept.get(module, (k, v))
        k, v = self.kept[module] = tuple(put(old, index, new) for old, new in zip(before, (k, v), strict=True))
        return module.out(attend(q, k, v, bias))

    def run(
        self, block: nn.Module, index: Tensor | None, x: Tensor, turn: Turn, bias: Tensor | None, t: Tensor
    ) -> Tensor:
        """x [B, A, D]; turn and bias of all tokens."""
        block.attention.forward = partial(self.attention, block.attention, index)
        cos, sin = (picked(part.expand(len(x), -1, -1, -1), index) for part in turn)
        if bias is not None and index is not None:
            bias = picked(bias[:, 0], index)[:, None]
        try:
            return block(x, cos, sin, bias, t)
        finally:
            del block.attention.forward

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """x [B, 16, h, w], sigma [B] -> velocity [B, 16, h, w]: NextDiT's forward with tokens left out."""
        network, batch, patch = self.network, self.batch, self.network.config["patch_size"]
        if self.leads:
            self.choice.begin()
        index = self.choice.index if self.kept else None
        count, channels, height, width = x.shape
        rows, columns, length = height // patch, width // patch, self.features.shape[1]
        t = network.t_embedder(1 - sigma)
        t = network.time_text_embed(torch.cat([t, network.clip_text_pooled_proj(self.pooled)], -1))
        place = torch.zeros(count, length + rows * columns, 3, device=x.device)
        place[:, :length, 0] = torch.arange(length, device=x.device) + 1.0
        place[:, length:, 0] = (batch.length + 1)[:, None].float()
        place[:, length:, 1] = torch.arange(rows, device=x.device).repeat_interleave(columns)
        place[:, length:, 2] = torch.arange(columns, device=x.device).repeat(rows)
        turn = axis_rotations(place, network.config["axes_dims"], network.config["rope_theta"])
        caption_turn = tuple(part[:, :length] for part in turn)
        image_turn = tuple(part[:, length:] for part in turn)

        text = network.cap_embedder(self.features)
        rules = additive(caption_rules(batch.owner)[:, None], text.dtype)
        for block in network.context_refiner:
            text = block(text, *caption_turn, rules)
        tokens = x.view(count, channels, rows, patch, columns, patch).permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
        h = network.x_embedder(picked(tokens, index)).to(text.dtype)  # [B, A, D]
        for block in network.noise_refiner:
            h = self.run(block, index, h, image_turn, None, t)
        whole = torch.arange(length, device=x.device).expand(count, -1)
        joint = None if index is None else torch.cat([whole, index + length], 1)
        bias = additive(joint_rules(batch.owner, batch.covers)[:, None], text.dtype)
        h = torch.cat([text, h], 1)
        for block in network.layers:
            h = self.run(block, joint, h, turn, bias, t)
        self.computed += h.shape[1]
        velocity = -network.final_layer(h[:, length:], t).float()  # [B, A, D]
        level = sigma[:, None, None]
        picture = picked(tokens, index) - level * velocity
        before = picture if self.picture is None else self.picture
        self.picture = put(before, index, picture)
        if self.leads:
            self.choice.saw(before, self.picture)
        velocity = (tokens - self.picture) / level
        velocity = velocity.view(count, rows, columns, patch, patch, channels).permute(0, 5, 1, 3, 2, 4)
        return velocity.reshape(count, channels, height, width)


def predictors_of(mini: Mini, skip: Skip, computed: list[Side]) -> Predictors:
    """computed: gets the sides, to be asked what they computed."""
    tokenizers = tokens.Tokenizers()

    def predictors(described: Any, grid: tuple[int, int]) -> tuple[Predict, Predict]:
        covered = torch.from_numpy(coverage(described, grid))
        choice = Choice(skip, covered.any(1).float().to(mini.device))
        made = [prompt_tokens(WAYS["strict"], d, tokenizers) for d in described]
        batches = collate(made, covered, mini.device), empty(len(described), covered.shape[2], mini.device)
        sides = [Side(mini, batch, choice, leads) for batch, leads in zip(batches, (True, False), strict=True)]
        computed.extend(sides)
        return tuple(sides)

    return predictors


def draw_arm(mini: Mini, name: str, sets: Sequence[PictureSet]) -> Arm:
    arm, skip = Arm(len(sets)), Skip.of(name)
    for test, own in zip(sets, arm.pictures, strict=True):
        for described, pictures in zip((test.described, test.redescribed), own, strict=True):
            sides: list[Side] = []
            begin = time.perf_counter()
            pictures += draw(mini, predictors_of(mini, skip, sides), described, test.size, skip.steps, SAMPLING)
            arm.seconds += time.perf_counter() - begin
            arm.passes += sum(side.computed * len(described) for side in sides)
    return arm


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./run bench skip", description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=ROOT / "mini" / "weights", help="folder of the built-in model")
    parser.add_argument("--out", type=Path, required=True, help="folder for the table, its rows and contact sheets")
    parser.add_argument("--arms", nargs="+", default=ARMS, metavar="ARM", help=" ".join(ARMS))
    parser.add_argument("--count", type=int, default=12, help="pictures of each of the three sets, drawn twice an arm")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args(arguments)
    torch.set_grad_enabled(False)
    mini = load(options.weights, chosen_device())
    sets = [usual_set(2, options.count), usual_set(3, options.count), sparse_set(2, options.count)]
    arms: dict[str, Arm] = {}
    options.out.mkdir(parents=True, exist_ok=True)
    for name in dict.fromkeys((NONE, *options.arms)):
        arms[name] = draw_arm(mini, name, sets)
        print(f"{name}: {arms[name].seconds:.0f} s", file=sys.stderr, flush=True)
        for test, (pictures, _) in zip(sets, arms[name].pictures, strict=True):
            write_sheet(options.out / f"{name}_{test.kind}_{test.people}.jpg", torch.stack(pictures))
    rows = list(rows_of(mini, arms, sets))
    (options.out / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    if options.json:
        print(*map(json.dumps, rows), sep="\n")
    else:
        print(f"{measures.table(rows, COLUMNS)}\nRecommended: {recommended(rows)}.")
    return 0
