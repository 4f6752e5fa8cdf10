"""Does every character keep its colours and its place? Any model that the loader takes; judged by hue alone.

    ./run bench colours                                   the built-in mini
    ./run bench colours --diffusion-model FILE --gemma FILE --jina FILE --vae FILE --size 1024x1024
    ./run bench colours --diffusion-model "NewBie-image-Exp0.1 (folder)" --size 1024x1024
    ./run bench colours --arms strict joint-open --people 2 3 --count 43

Files as NewBie Loader lists them. One to four people in usual places, each asked for hair and clothes of hues that
nobody else has; two to four of them again with one in other colours, for the bleed; and people on one side, of very
unequal sizes, one above another. Every arm draws the same prompts from the same seeds. --out keeps the pictures.

hair, clothes   %, in the upper half of one's own box and more than in anybody else's box; in its lower half
elsewhere       %, of both: not so, but somewhere in the picture. What is left of 100 is missing
boxes           %, half of one's colours' pixels, at the least, lie in one's box
leak            the part of a colour that lies in others' boxes, of one that is found at all
bleed           one's colours were changed: change in the others' boxes over that in one's own

Hue sees no white, grey or black: clothes of white and black are asked for where three or four people have used up the
hues, but not judged. Nor does it see whether hair is hair, or whether anybody is too small for the box; an eye of a
colour that is missing elsewhere counts as elsewhere. In brackets: 95 % of a bootstrap over pictures.
The parts: colour_scenes.py (what is asked), colour_arms.py (how it is drawn), colour_measures.py (what is counted).
Needs a ComfyUI: COMFYUI_PATH, or ./run setup.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .colour_arms import ARMS, DEFAULT_ARMS, MINI, Painter
from .colour_measures import HUES, Rectangle, bleed, clothes_part, hair_part, interval, judge, obeyed
from .colour_scenes import POSITIONS, USUAL, PictureSet, Wanted, picture_sets
from .host import add_host

MEASURES = ("hair", "clothes", "elsewhere", "boxes", "leak", "bleed")
UNUSUAL = "unusual"
Measured = dict[str, list[float]]  # one value a picture that has one


def measure(picture: np.ndarray, wanted: Wanted, boxes: Sequence[Rectangle]) -> dict[str, float]:
    """Means over the picture's people. Alone, nobody can have another's colours."""
    hair = [judge(picture, colour, hair_part(boxes[i]), i, boxes) for i, colour in enumerate(wanted.hair)]
    seen = [(i, colour) for i, colour in enumerate(wanted.clothes) if colour in HUES]
    clothes = [judge(picture, colour, clothes_part(boxes[i]), i, boxes) for i, colour in seen]
    own = [[colour for colour in pair if colour in HUES] for pair in zip(wanted.hair, wanted.clothes, strict=True)]
    values = {
        "hair": [100 * one.placed for one in hair],
        "clothes": [100 * one.placed for one in clothes],
        "elsewhere": [100 * one.elsewhere for one in hair + clothes],
        "boxes": [100 * obeyed(picture, colours, box) for colours, box in zip(own, boxes, strict=True)],
        "leak": [one.leak for one in hair + clothes if one.leak is not None] if len(boxes) > 1 else [],
    }
    return {name: float(np.mean(some)) for name, some in values.items() if some}


def draw(painter: Painter, test: PictureSet, arm: str, seed: int, out: Path | None) -> Measured:
    measured: Measured = defaultdict(list)
    for index, wanted in enumerate(test.wanted):
        boxes = painter.boxes(wanted)
        drawn = [painter.paint(wanted, arm, seed + index)]
        values = measure(drawn[0], wanted, boxes)
        if test.recoloured:
            drawn.append(painter.paint(test.recoloured[index], arm, seed + index))
            values["bleed"] = bleed(*drawn, test.changed[index], boxes)
        for name, value in values.items():
            measured[name].append(value)
        if out is not None:
            cv2.imwrite(str(out / f"{test.name}_{index:03d}_{arm}.jpg"), np.concatenate(drawn, 1)[..., ::-1])
    return measured


def row(arm: str, places: str, people: str, measured: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """A measure that no picture has is left out."""
    cells = {name: [round(one, 3) for one in interval(measured[name])] for name in MEASURES if measured.get(name)}
    return {"arm": arm, "places": places, "people": people, "pictures": len(measured["hair"])} | cells


def rows(
    painter: Painter, arms: Sequence[str], sets: Sequence[PictureSet], seed: int, out: Path | None
) -> Iterator[dict[str, Any]]:
    """A row for every set and arm, then for all usual and all unusual places."""
    together: dict[tuple[str, str], Measured] = defaultdict(lambda: defaultdict(list))
    for test in sets:
        for arm in arms:
            measured = draw(painter, test, arm, seed, out)
            yield row(arm, test.places, test.people, measured)
            for name, values in measured.items():
                together[USUAL if test.places == USUAL else UNUSUAL, arm][name] += values
    for (places, arm), measured in together.items():
        yield row(arm, places, "all", measured)


def line(found: Mapping[str, Any]) -> str:
    cells = ("{:.3g} ({:.3g} to {:.3g})".format(*found[name]) if name in found else "-" for name in MEASURES)
    return f"{found['arm']:15}{found['places']:19}{found['people']:>6}" + "".join(f"{cell:>23}" for cell in cells)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./run bench colours", description=__doc__.splitlines()[0])
    parser.add_argument("--diffusion-model", default=MINI)
    for part in ("gemma", "jina", "vae"):
        parser.add_argument(f"--{part}", default="none")
    parser.add_argument("--size", default="320x320", help="WxH in pixels")
    parser.add_argument("--steps", type=int, default=28)
    parser.add_argument("--people", type=int, nargs="+", choices=POSITIONS, default=list(POSITIONS))
    parser.add_argument("--count", type=int, default=6, help="pictures an arm of each number of people in usual "
                        "places, and of each of three unusual places. With all of them 43 make 301 an arm: fewer than "
                        "300 leave intervals too wide to tell arms apart")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(DEFAULT_ARMS), metavar="ARM",
                        help=" ".join(ARMS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="folder for the pictures")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args(arguments)
    add_host()
    import comfy.utils
    import torch

    comfy.utils.set_progress_bar_enabled(False)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
    width, height = map(int, options.size.split("x"))
    if not options.json:
        print(f"{'arm':15}{'places':19}{'people':>6}" + "".join(f"{name:>23}" for name in MEASURES))
    with torch.no_grad():
        files = (options.diffusion_model, options.gemma, options.jina, options.vae)
        painter = Painter(files, (width, height), options.steps)
        sets = picture_sets(options.people, options.count, options.seed)
        for found in rows(painter, options.arms, sets, options.seed, options.out):
            print(json.dumps(found) if options.json else line(found), flush=True)
    return 0
