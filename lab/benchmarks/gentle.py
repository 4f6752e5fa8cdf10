"""Which way of drawing leaks least on a model trained on whole prompts, and costs neither accuracy nor quality.

    ./run mini train --world leaky --start mini/weights --anew --out LEAKY
    ./run bench gentle --weights LEAKY --out FOLDER

Needs no host. Prints a row an arm, and at last what it chose; writes rows.jsonl, table.md, contact sheets and what the
judge saw into FOLDER, from which --again counts. The parts: gentle_arms.py (the candidates), gentle_choice.py (search
and rule), and the rows here.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from ..drawing.draw import render
from ..judging.evaluate import Mini, load
from . import binding_measures as measures
from .binding import as_images, keep, read, write_sheet
from .binding_arms import STEPS, Judged, coverage, judged
from .binding_measures import Interval, Quotient
from .binding_scenes import PictureSet, Truth, truth_of, unstated_set
from .binding_tables import Row, Seen, rounded
from .gentle_arms import Gentle, paint
from .gentle_choice import SHIPPED, STOCK, Choice, bounds, holds, kept, search
from .host import chosen_device

PEOPLE = (2, 3, 4)
DRAWINGS = "drawings"
LEAKS = ("leak_stated", "leak_unstated")
READS = 60.0  # % of what is stated right: below, a model hardly reads its prompt, and its choice says little
FRECHET_DRAWS = 40  # of the bootstrap; each takes two roots of a covariance
COLUMNS = ("arm", "against", "accuracy", "accuracy_less", "leak", "leak_less", "leak_stated", "leak_unstated", "swaps",
           "all_right", "count", "box_iou", "frechet", "frechet_less", "not_below", "seconds")


def picture_sets(count: int, skipped: int = 0) -> list[PictureSet]:
    """A third each of 2, 3 and 4 people; `skipped` pictures are left out, for another call to have them alone."""
    third, before = max(1, count // len(PEOPLE)), skipped // len(PEOPLE)
    whole = [unstated_set(people, before + third) for people in PEOPLE]
    return [replace(test, pictures=test.pictures[before:], described=test.described[before:]) for test in whole]


# ------------------------------------------------------------------ rows


def joined(truths: Mapping[str, Truth], seen: Seen) -> dict[str, Quotient]:
    """Every measure over all sets."""
    each = [measures.quotients(truths[name], found) for name, found in seen.items()]
    return {measure: measures.joined([quotients[measure] for quotients in each]) for measure in each[0]}


def leak_draws(shares: Mapping[str, Quotient]) -> tuple[float, np.ndarray]:
    """Mean of the leaks into stated and into unstated attributes: estimate, [DRAWS]."""
    estimates, draws = zip(*((measures.value(shares[n]), measures.redrawn(shares[n])) for n in LEAKS), strict=True)
    return float(np.mean(estimates)), np.mean(draws, axis=0)


def frechet_draws(truths: Mapping[str, Truth], seen: Seen, drawn: Seen) -> tuple[float, np.ndarray] | None:
    """Distance of the figures' features from the drawings': estimate, [FRECHET_DRAWS]. None for too few figures."""
    index, before = [], 0
    for name in seen:
        index.append(truths[name].index + before)
        before += len(truths[name].people)
    features = [np.concatenate([side[name].figure_features for name in seen]) for side in (seen, drawn)]
    picture = np.concatenate(index)
    if len(picture) <= features[0].shape[1]:  # the covariances would be singular
        return None
    again = measures.weights(before)[:FRECHET_DRAWS].astype(int)
    draws = [measures.frechet(*(np.repeat(f, times[picture], 0) for f in features)) for times in again]
    return measures.frechet(*features), np.array(draws)


def normal(estimate: float, draws: np.ndarray) -> Interval:
    """95 % by the spread of few draws."""
    spread = 1.96 * float(np.std(draws, ddof=1))
    return estimate, estimate - spread, estimate + spread


def row_of(name: str, against: str, seen: Mapping[str, Seen], truths: Mapping[str, Truth]) -> Row:
    """Percent with intervals, but for box_iou (a median) and the Frechet distance. *_less: less `against`'s."""
    mine, other = (joined(truths, seen[arm]) for arm in (name, against))
    row: Row = {"arm": name, "against": against, "pictures": sum(len(truths[test].people) for test in seen[name])}
    for measure in ("accuracy", *LEAKS, "swaps", "all_right", "count"):
        row[measure] = rounded(measures.interval(mine[measure]))
    row["accuracy_less"] = rounded(measures.difference(mine["accuracy"], other["accuracy"]))
    (leak, draws), (its, others) = leak_draws(mine), leak_draws(other)
    row["leak"] = rounded(measures.bounded(leak, draws))
    row["leak_less"] = rounded(measures.bounded(leak - its, draws - others))
    overlaps = [measures.overlap(s.boxes, truths[n].boxes) * s.present for n, s in seen[name].items()]
    row["box_iou"] = round(float(np.median(np.concatenate(overlaps))), 3)
    distances = [frechet_draws(truths, seen[arm], seen[DRAWINGS]) for arm in (name, against)]
    if None not in distances:
        (own, draws), (its, others) = distances
        row["frechet"] = rounded(normal(own, draws), 1.0, 3)
        row["frechet_less"] = rounded(normal(own - its, draws - others), 1.0, 3)
    return row | {"not_below": "yes" if kept(row) else "no"}


# ------------------------------------------------------------------ drawing


