"""Which candidate becomes gentle: the rule, and the coarse search that feeds it. Pure; the measuring is a parameter.

The rule: of all arms whose accuracy and Frechet distance are not worse than the reference's beyond the noise (95 % of
the differences on the same pictures leave equality open), the one with the lowest leak; the reference if none leaks
less. The leak is the mean of the leaks into stated and into unstated attributes, each less its base rate.

The search: first the ways to write the boxes down, against the prompt as typed; the one that is read best, of those
that clearly cost nothing, is the reference of all that follows, so that no rule may spend what better boxes have won.
Then rules in the joint layers, one factor at a time around a base; genders alone; the swapped prompt; and at last the
best of every factor together, on every form that costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from .gentle_arms import Gentle

Row = Mapping[str, object]
Measure = Callable[[str, Gentle, str], Row]  # name, arm, name of the arm that it is compared with -> row

STOCK, BASE, NOW = "stock", "base", "gentle as it is now"
FORMS = {"boxes in the XML": "boxes", "boxes in the template": "json"}
SHIPPED = Gentle("json", strength=1.0)  # the pack's mode gentle (isolation/plan.py)
RULES = {"strength": 0.9, "until": 0.5}  # of the base, on the best form
FACTORS: dict[str, tuple[float | bool, ...]] = {  # what is tried in place of the base's own
    "strength": (0.5, 1.0),
    "start": (0.1,),
    "until": (0.25, 0.75, 1.0),
    "soft_edge": (0.1,),
    "margin": (0.05, 0.1),
    "both": (False,),
    "apart": (0.5, 0.9, 1.0),
    "gender_strength": (1.0,),
}
FULL = Gentle().guidance
SWAPPED: dict[str, dict[str, float]] = {  # on the best form, without rules
    "swapped prompt a quarter of the negative": {"swapped": 0.25},
    "swapped prompt half of the negative": {"swapped": 0.5},
    "swapped prompt as the negative": {"swapped": 1.0},
    "swapped prompt as the negative, guidance 4": {"swapped": 1.0, "guidance": 4.0},
    # the guidance from the empty prompt as strong as ever, and a third as much from the swapped one
    "swapped prompt beside the negative": {"swapped": 0.25, "guidance": 1 + (FULL - 1) / 0.75},
}


# ------------------------------------------------------------------ the rule


def bounds(row: Row, measure: str) -> tuple[float, float, float]:
    """An estimate and its interval; all that can't be told where the row has none."""
    found = row.get(measure)
    return (float("nan"),) * 3 if found is None else tuple(found)


def kept(row: Row) -> bool:
    """Whether accuracy and Frechet distance are not below the reference's beyond the noise. Unmeasured is no."""
    return bounds(row, "accuracy_less")[2] >= 0 and bounds(row, "frechet_less")[1] <= 0


def leak(row: Row) -> float:
    return bounds(row, "leak")[0]


def chosen(rows: Sequence[Row], reference: Row) -> Row:
    """The rule. rows: all compared with the reference."""
    return min([reference, *filter(kept, rows)], key=leak)


def read_best(rows: Sequence[Row], stock: Row) -> Row:
    """Of the forms that are not clearly below the prompt as typed in anything, leaks included: the most accurate."""
    free = [row for row in rows if kept(row) and bounds(row, "leak_less")[1] <= 0]
    return max([stock, *free], key=lambda row: (bounds(row, "accuracy_less")[0], -leak(row)))


def holds(row: Row) -> bool:
    """Whether a winner keeps what it promised on pictures that it was not chosen on."""
    return kept(row) and bounds(row, "leak_less")[2] < 0


# ------------------------------------------------------------------ the search


@dataclass(frozen=True)
class Choice:
    arms: Mapping[str, Gentle]  # everything measured
    reference: str
    winner: str
    unswapped: str  # the winner of those that cost no pass of the model more


def named(factor: str, value: float | bool) -> str:
    return f"{factor} {str(value).lower()}"


def search(measure: Measure) -> Choice:
    arms: dict[str, Gentle] = {}
    rows: dict[str, Row] = {}

    def take(name: str, arm: Gentle, against: str) -> Row:
        arms[name] = arm
        rows[name] = measure(name, arm, against)
        return rows[name]

    def best(names: Sequence[str], against: str) -> str:
        return str(chosen([rows[name] for name in names if name != against], rows[against])["arm"])

    take(STOCK, Gentle(), STOCK)
    for name, form in FORMS.items():
        take(name, replace(arms[STOCK], form=form), STOCK)
    reference = str(read_best([rows[name] for name in FORMS], rows[STOCK])["arm"])
    base = replace(arms[reference], **RULES)
    take(BASE, base, reference)
    factors = {factor: [named(factor, value) for value in values] for factor, values in FACTORS.items()}
    for factor, values in FACTORS.items():
        for name, value in zip(factors[factor], values, strict=True):
            take(name, replace(base, **{factor: value}), reference)
    take("gender mask alone", replace(arms[reference], gender_strength=1.0), reference)
    for name, changes in SWAPPED.items():
        take(name, replace(arms[reference], **changes), reference)
    together = base
    for factor, names in factors.items():
        tried = [rows[name] for name in (BASE, *names) if kept(rows[name])]
        if tried:
            together = replace(together, **{factor: getattr(arms[str(min(tried, key=leak)["arm"])], factor)})
    swapped = best(list(SWAPPED), reference)
    combined = {"the best of every factor": together}
    if swapped != reference:
        other = {"swapped": arms[swapped].swapped, "guidance": arms[swapped].guidance}
        combined["the best of every factor, and swapped prompt"] = replace(together, **other)
    # the best with each other form that costs nothing, too: rules fit better where people stand in their boxes
    others = [form for form in FORMS if form != reference and kept(rows[form])]
    combined |= {f"{name}, {form}": replace(arm, form=FORMS[form]) for name, arm in combined.items() for form in others}
    for name, arm in combined.items():
        if arm not in arms.values():
            take(name, arm, reference)
    if SHIPPED not in arms.values():
        take(NOW, SHIPPED, reference)
    candidates = [name for name in rows if name not in (STOCK, *FORMS)]
    unswapped = [name for name in candidates if arms[name].swapped == 0]
    return Choice(arms, reference, best(candidates, reference), best(unswapped, reference))
