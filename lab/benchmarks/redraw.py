"""One person of a finished picture redrawn alone: does she get what is new about her, and does all else stay.

    ./run bench redraw --out FOLDER
    ./run bench redraw --out FOLDER --count 60 --shapes silhouettes --margins 0.04 --denoise 1

Pictures of two to four people on held-out combinations are drawn. One attribute of one person is changed in the
prompt, and she is redrawn from other noise as NewBie Redraw Character does it (sampling/redraw.py), with several
margins and amounts of noise, within her silhouette, her box, or her box but for the others' silhouettes; `fresh` draws
the whole changed prompt from that noise. Needs no host.

changed: the new attribute is right; less_fresh: that less fresh's, on the same prompts; own: what else she is meant to
have; others: attributes of the others that are as the judge saw them before; outside: pictures whose every pixel
outside the mask is the old one to the last bit; seams: steps in brightness where the new picture fades in over those
elsewhere, as a multiple of the old picture's (1: none to be seen); area: of the picture that may change. Percent, but
for seams; in brackets 95 % of a bootstrap over pictures.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...sampling.redraw import noise_mask, put_back, region_of, share_of
from ...xml_prompt import GRID
from ..drawing.attributes import VALUES
from ..drawing.scenes import BOY_STYLE_WEIGHTS, Figure, Picture, sample_picture
from ..judging.evaluate import Mini, load, true_labels
from ..judging.judge import judge_figures
from ..training import prompts, tokens
from ..training.generate import Predict, collate, decode, empty, mixed, predictor, sample, sigmas
from ..training.world import PLAIN
from . import masks
from .binding import write_sheet
from .binding_arms import SAMPLING, STEPS, coverage
from .binding_measures import Quotient, difference, interval, per_picture, seams, table
from .binding_scenes import SIZES, describe, laid_out
from .binding_tables import rounded
from .host import ROOT, chosen_device

NAMES = list(VALUES)
SILHOUETTES, BOXES, MIXED, FRESH = "silhouettes", "boxes", "box less silhouettes", "fresh"
SHAPES = (SILHOUETTES, BOXES, MIXED)
PEOPLE = (2, 3, 4)
SEEDS = 21, 22  # of the noise of the picture, and of what is redrawn in it
COLUMNS = ("arm", "people", "pictures", "changed", "less_fresh", "own", "others", "outside", "seams", "area")


# ------------------------------------------------------------------ what is asked for


@dataclass(frozen=True)
class Task:
    """A picture, who of it is redrawn, what of her is changed, and how it should look then."""

    picture: Picture
    chosen: int
    attribute: str
    wanted: Picture


def with_another(rng: random.Random, figure: Figure) -> tuple[str, Figure]:
    """-> the attribute that is changed; the figure with another value of it that such a person may have."""
    kept = {"gender"} | ({"pose", "facing"} if figure.partner is not None else set())
    name = rng.choice([name for name in NAMES if name not in kept])
    values = list(PLAIN.poses) if name == "pose" else list(VALUES[name])
    if name == "facing":
        values = values[:3]
    if figure.look["gender"] == "1boy":
        values = [value for value in values if value != "dress"]
        values = [value for value in values if name != "style" or value in BOY_STYLE_WEIGHTS]
    value = rng.choice([value for value in values if value != figure.look[name]])
    return name, replace(figure, look=figure.look | {name: value})


def tasks(people: int, count: int) -> list[Task]:
    rng, made = random.Random(700 + people), []
    for _ in range(count):
        picture = laid_out(sample_picture(rng, SIZES[people], people, held_out=True))
        chosen = rng.randrange(people)
        attribute, figure = with_another(rng, picture.figures[chosen])
        figures = (*picture.figures[:chosen], figure, *picture.figures[chosen + 1 :])
        made.append(Task(picture, chosen, attribute, replace(picture, figures=figures)))
    return made


# ------------------------------------------------------------------ drawing


def keeping(predict: Predict, latent: Tensor, noise: Tensor, mask: Tensor) -> Predict:
    """Where the mask [B, 1, h, w] is 0 the picture stays at the latent in every step: the host's KSamplerX0Inpaint."""

    def velocity(x: Tensor, sigma: Tensor) -> Tensor:
        level = sigma[0]
        data = x - level * predict(x * mask + ((1 - level) * latent + level * noise) * (1 - mask), sigma)
        return (x - (data * mask + latent * (1 - mask))) / level

    return velocity


