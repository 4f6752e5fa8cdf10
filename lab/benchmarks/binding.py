"""Does everyone get their own attributes, place and colours: the built-in model, conditioned in several ways.

    ./run bench binding --out FOLDER                            tables, and what was drawn
    ./run bench binding --out FOLDER --json                     one JSON object a line
    ./run bench binding --out FOLDER --count 40 --arms stock strict
    ./run bench binding --out FOLDER --again                    counts anew, without drawing

Writes into FOLDER table.md, rows.jsonl (one JSON object a row), contact sheets, and what the judge saw. Needs no host:
the training networks draw many pictures in a batch, with the same arithmetic (lab/training/generate.py).
The parts: binding_scenes.py (what is drawn), binding_arms.py (how), binding_measures.py (what is counted),
binding_tables.py (rows and tables).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from ...client.problem import Problem
from ..drawing.draw import render
from ..drawing.scenes import Picture
from ..judging.evaluate import Mini, load, sheet
from ..training.autoencoder import encode
from ..training.generate import decode
from .binding_arms import ARMS, STEPS, USUAL, Judged, change, coverage, judged, paint
from .binding_measures import table
from .binding_scenes import UNUSUAL, PictureSet, Truth, picture_sets, truth_of
from .binding_tables import SHOWN, STOCK, STRICT, SUMMARY, Row, Seen, rows_of, tables
from .host import ROOT, chosen_device

DRAWN, RECONSTRUCTED = "drawings", "reconstructions"
PLACES = ("usual", "unstated", "sparse", *UNUSUAL)
SHEET = 12  # pictures of each set on the contact sheet


# ------------------------------------------------------------------ pictures


def recoloured_name(test: PictureSet) -> str:
    return f"{test.name}, recoloured"


def drawings(sets: Sequence[PictureSet]) -> dict[str, np.ndarray]:
    """uint8 [P, H, W, 3] of every set that the prompts state completely, and of its recoloured twin."""
    wanted: dict[str, tuple[Picture, ...]] = {}
    for test in sets:
        if test.complete:
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
        prompts = [test.described, test.redescribed]
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


# ------------------------------------------------------------------ the command


def run(options: argparse.Namespace) -> None:
    begin = time.perf_counter()
    if options.again and not (options.out / f"{DRAWN}.npz").is_file():
        raise Problem(f"{options.out} holds nothing of an earlier run: leave --again out, or name that run's folder.")
    options.out.mkdir(parents=True, exist_ok=True)
    sets = [test for test in picture_sets(options.count) if test.kind in options.places]
    truths = {test.name: truth_of(test) for test in sets}
    drawn = {} if options.again else drawings(sets)  # before the device is touched: the drawing forks
    mini = None if options.again else load(options.weights, chosen_device())
    heading = (
        f"{sum(len(t.pictures) for t in sets)} pictures an arm: {options.count} in usual places, complete; the others "
        f"with something or nearly all unstated, or in unusual places. {options.steps} steps, guidance 7.5 until 0.75, "
        "eta 0.3. In brackets: 95 % of a bootstrap over pictures."
    )
    if not options.json:
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
        against = {name: known[name] for name in (STOCK, STRICT) if name in known and name != arm}
        new = rows_of(arm, known[arm], known[DRAWN], against, truths, seconds)
        rows += new
        lines = [json.dumps(row) for row in rows]
        (options.out / "rows.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        (options.out / "table.md").write_text(tables(rows, heading), encoding="utf-8")
        if options.json:
            print("\n".join(lines[-len(new) :]), flush=True)
            continue
        print(f"\n{arm}: {seconds:.1f} s, {time.perf_counter() - begin:.1f} s in all")
        print(table([row for row in new if (row["places"], row["people"]) in SUMMARY], SHOWN), flush=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./run bench binding", description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=ROOT / "mini" / "weights", help="folder of the built-in model")
    parser.add_argument("--count", type=int, default=300, help="pictures an arm in usual places, complete: a quarter "
                        "each with 1 to 4 people; and 3/4 as many with something unstated, 3/4 with nearly all, "
                        "1/2 in unusual places")
    parser.add_argument("--out", type=Path, required=True, help="folder for tables, contact sheets and what was seen")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=USUAL, metavar="ARM", help=" ".join(ARMS))
    parser.add_argument("--places", nargs="+", choices=PLACES, default=PLACES, metavar="SET", help=" | ".join(PLACES))
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--again", action="store_true", help="count again what an earlier run left in the folder")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    run(parser.parse_args(arguments))
    return 0