@dataclass
class Bench:
    """Draws arms on its pictures and keeps what the judge saw of them, in memory and in its folder."""

    mini: Mini
    name: str
    sets: Sequence[PictureSet]
    drawn: Sequence[np.ndarray]  # uint8 [P, H, W, 3], one a set
    steps: int
    out: Path
    again: bool  # what an earlier run kept there is not drawn anew
    rows: list[Row]  # of this bench and of others, in the order of measuring
    file: Path  # where all rows are written after each, so that a run cut off leaves some
    json: bool  # how rows are printed
    truths: dict[str, Truth] = field(init=False)
    seen: dict[str, Seen] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.out / self.name).mkdir(parents=True, exist_ok=True)
        self.truths = {test.name: truth_of(test) for test in self.sets}
        self.see(DRAWINGS, None)

    def see(self, name: str, arm: Gentle | None) -> None:
        """arm: None for the drawings themselves."""
        path = self.out / self.name / f"{name.replace(', ', '_').replace(' ', '_')}.npz"
        if self.again and path.exists():
            self.seen[name] = read(path)
            return
        seen: Seen = {}
        for test, drawn in zip(self.sets, self.drawn, strict=True):
            made = test.described, test.size, self.steps
            images = as_images(drawn, self.mini.device) if arm is None else paint(self.mini, arm, *made)
            seen[test.name] = self.judged(test, images)
            write_sheet(path.with_name(f"{path.stem}_{test.people}.jpg"), images)
        keep(path, seen)
        self.seen[name] = seen

    def judged(self, test: PictureSet, images: torch.Tensor) -> Judged:
        grid = test.size[1] // 16, test.size[0] // 16
        covered = coverage(test.described, grid)
        return judged(self.mini, self.truths[test.name], images, covered, np.zeros((0, 2)))

    def measure(self, name: str, arm: Gentle, against: str) -> Row:
        begin = time.perf_counter()
        self.see(name, arm)
        row = row_of(name, against, self.seen, self.truths) | {"seconds": round(time.perf_counter() - begin, 1)}
        self.rows.append(row | {"settings": asdict(arm), "set": self.name})
        self.file.write_text("".join(json.dumps(each) + "\n" for each in self.rows), encoding="utf-8")
        shown = {column: row[column] for column in COLUMNS if column in row}
        line = json.dumps(shown) if self.json else "  ".join(f"{key} {value}" for key, value in shown.items())
        print(line, flush=True)
        return row


def drawings(sets: Sequence[PictureSet]) -> list[np.ndarray]:
    with multiprocessing.get_context("fork").Pool(min(16, os.cpu_count() or 1)) as pool:
        return [np.stack(pool.map(render, test.pictures, chunksize=4)) for test in sets]


# ------------------------------------------------------------------ the command


def verdict(choice: Choice, confirmed: Mapping[str, Row]) -> str:
    """What was chosen, whether it holds on other pictures, and whether the model is one to choose on."""
    winner, unswapped, reference = choice.winner, choice.unswapped, choice.reference
    right = bounds(confirmed[STOCK], "accuracy")[0]
    weak = f"The model gets only {right:g} % of what is stated right: too little to choose anything on it."
    lines = [weak] if right < READS else []
    lines += [
        f"Reference: {reference}. Lowest leak by the rule: {winner}, {asdict(choice.arms[winner])}. "
        f"Without a pass more: {unswapped}, {asdict(choice.arms[unswapped])}."
    ]
    for better, worse in dict.fromkeys(((reference, STOCK), (unswapped, reference), (winner, reference))):
        if better != worse:
            estimate, low, high = bounds(confirmed[better], "leak_less")
            end = "holds" if holds(confirmed[better]) else "does not hold"
            lines.append(f"On other pictures, leak of {better} less that of {worse}: {estimate:g} ({low:g} to {high:g})"
                         f" points, accuracy and quality {'not below' if kept(confirmed[better]) else 'below'}: {end}.")
    return "\n".join(lines)


def run(options: argparse.Namespace) -> None:
    begin = time.perf_counter()
    searched, fresh = picture_sets(options.count), picture_sets(options.confirm, options.count)
    drawn = [drawings(sets) for sets in (searched, fresh)]  # before the device is touched: the drawing forks
    mini = load(options.weights, chosen_device())
    rows: list[Row] = []
    settings = options.steps, options.out, options.again, rows, options.out / "rows.jsonl", options.json
    first = Bench(mini, "search", searched, drawn[0], *settings)
    choice = search(first.measure)
    second = Bench(mini, "confirm", fresh, drawn[1], *settings)
    against = {STOCK: STOCK, choice.reference: STOCK}
    against |= {name: choice.reference for name in (choice.unswapped, choice.winner) if name not in against}
    shipped = next(name for name, arm in choice.arms.items() if arm == SHIPPED)
    against.setdefault(shipped, choice.reference)
    confirmed = {name: second.measure(name, choice.arms[name], other) for name, other in against.items()}
    text = verdict(choice, confirmed)
    parts = [measures.table([row for row in rows if row["set"] == kind], COLUMNS) for kind in ("search", "confirm")]
    (options.out / "table.md").write_text("\n".join(["# Gentle", text, *parts]), encoding="utf-8")
    if not options.json:
        print(f"{text}\n{time.perf_counter() - begin:.1f} s in all", flush=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./run bench gentle", description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True, help="folder of a mini trained in the leaky world")
    parser.add_argument("--count", type=int, default=150, help="pictures an arm: a third each with 2, 3 and 4 people")
    parser.add_argument("--confirm", type=int, default=300, help="other pictures, for stock, reference, "
                        "winners and gentle as it is")
    parser.add_argument("--out", type=Path, required=True, help="folder for tables, sheets and what was seen")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--again", action="store_true", help="don't redraw what an earlier run left in the folder")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    run(parser.parse_args(arguments))
    return 0
