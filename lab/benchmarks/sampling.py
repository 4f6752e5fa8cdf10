"""What NewBie Sample costs over the host's KSampler, and what ending guidance early saves.

    ./run bench sampling            a table
    ./run bench sampling --json     one JSON object a line

The built-in model, the same prompt, sampler and settings; the rows take turns, so that a busy machine is busy for all.
The first two draw the same latent bit for bit, or the benchmark fails; it fails too where NewBie Sample takes more than
TARGET times the stock's time both by the median of the rounds and by the fastest.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

from .host import add_host

TARGET = 1.01
XML = "<character_1><n>miku</n><position>left</position></character_1><character_2><n>kaito</n></character_2>"
GUIDANCE, SHIFT, SEED = 7.5, 6.0, 2


def arms(size: int, steps: int, sampler: str) -> dict[str, Callable[[], Any]]:
    """name -> a run that gives the latent. The stock one is the graph that a user would build: a shift, a KSampler."""
    import torch
    from comfy_extras.nodes_model_advanced import ModelSamplingAuraFlow

    import nodes

    from ...model_loader import mini
    from ...sampling.sample import sample

    model, clip, _, _ = mini.load()
    prompts = [clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in (XML, "")]
    latent = {"samples": torch.zeros(1, 16, size // 8, size // 8)}

    def stock() -> Any:
        (shifted,) = ModelSamplingAuraFlow().patch_aura(model, SHIFT)
        (out,) = nodes.KSampler().sample(shifted, SEED, steps, GUIDANCE, sampler, "simple", *prompts, latent)
        return out["samples"]

    def ours(**settings: float) -> Any:
        said = {"seed": SEED, "steps": steps, "guidance": GUIDANCE, "guidance_end": 1.0, "eta": 0.0, "shift": SHIFT}
        return sample(model, *prompts, latent, sampler=sampler, **said | settings)["samples"]

    return {
        "KSampler": stock,
        "NewBie Sample": ours,
        "guidance_end 0.75": lambda: ours(guidance_end=0.75),
        "guidance 1": lambda: ours(guidance=1.0),
    }


def measure(runs: dict[str, Callable[[], Any]], rounds: int) -> list[dict[str, Any]]:
    """Every run once a round, in an order that turns. ratio: the median over the rounds of time to the stock's."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    latents = {name: run() for name, run in runs.items()}  # warm
    for i in range(rounds):
        turn = i % len(names)
        for name in names[turn:] + names[:turn]:
            begin = time.perf_counter()
            runs[name]()
            times[name].append(time.perf_counter() - begin)
    stock = names[0]
    return [
        {
            "name": name,
            "median_s": round(statistics.median(times[name]), 4),
            "min_s": round(min(times[name]), 4),
            "ratio": round(statistics.median(a / b for a, b in zip(times[name], times[stock], strict=True)), 4),
            "min_ratio": round(min(times[name]) / min(times[stock]), 4),
            "same_latent": bool((latents[name] == latents[stock]).all()),
            "rounds": rounds,
        }
        for name in names
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./run bench sampling", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--steps", type=int, default=28)
    parser.add_argument("--sampler", default="res_multistep", help="one without noise, so that both draw the same")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args(arguments)
    add_host()
    import comfy.utils

    comfy.utils.set_progress_bar_enabled(False)
    rows = measure(arms(options.size, options.steps, options.sampler), options.rounds)
    if not options.json:
        print(f"{'':20}{'median s':>10}{'min s':>9}{'ratio':>8}{'of min':>8}  same latent")
    for row in rows:
        if options.json:
            print(json.dumps(row), flush=True)
        else:
            print("{name:20}{median_s:>10.3f}{min_s:>9.3f}{ratio:>8.3f}{min_ratio:>8.3f}  {same_latent}".format(**row))
    ours = rows[1]
    return 0 if ours["same_latent"] and min(ours["ratio"], ours["min_ratio"]) <= TARGET else 1
