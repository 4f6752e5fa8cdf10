"""Makes the mini from nothing: draws the pictures, trains autoencoder, judge and model, writes the weights.

    ./run mini train --out FOLDER          one GPU, under 30 minutes with the default plan

A run may be made in parts: what lies finished in --start FOLDER (the autoencoder, the judge) is not trained again, and
the diffusion model and its encoders go on from the weights there, at --diffusion-from on the course of their learning
rate. With --anew the diffusion model begins from random weights, and the encoders stay as they are there, as those of
the full model did.

    ./run mini train --world leaky --start mini/weights --anew --out FOLDER

trains whole prompts jointly on people who look alike (world.py): not the built-in model, but one that confuses people
as big ones do, for ./run bench gentle.

Every stage ends by the clock, with its learning rate following the share of its time that has passed; the seed fixes
the pictures, the prompts and the first weights, so that two runs on the same machine differ only by how many steps fit.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch

from ..judging.train_judge import train_judge
from .autoencoder import train_autoencoder
from .batches import prepare
from .course import SMOKE, Plan
from .dataset import WORLDS, Drawing
from .diffusion import compile_ahead, train_diffusion
from .export import (
    export_autoencoder,
    export_judge,
    export_networks,
    read_autoencoder,
    read_judge,
    read_networks,
    training_of,
)
from .generate import Networks
from .pools import Pool, gather
from .schedule import Clock


def finished(folder: Path | None, name: str) -> bool:
    return folder is not None and (folder / f"{name}.safetensors").is_file()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights")
    parser.add_argument("--scratch", type=Path, default=Path("scratch"), help="folder for drawn pictures on their way")
    parser.add_argument("--start", type=Path, help="folder with weights to go on from")
    parser.add_argument("--anew", action="store_true", help="the diffusion model from random weights, "
                        "with the encoders of --start as they are")
    parser.add_argument("--smoke", action="store_true", help="seconds on a CPU: every stage runs, nothing is learned")
    for name, value in asdict(Plan()).items():
        if not isinstance(value, bool):
            choices = tuple(WORLDS) if name == "world" else None
            parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), choices=choices)
    options = vars(parser.parse_args(arguments))
    plan = SMOKE if options["smoke"] else Plan()
    plan = replace(plan, **{k: v for k, v in options.items() if v is not None and k in asdict(plan)})
    groups, start = WORLDS[plan.world][: plan.groups], options["start"]
    world = groups[0].world
    goes_on = not options["anew"] and finished(start, "diffusion_model")
    if goes_on and training_of(start) != world.training:
        parser.error(f"The diffusion model in {start} was trained on {training_of(start)}, and world {plan.world} is "
                     f"trained on {world.training}: add --anew to begin from random weights.")
    encoders_kept = options["anew"]
    if encoders_kept and not finished(start, "diffusion_model"):
        parser.error("--anew keeps the encoders of --start: give the folder of a whole model there.")
    context = multiprocessing.get_context("fork")  # before anything here touches the GPU
    compiling = context.Process(target=compile_ahead, args=(plan, encoders_kept))
    if plan.compiled:
        compiling.start()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    torch.set_num_threads(1)  # the drawing processes have the cores; threads that wait for each other would crawl
    random.seed(plan.seed)
    clock = Clock()
    clock.say(plan)
    pools = [Pool(group, {}) for group in groups]
    drawing = Drawing(plan.pictures, plan.chunk, plan.workers, plan.seed, options["scratch"], groups)
    while any(len(pool) == 0 for pool in pools):
        gather(pools, drawing, device)
        time.sleep(0.1)
    clock.say(f"first {sum(map(len, pools))} pictures")
    if finished(start, "vae"):
        network = read_autoencoder(start).to(device, memory_format=torch.channels_last).requires_grad_(False).eval()
    else:
        network = train_autoencoder(plan, pools, drawing, device, clock)
    export_autoencoder(options["out"], network)
    while drawing.waiting:
        gather(pools, drawing, device)
        time.sleep(0.1)
    judge = read_judge(start) if finished(start, "judge") else train_judge(plan, pools, network, device, clock)
    export_judge(options["out"], judge)
    prepare(pools, network, device, clock)
    if plan.compiled:
        compiling.join()
    torch.manual_seed(plan.seed + 1)
    networks = Networks()
    networks.initialise()
    if goes_on:
        networks = read_networks(start)
    elif encoders_kept:
        networks.keep_encoders(read_networks(start))
    train_diffusion(plan, pools, device, clock, networks, partial(export_networks, options["out"], world=world))
    clock.say("done")


if __name__ == "__main__":
    main()
