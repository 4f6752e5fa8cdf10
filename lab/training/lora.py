"""Trains LoRAs for the mini on things that its vocabulary lacks (drawing/concepts.py): what LoRAs are measured with.

    ./run mini lora --out FOLDER                       all five, half a minute each on a GPU
    ./run mini lora --out FOLDER --only cone tail --steps 150 --batch 8

On pictures of one to three people of all shapes. In four of five, one of them has it, with its tag in the prompt; in
the others nobody has, so that the tag is what asks for it. Whole prompts have the LoRA everywhere, as people train one;
prompts read isolated have it on its wearer's own tokens alone, as a character's LoRA is used
(isolation/lora_layers.py). So do empty ones, of pictures in which nobody has it: guidance subtracts what they give.
Plain LoRA on the matrices that see tokens; the text encoders stay as they are. The files have the names that the host
reads (diffusion_model. ... lora_A.weight).
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ...isolation.lora_layers import CAPTION, JOINT, nextdit_place
from ..drawing.attributes import CONCEPT
from ..drawing.scenes import Picture
from . import tokens
from .batches import choose, prepare, training_batch
from .dataset import ISOLATED, Group, make_chunk, sample
from .diffusion import loss_of
from .export import read_autoencoder, read_networks, world_of
from .generate import Batch, Networks
from .graphs import Steps
from .pools import Pool
from .schedule import Clock, cosine

WEIGHTS = Path(__file__).resolve().parents[2] / "mini" / "weights"
HEADGEAR = ("cone",)  # instead of what the mini knows to put there
WORN = 0.8  # share of pictures in which somebody has the concept


def with_concept(picture: Picture, person: int, concept: str) -> Picture:
    """The picture with a concept of attributes.CONCEPT on one of its people."""
    figures = list(picture.figures)
    look = {**figures[person].look, "concept": concept}
    if concept in HEADGEAR:
        look["accessory"] = "none"
    figures[person] = replace(figures[person], look=look, name="")
    return replace(picture, figures=tuple(figures))


class Gates:
    """How much of the LoRA every token of a batch takes, [B, L, 1] and [B, N, 1]. Until it is told: all of it."""

    def __init__(self) -> None:
        self.caption = self.image = self.joint = torch.ones(1, 1, 1)

    def tell(self, wearers: Tensor, batch: Batch, isolated: Tensor, seen: Tensor) -> None:
        """wearers [B, R]: whether the LoRA is on that character. isolated [B]: whether it is on nobody else; seen [B]:
        whether the picture shows what it is for, which an empty prompt is not to learn.
        """
        own = shares(wearers[..., None].float(), batch.owner, batch.covers)
        on = ((batch.length > 1) | ~seen)[:, None, None]
        self.caption, self.image = (torch.where(isolated[:, None, None], part, 1.0) * on for part in own)
        self.joint = torch.cat([self.caption, self.image], 1)

    def of(self, place: str) -> Tensor:
        return {CAPTION: self.caption, JOINT: self.joint}.get(place, self.image)


def shares(wearers: Tensor, owner: Tensor, covers: Tensor) -> tuple[Tensor, Tensor]:
    """wearers [B, R, K], owner [B, L], covers [B, R, N] -> of caption [B, L, K] and image tokens [B, N, K]."""
    own = owner[:, None] == torch.arange(1, wearers.shape[1] + 1, device=owner.device)[:, None]  # [B, R, L]
    caption, image = (torch.einsum("brk,brt->btk", wearers, part.float()).clamp(max=1) for part in (own, covers))
    return caption, image


class Pair(nn.Module):
    """y += B (A x * gate); B begins at zero."""

    def __init__(self, layer: nn.Linear, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(layer.in_features, rank, bias=False)
        self.up = nn.Linear(rank, layer.out_features, bias=False)
        nn.init.normal_(self.down.weight, std=layer.in_features**-0.5)
        nn.init.zeros_(self.up.weight)

    def add(self, gate: Callable[[], Tensor], _layer: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:
        narrow = self.down(inputs[0])
        return out + self.up(narrow * gate().to(narrow))


def pairs_for(diffusion: nn.Module, rank: int) -> dict[str, Pair]:
    """Of every matrix in attention and feed-forward, by its path."""
    return {
        path: Pair(module, rank) for path, module in diffusion.named_modules()
        if isinstance(module, nn.Linear) and (".attention." in path or ".feed_forward." in path)
    }


@contextmanager
def worn(diffusion: nn.Module, pairs: dict[str, Pair], gates: Gates) -> Iterator[None]:
    handles = [
        diffusion.get_submodule(path).register_forward_hook(
            partial(pair.add, partial(gates.of, nextdit_place(path)))
        )
        for path, pair in pairs.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def save(path: Path, pairs: dict[str, Pair]) -> None:
    tensors = {}
    for layer, pair in pairs.items():
        for side, linear in (("A", pair.down), ("B", pair.up)):
            weight = linear.weight.detach().bfloat16().cpu().contiguous()
            tensors[f"diffusion_model.{layer}.lora_{side}.weight"] = weight
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, {"format": "pt", "modelspec.title": f"NewBie mini, {path.stem}"})


def drawn_for(group: Group, pictures: int, seed: int, concept: str) -> dict[str, np.ndarray]:
    """Beside what all pools have, "wears" [N, variants, PEOPLE]: whether the LoRA is on the prompt's characters, and
    "seen" [N]: whether its wearer has what it is for.
    """
    wearers, seen = [], []

    def sampler(group: Group, rng: random.Random) -> Picture:
        picture = sample(group, rng)
        wearers.append(rng.randrange(len(picture.figures)))
        seen.append(rng.random() < WORN)
        return with_concept(picture, wearers[-1], concept if seen[-1] else "")

    arrays = make_chunk(group, pictures, seed, tokens.Tokenizers(), sampler)
    arrays["seen"] = np.array(seen)
    arrays["wears"] = arrays.pop("order") == np.array(wearers)[:, None, None]
    return arrays


def pool_of(group: Group, arrays: dict[str, np.ndarray], device: torch.device) -> Pool:
    return Pool(group, {name: [torch.from_numpy(array).to(device)] for name, array in arrays.items()} | {"corner": []})


def lora_loss(networks: Networks, pool: Pool, gates: Gates, count: int, device: torch.device) -> tuple[Tensor, ...]:
    rows, variants = choose(pool, count, device)
    data, weight, batch, isolated = training_batch(pool, (rows, variants))
    wears, seen = (pool.arrays[name][0] for name in ("wears", "seen"))
    split = isolated | (batch.length == 1) & (variants < ISOLATED)
    gates.tell(wears[rows, variants.clamp(max=wears.shape[1] - 1)], batch, split, seen[rows])
    return loss_of(networks, (data, weight, batch, isolated), pool.group.world.picture_cut)


def train(
    concept: str, networks: Networks, pool: Pool, options: argparse.Namespace, device: torch.device, clock: Clock
) -> dict[str, Pair]:
    torch.manual_seed(options.seed)
    pairs, gates = pairs_for(networks.diffusion, options.rank), Gates()
    weights = [weight for pair in pairs.values() for weight in pair.to(device).parameters()]
    optimizer = torch.optim.AdamW(weights, lr=options.rate, weight_decay=0.0, betas=(0.9, 0.98))
    steps, total, begun = Steps(weights, device), 0.0, None
    with worn(networks.diffusion, pairs, gates):
        for step in range(options.steps):
            passed = max(step / options.steps, 0 if begun is None else (clock.passed() - begun) / options.seconds)
            if passed >= 1:
                break
            for some in optimizer.param_groups:
                some["lr"] = options.rate * min(1.0, (step + 1) / 20) * cosine(passed, 0.5)
            loss, *_ = steps(0, partial(lora_loss, networks, pool, gates, options.batch, device))
            nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            total += loss.item()
            begun = begun or clock.passed()  # not before the first step, which compiles
            if (step + 1) % 25 == 0:
                clock.say(f"{concept} step {step + 1} loss {total / 25:.4f}")
                total = 0.0
    return pairs


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="./run mini lora", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the LoRAs, one file a concept")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of the mini")
    parser.add_argument("--only", nargs="+", choices=tuple(CONCEPT), default=tuple(CONCEPT), metavar="CONCEPT")
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="of a concept's steps, if they last longer")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--pictures", type=int, default=900)
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    clock, group = Clock(), Group((320, 320), (1, 2, 3), 208, 216, 1.0, world_of(options.weights))
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("fork")) as workers:
        drawn = list(workers.map(partial(drawn_for, group, options.pictures, options.seed), options.only))
    networks, autoencoder = (read(options.weights).to(device).requires_grad_(False).eval()
                             for read in (read_networks, read_autoencoder))
    for concept, arrays in zip(options.only, drawn, strict=True):
        pool = pool_of(group, arrays, device)
        prepare([pool], autoencoder, device, clock)
        save(options.out / f"{concept}.safetensors", train(concept, networks, pool, options, device, clock))
        clock.say(f"{concept} written")


if __name__ == "__main__":
    main()
