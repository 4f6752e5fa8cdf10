"""The ways of conditioning that lab/benchmarks/binding compares, and what the judge sees in their pictures.

stock    the host's own path: the whole prompt read at once, everyone attends to everything. Boxes stated in the text
words    the same without boxes: places in words alone
area     the host's area conditioning: a forward for every character's own prompt, which counts where its box is, and
         one for what is shared, which counts everywhere; the mean of them, weighted by their masks (calc_cond_batch in
         comfy/samplers.py)
strict   as isolation.encode encodes: each on its own, own box stated, refiner and joint layers isolated, pooled vector
         of the whole prompt
pooled-closed                           strict, and the pooled vector is of the shared text alone
encoding-open, refiner-open, joint-open strict but for one: one joint encode; context refiner free; joint layers free
apart-T  strict, and of what one person's part of the picture sees of another's, T is cut (the option `apart`); early,
         late: in one half of the steps alone; low, high: in one half of the joint layers; pooled: with pooled-closed
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...xml_prompt import SHARED
from ..judging.evaluate import Mini
from ..judging.judge import figure_features, judge_figures, judge_pictures, small_pictures
from ..training import dataset, prompts, tokens
from ..training.generate import EVERYWHERE, Isolated, Predict, collate, decode, empty, mixed, predictor, sample
from ..training.tokens import Tokens
from .binding_scenes import Truth

SAMPLING = {"guidance": 7.5, "guidance_end": 0.75, "eta": 0.3}  # the bundled workflows'
STEPS, BATCH, SEED = 28, 160, 7
LATENT_CELL = 2  # latent pixels along a side of an image token
# prompts of a batch, grid -> positive and negative of the guidance
Predictors = Callable[[Sequence[prompts.Description], tuple[int, int]], tuple[Predict, Predict]]


@dataclass(frozen=True)
class Arm:
    form: str = "boxes"
    apart: bool = False  # prompts in owned segments; without it nothing of what follows does anything
    encoding: bool = True  # each segment encoded on its own
    isolated: Isolated = EVERYWHERE
    pooled: bool = False  # of the shared text alone
    areas: bool = False


ARMS = {
    "stock": Arm(),
    "strict": Arm(apart=True),
    "area": Arm(areas=True),
    "words": Arm("xml"),
    "pooled-closed": Arm(apart=True, pooled=True),
    "encoding-open": Arm(apart=True, encoding=False),
    "refiner-open": Arm(apart=True, isolated=Isolated(refiner=False)),
    "joint-open": Arm(apart=True, isolated=Isolated(joint=False)),
}
USUAL = tuple(ARMS)  # what is compared unless arms are named
ARMS |= {f"apart-{cut:g}": Arm(apart=True, isolated=Isolated(picture=cut)) for cut in (0.5, 0.9, 0.99, 1.0)}
ARMS |= {
    "apart-1-early": Arm(apart=True, isolated=Isolated(picture=1.0, steps=(0.0, 0.5))),
    "apart-1-late": Arm(apart=True, isolated=Isolated(picture=1.0, steps=(0.5, 1.0))),
    "apart-1-low": Arm(apart=True, isolated=Isolated(picture=1.0, layers=range(4))),
    "apart-1-high": Arm(apart=True, isolated=Isolated(picture=1.0, layers=range(4, 8))),
    "apart-0.9-pooled": Arm(apart=True, isolated=Isolated(picture=0.9), pooled=True),
    "apart-1-pooled": Arm(apart=True, isolated=Isolated(picture=1.0), pooled=True),
}


def prompt_tokens(arm: Arm, described: prompts.Description, tokenizers: tokens.Tokenizers) -> Tokens:
    made = tokens.tokenize(prompts.segments(described, arm.form), arm.apart, tokenizers)
    if not arm.encoding:  # one causal encode, the owners kept
        made = replace(made, segment=[0] * len(made.ids), position=list(range(len(made.ids))))
    return replace(made, jina=made.jina_shared) if arm.pooled else made


def weighted_mean(predictions: Sequence[Predict], masks: Sequence[Tensor]) -> Predict:
    """masks [B, 1, h, w], which together are above 0 everywhere."""
    total = torch.stack(list(masks)).sum(0)

    def mean(x: Tensor, sigma: Tensor) -> Tensor:
        return sum(mask * predict(x, sigma) for predict, mask in zip(predictions, masks, strict=True)) / total

    return mean


def area_predictor(
    mini: Mini, described: Sequence[prompts.Description], covers: Tensor, grid: tuple[int, int],
    tokenizers: tokens.Tokenizers,
) -> Predict:
    """covers [B, R, N]: masks are the image tokens of each character's regions, the same that isolation opens to it."""
    masks = covers.view(len(described), -1, 1, *grid).float().to(mini.device)
    masks = masks.repeat_interleave(LATENT_CELL, -2).repeat_interleave(LATENT_CELL, -1)  # [B, R, 1, h, w]
    predictions, weights = [], []
    for owner in range(max(len(d.boxes) for d in described) + 1):
        texts = [[s for s in prompts.segments(d, "boxes") if s.owner == owner] for d in described]
        own = [tokens.tokenize(text, False, tokenizers) for text in texts]  # of someone who isn't there: nothing
        predictions.append(predictor(mini.networks, collate(own, covers, mini.device)))
        weights.append(torch.ones_like(masks[:, 0]) if owner == SHARED else masks[:, owner - 1])
    return weighted_mean(predictions, weights)


def coverage(described: Sequence[prompts.Description], grid: tuple[int, int]) -> np.ndarray:
    """[P, R, N] bool."""
    return np.stack([dataset.coverage(d, grid) for d in described])


