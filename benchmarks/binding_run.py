"""The whole of benchmarks/binding: draw every set by every arm, judge, keep what was seen, count, write it down."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from ..mini.autoencoder import encode
from ..mini.draw import render
from ..mini.evaluate import Mini, load, sheet
from ..mini.generate import decode
from ..mini.scenes import Picture
from . import binding_measures as measures
from .binding_arms import ARMS, STEPS, Judged, change, coverage, judged, paint
from .binding_scenes import UNUSUAL, PictureSet, Truth, picture_sets, truth_of

DRAWN, RECONSTRUCTED = "drawings", "reconstructions"
STOCK = "stock"  # what the others are compared with
SHEET = 12  # pictures of each set on the contact sheet

Seen = dict[str, Judged]  # set's name -> what the judge saw
Row = dict[str, object]
# rows: places, the sets they hold
GROUPS: dict[tuple[str, str], tuple[str, ...]] = {
    **{("usual", str(n)): (f"usual, {n}",) for n in (1, 2, 3, 4)},
    ("usual", "1-4"): tuple(f"usual, {n}" for n in (1, 2, 3, 4)),
    **{("unstated", str(n)): (f"unstated, {n}",) for n in (2, 3, 4)},
    ("unstated", "2-4"): tuple(f"unstated, {n}" for n in (2, 3, 4)),
    **{(kind, f"{n[0]}-{n[-1]}"): (f"{kind}, {n[0]}-{n[-1]}",) for kind, (_, n) in UNUSUAL.items()},
    ("unusual", "2-4"): tuple(f"{kind}, {n[0]}-{n[-1]}" for kind, (_, n) in UNUSUAL.items()),
}
SUMMARY = (("usual", "1-4"), ("unstated", "2-4"), ("unusual", "2-4"))  # rows that are printed on the way
SHOWN = ("arm", "places", "accuracy", "all_right", "count", "leak_stated", "leak_unstated", "swaps", "bleed", "box_iou",
         "box_over_half", "seams", "frechet_figures")
TABLES = {
    "Usual places, everything stated": ("usual", (
        "arm", "people", "pictures", "accuracy", "accuracy_less_stock", "all_right", "all_right_less_stock", "colours",
        "leak_stated", "leak_stated_base", "swaps", "count", "facing", "handshake", "box_iou", "box_over_half")),
    "Bleed and quality, usual places": ("usual", (
        "arm", "people", "bleed", "seams", "frechet_figures", "frechet_pictures", "background")),
    "Something unstated, usual places": ("unstated", (
        "arm", "people", "pictures", "accuracy", "leak_unstated", "leak_unstated_rate", "leak_unstated_base",
        "leak_unstated_over_stock", "leak_stated", "swaps", "count")),
    "Unusual places, everything stated": ("", (
        "arm", "places", "people", "pictures", "accuracy", "accuracy_less_stock", "all_right", "count", "invented",
        "missing", "present", "box_iou", "box_over_half", "leak_stated", "swaps", "seams", "frechet_figures")),
}


# ------------------------------------------------------------------ pictures


def recoloured_name(test: PictureSet) -> str:
    return f"{test.name}, recoloured"


def drawings(sets: Sequence[PictureSet]) -> dict[str, np.ndarray]:
    """uint8 [P, H, W, 3] of every set that the prompts state completely, and of its recoloured twin."""
    wanted: dict[str, tuple[Picture, ...]] = {}
    for test in sets:
        if test.kind != "unstated":
            wanted[test.name] = test.pictures
        if test.recoloured:
            wanted[recoloured_name(test)] = test.recoloured
    with multiprocessing.get_context("fork").Pool(min(16, os.cpu_count() or 1)) as pool:
        drawn = iter(pool.map(render, [picture for pictures in wanted.values() for picture in pictures], chunksize=4))
    return {name: np.stack([next(drawn) for _ in pictures]) for name, pictures in wanted.items()}


def as_images(drawn: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(drawn).to(device).permute(0, 3, 1, 2).float().div(255)


def reconstruct(mini: Mini, drawn: np.ndarray) -> Tensor:
    """What the best diffusion model could make: the drawings after a pass through the autoencoder."""
    return decode(mini.autoencoder, encode(mini.autoencoder, torch.from_numpy(drawn), mini.device).float())


def draw_set(
    mini: Mini, arm: str, test: PictureSet, drawn: Mapping[str, np.ndarray], steps: int
) -> tuple[Tensor, Tensor | None]:
    """-> pictures of the set, and of its recoloured twins if it has some."""
    if arm in (DRAWN, RECONSTRUCTED):
        made = [drawn[name] for name in (test.name, recoloured_name(test)) if name in drawn]
        made = [reconstruct(mini, each) if arm == RECONSTRUCTED else as_images(each, mini.device) for each in made]
    else:
        prompts = [test.described, test.recoloured_descriptions()]
        made = [paint(mini, ARMS[arm], described, test.size, steps) for described in prompts if described]
    return made[0], made[1] if len(made) > 1 else None


def write_sheet(path: Path, images: Tensor) -> None:
    cv2.imwrite(str(path), sheet(images[:SHEET], 6)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])


# ------------------------------------------------------------------ what was seen, kept


def keep(path: Path, seen: Seen) -> None:
    arrays = {f"{name}/{f.name}": getattr(found, f.name) for name, found in seen.items() for f in fields(Judged)}
    np.savez_compressed(path, **arrays)


def read(path: Path) -> Seen:
    with np.load(path, allow_pickle=False) as file:
        names = dict.fromkeys(key.rsplit("/", 1)[0] for key in file)
        return {name: Judged(**{f.name: file[f"{name}/{f.name}"] for f in fields(Judged)}) for name in names}


def see(
    mini: Mini, arm: str, sets: Sequence[PictureSet], truths: Mapping[str, Truth], drawn: Mapping[str, np.ndarray],
    steps: int, out: Path,
) -> Seen:
    seen: Seen = {}
    for test in sets:
        truth = truths[test.name]
        images, others = draw_set(mini, arm, test, drawn, steps)
        bleed = np.zeros((0, 2)) if others is None else change(images, others, truth, test.changed)
        grid = test.size[1] // 16, test.size[0] // 16
        seen[test.name] = judged(mini, truth, images, coverage(test.described, grid), bleed)
        write_sheet(out / f"{arm}_{test.name}.jpg".replace(", ", "_").replace(" ", "_"), images)
    return seen


# ------------------------------------------------------------------ rows


def rounded(found: measures.Interval, scale: float = 100.0, digits: int = 2) -> list[float]:
    return [round(scale * number, digits) for number in found]


def rows_of(
    arm: str, seen: Seen, drawn: Seen, stock: Seen | None, truths: Mapping[str, Truth], seconds: float
) -> list[Row]:
    """Percentages with their intervals, but for box_iou (a median), bleed, seams and the Frechet distances."""
    shares = {name: measures.quotients(truths[name], found) for name, found in seen.items()}
    stocks = {name: measures.quotients(truths[name], found) for name, found in stock.items()} if stock else {}
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
            if stocks and arm != STOCK and measure in ("accuracy", "all_right", "leak_stated", "leak_unstated"):
                theirs = measures.joined([stocks[name][measure] for name in names])
                if both[1].sum() and theirs[1].sum():
                    row[f"{measure}_less_stock"] = rounded(measures.difference(both, theirs))
                    if measure == "leak_unstated":
                        row[f"{measure}_over_stock"] = rounded(measures.ratio(both, theirs), 1.0, 3)
        found = [seen[name] for name in names]
        overlaps = [measures.overlap(s.boxes, truths[n].boxes) * s.present for s, n in zip(found, names, strict=True)]
        row["box_iou"] = round(float(np.median(np.concatenate(overlaps))), 3)
        if names[0] in drawn:
            row |= quality(found, [drawn[name] for name in names])
        bleeding = [name for name in names if "bleed" in shares[name]]
        if bleeding:
            bleed = measures.interval(measures.joined([shares[name]["bleed"] for name in bleeding]))
            row["bleed"] = rounded(bleed, 1.0, 4)
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


# ------------------------------------------------------------------ the command


def run(options: argparse.Namespace) -> list[Row]:
    begin = time.perf_counter()
    options.out.mkdir(parents=True, exist_ok=True)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    sets = picture_sets(options.count)
    truths = {test.name: truth_of(test) for test in sets}
    drawn = {} if options.again else drawings(sets)  # before the device is touched: the drawing forks
    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    mini = None if options.again else load(options.weights, device)
    heading = (
        f"{sum(len(t.pictures) for t in sets)} pictures an arm: {options.count} in usual places, complete; the others "
        f"with something unstated or in unusual places. {options.steps} steps, guidance 7.5 until 0.75, eta 0.3. In "
        "brackets: 95 % of a bootstrap over pictures."
    )
    print(f"{heading} Ready after {time.perf_counter() - begin:.1f} s.", flush=True)
    rows: list[Row] = []
    known: dict[str, Seen] = {}
    for arm in (DRAWN, RECONSTRUCTED, *options.arms):
        start = time.perf_counter()
        path = options.out / f"{arm}.npz"
        if mini is None:
            if not path.exists():
                continue
            known[arm] = read(path)
        else:
            plain = arm in (DRAWN, RECONSTRUCTED)
            known[arm] = see(mini, arm, [t for t in sets if not plain or t.name in drawn], truths, drawn,
                             options.steps, options.out)
            keep(path, known[arm])
        seconds = time.perf_counter() - start
        rows += rows_of(arm, known[arm], known[DRAWN], known.get(STOCK), truths, seconds)
        options.json.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        (options.out / "table.md").write_text(tables(rows, heading), encoding="utf-8")
        for row in rows:
            if row["arm"] == arm and (row["places"], row["people"]) in SUMMARY:
                print(json.dumps({name: row[name] for name in SHOWN if name in row}), flush=True)
        print(f"{arm}: {seconds:.1f} s, {time.perf_counter() - begin:.1f} s in all", flush=True)
    return rows


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="binding.py", description=__doc__)
    root = Path(__file__).resolve().parent.parent
    parser.add_argument("--weights", type=Path, default=root / "mini" / "weights", help="folder of the built-in model")
    parser.add_argument("--count", type=int, default=300, help="pictures an arm in usual places, complete: a quarter "
                        "each with 1 to 4 people; and 3/4 as many with something unstated, 1/2 in unusual places, "
                        "1/2 in other colours")
    parser.add_argument("--out", type=Path, required=True, help="folder for tables, contact sheets and what was seen")
    parser.add_argument("--json", type=Path, required=True, help="file for the rows, one JSON object a line")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), metavar="ARM", help=" ".join(ARMS))
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--device", default="", help="cpu, cuda ...; else the accelerator if there is one")
    parser.add_argument("--again", action="store_true", help="count anew what an earlier run kept in the folder")
    run(parser.parse_args(arguments))
