"""The measures of lab/benchmarks/binding on made-up people: what is put in is found, what is not there is not."""

from __future__ import annotations

import numpy as np
import pytest
from newbie_pack.lab.benchmarks import binding_measures as measures
from newbie_pack.lab.drawing.attributes import VALUES

COUNTS = [len(options) for options in VALUES.values()]
HAIR, EYES = list(VALUES).index("hair"), list(VALUES).index("eyes")


def people(pictures, each=2, seed=0):
    """index [N] and random values [N, 10]."""
    rng = np.random.default_rng(seed)
    index = np.repeat(np.arange(pictures), each)
    return index, np.stack([rng.integers(0, count, len(index)) for count in COUNTS], 1)


def all_of(values):
    return np.ones_like(values, bool), np.ones(len(values), bool)


def test_a_swap_is_one_and_a_leak_to_one_side_is_none():
    index, values = people(3)
    said, seen = all_of(values)
    values[:, HAIR] = [0, 1, 0, 1, 2, 2]
    found = values.copy()
    found[:2, HAIR] = [1, 0]  # exchanged
    found[2, HAIR] = 1  # the second's hair on both
    hits, cases = measures.swaps(index, values, found, said, seen)
    assert hits.tolist() == [1, 0, 0]
    alike = [(values[i] != values[i + 1]).sum() for i in (0, 2, 4)]
    assert cases.tolist() == alike  # where both state the same, nothing can be exchanged
    seen[0] = False
    assert measures.swaps(index, values, found, said, seen)[0].sum() == 0


@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_a_leak_of_known_rate_is_found(stated, rate):
    """The first of each picture shows its neighbour's value with this rate, else a value of its own or any."""
    rng = np.random.default_rng(1)
    index, values = people(4000)
    said, seen = all_of(values)
    first = np.arange(0, len(index), 2)
    if not stated:
        said[first] = False
    found = np.stack([rng.integers(0, count, len(index)) for count in COUNTS], 1)  # chance alone
    if stated:
        found = np.where(rng.random(values.shape) < 0.5, values, found)
    leaked = rng.random((len(first), len(COUNTS))) < rate
    found[first] = np.where(leaked, values[first + 1], found[first])
    hits, expected, cases = measures.leaks(index, values, found, said, ~said, seen, stated)
    excess = (hits - expected).sum() / cases.sum()
    # chance repeats some of what leaked, and of people who state a value half are not touched at all
    miss = np.mean([1 - 1 / count for count in COUNTS])
    wanted = rate * miss * (0.5 if stated else 1)
    assert excess == pytest.approx(wanted, abs=0.025 if stated else 0.012)
    if rate == 0:
        assert expected.sum() / cases.sum() > 0.05  # there was chance to be taken off
        low, high = measures.interval((hits - expected, cases))[1:]
        assert low < 0 < high
    if stated:
        assert hits.sum() < cases.sum()
    else:
        assert cases.sum() == len(first) * len(COUNTS)


def test_the_base_rate_is_the_mean_over_all_other_pictures():
    """Against the slow way: every other picture's person as the neighbour, where it states something else."""
    index, values = people(7, seed=2)
    said, seen = all_of(values)
    found = people(7, seed=3)[1]
    _, expected, cases = measures.leaks(index, values, found, said, ~said, seen, stated=True)
    slow = np.zeros(7)
    for i in range(len(index)):
        other = i + 1 if i % 2 == 0 else i - 1
        for a in range(len(COUNTS)):
            if values[i, a] == values[other, a]:
                continue
            others = [values[j, a] for j in range(len(index)) if index[j] != index[i] and values[j, a] != values[i, a]]
            slow[index[i]] += np.mean(np.array(others) == found[i, a])
    assert np.allclose(expected, slow)
    assert cases.sum() == 2 * sum((values[i] != values[i + 1]).sum() for i in range(0, len(index), 2))


def test_people_alone_leak_nothing():
    index, values = people(5, each=1)
    said, seen = all_of(values)
    assert not any(part.any() for part in measures.leaks(index, values, values, said, ~said, seen, stated=True))
    assert not any(part.any() for part in measures.swaps(index, values, values, said, seen))


def test_intervals_are_as_wide_as_theory_says_and_pair_the_pictures():
    rng = np.random.default_rng(4)
    cases = np.full(400, 10.0)
    first = rng.binomial(10, 0.8, 400).astype(float)
    estimate, low, high = measures.interval((first, cases))
    assert estimate == pytest.approx(first.mean() / 10) and low < estimate < high
    assert high - low == pytest.approx(2 * 1.96 * (0.8 * 0.2 / 4000) ** 0.5, rel=0.15)  # the normal approximation
    second = first - (np.arange(400) % 4 == 0)  # a tenth of a quarter less on the same pictures
    estimate, low, high = measures.difference((first, cases), (second, cases))
    assert estimate == pytest.approx(0.025) and 0.015 < low < high < 0.035  # far narrower than either's own
    assert measures.ratio((first, cases), (first * 2, cases)) == pytest.approx((0.5, 0.5, 0.5))


def test_frechet_distance():
    rng = np.random.default_rng(5)
    features = rng.normal(size=(500, 6))
    assert measures.frechet(features, features) == pytest.approx(0, abs=1e-9)
    moved = [measures.frechet(features, features + step) for step in (0.1, 0.5, 2.0)]
    assert moved == pytest.approx([6 * step**2 for step in (0.1, 0.5, 2.0)])  # the squared way between the means
    spread = measures.frechet(features, features * 3)
    assert spread == pytest.approx(4 * np.trace(np.cov(features, rowvar=False)) + 4 * (features.mean(0) ** 2).sum())


def test_seams_are_one_for_the_drawings_and_grow_with_a_step():
    rng = np.random.default_rng(6)
    drawn = np.stack([rng.uniform(1, 2, 40), np.full(40, 30.0), rng.uniform(10, 20, 40), np.full(40, 300.0)], 1)
    assert measures.seams(drawn, drawn) == pytest.approx((1, 1, 1))
    assert measures.seams(drawn * [1.5, 1, 1, 1], drawn) == pytest.approx((1.5, 1.5, 1.5))


def test_overlap():
    box = np.array([[0.0, 0, 10, 10]])
    assert measures.overlap(box, box) == pytest.approx(1)
    assert measures.overlap(box, box + np.array([5, 0, 5, 0])) == pytest.approx(1 / 3)
    assert measures.overlap(box, box + 20) == 0


def test_table():
    text = measures.table([{"arm": "stock", "bleed": [0.25, 0.2, 0.3]}, {"arm": "strict", "count": 3}],
                          ("arm", "bleed", "count"))
    assert text.splitlines() == ["| arm | bleed | count |", "| --- | --- | --- |", "| stock | 0.25 (0.2 to 0.3) |  |",
                                 "| strict |  | 3 |"]
