"""The bias of isolation, low rank: every token gets a query factor and a key factor, and their product is the bias.

The bias has few distinct rows and columns, so the [T, T] matrix need never be built: appended to queries and keys as
further dimensions, the factors add it inside plain, unmasked attention (fused.py). Wu et al. 2025, "FlashBias: Fast
Computation of Attention with Bias". The matrix is the product of the same factors, where it is wanted.

With strength s and m(r, n), how much of image token n the region of character r covers:

    image q,  caption k of r          log(1 - s (1 - m(r, q)))
    caption q of r,  image k          log(1 - s (1 - m(r, k)))
    caption q,  caption k of r        0 if q is of r, else log(1 - s)
    image q,  caption k of weight w   + log w
    image q,  caption k naming g      + log(1 - gender_strength * (how much more others' regions cover q than g's))
    image q,  image k                 log(1 - apart) where q is covered by one character alone and k by another alone;
                                      times how much of either is, where edges are soft

and 0 everywhere else: shared text and the image are open to everyone. At s = 1 and hard edges these are the rules at
the end of plan.py. log w counts a token w times; scaling its features would do nothing, because the model normalises
them first (NextDiT's cap_embedder). Pure torch, no host.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .plan import WHOLE, Plan, Rectangle, coverage

CUT = -2048.0  # a logit no exp() survives; times the root of a head's dimension it still fits float16
STEP = 16  # attention kernels want widths in multiples of 8, and take odd ones a little slower
TRACED = 32  # dimensions inside a compiled graph: as many for 1 character as for 8 with weights, genders and apart
ALL = slice(None)


@dataclass(frozen=True)
class Bias:
    """Factors query [P, T, E], key [P, T, E] in float32, caption tokens first; query @ key.T is the bias, in logits.

    P is 1, or the batch where its pictures are tiles from several places. In every dimension one side holds ones (and
    zeros) and the other the values. That side alone is multiplied when the factors are scaled, so that a value is
    rounded once.
    """

    query: Tensor
    key: Tensor
    valued_queries: int  # the first so many dimensions hold their values in the query

    def to(self, device: torch.device) -> Bias:
        return replace(self, query=self.query.to(device), key=self.key.to(device))

    def matrix(self, dtype: torch.dtype, queries: slice = ALL, keys: slice = ALL) -> Tensor:
        """-> [P, 1, Q, K], of some tokens alone if they are given. A cut is half the dtype's lowest number:

        no exp() survives it, and, unlike -inf, no backend turns it into NaN where a whole block of keys is cut.
        """
        product = self.query[:, queries] @ self.key[:, keys].mT
        cut = product < CUT / 2
        return product.to(dtype).masked_fill_(cut, torch.finfo(dtype).min / 2)[:, None]

    def scaled(self, head_dim: int, dtype: torch.dtype, least: int = 0) -> tuple[Tensor, Tensor]:
        """-> query, key [P, T, E'] for attention that divides logits by the root of head_dim.

        E' is a multiple of STEP, and no less than `least`.
        """
        values, root = self.valued_queries, head_dim**0.5
        query, key = self.query.clone(), self.key.clone()
        query[..., :values] *= root
        key[..., values:] *= root
        width = query.shape[-1]
        padding = (0, max(-width % STEP, least - width))
        return tuple(torch.nn.functional.pad(factor, padding).to(dtype) for factor in (query, key))


def logit(share: Tensor) -> Tensor:
    """What is counted `share` times: its addition to the logit; CUT for 0."""
    return share.log().clamp(min=CUT)


def bias_of(plan: Plan, rows: int, columns: int, places: Sequence[Rectangle] = (WHOLE,)) -> Bias:
    """The plan on an image of rows x columns tokens, or on tiles of that size from these places in the picture."""
    if len(set(places)) > 1:
        biases = [bias_of(plan, rows, columns, (place,)) for place in places]
        return replace(biases[0], query=torch.cat([b.query for b in biases]), key=torch.cat([b.key for b in biases]))
    query, key, valued = factors(plan, rows, columns, places[0])
    return Bias(query[None], key[None], valued)


def factors(plan: Plan, rows: int, columns: int, place: Rectangle) -> tuple[Tensor, Tensor, int]:
    """-> query, key [T, E], valued_queries of Bias.

    Needs 2 dimensions a character, 3 with apart, 1 for weights and 1 a gender.
    """
    strength, gender_strength = plan.options.strength, plan.options.gender_strength
    caption, people = len(plan.tokens), len(plan.regions) if plan.divides else 0
    genders = sorted({token.gender for token in plan.tokens} - {""}) if plan.masks_genders else []
    valued = people + len(genders)  # dimensions whose values are the query's; those of the key's follow
    parted = len(plan.regions) if plan.parts else 0
    query = torch.zeros(caption + rows * columns, valued + people + parted + plan.weighs)  # [T, E]
    key = torch.zeros_like(query)
    if people or genders or parted:
        edge = plan.options.soft_edge
        covers = torch.stack([coverage(region, rows, columns, edge, place) for region in plan.regions])  # [R, N]
    if people:
        own = torch.tensor(plan.owners)[:, None] == torch.arange(1, people + 1)  # [L, R]
        inside = logit(1 - strength * (1 - covers)).T  # [N, R]
        query[:caption, :people] = torch.where(own, 0.0, logit(torch.tensor(1 - strength)))
        query[caption:, :people] = inside
        key[:caption, :people] = own.float()
        query[:caption, valued : valued + people] = own.float()
        key[caption:, valued : valued + people] = inside
    for dimension, gender in enumerate(genders, start=people):
        query[caption:, dimension] = logit(1 - gender_strength * another_gender(plan, covers, gender))
        key[:caption, dimension] = torch.tensor([float(token.gender == gender) for token in plan.tokens])
    if parted:
        alone = torch.stack([covers[r] * (1 - covers[others(parted, r)]).prod(0) for r in range(parted)]).T  # [N, R]
        own, cut = slice(valued + people, valued + people + parted), logit(torch.tensor(1 - plan.options.apart))
        query[caption:, own] = alone
        key[caption:, own] = cut * (alone.sum(1, keepdim=True) - alone)  # of anybody else
    if plan.weighs:
        query[caption:, -1] = 1
        key[:caption, -1] = torch.tensor([token.weight for token in plan.tokens]).log()
    return query, key, valued


def others(count: int, number: int) -> list[int]:
    return [other for other in range(count) if other != number]


def another_gender(plan: Plan, covers: Tensor, gender: str) -> Tensor:
    """covers [R, N] -> [N] in 0..1: how much more of a token those of other genders cover than those of this one."""
    nobody = torch.zeros_like(covers[0])
    own, other = [nobody], [nobody]
    for covered, theirs in zip(covers, plan.genders, strict=True):
        if theirs:
            (own if theirs == gender else other).append(covered)
    return (torch.stack(other).amax(0) - torch.stack(own).amax(0)).clamp(min=0)
