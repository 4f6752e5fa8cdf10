"""A smaller beginning: two CPU cores teach a little model five characters, so that there is something to draw with.

    ./run mini starter --vae FILE --out FOLDER

One or two of the named characters where the layout puts them, three poses and the handshake, three directions, three
backgrounds, always smiling, at 192 x 192 pixels. The autoencoder is given; everything else is train.py's.
"""

from __future__ import annotations

import argparse
import random
import shutil
from functools import partial
from pathlib import Path

import torch

from ..xml_prompt import layout
from ..xml_prompt.scene import GRID, Box, Character, Field, Scene, Tag
from . import config, tokens
from .attributes import FACING, NAMED
from .batches import prepare
from .dataset import Group, make_chunk
from .diffusion import train_diffusion
from .export import export_networks, read_autoencoder
from .generate import Networks
from .plan import Plan
from .pools import Pool
from .scenes import Figure, Picture
from .schedule import Clock

GROUP = Group((192, 192), (1, 2), 112, 120, 1.0)
BACKGROUNDS = ("white_background", "beach", "sunset")
POSES = ("standing", "standing", "arms_up", "waving")
SEED = 5


def places(*words: str) -> tuple[Box, ...]:
    """Where the layout puts people who are said to stand there."""
    fields = [(Field("position", tuple(Tag(word) for word in position.split(", "))),) for position in words]
    people = tuple(Character(f"character_{i}", fields=field) for i, field in enumerate(fields, start=1))
    return layout(Scene(people))


PAIR, ALONE = places("left, center_y", "right, center_y"), places("center")


def starter_picture(group: Group, rng: random.Random) -> Picture:
    boxes = PAIR if rng.random() < 0.7 else ALONE
    names = ["miku", "kaito"] if len(boxes) == 2 and rng.random() < 0.35 else rng.sample(sorted(NAMED), 2)
    shaking = len(boxes) == 2 and rng.random() < 0.5
    figures = []
    for i, (name, box) in enumerate(zip(names, boxes, strict=False)):
        look = NAMED[name] | {"pose": rng.choice(POSES), "expression": "smile", "facing": rng.choice(FACING)}
        if shaking:
            look["pose"] = "handshake"
            if rng.random() < 0.7:
                look["facing"] = ("facing_right", "facing_left")[i]
        width, height = (side / GRID for side in group.size)
        x, y = box.left * width + rng.uniform(-2, 2), box.top * height + rng.uniform(-1, 1)
        partner = 1 - i if shaking else None
        figures.append(Figure(x, y, box.width * width, box.height * height, look, name, partner))
    return Picture(*group.size, rng.choice(BACKGROUNDS), tuple(figures), rng.getrandbits(20))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vae", type=Path, required=True, help="folder with the autoencoder, vae.safetensors")
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights")
    parser.add_argument("--pictures", type=int, default=1600)
    parser.add_argument("--seconds", type=float, default=2300.0, help="for the diffusion model and the text encoders")
    options = parser.parse_args(arguments)
    device, clock = torch.device("cpu"), Clock()
    plan = Plan(seed=SEED, diffusion_seconds=options.seconds, diffusion_batch=16, diffusion_rate=1.2e-3, compiled=False)
    arrays = make_chunk(GROUP, options.pictures, plan.seed, tokens.Tokenizers(), starter_picture)
    pool = Pool(GROUP, {name: [torch.from_numpy(array)] for name, array in arrays.items()} | {"corner": []})
    prepare([pool], read_autoencoder(options.vae), device, clock)
    torch.manual_seed(plan.seed)
    networks = Networks(config.STARTER_DIFFUSION, config.STARTER_GEMMA, config.STARTER_JINA)
    networks.initialise()
    train_diffusion(plan, [pool], device, clock, networks, partial(export_networks, options.out))
    if options.vae.resolve() != options.out.resolve():
        shutil.copyfile(options.vae / "vae.safetensors", options.out / "vae.safetensors")
    clock.say("done")
