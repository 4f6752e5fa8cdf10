"""What a prompt takes besides sampling: this pack's nodes beside the stock ones, with the built-in model.

    ./run bench around                     1 to 4 characters, at 320 x 320; medians of 15
    ./run bench around --json              one JSON object a line

before: NewBie XML Prompt and NewBie Encode Characters, or CLIPTextEncode for prompt and negative; after: NewBie Decode,
or VAE Decode. Both draw the same XML, another one each time, with the same negative, which stays as it does in
practice: a started ComfyUI keeps CLIPTextEncode's result, and this pack's node the text it has read. Saving is the same
node for both. Ours reads more, as it states every box: same text is ours over CLIPTextEncode on the very text that ours
reads. It fails where ours takes longer than 28 steps' hundredth part more.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from typing import Any

import torch

from ...xml_prompt import layout, parse, text_of
from .attention import STEPS, timed
from .fullsize import NEGATIVE, xml_of
from .host import add_host

PEOPLE, SIDE = (1, 2, 3, 4), 320
TIMES = ("before, stock", "ours", "ratio", "after, stock", "ours, after", "ratio, after", "same text", "of 28 steps")
COLUMNS = ("people", "mode", *TIMES)


def measure(people: int, mode: str, runs: int, loaded: tuple[Any, Any, Any]) -> dict[str, Any]:
    """Milliseconds. loaded: MODEL, CLIP, VAE."""
    import nodes

    from ...isolation.encode import segments_of
    from ...nodes.decode import NewBieDecode
    from ...nodes.encode import NewBieEncodeCharacters
    from ...nodes.prompt import NewBieXMLPrompt
    from ...sampling.sample import sample

    model, clip, vae = loaded
    latent = {"samples": torch.randn(1, 16, SIDE // 8, SIDE // 8, generator=torch.Generator().manual_seed(0))}
    encode_stock, decode_stock = nodes.CLIPTextEncode().encode, nodes.VAEDecode().decode

    def ours(xml: str) -> Any:
        scene = NewBieXMLPrompt.execute(xml).result[0]
        return NewBieEncodeCharacters.execute(clip, scene, mode, NEGATIVE, latent).result

    def read_by_ours(xml: str) -> str:
        scene = parse(xml)
        return text_of(segments_of(scene, layout(scene, 1.0), mode == "strict"))

    texts = {xml_of(run, people): read_by_ours(xml_of(run, people)) for run in range(runs + 2)}
    ways: dict[str, Callable[[str], object]] = {
        "before, stock": lambda xml: encode_stock(clip, xml),
        "same text": lambda xml: encode_stock(clip, texts[xml]),
        "ours": ours,
        "after, stock": lambda _: decode_stock(vae, latent),
        "ours, after": lambda _: NewBieDecode.execute(latent, vae),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for run in range(-2, runs):  # the first two warm up
        for name, way in ways.items():
            taken = timed(lambda way=way, run=run: way(xml_of(run + 2, people)), torch.device("cpu"))
            times[name] += [taken] if run >= 0 else []
    median = {name: statistics.median(values) for name, values in times.items()}
    positive, negative = ours(xml_of(0, people))
    empty = {"samples": torch.zeros_like(latent["samples"])}
    sampling = timed(lambda: sample(model, positive, negative, empty, seed=0, steps=STEPS), torch.device("cpu"))
    more = median["ours"] + median["ours, after"] - median["before, stock"] - median["after, stock"]
    row: dict[str, Any] = {"people": people, "mode": mode} | {name: round(value, 2) for name, value in median.items()}
    row["same text"] = round(median["ours"] / median["same text"], 3)
    row["ratio"] = round(median["ours"] / median["before, stock"], 3)
    row["ratio, after"] = round(median["ours, after"] / median["after, stock"], 3)
    return row | {"of 28 steps": round(more / sampling, 5)}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./run bench around", description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, nargs="+", default=PEOPLE)
    parser.add_argument("--modes", nargs="+", default=("strict", "gentle"))
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args(arguments)
    add_host()
    import comfy.utils

    from ...model_loader import mini

    comfy.utils.set_progress_bar_enabled(False)
    torch.set_grad_enabled(False)
    *loaded, _ = mini.load()
    over = False
    for mode in options.modes:
        for people in options.people:
            row = measure(people, mode, options.runs, tuple(loaded))
            over |= row["of 28 steps"] > 0.01
            print(json.dumps(row) if options.json else ", ".join(f"{name} {row[name]}" for name in COLUMNS), flush=True)
    return int(over)
