"""Makes the mini: draws the pictures, trains autoencoder, judge and model, writes the weights.

    ./run mini train --out FOLDER

A run may be made in parts. What lies finished in --start FOLDER (the autoencoder, the judge) is not trained again
unless --again says so, when the judge and the autoencoder's decoder go on from there; the diffusion model and its
encoders go on from the weights there, on --diffusion-from to --diffusion-to of the course of their learning rate. With
--state FILE, which each part reads where it is and writes at its end, they go on as if there had been no break. With
--anew the diffusion model begins from random weights, and the encoders stay as they are in --start, as those of the
full model did.

On several GPUs of one machine every one trains on its share of the pictures, and all step together:

    torchrun --nproc-per-node 2 client/inside.py lab.training.train --out FOLDER

    ./run mini train --world wide --start mini/weights --again judge --out FOLDER

goes on from the shipped weights to all that can be drawn, and

    ./run mini train --world leaky --start mini/weights --anew --out FOLDER

trains whole prompts jointly on people who look alike (world.py): not the built-in model, but one that confuses people
as big ones do, for ./run bench gentle.

Every stage ends by the clock, with its learning rate following the share of its time that has passed; the seed fixes
the pictures, the prompts and the first weights, so that two runs on the same machine differ only by how many steps fit.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch

from ..judging.train_judge import train_judge
from .autoencoder import train_autoencoder
from .batches import prepare
from .course import SMOKE, Course
from .dataset import WORLDS, Drawing
from .decoder import refine_decoder
from .diffusion import train_diffusion
from .export import (
    begun_judge,
    export_autoencoder,
    export_judge,
    export_networks,
    read_autoencoder,
    read_judge,
    read_networks,
    training_of,
)
from .generate import Networks
from .pools import Pool, gather_until
from .ranks import Ranks
from .schedule import Clock

STAGES = ("autoencoder", "judge")


def finished(folder: Path | None, name: str) -> bool:
    return folder is not None and (folder / f"{name}.safetensors").is_file()


def options_of(arguments: list[str] | None) -> tuple[argparse.ArgumentParser, argparse.Namespace, Course]:
    parser = argparse.ArgumentParser(prog="./run mini train", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights")
    parser.add_argument("--scratch", type=Path, default=Path("scratch"), help="folder for drawn pictures on their way")
    parser.add_argument("--start", type=Path, help="folder with weights to go on from")
    parser.add_argument("--again", nargs="+", default=[], choices=STAGES, help="trained though it is in --start")
    parser.add_argument("--state", type=Path, help="file that this part goes on from, and leaves for the next one")
    parser.add_argument("--anew", action="store_true", help="the diffusion model from random weights, "
                        "with the encoders of --start as they are")
    parser.add_argument("--smoke", action="store_true", help="seconds on a CPU: every stage runs, nothing is learned")
    for name, value in asdict(Course()).items():
        if not isinstance(value, bool):
            choices = tuple(WORLDS) if name == "world" else None
            parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), choices=choices)
    options = parser.parse_args(arguments)
    course = SMOKE if options.smoke else Course()
    stated = {name: value for name, value in vars(options).items() if value is not None and name in asdict(course)}
    return parser, options, replace(course, **stated)


def first_networks(start: Path | None, anew: bool) -> Networks:
    """Random ones, or those of --start, of which --anew keeps the encoders alone."""
    networks = Networks()
    networks.initialise()
    if anew:
        networks.keep_encoders(read_networks(start))
    elif finished(start, "diffusion_model"):
        networks = read_networks(start)
    return networks


def main(arguments: list[str] | None = None) -> None:
    parser, options, course = options_of(arguments)
    groups, start, out = WORLDS[course.world][: course.groups], options.start, options.out
    ranks, world = Ranks.from_environment(), groups[0].world
    goes_on = not options.anew and finished(start, "diffusion_model")
    if goes_on and (known := training_of(start, key="newbie.isolation")) != world.isolation:
        parser.error(f"The diffusion model in {start} was trained for {known} isolation, and world {course.world} "
                     f"trains for {world.isolation}: add --anew to begin from random weights.")
    if options.anew and not finished(start, "diffusion_model"):
        parser.error("--anew keeps the encoders of --start: give the folder of a whole model there.")
    clock = Clock()
    drawing = None
    if ranks.first:  # before anything here touches the GPU: drawing forks
        clock.say(course, ranks)
        drawing = Drawing(course.pictures, course.chunk, course.workers, course.seed, options.scratch, groups, 0,
                          ranks.count)
    device = ranks.device()
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    torch.set_num_threads(1)  # the drawing processes have the cores; threads that wait for each other would crawl
    random.seed(course.seed + ranks.rank)
    ranks.join(device)
    ranks.wait()  # for the first to have cleared the folder of pictures
    if drawing is None:
        drawing = Drawing(course.pictures, course.chunk, 0, course.seed, options.scratch, groups, ranks.rank,
                          ranks.count)
    torch.manual_seed(course.seed + 1)
    networks = first_networks(start, options.anew).to(device)
    pools = [Pool(group, {}) for group in groups]
    gather_until(lambda: all(len(pool) > 0 for pool in pools), pools, drawing, device)
    clock.say(f"first {sum(map(len, pools))} pictures")
    known = read_autoencoder(start) if finished(start, "vae") else None
    if ranks.first:
        again = known is None or "autoencoder" in options.again
        trained = train_autoencoder(course, pools, drawing, device, clock, known) if again else known
        export_autoencoder(out, trained)
    if known is None:
        ranks.wait()
        known = read_autoencoder(out)
    known = known.to(device, memory_format=torch.channels_last).requires_grad_(False).eval()
    if ranks.last:
        judge = begun_judge(start, world) if "judge" in options.again or not finished(start, "judge") else None
        export_judge(out, read_judge(start) if judge is None else
                     train_judge(course, pools, drawing, known, device, clock, judge))
    gather_until(lambda: not drawing.waiting or clock.passed() > course.drawing_seconds, pools, drawing, device)
    drawing.stop()
    prepare(pools, known, device, clock)
    torch.manual_seed(course.seed + 2 + ranks.rank)
    keep = partial(export_networks, out, world=world)
    trained = train_diffusion(course, pools, device, clock, networks, keep, ranks, options.state)
    ranks.leave()
    if ranks.first and course.decoder_seconds and not options.anew:
        export_autoencoder(out, refine_decoder(course, pools, trained, known, device, clock))
    clock.say("done")


if __name__ == "__main__":
    main()