def paint(
    mini: Mini, arm: Arm, described: Sequence[prompts.Description], size: tuple[int, int], steps: int = STEPS
) -> Tensor:
    """[P, 3, H, W] in 0..1, as draw draws."""
    tokenizers = tokens.Tokenizers()

    def predictors(described: Sequence[prompts.Description], grid: tuple[int, int]) -> tuple[Predict, Predict]:
        covered = torch.from_numpy(coverage(described, grid))
        if arm.areas:
            positive = area_predictor(mini, described, covered, grid, tokenizers)
        else:
            made = [prompt_tokens(arm, d, tokenizers) for d in described]
            positive = predictor(mini.networks, collate(made, covered, mini.device), arm.isolated)
        return positive, predictor(mini.networks, empty(len(described), covered.shape[2], mini.device))

    return draw(mini, predictors, described, size, steps, SAMPLING)


@torch.no_grad()
def draw(
    mini: Mini, predictors: Predictors, described: Sequence[prompts.Description], size: tuple[int, int], steps: int,
    sampling: Mapping[str, float],
) -> Tensor:
    """[P, 3, H, W] in 0..1; picture p is drawn from the same noise whatever the predictors and the prompt."""
    grid, parts = (size[1] // dataset.TOKEN_PIXELS, size[0] // dataset.TOKEN_PIXELS), []
    shape = (len(described), 16, LATENT_CELL * grid[0], LATENT_CELL * grid[1])
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(SEED))
    for start in range(0, len(described), BATCH):
        part = slice(start, start + BATCH)
        with mixed(mini.device):
            positive, negative = predictors(described[part], grid)
            latent = sample(positive, negative, noise[part].to(mini.device), steps, seed=start, **sampling)
        parts.append(decode(mini.autoencoder, latent))
    return torch.cat(parts)


# ------------------------------------------------------------------ what the judge sees


@dataclass(frozen=True)
class Judged:
    """Of N figures in P pictures; everything that the measures need to know of what was drawn."""

    found: np.ndarray  # [N, 10] attribute values
    present: np.ndarray  # [N] bool
    boxes: np.ndarray  # [N, 4] in pixels
    people: np.ndarray  # [P]
    background: np.ndarray  # [P]
    figure_features: np.ndarray  # [N, 160] of the figure judge's last layer but one
    picture_features: np.ndarray  # [P, 64] of the picture judge's
    borders: np.ndarray  # [P, 4] see borders()
    bleed: np.ndarray  # [P, 2] mean change in others' boxes and in the recoloured one's own; [0, 2] where not asked


def batches(count: int) -> Iterator[slice]:
    return (slice(start, start + 256) for start in range(0, count, 256))


@torch.no_grad()
def judged(mini: Mini, truth: Truth, images: Tensor, covered: np.ndarray, bleed: np.ndarray) -> Judged:
    """images [P, 3, H, W] in 0..1, covered [P, R, N]."""
    judge = mini.judge
    index = torch.from_numpy(truth.index).to(mini.device)
    boxes = torch.from_numpy(truth.boxes).to(mini.device)
    verdict = judge_figures(judge, images, index, boxes)
    background, people, _ = judge_pictures(judge, images)
    picture = []
    for part in batches(len(images)):
        picture.append(judge.picture.body(small_pictures(images[part])).mean((2, 3)))
    figure = figure_features(judge, images, index, boxes)
    made = (verdict.attributes, verdict.present, verdict.box, people, background, figure,
            torch.cat(picture), borders(images, torch.from_numpy(covered).to(images.device)))
    return Judged(*(array.cpu().numpy() for array in made), bleed)


def borders(images: Tensor, covered: Tensor) -> Tensor:
    """-> [P, 4]: summed steps in brightness over the borders of anybody's region and their number; the same elsewhere.

    All are taken between pixels of neighbouring image tokens, so that a model's own grid cancels out.
    """
    cell = dataset.TOKEN_PIXELS
    rows, columns = images.shape[2] // cell, images.shape[3] // cell
    owned = covered.view(len(images), -1, rows, columns)
    across = (images[..., cell::cell] - images[..., cell - 1 : -1 : cell]).abs().mean(1)  # [P, H, columns - 1]
    down = (images[:, :, cell::cell] - images[:, :, cell - 1 : -1 : cell]).abs().mean(1)  # [P, rows - 1, W]
    steps = torch.cat([across.unflatten(1, (rows, cell)).mean(2).flatten(1),
                       down.unflatten(2, (columns, cell)).mean(3).flatten(1)], 1)
    border = torch.cat([(owned[..., 1:] != owned[..., :-1]).any(1).flatten(1),
                        (owned[:, :, 1:] != owned[:, :, :-1]).any(1).flatten(1)], 1)
    parts = [(steps * border).sum(1), border.sum(1), (steps * ~border).sum(1), (~border).sum(1)]
    return torch.stack([part.float() for part in parts], 1)


def change(before: Tensor, after: Tensor, truth: Truth, changed: Sequence[int]) -> np.ndarray:
    """-> [P, 2]: mean absolute change (0..1) inside everyone else's boxes, and inside the changed one's own.

    Pixels that are in both count for neither.
    """
    moved = F.l1_loss(after, before, reduction="none").mean(1).cpu().numpy()  # [P, H, W]
    found = np.zeros((len(moved), 2))
    for i, who in enumerate(changed):
        inside = np.zeros((2, *moved.shape[1:]), bool)
        for k, (left, top, right, bottom) in enumerate(truth.boxes[truth.index == i].round().astype(int)):
            inside[int(k == who), max(0, top) : bottom, max(0, left) : right] = True
        others, own = inside
        found[i] = moved[i][others & ~own].mean(), moved[i][own & ~others].mean()
    return found
