"""What is counted in the pictures of lab/benchmarks/binding. Pure numpy.

Every measure is a quotient of sums over pictures, (numerators [P], denominators [P]), so that whole pictures are drawn
again for the bootstrap: people of one picture are not independent.

A leak is a value that a neighbour states, shown by someone who states another (leak_stated) or none (leak_unstated).
Some of it is chance: the base rate is how often the value would be that of people in other pictures, averaged over all
of them (every way to exchange the neighbours), under the same conditions. Leaks are given less that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations

import numpy as np

from ..drawing.attributes import VALUES

Quotient = tuple[np.ndarray, np.ndarray]  # numerators [P], denominators [P]
Interval = tuple[float, float, float]  # estimate, and where 95 % of the bootstrap lies
NAMES = list(VALUES)
COLOURS = [NAMES.index(name) for name in ("hair", "eyes", "cloth")]
POSE, FACING, ACCESSORY = NAMES.index("pose"), NAMES.index("facing"), NAMES.index("accessory")
HANDSHAKE = VALUES["pose"].index("handshake")
DRAWS = 2000


# ------------------------------------------------------------------ quotients and their intervals


def per_picture(index: np.ndarray, pictures: int, values: np.ndarray) -> np.ndarray:
    """Sums over each picture's figures: index [N], values [N] or [N, K] -> [P]."""
    flat = values.sum(1) if values.ndim > 1 else values
    return np.bincount(index, flat.astype(float), pictures)


def joined(quotients: Sequence[Quotient]) -> Quotient:
    """The pictures of several sets together."""
    return tuple(np.concatenate(parts) for parts in zip(*quotients, strict=True))


@lru_cache
def weights(pictures: int) -> np.ndarray:
    """[DRAWS, P]: how often each picture is drawn again; the same for every arm, so that differences are paired."""
    return np.random.default_rng(0).multinomial(pictures, np.full(pictures, 1 / pictures), DRAWS).astype(float)


def value(quotient: Quotient) -> float:
    return float(quotient[0].sum() / quotient[1].sum()) if quotient[1].sum() else float("nan")


def redrawn(quotient: Quotient) -> np.ndarray:
    """[DRAWS]"""
    again = weights(len(quotient[0]))
    with np.errstate(invalid="ignore", divide="ignore"):
        return (again @ quotient[0]) / (again @ quotient[1])


def bounded(estimate: float, draws: np.ndarray) -> Interval:
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return estimate, float("nan"), float("nan")
    return estimate, *map(float, np.percentile(draws, [2.5, 97.5]))


def interval(quotient: Quotient) -> Interval:
    return bounded(value(quotient), redrawn(quotient))


def difference(first: Quotient, second: Quotient) -> Interval:
    """first - second on the same pictures."""
    return bounded(value(first) - value(second), redrawn(first) - redrawn(second))


def ratio(first: Quotient, second: Quotient) -> Interval:
    """first / second on the same pictures."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return bounded(float(np.divide(value(first), value(second))), redrawn(first) / redrawn(second))


# ------------------------------------------------------------------ leaks and swaps


@dataclass(frozen=True)
class Pairs:
    """Every figure with every other of its picture: indices [K] of the one who is looked at and of the neighbour."""

    own: np.ndarray
    other: np.ndarray


def pairs_of(index: np.ndarray) -> Pairs:
    found = [pair for i in np.unique(index) for pair in permutations(np.flatnonzero(index == i), 2)]
    own, other = np.array(found, int).reshape(-1, 2).T
    return Pairs(own, other)


def others_values(index: np.ndarray, values: np.ndarray, said: np.ndarray, attribute: int) -> np.ndarray:
    """[P, V]: how many people of all other pictures state each value of one attribute."""
    mine = np.zeros((index.max() + 1, len(VALUES[NAMES[attribute]])))
    np.add.at(mine, (index[said], values[said, attribute]), 1)
    return mine.sum(0) - mine


def leaks(
    index: np.ndarray, values: np.ndarray, found: np.ndarray, said: np.ndarray, silent: np.ndarray, seen: np.ndarray,
    stated: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """-> hits, expected by chance, and cases, each [P].

    index [N]; values and found [N, 10]; said [N, 10]: the prompt gives the value, and the neighbour may leak it;
    silent [N, 10]: it gives none; seen [N]. stated: into values that the prompt gives (then a case needs a neighbour
    who states another one), or into those it doesn't.
    """
    pairs, pictures = pairs_of(index), index.max() + 1
    hits, expected, cases = (np.zeros(pictures) for _ in range(3))
    picture = index[pairs.own]
    for a in range(values.shape[1]):
        shown, own, neighbours = found[pairs.own, a], values[pairs.own, a], values[pairs.other, a]
        elsewhere = others_values(index, values, said[:, a], a)[picture]  # [K, V]
        row = np.arange(len(shown))
        total, likely = elsewhere.sum(1), elsewhere[row, shown]
        case = seen[pairs.own] & said[pairs.other, a]
        if stated:
            case &= said[pairs.own, a] & (own != neighbours)
            total, likely = total - elsewhere[row, own], np.where(shown == own, 0, likely)
        else:
            case &= silent[pairs.own, a]
        case &= total > 0
        cases += np.bincount(picture, case, pictures)
        hits += np.bincount(picture, case & (shown == neighbours), pictures)
        expected += np.bincount(picture, np.where(case, likely / np.maximum(total, 1), 0), pictures)
    return hits, expected, cases


def swaps(index: np.ndarray, values: np.ndarray, found: np.ndarray, said: np.ndarray, seen: np.ndarray) -> Quotient:
    """Of two people who state different values of an attribute: each shows the other's."""
    pairs, pictures = pairs_of(index), index.max() + 1
    own, other = (side[pairs.own < pairs.other] for side in (pairs.own, pairs.other))
    case = said[own] & said[other] & (values[own] != values[other]) & (seen[own] & seen[other])[:, None]
    swapped = case & (found[own] == values[other]) & (found[other] == values[own])
    return per_picture(index[own], pictures, swapped), per_picture(index[own], pictures, case)


