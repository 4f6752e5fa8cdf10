"""The candidates for gentle, each a few numbers, and how they draw: one joint encode, and what is done beside it.

The bias comes from isolation.bias, the very one that the pack adds inside the host's attention. Pooled vector and
context refiner are the whole prompt's, since that is all that a model trained on whole prompts has seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...isolation.bias import bias_of
from ...isolation.gemma_text import marked, owned_spans, piece_bytes
from ...isolation.plan import CaptionToken, Options, Plan, fractions
from ...xml_prompt import GRID, SHARED, Box, Character, Segment, gender_of, gender_spans, regions, swapped, text_of
from ..judging.evaluate import Mini
from ..training import prompts, tokens
from ..training.generate import Batch, Isolated, Predict, caption, collate, empty, predictor, shifted, velocity
from ..training.tokens import Tokens
from .binding_arms import SAMPLING, STEPS, draw

FREE = Isolated(refiner=False, joint=False)


@dataclass(frozen=True)
class Gentle:
    """One way to draw. The values here are the stock path's: the prompt as it was typed, places in words."""

    form: str = "xml"  # prompts.segments: xml, boxes (XML, boxes stated) or json (the template, boxes stated)
    strength: float = 0.0  # of the joint layers' rules; 0 leaves the model its own attention
    start: float = 0.0  # of the steps, as is until
    until: float = 1.0
    soft_edge: float = 0.0  # of the picture's shorter side
    margin: float = 0.0  # by how much regions are larger than their boxes on each side, of the picture's sides
    both: bool = True  # captions read the picture by the rules too; else the picture alone reads captions by them
    apart: float = 0.0  # share of what one person's part of the picture sees of another's that is cut, while rules hold
    gender_strength: float = 0.0  # in every step
    swapped: float = 0.0  # share of the swapped prompt in the negative; the rest is the empty prompt
    guidance: float = SAMPLING["guidance"]

    @property
    def divides(self) -> bool:
        return self.strength > 0 or self.gender_strength > 0 or self.apart > 0


# ------------------------------------------------------------------ prompts


def joint_tokens(segments: Sequence[Segment], tokenizers: tokens.Tokenizers) -> Tokens:
    """The tokens of one joint encode, as training and the host read it, with every token's owner."""
    made = tokens.tokenize(segments, False, tokenizers)
    owners = marked(piece_bytes(tokenizers.gemma, made.ids[1:]), text_of(segments), owned_spans(segments), SHARED)
    return replace(made, owner=[SHARED, *owners])


def named_genders(segments: Sequence[Segment], tokenizers: tokens.Tokenizers) -> list[str]:
    """girl, boy or "" for every token of joint_tokens: the gender that a word of it names."""
    text, ids = text_of(segments), tokens.tokenize(segments, False, tokenizers).ids
    return ["", *marked(piece_bytes(tokenizers.gemma, ids[1:]), text, gender_spans(text), "")]


def gender(character: Character) -> str:
    """girl or boy, or "" where the prompt doesn't say."""
    return next(filter(None, (gender_of(tag.text) for tag in character.tags("gender"))), "")


# ------------------------------------------------------------------ bias


def grown(box: Box, margin: float) -> Box:
    by = margin * GRID
    return Box(max(0.0, box.left - by), max(0.0, box.top - by), min(GRID, box.right + by), min(GRID, box.bottom + by))


def plan_of(arm: Gentle, described: prompts.Description, owner: Sequence[int], named: Sequence[str]) -> Plan:
    """owner, named: one a caption token."""
    masks = arm.gender_strength > 0
    return Plan(
        tuple(CaptionToken(whose, gender=named_one) for whose, named_one in zip(owner, named, strict=True)),
        fractions(regions(described.scene, [grown(box, arm.margin) for box in described.boxes])),
        tuple(map(gender, described.scene.characters)) if masks else (),
        Options(strength=arm.strength, soft_edge=arm.soft_edge, gender_strength=arm.gender_strength, apart=arm.apart),
    )