def drawn(
    mini: Mini, described: Sequence[prompts.Description], noise: Tensor, steps: int, old: Tensor | None = None,
    mask: Tensor | None = None, denoise: float = 1.0,
) -> Tensor:
    """noise [P, 16, h, w] -> latent. old, mask: what is kept where the mask [P, 1, h, w] is 0."""
    tokenizers, grid = tokens.Tokenizers(), (noise.shape[2] // 2, noise.shape[3] // 2)
    made = [tokens.tokenize(prompts.segments(d, "boxes"), True, tokenizers) for d in described]
    covers = torch.from_numpy(coverage(described, grid))
    with mixed(mini.device):
        both = [predictor(mini.networks, collate(made, covers, mini.device)),
                predictor(mini.networks, empty(len(made), covers.shape[2], mini.device))]
        begin = noise
        if old is not None:
            both = [keeping(predict, old, noise, mask) for predict in both]
            level = sigmas(steps, denoise)[0]
            begin = level * noise + (1 - level) * old
        return sample(*both, begin, steps, seed=SEEDS[1], denoise=denoise, **SAMPLING)


def box_masks(described: prompts.Description, size: tuple[int, int]) -> list[Tensor]:
    """[H, W] for each, on whole pixels as NewBie Character Masks has them."""
    found = []
    for box in described.boxes:
        mask = torch.zeros(size[1], size[0])
        top, bottom = (round(edge / GRID * size[1]) for edge in (box.top, box.bottom))
        left, right = (round(edge / GRID * size[0]) for edge in (box.left, box.right))
        mask[top:bottom, left:right] = 1
        found.append(mask)
    return found


@dataclass
class Batch:
    """Tasks of one size: the pictures as they are, and drawn anew as a whole."""

    mini: Mini
    tasks: list[Task]
    steps: int

    def __post_init__(self) -> None:
        size = (self.tasks[0].picture.width, self.tasks[0].picture.height)
        shape = len(self.tasks), 16, size[1] // 8, size[0] // 8
        self.noise, self.other = (
            torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(self.mini.device) for seed in SEEDS
        )
        before, self.described = (describe([getattr(t, name) for t in self.tasks]) for name in ("picture", "wanted"))
        self.latent = drawn(self.mini, before, self.noise, self.steps)
        self.images = decode(self.mini.autoencoder, self.latent)
        self.masks = {
            BOXES: [box_masks(d, size) for d in before],
            SILHOUETTES: [
                list(masks.seen(self.mini, d, latent[None], self.steps, number).float())
                for number, (d, latent) in enumerate(zip(before, self.latent, strict=True))
            ],
        }

    def fresh(self) -> Tensor:
        return decode(self.mini.autoencoder, drawn(self.mini, self.described, self.other, self.steps))

    def redrawn(self, shape: str, margin: float, denoise: float) -> tuple[Tensor, Tensor]:
        """-> pictures [P, 3, H, W]; how much of the new one is taken [P, H, W], as the node does it."""
        pixels = round(margin * min(self.images.shape[2:]))
        found = []
        for task, *both in zip(self.tasks, self.masks[SILHOUETTES], self.masks[BOXES], strict=True):
            used = [box if shape == BOXES or not seen.any() else seen for seen, box in zip(*both, strict=True)]
            if shape == MIXED:
                used[task.chosen] = both[1][task.chosen] * (torch.stack(used).sum(0) - used[task.chosen] == 0)
            found.append(region_of(used, task.chosen, pixels))
        mask = torch.stack([noise_mask(region) for region in found]).to(self.mini.device)
        latent = drawn(self.mini, self.described, self.other, self.steps, self.latent, mask, denoise)
        new = decode(self.mini.autoencoder, latent)
        shares = torch.stack([share_of(region, pixels) for region in found])
        put = [put_back(old.permute(1, 2, 0)[None], one.permute(1, 2, 0)[None], share)[0].permute(2, 0, 1)
               for old, one, share in zip(self.images.cpu(), new.cpu(), shares, strict=True)]
        return torch.stack(put).to(self.mini.device), shares


# ------------------------------------------------------------------ measures


def fades(images: Tensor, shares: Tensor) -> np.ndarray:
    """-> [P, 4] as binding_arms.borders: steps in brightness where the share changes and their number; elsewhere."""
    parts = [torch.zeros(len(images)) for _ in range(4)]
    for axis in (1, 2):
        steps = images.cpu().diff(dim=axis + 1).abs().mean(1)
        here = shares.diff(dim=axis) != 0
        for place, of in enumerate((here, ~here)):
            parts[2 * place] += (steps * of).sum((1, 2))
            parts[2 * place + 1] += of.sum((1, 2))
    return torch.stack(parts, 1).numpy()


def counted(batch: Batch, images: Tensor, shares: Tensor | None) -> dict[str, Quotient | np.ndarray]:
    """shares: None for pictures that are new everywhere."""
    index, boxes, values = true_labels([task.wanted for task in batch.tasks], batch.mini.device)
    after, before = (judge_figures(batch.mini.judge, one, index, boxes) for one in (images, batch.images))
    right = ((after.attributes == values) & after.present[:, None]).cpu().numpy()
    same = ((after.attributes == before.attributes) & (after.present == before.present)[:, None]).cpu().numpy()
    index = index.cpu().numpy()
    place = np.concatenate([np.arange(len(task.picture.figures)) for task in batch.tasks])
    mine = place == np.array([task.chosen for task in batch.tasks])[index]
    new = mine[:, None] & (np.array([NAMES.index(t.attribute) for t in batch.tasks])[index, None] == range(len(NAMES)))
    share = partial(per_picture, index, len(batch.tasks))
    found = {
        "changed": (share(right & new), share(new)),
        "own": (share(right & mine[:, None] & ~new), share(mine[:, None] & ~new)),
    }
    if shares is None:
        return found
    kept = (images == batch.images).all(1).cpu() | (shares > 0)
    ones, area = np.ones(len(images)), shares[0].numel()
    return found | {
        "others": (share(same & ~mine[:, None]), share(np.broadcast_to(~mine[:, None], same.shape))),
        "outside": (kept.flatten(1).all(1).numpy().astype(float), ones),
        "area": ((shares > 0).sum((1, 2)).numpy() / area, ones),
        "seams": np.stack([fades(images, shares), fades(batch.images, shares)], 1),
    }


def row_of(
    arm: str, people: str, asked: Sequence[Task], counts: Sequence[dict], fresh: Sequence[dict]
) -> dict[str, object]:
    """Of several batches together. wrong: of the attributes that were changed, how often each one is."""
    together = {name: tuple(np.concatenate(part) for part in zip(*(one[name] for one in counts), strict=True))
                for name in counts[0] if name != "seams"}
    row = {"arm": arm, "people": people, "pictures": len(together["changed"][0])}
    row |= {name: rounded(interval(quotient)) for name, quotient in together.items()}
    row["wrong"] = dict(Counter(
        task.attribute for task, right in zip(asked, together["changed"][0], strict=True) if not right))
    if "seams" in counts[0]:
        its = tuple(np.concatenate(part) for part in zip(*(one["changed"] for one in fresh), strict=True))
        row["less_fresh"] = rounded(difference(together["changed"], its))
        row["seams"] = rounded(seams(*np.concatenate([one["seams"] for one in counts]).swapaxes(0, 1)), 1.0, 3)
    return row


# ------------------------------------------------------------------ the command


def run(options: argparse.Namespace) -> None:
    options.out.mkdir(parents=True, exist_ok=True)
    mini = load(options.weights, chosen_device())
    batches = [Batch(mini, tasks(people, max(1, options.count // len(PEOPLE))), options.steps) for people in PEOPLE]
    for people, batch in zip(PEOPLE, batches, strict=True):
        write_sheet(options.out / f"before_{people}.jpg", batch.images)
    fresh = [counted(batch, batch.fresh(), None) for batch in batches]
    rows = []

    def tell(arm: str, counts: Sequence[dict]) -> None:
        some = [(str(people), batch.tasks, [one], [its])
                for people, batch, one, its in zip(PEOPLE, batches, counts, fresh, strict=True)]
        everyone = [task for batch in batches for task in batch.tasks]
        rows.extend(row_of(arm, *each) for each in [*some, ("2-4", everyone, counts, fresh)])
        shown = json.dumps(rows[-1]) if options.json else table(rows[-1:], COLUMNS).splitlines()[-1]
        print(shown, flush=True)
        (options.out / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        whole = [row for row in rows if row["people"] == "2-4"]
        text = f"# Redrawing one person\n\n{table(whole, COLUMNS)}\n## By number of people\n\n{table(rows, COLUMNS)}"
        (options.out / "table.md").write_text(text, encoding="utf-8")

    tell(FRESH, fresh)
    for shape, margin, denoise in product(options.shapes, options.margins, options.denoise):
        arm, made = f"{shape}, margin {margin:g}, denoise {denoise:g}", []
        for people, batch in zip(PEOPLE, batches, strict=True):
            images, shares = batch.redrawn(shape, margin, denoise)
            made.append(counted(batch, images, shares))
            write_sheet(options.out / f"{arm}_{people}.jpg".replace(", ", "_").replace(" ", "_"), images)
        tell(arm, made)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./run bench redraw", description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=ROOT / "mini" / "weights", help="folder of the built-in model")
    parser.add_argument("--count", type=int, default=300, help="pictures: a third each of 2, 3 and 4 people")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=SHAPES)
    parser.add_argument("--margins", nargs="+", type=float, default=[0.0, 0.02, 0.04, 0.08])
    parser.add_argument("--denoise", nargs="+", type=float, default=[1.0, 0.8, 0.6])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--out", type=Path, required=True, help="folder for tables and contact sheets")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    with torch.no_grad():
        run(parser.parse_args(arguments))
    return 0