# ------------------------------------------------------------------ all of them


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes [N, 4] and [N, 4] -> [N]."""
    inner = (np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])).clip(min=0).prod(1)
    area = [(box[:, 2:] - box[:, :2]).clip(min=0).prod(1) for box in (a, b)]
    return inner / (area[0] + area[1] - inner).clip(min=1e-6)


def quotients(truth: object, seen: object) -> dict[str, Quotient]:
    """truth: a binding_scenes.Truth, seen: a binding_arms.Judged, of one set -> every measure that is a share."""
    index, count = truth.index, len(truth.people)
    right = (seen.found == truth.values) & seen.present[:, None]
    said, silent = truth.stated & truth.alone, ~truth.stated & truth.alone
    shaking = truth.values[:, POSE] == HANDSHAKE
    one = np.ones(count)

    def share(good: np.ndarray, of: np.ndarray) -> Quotient:
        return per_picture(index, count, good & of), per_picture(index, count, of)

    everyone = np.ones(len(index), bool)
    wrong = per_picture(index, count, truth.meant & ~right)
    obeyed = (overlap(seen.boxes, truth.boxes) > 0.5) & seen.present
    found = {
        "accuracy": share(right, truth.meant),
        "colours": share(right[:, COLOURS], truth.meant[:, COLOURS]),
        **{name: share(right[:, i], truth.meant[:, i]) for i, name in enumerate(NAMES)},
        "all_right": ((wrong == 0).astype(float), one),
        "handshake": share(right[:, POSE], shaking),
        "present": share(seen.present, everyone),
        "box_over_half": share(obeyed, everyone),
        "background": ((seen.background == truth.background).astype(float), one),
        "count": ((seen.people == truth.people).astype(float), one),
        "invented": ((seen.people > truth.people).astype(float), one),
        "missing": ((seen.people < truth.people).astype(float), one),
        "swaps": swaps(index, truth.values, seen.found, said, seen.present),
    }
    for name, stated in (("leak_stated", True), ("leak_unstated", False)):
        hits, expected, cases = leaks(index, truth.values, seen.found, said, silent, seen.present, stated)
        found |= {name: (hits - expected, cases), f"{name}_rate": (hits, cases), f"{name}_base": (expected, cases)}
    if len(seen.bleed):
        found["bleed"] = seen.bleed[:, 0], seen.bleed[:, 1]
    return found


def seams(borders: np.ndarray, drawn: np.ndarray) -> Interval:
    """borders and drawn [P, 4] (binding_arms.borders): steps at regions' borders over those elsewhere; 1: as drawn."""

    def steps(parts: np.ndarray) -> np.ndarray:
        return parts[..., 0] / parts[..., 1] / (parts[..., 2] / parts[..., 3])

    again = weights(len(borders))
    estimate = steps(borders.sum(0)) / steps(drawn.sum(0))
    return bounded(float(estimate), steps(again @ borders) / steps(again @ drawn))


def frechet(first: np.ndarray, second: np.ndarray) -> float:
    """Distance of two sets of features [N, D], each taken as a normal distribution (Dowson and Landau 1982)."""
    means = [features.mean(0) for features in (first, second)]
    covariances = [np.cov(features.astype(float), rowvar=False) for features in (first, second)]
    power, vectors = np.linalg.eigh(covariances[0])
    root = vectors * np.sqrt(power.clip(min=0)) @ vectors.T
    between = np.sqrt(np.linalg.eigvalsh(root @ covariances[1] @ root).clip(min=0)).sum()
    return float(((means[0] - means[1]) ** 2).sum() + sum(map(np.trace, covariances)) - 2 * between)


def table(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> str:
    """Markdown; a measure with its interval as `estimate (low to high)`."""

    def cell(found: object) -> str:
        if isinstance(found, (list, tuple)):
            estimate, low, high = found
            return f"{estimate:g} ({low:g} to {high:g})"
        return "" if found is None else f"{found:g}" if isinstance(found, float) else str(found)

    lines = [columns, ["---"] * len(columns), *([cell(row.get(name)) for name in columns] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