def biases_of(plans: Sequence[Plan], grid: tuple[int, int], length: int, both: bool, device: torch.device) -> Tensor:
    """-> [B, length + N, length + N], caption first. Nobody reads what pads a shorter caption."""
    made = torch.zeros(len(plans), *[length + grid[0] * grid[1]] * 2, device=device)
    for bias, plan in zip(made, plans, strict=True):
        own = len(plan.tokens)
        real = torch.cat([torch.arange(own), torch.arange(length, len(bias))]).to(device)
        if not plan.neutral:
            within = bias_of(plan, *grid).to(device).matrix(torch.float32)[0, 0]
            bias[real[:, None], real[None]] = within
        if not both:
            bias[:length] = 0
        bias[:, own:length] = float("-inf")
    return made


# ------------------------------------------------------------------ predictions


def joint_predictor(
    mini: Mini, arm: Gentle, described: Sequence[prompts.Description], grid: tuple[int, int],
    tokenizers: tokens.Tokenizers,
) -> Predict:
    """The prompts read at once; the joint layers biased from arm.start until arm.until, and by genders throughout."""
    written = [prompts.segments(d, arm.form) for d in described]
    nothing = torch.zeros(len(described), 1, grid[0] * grid[1], dtype=torch.bool)
    if not arm.divides:
        made = [tokens.tokenize(segments, False, tokenizers) for segments in written]
        return predictor(mini.networks, collate(made, nothing, mini.device), FREE)
    made = [joint_tokens(segments, tokenizers) for segments in written]
    batch = collate(made, nothing, mini.device)
    named = [named_genders(segments, tokenizers) for segments in written]
    plans = [plan_of(arm, d, m.owner, n) for d, m, n in zip(described, made, named, strict=True)]
    return biased_predictor(mini, arm, batch, plans, grid)


def biased_predictor(mini: Mini, arm: Gentle, batch: Batch, plans: Sequence[Plan], grid: tuple[int, int]) -> Predict:
    features, _, pooled = caption(mini.networks, batch)

    def bias(plans: Sequence[Plan]) -> Tensor:
        return biases_of(plans, grid, batch.ids.shape[1], arm.both, mini.device).to(features.dtype)

    within = bias(plans)
    outside = within if (arm.start, arm.until) == (0, 1) else bias([plan.released() for plan in plans])
    begins, ends = (shifted(1 - part) * (1 + 1e-4) for part in (arm.start, arm.until))  # with room for float32

    def predict(x: Tensor, sigma: Tensor) -> Tensor:
        now = within if ends < sigma[0] <= begins else outside
        return velocity(mini.networks, x, sigma, batch, features, pooled, FREE, now)

    return predict


def mixture(first: Predict, second: Predict, share: float) -> Predict:
    """share: of the second."""
    return lambda x, sigma: (1 - share) * first(x, sigma) + share * second(x, sigma)


def paint(
    mini: Mini, arm: Gentle, described: Sequence[prompts.Description], size: tuple[int, int], steps: int = STEPS
) -> Tensor:
    """[P, 3, H, W] in 0..1, from the same noise whatever the arm."""
    tokenizers = tokens.Tokenizers()

    def predictors(described: Sequence[prompts.Description], grid: tuple[int, int]) -> tuple[Predict, Predict]:
        positive = joint_predictor(mini, arm, described, grid, tokenizers)
        negative = predictor(mini.networks, empty(len(described), grid[0] * grid[1], mini.device))
        if arm.swapped > 0:
            others = [replace(d, scene=swapped(d.scene)) for d in described]
            other = joint_predictor(mini, arm, others, grid, tokenizers)
            negative = other if arm.swapped == 1 else mixture(negative, other, arm.swapped)
        return positive, negative

    return draw(mini, predictors, described, size, steps, sampling(arm))


def sampling(arm: Gentle) -> Mapping[str, float]:
    return SAMPLING | {"guidance": arm.guidance}
