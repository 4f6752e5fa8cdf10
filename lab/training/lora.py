"""Trains LoRAs for the mini on things that its vocabulary lacks (drawing/concepts.py): what LoRAs are measured with.

    ./run mini lora --out FOLDER                       all four, half a minute each on a GPU
    ./run mini lora --out FOLDER --only cone tail --steps 150 --batch 8

As people train a LoRA for a character: on pictures of one person who has it, every time, with its tag in the prompt.
Plain LoRA on the matrices that see tokens; the text encoders stay as they are. The files have the names that the host
reads (diffusion_model. ... lora_A.weight).
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..drawing.attributes import CONCEPT
from ..drawing.scenes import Picture, sample_picture
from . import tokens
from .batches import prepare
from .dataset import Group, make_chunk
from .diffusion import diffusion_loss
from .export import read_autoencoder, read_networks, world_of
from .graphs import Steps
from .pools import Pool
from .schedule import Clock, cosine

WEIGHTS = Path(__file__).resolve().parents[2] / "mini" / "weights"
HEADGEAR = ("cone",)  # instead of what the mini knows to put there


def with_concept(picture: Picture, person: int, concept: str) -> Picture:
    """The picture with a concept of attributes.CONCEPT on one of its people."""
    figures = list(picture.figures)
    look = {**figures[person].look, "concept": concept}
    if concept in HEADGEAR:
        look["accessory"] = "none"
    figures[person] = replace(figures[person], look=look, name="")
    return replace(picture, figures=tuple(figures))


class Pair(nn.Module):
    """y += B A x; B begins at zero."""

    def __init__(self, layer: nn.Linear, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(layer.in_features, rank, bias=False)
        self.up = nn.Linear(rank, layer.out_features, bias=False)
        nn.init.normal_(self.down.weight, std=layer.in_features**-0.5)
        nn.init.zeros_(self.up.weight)

    def add(self, _layer: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:
        return out + self.up(self.down(inputs[0]))


def pairs_for(diffusion: nn.Module, rank: int) -> dict[str, Pair]:
    """Of every matrix in attention and feed-forward, by its path."""
    return {
        path: Pair(module, rank) for path, module in diffusion.named_modules()
        if isinstance(module, nn.Linear) and (".attention." in path or ".feed_forward." in path)
    }


@contextmanager
def worn(diffusion: nn.Module, pairs: dict[str, Pair]) -> Iterator[None]:
    handles = [diffusion.get_submodule(path).register_forward_hook(pair.add) for path, pair in pairs.items()]
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


def train(concept: str, options: argparse.Namespace, device: torch.device, clock: Clock) -> dict[str, Pair]:
    def sampler(group: Group, rng: random.Random) -> Picture:
        return with_concept(sample_picture(rng, group.size, 1, world=group.world), 0, concept)

    alone = Group((320, 320), (1,), 128, 136, 1.0, world_of(options.weights))
    arrays = make_chunk(alone, options.pictures, options.seed, tokens.Tokenizers(), sampler)
    pool = Pool(alone, {name: [torch.from_numpy(array).to(device)] for name, array in arrays.items()})
    pool.arrays["corner"] = []
    networks = read_networks(options.weights).to(device).requires_grad_(False).eval()
    prepare([pool], read_autoencoder(options.weights).to(device).requires_grad_(False).eval(), device, clock)
    torch.manual_seed(options.seed)
    pairs = pairs_for(networks.diffusion, options.rank)
    weights = [weight for pair in pairs.values() for weight in pair.to(device).parameters()]
    optimizer = torch.optim.AdamW(weights, lr=options.rate, weight_decay=0.0, betas=(0.9, 0.98))
    steps, total = Steps(weights, device), 0.0
    with worn(networks.diffusion, pairs):
        for step in range(options.steps):
            for group in optimizer.param_groups:
                group["lr"] = options.rate * min(1.0, (step + 1) / 20) * cosine(step / options.steps, 0.5)
            loss, *_ = steps(0, partial(diffusion_loss, networks, pool, options.batch, device))
            nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            total += loss.item()
            if (step + 1) % 25 == 0:
                clock.say(f"{concept} step {step + 1} loss {total / 25:.4f}")
                total = 0.0
    return pairs


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the LoRAs, one file a concept")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of the mini")
    parser.add_argument("--only", nargs="+", choices=tuple(CONCEPT), default=tuple(CONCEPT), metavar="CONCEPT")
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--pictures", type=int, default=900)
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    clock = Clock()
    for concept in options.only:
        save(options.out / f"{concept}.safetensors", train(concept, options, device, clock))
        clock.say(f"{concept} written")


if __name__ == "__main__":
    main()
