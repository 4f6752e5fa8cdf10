"""Does every character keep its colours and its place? Any model that the loader takes; judged by hue alone.

    ./run bench colours                                   the built-in mini
    ./run bench colours --diffusion-model FILE --gemma FILE --jina FILE --vae FILE --size 1024x1024
    ./run bench colours --diffusion-model "NewBie-image-Exp0.1 (folder)" --size 1024x1024

Files as NewBie Loader lists them. Two and three people side by side, each asked for hair and clothes of colours that
nobody else has, drawn with every mode and the same seeds; then one of them in other colours, for the bleed. Prints a
row a mode; --out keeps the pictures. benchmarks/colour_measures.py says what is counted; what it can't see is whether
hair is hair. Needs a ComfyUI: COMFYUI_PATH, or ./run setup.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .colour_measures import HUES, Rectangle, bleed, interval, judge
from .host import add_host

MINI = "NewBie mini (built in)"
MODES = ("off", "gentle", "strict")
STYLES = ("short_hair", "long_hair", "ponytail")


@dataclass(frozen=True)
class Looks:
    """What is asked of one picture: a hair colour, clothes' colour and hair style for everyone."""

    hair: tuple[str, ...]
    clothes: tuple[str, ...]
    styles: tuple[str, ...]

    def xml(self) -> str:
        people = "".join(
            f"<character_{i}><gender>1girl</gender><appearance>{hair}_hair, {style}</appearance>"
            f"<clothing>{clothes}_dress</clothing><pose>standing</pose></character_{i}>"
            for i, (hair, clothes, style) in enumerate(zip(self.hair, self.clothes, self.styles, strict=True), start=1)
        )
        count = f"{len(self.hair)}girls"
        return f"{people}<general_tags><count>{count}</count><background>white_background</background></general_tags>"


def clothes_word(colour: str) -> str:
    """As prompts say it of clothes; the mini knows no aqua ones."""
    return {"blonde": "yellow", "aqua": "white"}.get(colour, colour)


def looks(people: int, rng: random.Random) -> tuple[Looks, Looks, int]:
    """A picture's looks, the same with other colours on one character, and which one. No colour is asked for twice."""
    colours = rng.sample(sorted(HUES), len(HUES))
    hair, clothes, unused = colours[:people], colours[people : 2 * people], colours[2 * people :]
    styles = tuple(rng.choice(STYLES) for _ in range(people))
    changed = rng.randrange(people)
    other_hair, other_clothes = list(hair), list(map(clothes_word, clothes))
    other_hair[changed], other_clothes[changed] = unused[0], "black"
    before = Looks(tuple(hair), tuple(map(clothes_word, clothes)), styles)
    return before, Looks(tuple(other_hair), tuple(other_clothes), styles), changed


class Painter:
    """The model, loaded once, through the pack's own functions."""

    def __init__(self, files: Sequence[str], size: tuple[int, int], steps: int) -> None:
        from ..isolation.modes import declare
        from ..model_loader import full, mini

        if files[0] == MINI:
            self.model, self.clip, self.vae, isolation = mini.load()
        else:
            self.model, self.clip, self.vae, isolation = full.load(*files, None)
        declare(self.clip, isolation)
        self.size, self.steps = size, steps

    def boxes(self, wanted: Looks) -> list[Rectangle]:
        from ..isolation.plan import fractions
        from ..xml_prompt import layout, parse

        boxes = layout(parse(wanted.xml()), self.size[0] / self.size[1])
        return [rectangle for (rectangle,) in fractions([[box] for box in boxes])]

    def paint(self, wanted: Looks, mode: str, seed: int) -> np.ndarray:
        """[H, W, 3] uint8"""
        import torch

        from ..isolation.encode import encode, encode_negative
        from ..sampling.decode import decode
        from ..sampling.sample import sample
        from ..xml_prompt import layout, parse

        width, height = self.size
        scene = parse(wanted.xml())
        boxes = layout(scene, width / height)
        positive = encode(self.clip, scene, boxes, mode)
        negative = encode_negative(self.clip, scene, boxes, mode, "")
        latent = {"samples": torch.zeros(1, 16, height // 8, width // 8), "downscale_ratio_spacial": 8}
        drawn = sample(self.model, positive, negative, latent, seed=seed, steps=self.steps)
        return decode(self.vae, drawn["samples"])[0].float().mul(255).round().byte().cpu().numpy()


def rows(painter: Painter, modes: Sequence[str], count: int, seed: int, out: Path | None) -> Iterator[dict[str, Any]]:
    for people in (2, 3):
        rng = random.Random(seed + people)
        wanted = [looks(people, rng) for _ in range(count)]
        for mode in modes:
            verdicts, bleeds = [], []
            for index, (one, other, changed) in enumerate(wanted):
                boxes = painter.boxes(one)
                before, after = (painter.paint(asked, mode, seed + index) for asked in (one, other))
                verdicts += [judge(before, colour, own, boxes) for own, colour in enumerate(one.hair)]
                bleeds.append(bleed(before, after, changed, boxes))
                if out is not None:
                    pair = np.concatenate([before, after], 1)[..., ::-1]
                    cv2.imwrite(str(out / f"{people}_{index:03d}_{mode}.jpg"), pair)
            measured = {
                "placed": [100.0 * verdict.placed for verdict in verdicts],
                "inside": [100.0 * verdict.inside for verdict in verdicts],
                "leak": [verdict.leak for verdict in verdicts],
                "bleed": bleeds,
            }
            row: dict[str, Any] = {"mode": mode, "people": people, "pictures": count}
            yield row | {name: [round(one, 3) for one in interval(values)] for name, values in measured.items()}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./run bench colours", description=__doc__.splitlines()[0])
    parser.add_argument("--diffusion-model", default=MINI)
    for part in ("gemma", "jina", "vae"):
        parser.add_argument(f"--{part}", default="none")
    parser.add_argument("--size", default="320x320", help="WxH in pixels")
    parser.add_argument("--steps", type=int, default=28)
    parser.add_argument("--count", type=int, default=20, help="pictures a mode and number of people, each drawn twice")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="folder for the pictures")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args(arguments)
    add_host()
    import torch

    torch.set_grad_enabled(False)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
    width, height = map(int, options.size.split("x"))
    files = (options.diffusion_model, options.gemma, options.jina, options.vae)
    painter = Painter(files, (width, height), options.steps)
    names = ("placed", "inside", "leak", "bleed")
    if not options.json:
        print(f"{'mode':8}{'people':>7}" + "".join(f"{name:>26}" for name in names))
    for row in rows(painter, options.modes, options.count, options.seed, options.out):
        if options.json:
            print(json.dumps(row), flush=True)
            continue
        cells = ("{:.3g} ({:.3g} to {:.3g})".format(*row[name]) for name in names)
        print(f"{row['mode']:8}{row['people']:>7}" + "".join(f"{cell:>26}" for cell in cells), flush=True)
    return 0
