"""What the mini draws right: attributes, places, handshakes, counts, on combinations no training picture shows.

    ./run mini evaluate --weights FOLDER --out FOLDER
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from ..drawing.attributes import BACKGROUND, RENDERING, TOGETHER, VALUES
from ..drawing.draw import render
from ..drawing.scenes import Picture, sample_picture
from ..training import prompts, tokens
from ..training.dataset import TOKEN_PIXELS, coverage, labels
from ..training.export import read_autoencoder, read_judge, read_networks
from ..training.generate import EVERYWHERE, Isolated, Networks, collate, decode, generate
from ..training.model import Autoencoder
from ..training.world import PLAIN, World
from .judge import Judge, judge_figures, judge_pictures, overlap

POSE = list(VALUES).index("pose")
TOGETHER_POSES = tuple(VALUES["pose"].index(pose) for pose in TOGETHER)
SAMPLING = {
    "guidance 7.5 eta 0.3": {"guidance": 7.5, "eta": 0.3},
    "guidance 7.5 eta 0.3 until 0.75": {"guidance": 7.5, "eta": 0.3, "guidance_end": 0.75},  # the bundled workflows
    "guidance 4 eta 0": {"guidance": 4.0, "eta": 0.0},
}
MODES = {"isolated": EVERYWHERE, "apart": Isolated(picture=1.0), "joint": EVERYWHERE}
ARMS = {f"{mode}, {name}": (mode, settings) for mode in MODES for name, settings in SAMPLING.items()}
PEOPLE_ASKED = (1, 2, 3, 4, 6, 8)  # those of them that the world knows


@dataclass(frozen=True)
class Mini:
    """The trained weights in the training networks, on one device."""

    networks: Networks
    autoencoder: Autoencoder
    judge: Judge
    device: torch.device


def load(folder: Path, device: torch.device) -> Mini:
    networks, autoencoder, judge = read_networks(folder), read_autoencoder(folder), read_judge(folder)
    for module in (networks, autoencoder, judge):
        module.to(device).requires_grad_(False).eval()
    return Mini(networks, autoencoder, judge, device)


def held_out_pictures(
    people: int, count: int, seed: int, size: tuple[int, int] = (320, 320), world: World = PLAIN
) -> list[Picture]:
    """Held-out (hair, clothes) pairs on everyone; anywhere in the picture, as training was."""
    rng = random.Random(seed)
    return [sample_picture(rng, size, people, held_out=True, world=world) for _ in range(count)]


def together(pose: str, count: int, seed: int, world: World) -> list[Picture]:
    """Two people who do what the pose says."""
    rng = random.Random(seed)
    return [sample_picture(rng, (320, 320), 2, held_out=True, world=world, pose=pose) for _ in range(count)]


def from_behind(count: int, seed: int, world: World) -> list[Picture]:
    """Two people, of whom one is seen from behind."""
    rng, found = random.Random(seed), []
    while len(found) < count:
        picture = sample_picture(rng, (320, 320), 2, held_out=True, world=world)
        turned, other = rng.sample(picture.figures, 2)
        if turned.partner is None and turned.look["accessory"] != "glasses":
            turned = replace(turned, look=turned.look | {"facing": "from_behind"})
            figures = tuple(sorted((turned, other), key=lambda figure: figure.x + figure.width / 2))
            found.append(replace(picture, figures=figures))
    return found


def picture_sets(count: int, world: World) -> dict[str, list[Picture]]:
    """What is asked for: so many people, two who do something together, one of two from behind."""
    asked = [n for n in PEOPLE_ASKED if n <= world.most_people]
    sets = {str(n): held_out_pictures(n, count, 100 + n, world=world) for n in asked}
    few = max(10, count // 3)
    sets |= {pose: together(pose, few, 200 + i, world) for i, pose in enumerate(world.together)}
    return sets | ({"from behind": from_behind(few, 300, world)} if world.behind else {})


def paint(
    mini: Mini, pictures: Sequence[Picture], mode: str, sampling: Mapping[str, float], form: str = "boxes",
    batch: int = 160, seed: int = 7,
) -> Tensor:
    """Complete prompts of the pictures, drawn by the model: [P, 3, H, W] in 0..1. sampling: options of generate."""
    tokenizers, rng = tokens.Tokenizers(), random.Random(seed)
    described = [prompts.describe(p, rng, complete=True, world=mini.judge.world) for p in pictures]
    made = [tokens.tokenize(prompts.segments(d, form), mode != "joint", tokenizers) for d in described]
    size = (pictures[0].width, pictures[0].height)
    grid = size[1] // TOKEN_PIXELS, size[0] // TOKEN_PIXELS
    covers = torch.from_numpy(np.stack([coverage(d, grid) for d in described]))
    noise = torch.randn(len(pictures), 16, 2 * grid[0], 2 * grid[1], generator=torch.Generator().manual_seed(seed))
    parts = []
    for start in range(0, len(pictures), batch):
        part = slice(start, start + batch)
        prompt = collate(made[part], covers[part], mini.device)
        latent = generate(mini.networks, prompt, noise[part].to(mini.device), MODES[mode], seed=start, **sampling)
        parts.append(decode(mini.autoencoder, latent))
    return torch.cat(parts)


def true_labels(pictures: Sequence[Picture], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Every figure of every picture: picture index [N], box [N, 4] px, attribute indices [N, 10]."""
    index, boxes, values = [], [], []
    for i, picture in enumerate(pictures):
        box, value = labels(picture)
        index += [i] * len(picture.figures)
        boxes.append(box[: len(picture.figures)])
        values.append(value[: len(picture.figures)])
    return (torch.tensor(index, device=device), torch.from_numpy(np.concatenate(boxes)).to(device),
            torch.from_numpy(np.concatenate(values)).to(device))


