"""Does the look hold from seed to seed, and does strong guidance burn it: figures from the built-in model.

    ./run bench style --count 10            tables
    ./run bench style --json                one JSON object a line
    ./run bench style --out FOLDER          contact sheets too

Needs no host: the training networks draw many pictures in a batch, with the same arithmetic (lab/training/generate.py).

Both look at the figures' own places alone, without the background.

Seeds: `count` seeds of each prompt. Spreads are standard deviations over the seeds of one prompt, then the mean over
figures and prompts: of the mean colour (CIE Lab, all three together), saturation and contrast, and of the share of
pixels on an edge. Agreement is the share of attributes on which a seed says what most seeds say.

Guidance: `count` held-out scenes of two. Saturation and contrast are given beside the drawings' own (1 is the same).
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from ..drawing.scenes import Picture
from ..judging.evaluate import (
    Mini,
    coverage,
    drawn,
    held_out_pictures,
    load,
    paint,
    score,
    sheet,
    true_labels,
    write_png,
)
from ..judging.judge import judge_figures
from ..training import prompts, tokens
from ..training.dataset import TOKEN_PIXELS
from ..training.generate import collate, decode, generate
from .host import ROOT, chosen_device

PROMPTS = 4
SEEDS = {  # the project's defaults, the bundled workflows', a drawing without fresh noise, and one with all of it
    "7.5 / 0.3": {"guidance": 7.5, "eta": 0.3},
    "7.5 / 0.3 until 0.75": {"guidance": 7.5, "eta": 0.3, "guidance_end": 0.75},
    "7.0 / 0": {"guidance": 7.0, "eta": 0.0},
    "7.5 / 1": {"guidance": 7.5, "eta": 1.0},
}
WAYS = {"plain": {}, "until 0.75": {"guidance_end": 0.75}, "renorm 1": {"renorm": 1.0}}
GUIDANCE = {
    f"{guidance:g} {way}": {"guidance": guidance, "eta": 0.3, **options}
    for guidance in (4.0, 5.5, 7.5)
    for way, options in WAYS.items()
}


def look(image: Tensor) -> dict[str, float | np.ndarray]:
    """image [3, H, W] in 0..1 -> its mean Lab, saturation and contrast (0..1), and share of pixels on an edge."""
    pixels = image.mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return {
        "lab": lab.reshape(-1, 3).mean(0),
        "saturation": float(cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)[..., 1].mean() / 255),
        "contrast": float(lab[..., 0].std() / 100),
        "line": float((cv2.Canny(grey, 80, 160) > 0).mean()),
    }


def crops(image: Tensor, picture: Any) -> list[Tensor]:
    """The figures alone: the background is most of a picture, hardly burns, and hides what does."""
    boxes = [(f.x, f.y, f.x + f.width, f.y + f.height) for f in picture.figures]
    return [image[:, round(top) : round(bottom), round(left) : round(right)] for left, top, right, bottom in boxes]


def means(images: Tensor, pictures: Sequence[Any]) -> dict[str, float]:
    looks = [look(crop) for image, picture in zip(images, pictures, strict=True) for crop in crops(image, picture)]
    return {key: float(np.mean([one[key] for one in looks])) for key in ("saturation", "contrast", "line")}


def spread(images: Tensor, picture: Any) -> dict[str, float]:
    """Over the seeds of one prompt, of each figure: the colour's in Lab units, the others' in percent of a whole."""
    found = []
    for figure in zip(*(crops(image, picture) for image in images), strict=True):
        looks = [look(crop) for crop in figure]
        row = {"colour": float(np.sqrt(np.var([one["lab"] for one in looks], axis=0).sum()))}
        found.append(
            row | {key: 100 * float(np.std([one[key] for one in looks])) for key in ("saturation", "contrast", "line")}
        )
    return {key: float(np.mean([row[key] for row in found])) for key in found[0]}


def agreement(attributes: Tensor) -> float:
    """Judged values [seeds, figures, attributes] -> the share that is what most seeds say, in percent."""
    return 100 * (attributes == attributes.mode(0).values).float().mean().item()


def paint_seeds(mini: Mini, picture: Picture, seeds: Sequence[int], sampling: Mapping[str, float]) -> Tensor:
    """One prompt, word for word, with every seed: [S, 3, H, W] in 0..1."""
    described = prompts.describe(picture, random.Random(0), complete=True)
    made = tokens.tokenize(prompts.segments(described, "boxes"), True, tokens.Tokenizers())
    size = (picture.width, picture.height)
    grid = size[1] // TOKEN_PIXELS, size[0] // TOKEN_PIXELS
    covers = torch.from_numpy(np.stack([coverage(described, grid)] * len(seeds)))
    noise = torch.cat(
        [torch.randn(1, 16, 2 * grid[0], 2 * grid[1], generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    )
    prompt = collate([made] * len(seeds), covers, mini.device)
    latent = generate(mini.networks, prompt, noise.to(mini.device), seed=seeds[0], **sampling)
    return decode(mini.autoencoder, latent)


def save(out: Path | None, name: str, images: Tensor, columns: int) -> None:
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_png(out / f"{name}.png".replace(" ", "_").replace("/", ""), sheet(images, columns))


def seed_rows(mini: Mini, count: int, steps: int, number: int, out: Path | None) -> Iterator[dict[str, Any]]:
    pictures = held_out_pictures(2, number, 300)
    for name, settings in SEEDS.items():
        rows, sheets = [], []
        for picture in pictures:
            images = paint_seeds(mini, picture, range(count), {**settings, "steps": steps})
            index, boxes, values = true_labels([picture] * count, mini.device)
            judged = judge_figures(mini.judge, images, index, boxes)
            attributes = judged.attributes.reshape(count, len(picture.figures), -1)
            right = (judged.attributes == values) & judged.present[:, None]
            scores = {"agreement": agreement(attributes), "accuracy": 100 * right.float().mean().item()}
            rows.append(spread(images, picture) | scores)
            sheets.append(images)
        save(out, f"seeds {name}", torch.cat(sheets), count)
        yield {"table": "seeds", "name": name, **{key: float(np.mean([row[key] for row in rows])) for key in rows[0]}}


def guidance_rows(mini: Mini, count: int, steps: int, out: Path | None) -> Iterator[dict[str, Any]]:
    pictures = held_out_pictures(2, count, 102)
    drawings = drawn(pictures, mini.device)

    def row(name: str, images: Tensor) -> dict[str, Any]:
        measured = score(mini, pictures, images)
        save(out, f"guidance {name}", images[:24], 6)
        beside = {key: value / own[key] for key, value in means(images, pictures).items()}
        scores = {"accuracy": measured["mean"], "all_right": measured["all_right"]}
        return {"table": "guidance", "name": name, **beside, **scores}

    own = means(drawings, pictures)
    yield row("drawings", drawings)
    for name, settings in GUIDANCE.items():
        yield row(name, paint(mini, pictures, "isolated", {**settings, "steps": steps}))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./run bench style", description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=ROOT / "mini" / "weights")
    parser.add_argument("--count", type=int, default=10, help="seeds of each prompt, and scenes a guidance")
    parser.add_argument("--prompts", type=int, default=PROMPTS)
    parser.add_argument("--steps", type=int, default=28)
    parser.add_argument("--out", type=Path, help="folder for contact sheets")
    parser.add_argument("--tables", nargs="+", choices=("seeds", "guidance"), default=("seeds", "guidance"))
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args(arguments)
    mini = load(options.weights, chosen_device())
    tables = {
        "seeds": lambda: seed_rows(mini, options.count, options.steps, options.prompts, options.out),
        "guidance": lambda: guidance_rows(mini, options.count, options.steps, options.out),
    }
    for table in options.tables:
        heading = True
        for row in tables[table]():
            row = {key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}
            if options.json:
                print(json.dumps(row), flush=True)
                continue
            numbers = {key: value for key, value in row.items() if isinstance(value, float)}
            if heading:
                print("\n" + f"{table:24}" + "".join(f"{key:>12}" for key in numbers))
                heading = False
            print(f"{row['name']:24}" + "".join(f"{value:>12.3f}" for value in numbers.values()), flush=True)
    return 0
