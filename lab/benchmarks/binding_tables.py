"""The rows and tables of lab/benchmarks/binding: what the judge saw, counted by places and people, and the targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from . import binding_measures as measures
from .binding_arms import Judged
from .binding_scenes import UNUSUAL, Truth

STOCK, STRICT = "stock", "strict"  # what the others are compared with

Seen = dict[str, Judged]  # set's name -> what the judge saw
Row = dict[str, object]
# rows: places, the sets they hold
GROUPS: dict[tuple[str, str], tuple[str, ...]] = {
    **{("usual", str(n)): (f"usual, {n}",) for n in (1, 2, 3, 4)},
    ("usual", "1-4"): tuple(f"usual, {n}" for n in (1, 2, 3, 4)),
    **{(kind, str(n)): (f"{kind}, {n}",) for kind in ("unstated", "sparse") for n in (2, 3, 4)},
    **{(kind, "2-4"): tuple(f"{kind}, {n}" for n in (2, 3, 4)) for kind in ("unstated", "sparse")},
    **{(kind, f"{n[0]}-{n[-1]}"): (f"{kind}, {n[0]}-{n[-1]}",) for kind, (_, n) in UNUSUAL.items()},
    ("unusual", "2-4"): tuple(f"{kind}, {n[0]}-{n[-1]}" for kind, (_, n) in UNUSUAL.items()),
}
SUMMARY = (("usual", "1-4"), ("unstated", "2-4"), ("sparse", "2-4"), ("unusual", "2-4"))  # printed on the way
SHOWN = ("arm", "places", "accuracy", "all_right", "count", "leak_stated", "leak_unstated", "swaps", "bleed", "box_iou",
         "box_over_half", "seams", "frechet_figures")
TABLES = {
    "Usual places, everything stated": ("usual", (
        "arm", "people", "pictures", "accuracy", "accuracy_less_stock", "all_right", "all_right_less_stock", "colours",
        "leak_stated", "leak_stated_base", "swaps", "count", "facing", "handshake", "box_iou", "box_over_half")),
    "Nearly all unstated, usual places": ("sparse", (
        "arm", "people", "pictures", "bleed", "bleed_less_strict", "change_in_own_box", "accuracy",
        "accuracy_less_stock", "accuracy_less_strict", "leak_unstated", "leak_stated", "swaps", "count")),
    "Less strict's, usual places, everything stated": ("usual", (
        "arm", "people", "accuracy_less_strict", "all_right_less_strict", "handshake", "handshake_less_strict",
        "bleed", "bleed_less_strict", "seams", "frechet_figures")),
    "Bleed and quality, usual places": ("usual", (
        "arm", "people", "bleed", "seams", "frechet_figures", "frechet_pictures", "background")),
    "Something unstated, usual places": ("unstated", (
        "arm", "people", "pictures", "accuracy", "leak_unstated", "leak_unstated_rate", "leak_unstated_base",
        "leak_unstated_over_stock", "leak_stated", "swaps", "count")),
    "Unusual places, everything stated": ("", (
        "arm", "places", "people", "pictures", "accuracy", "accuracy_less_stock", "all_right", "count", "invented",
        "missing", "present", "box_iou", "box_over_half", "leak_stated", "swaps", "seams", "frechet_figures")),
}


COMPARED = ("accuracy", "all_right", "handshake", "leak_stated", "leak_unstated")


def rounded(found: measures.Interval, scale: float = 100.0, digits: int = 2) -> list[float]:
    return [round(scale * number, digits) for number in found]


def rows_of(
    arm: str, seen: Seen, drawn: Seen, against: Mapping[str, Seen], truths: Mapping[str, Truth], seconds: float
) -> list[Row]:
    """Percentages with their intervals, but for box_iou (a median), bleed, seams and the Frechet distances."""
    shares, *references = (
        {name: measures.quotients(truths[name], found) for name, found in one.items()}
        for one in (seen, *against.values())
    )
    rows = []
    for (places, people), names in GROUPS.items():
        if not seen.keys() >= set(names):  # drawings have nothing unstated
            continue
        row: Row = {"arm": arm, "places": places, "people": people,
                    "pictures": sum(len(truths[name].people) for name in names)}
        for measure in shares[names[0]]:
            if measure == "bleed":
                continue
            both = measures.joined([shares[name][measure] for name in names])
            if both[1].sum():
                row[measure] = rounded(measures.interval(both))
            if measure not in COMPARED or not both[1].sum():
                continue
            for base, reference in zip(against, references, strict=True):
                theirs = measures.joined([reference[name][measure] for name in names])
                if theirs[1].sum():
                    row[f"{measure}_less_{base}"] = rounded(measures.difference(both, theirs))
                if theirs[1].sum() and (measure, base) == ("leak_unstated", STOCK):
                    row[f"{measure}_over_stock"] = rounded(measures.ratio(both, theirs), 1.0, 3)
        found = [seen[name] for name in names]
        overlaps = [measures.overlap(s.boxes, truths[n].boxes) * s.present for s, n in zip(found, names, strict=True)]
        row["box_iou"] = round(float(np.median(np.concatenate(overlaps))), 3)
        if names[0] in drawn:
            row |= quality(found, [drawn[name] for name in names])
        bleeding = [name for name in names if "bleed" in shares[name]]
        if bleeding:
            bleed = measures.joined([shares[name]["bleed"] for name in bleeding])
            row["bleed"] = rounded(measures.interval(bleed), 1.0, 4)
            for base, reference in zip(against, references, strict=True):
                theirs = measures.joined([reference[name]["bleed"] for name in bleeding])
                row[f"bleed_less_{base}"] = rounded(measures.difference(bleed, theirs), 1.0, 4)
            row["bleed_people"] = [int(truths[name].people[0]) for name in bleeding]
            row["change_in_own_box"] = round(float(np.concatenate([seen[n].bleed[:, 1] for n in bleeding]).mean()), 4)
        rows.append(row | {"seconds": round(seconds, 1)})
    return rows


def quality(found: Sequence[Judged], drawn: Sequence[Judged]) -> Row:
    def both(name: str) -> list[np.ndarray]:
        return [np.concatenate([getattr(judged, name) for judged in side]) for side in (found, drawn)]

    row: Row = {"seams": rounded(measures.seams(*both("borders")), 1.0, 3)}
    for name in ("figure", "picture"):
        features = both(f"{name}_features")
        if len(features[0]) > features[0].shape[1]:  # with fewer, covariances are singular and the distance all noise
            row[f"frechet_{name}s"] = round(measures.frechet(*features), 3)
    return row


def targets(rows: Sequence[Row]) -> str:
    """What strict is meant to reach, and what it does; empty where strict or the stock path was not drawn."""
    found = {(r["places"], r["people"]): r for r in rows if r["arm"] == "strict"}
    lines = []

    def line(what: str, row: tuple[str, str], measure: str, reached: Callable[[float, float, float], bool]) -> None:
        interval = found.get(row, {}).get(measure)
        if interval is not None:
            lines.append({"strict": what, "measured": interval, "reached": "yes" if reached(*interval) else "no"})

    for people in ("1", "2", "3"):
        line(f"accuracy less the stock path's, {people} people: not clearly below 0", ("usual", people),
             "accuracy_less_stock", lambda estimate, low, high: high >= 0)
    line("accuracy less the stock path's, 4 people: clearly above 0", ("usual", "4"), "accuracy_less_stock",
         lambda estimate, low, high: low > 0)
    line("leaks into unstated attributes over the stock path's: at most 0.2", ("unstated", "2-4"),
         "leak_unstated_over_stock", lambda estimate, low, high: estimate <= 0.2)
    line("bleed: at most 0.07", ("usual", "1-4"), "bleed", lambda estimate, low, high: estimate <= 0.07)
    line("boxes in unusual places obeyed (overlap over a half): at least 98 %", ("unusual", "2-4"), "box_over_half",
         lambda estimate, low, high: estimate >= 98)
    line("people counted right in unusual places: at least 98 %", ("unusual", "2-4"), "count",
         lambda estimate, low, high: estimate >= 98)
    return measures.table(lines, ("strict", "measured", "reached")) if lines else ""


def tables(rows: Sequence[Row], heading: str) -> str:
    text = [f"# Binding\n\n{heading}\n"]
    aims = targets(rows)
    text += [f"## What strict is meant to reach\n\n{aims}"] if aims else []
    for title, (places, columns) in TABLES.items():
        chosen = [r for r in rows if r["places"] == places or (not places and r["places"] in ("unusual", *UNUSUAL))]
        chosen.sort(key=lambda r: str(r["people"]) if places else (str(r["places"]), str(r["people"])))
        text.append(f"## {title}\n\n{measures.table(chosen, columns)}")
    return "\n".join(text)