def score(mini: Mini, pictures: Sequence[Picture], images: Tensor) -> dict[str, float]:
    """Percentages, but for box_iou (median)."""
    index, boxes, values = true_labels(pictures, mini.device)
    verdict = judge_figures(mini.judge, images, index, boxes)
    hidden = values < 0  # from behind: nothing to be right or wrong
    right = ((verdict.attributes == values) | hidden) & verdict.present[:, None]  # [N, 10]
    background, people, rendering = judge_pictures(mini.judge, images)
    wrong = torch.zeros(len(pictures), device=mini.device).index_add_(0, index, (~right.all(1)).float())
    iou = overlap(verdict.box, boxes) * verdict.present
    true_background = torch.tensor([BACKGROUND.index(p.background) for p in pictures], device=mini.device)
    true_people = torch.tensor([len(p.figures) for p in pictures], device=mini.device)
    true_rendering = torch.tensor([RENDERING.index(p.rendering) for p in pictures], device=mini.device)
    paired = torch.isin(values[:, POSE], torch.tensor(TOGETHER_POSES, device=mini.device))
    measured = {
        "mean": right[~hidden].float().mean(),
        **{name: right[~hidden[:, i], i].float().mean() for i, name in enumerate(VALUES)},
        "all_right": (wrong == 0).float().mean(),
        "present": verdict.present.float().mean(),
        "background": (background == true_background).float().mean(),
        "rendering": (rendering == true_rendering).float().mean(),
        "count": (people == true_people).float().mean(),
        "box_over_half": (iou > 0.5).float().mean(),
    }
    row = {name: round(100 * value.item(), 2) for name, value in measured.items()}
    row["box_iou"] = round(iou.median().item(), 3)
    if paired.any():
        row["together"] = round(100 * right[paired, POSE].float().mean().item(), 2)
    return row


def sheet(images: Tensor, columns: int) -> np.ndarray:
    """[P, 3, H, W] in 0..1 -> one uint8 picture, rows of `columns`."""
    pixels = images.mul(255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    columns = min(columns, len(pixels))
    pixels = pixels[: len(pixels) // columns * columns]
    return np.concatenate([np.concatenate(list(row), 1) for row in pixels.reshape(-1, columns, *pixels.shape[1:])], 0)


def write_png(path: Path, pixels: np.ndarray) -> None:
    cv2.imwrite(str(path), pixels[..., ::-1])


def drawn(pictures: Sequence[Picture], device: torch.device) -> Tensor:
    images = np.stack([render(p) for p in pictures])
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float().div_(255)


def evaluate(
    mini: Mini, out: Path, count: int, arms: Sequence[str] = tuple(ARMS), names: Sequence[str] = ()
) -> list[dict]:
    """The judge on held-out drawings (its own ceiling), then every arm, on every set of pictures or the named ones."""
    out.mkdir(parents=True, exist_ok=True)
    rows = []

    def record(arm: str, people: str, measured: dict[str, float]) -> None:
        rows.append({"arm": arm, "people": people, **measured})
        print(json.dumps(rows[-1]), flush=True)
        (out / "evaluation.json").write_text("\n".join(map(json.dumps, rows)) + "\n")

    sets = picture_sets(count, mini.judge.world)
    sets = {name: sets[name] for name in names or sets}
    for people, pictures in sets.items():
        record("drawings", people, score(mini, pictures, drawn(pictures, mini.device)))
    for arm in arms:
        for people, pictures in sets.items():
            images = paint(mini, pictures, *ARMS[arm])
            record(arm, people, score(mini, pictures, images))
            write_png(out / f"{arm}_{people}.png".replace(",", "").replace(" ", "_"), sheet(images[:24], 6))
    return rows


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="./run mini evaluate", description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=Path(__file__).parents[2] / "mini" / "weights")
    parser.add_argument("--out", type=Path, required=True, help="folder for the table and the contact sheets")
    parser.add_argument("--count", type=int, default=150, help="pictures per arm")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), metavar="ARM", help=" | ".join(ARMS))
    parser.add_argument("--sets", nargs="+", default=[], metavar="SET", help="some of the sets of pictures alone")
    options = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    evaluate(load(options.weights, device), options.out, options.count, options.arms, options.sets)


if __name__ == "__main__":
    main()
