"""What one training picture shows, as plain data; draw.py paints it, prompts.py says it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..training.world import PLAIN, World
from . import attributes

FIGURE_ASPECT = 2 / 3  # width : height in pixels of every figure's box, hair, hats and raised arms included

MARGIN = 2.0  # pixels between any box and the edge of the canvas
HEIGHTS = (0.36, 0.92)  # of a figure, as shares of the canvas height; below it, eyes are smaller than a latent pixel
PEOPLE_WEIGHTS = {1: 0.22, 2: 0.36, 3: 0.25, 4: 0.17}
POSE_WEIGHTS = {"standing": 0.4, "arms_up": 0.3, "waving": 0.3}
BOY_STYLE_WEIGHTS = {"short_hair": 0.72, "long_hair": 0.12, "ponytail": 0.16}
GROUND_SHARE = 0.65  # of pictures in which everyone stands on the ground
HANDSHAKE_SHARE = 0.2  # of pictures with at least two people
NAMED_SHARE = 0.14  # of figures
PAIRS = tuple((hair, cloth) for hair in attributes.HAIR for cloth in attributes.CLOTH)
ALLOWED_PAIRS = tuple(pair for pair in PAIRS if pair not in attributes.HELD_OUT)
HELD_OUT_PAIRS = tuple(pair for pair in PAIRS if pair in attributes.HELD_OUT)


@dataclass(frozen=True)
class Figure:
    """One person: the box that the drawing fills, in pixels, and the value of every attribute of attributes.VALUES."""

    x: float  # left edge
    y: float  # top edge
    width: float
    height: float
    look: dict[str, str] = field(hash=False)  # attribute -> value
    name: str = ""  # a key of attributes.NAMED, or any other name, or ""
    partner: int | None = None  # index of the figure whose hand this one shakes (look["pose"] == "handshake")


@dataclass(frozen=True)
class Picture:
    """A whole picture; figures from left to right by the middle of their boxes."""

    width: int
    height: int
    background: str
    figures: tuple[Figure, ...]
    seed: int  # everything the prompt does not say: clouds, trees, exact tones


@dataclass
class Block:
    """Boxes that keep their places relative to each other: one figure, or two that shake hands. Pixels."""

    boxes: list[tuple[float, float, float, float]]  # x, y, width, height inside the block
    width: float
    height: float
    x: float = 0.0
    y: float = 0.0


def weighted(rng: random.Random, weights: dict) -> object:
    """One key of weights, drawn by its weight."""
    return rng.choices(list(weights), list(weights.values()))[0]


# ------------------------------------------------------------------ looks


def sample_look(rng: random.Random, held_out: bool = False) -> tuple[str, dict[str, str]]:
    """Name ("" for most) and attributes of one figure."""
    name = rng.choice(sorted(attributes.NAMED)) if not held_out and rng.random() < NAMED_SHARE else ""
    known = attributes.NAMED.get(name, {})
    gender = known.get("gender") or rng.choice(attributes.GENDER)
    boy = gender == "1boy"
    hair, cloth = rng.choice(HELD_OUT_PAIRS if held_out else ALLOWED_PAIRS)
    look = {
        "gender": gender,
        "hair": hair,
        "style": str(weighted(rng, BOY_STYLE_WEIGHTS)) if boy else rng.choice(attributes.STYLE),
        "eyes": rng.choice(list(attributes.EYES)),
        "cloth": cloth,
        "kind": rng.choice([kind for kind in attributes.KIND if not (boy and kind == "dress")]),
        "accessory": "none" if rng.random() < 0.25 else rng.choice(attributes.ACCESSORY[1:]),
        "pose": str(weighted(rng, POSE_WEIGHTS)),
        "expression": rng.choice(attributes.EXPRESSION),
        "facing": rng.choice(attributes.FACING),
    }
    if not known:
        return name, look
    drawn_anew: list[str] = []
    if rng.random() < 0.3:
        drawn_anew = rng.sample(sorted(set(known) - {"gender"}), rng.randint(1, 3))
    dressed = look | {key: value for key, value in known.items() if key not in drawn_anew}
    if (dressed["hair"], dressed["cloth"]) in attributes.HELD_OUT:
        dressed |= {key: known[key] for key in ("hair", "cloth")}
    return name, dressed


def in_common(rng: random.Random, figures: Sequence[Figure], alike: Mapping[str, float]) -> tuple[Figure, ...]:
    """The figures, of whom those without a name share each attribute with the first of them, or don't, by its chance.

    Two who shake hands keep pose and direction, boys what boys wear, and nobody gets a held-out pair: where hair or
    clothes alone are shared, the other is drawn again for whoever would have one.
    """
    first = next((figure for figure in figures if not figure.name), None)
    shared = [name for name, chance in alike.items() if rng.random() < chance]
    return tuple(f if first is None or f is first or f.name else like(rng, first, f, shared) for f in figures)


def like(rng: random.Random, first: Figure, figure: Figure, shared: Sequence[str]) -> Figure:
    """The figure with what it can share with the first."""
    look, wanted = figure.look, first.look
    if "gender" in shared and look["gender"] != wanted["gender"]:
        own = {name: look[name] for name in ("pose", "facing")}
        name = "?"
        while name or look["gender"] != wanted["gender"]:
            name, look = sample_look(rng)
        look = look | own
    shaking = figure.partner is not None or first.partner is not None
    boy = look["gender"] == "1boy"
    kept = {"pose", "facing"} if shaking else set()
    kept |= {"kind"} if boy and wanted["kind"] == "dress" else set()
    kept |= {"style"} if boy and wanted["style"] not in BOY_STYLE_WEIGHTS else set()
    look = look | {name: wanted[name] for name in shared if name != "gender" and name not in kept}
    if (look["hair"], look["cloth"]) in attributes.HELD_OUT:
        free = "cloth" if "hair" in shared else "hair"
        place = ("hair", "cloth").index(free)
        pairs = [pair for pair in ALLOWED_PAIRS if pair[1 - place] == look[("hair", "cloth")[1 - place]]]
        look = look | {free: rng.choice(pairs)[place]}
    return replace(figure, look=look)


# ------------------------------------------------------------------ places


def overlap(first: tuple[float, float, float, float], second: tuple[float, float, float, float]) -> float:
    """Common area of two boxes (x, y, width, height) as a share of the smaller one's area."""
    wide = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    high = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    return max(0.0, wide) * max(0.0, high) / min(first[2] * first[3], second[2] * second[3])


def make_block(rng: random.Random, heights: list[float]) -> Block:
    """One box, or two neighbours with the gap, height difference and footing of a handshake."""
    if len(heights) == 1:
        height = heights[0]
        return Block([(0.0, 0.0, height * FIGURE_ASPECT, height)], height * FIGURE_ASPECT, height)
    first, second = heights
    widths = [height * FIGURE_ASPECT for height in heights]
    gap = min(widths) * rng.triangular(-0.04, 0.6, 0.08)
    bottoms = [max(heights), max(heights) + rng.uniform(-0.03, 0.03) * min(heights)]
    tops = [bottom - height for bottom, height in zip(bottoms, heights, strict=True)]
    top = min(tops)
    boxes = [(0.0, tops[0] - top, widths[0], first), (widths[0] + gap, tops[1] - top, widths[1], second)]
    return Block(boxes, widths[0] + gap + widths[1], max(bottoms) - top)


def sample_heights(rng: random.Random, groups: list[int], size: tuple[int, int], grounded: bool) -> list[list[float]]:
    """Heights in pixels for every figure of every group (1 figure, or 2 that shake hands)."""
    width, height = size
    people = sum(groups)
    low = HEIGHTS[0] * height
    high = min(HEIGHTS[1] * height, (width - 2 * MARGIN) / FIGURE_ASPECT / max(groups))
    if grounded:
        row = (width - 2 * MARGIN) / FIGURE_ASPECT / people
        common = rng.uniform(min(low, row), max(low, min(high, row * 1.04)))
        drawn = [[common * rng.uniform(0.82, 1.18) for _ in range(group)] for group in groups]
    else:
        crowd = 1.0 if people <= 2 else 0.85 if people == 3 else 0.72
        drawn = [[rng.triangular(low, max(low, high * crowd), low * 1.2) for _ in range(group)] for group in groups]
    heights = [[min(high, max(low, value)) for value in group] for group in drawn]
    for group in heights:
        if len(group) == 2:
            group[1] = group[0] * rng.uniform(0.82, 1.2)
            largest = max(group)
            group[:] = [value * min(1.0, high / largest) for value in group]
    return heights


def place_in_row(rng: random.Random, heights: list[list[float]], size: tuple[int, int]) -> list[Block]:
    """Blocks side by side with their feet on the ground, all shrunk where the row would be too wide or too high."""
    width, height = size
    blocks = [make_block(rng, group) for group in heights]
    room = width - 2 * MARGIN
    shrink = min(1.0, room / sum(block.width for block in blocks))
    tallest = max(block.height for block in blocks)
    if tallest > 0.94 * height:
        shrink = min(shrink, 0.94 * height / tallest)
    blocks = [scaled(block, shrink) for block in blocks]
    free = room - sum(block.width for block in blocks)
    cuts = sorted(rng.uniform(0, free) for _ in blocks)
    left = MARGIN
    for index, block in enumerate(blocks):
        block.x = left + cuts[index]
        left += block.width
        bottom = min(height - MARGIN, max(block.height + MARGIN, rng.uniform(0.88, 0.98) * height))
        block.y = bottom - block.height
    return blocks


def scaled(block: Block, factor: float) -> Block:
    """The block with every length multiplied by factor."""
    boxes = [(x * factor, y * factor, width * factor, height * factor) for x, y, width, height in block.boxes]
    return Block(boxes, block.width * factor, block.height * factor)


def crosses(block: Block, others: list[Block]) -> bool:
    """Whether the block touches another, or stands in x order between two that shake hands."""
    area = (block.x, block.y, block.width, block.height)
    for other in others:
        if overlap(area, (other.x, other.y, other.width, other.height)) > 0:
            return True
        for pair, single in ((block, other), (other, block)):
            if len(pair.boxes) == 2:
                middles = [pair.x + box[0] + box[2] / 2 for box in pair.boxes]
                if any(middles[0] <= single.x + box[0] + box[2] / 2 <= middles[1] for box in single.boxes):
                    return True
    return False


def place_anywhere(rng: random.Random, heights: list[list[float]], size: tuple[int, int]) -> list[Block] | None:
    """Blocks anywhere on the canvas, in the air too, apart from each other; None where no room was found."""
    width, height = size
    side = rng.choice((None, None, "left", "right"))
    for attempt in range(24):
        placed: list[Block] = []
        for group in sorted(heights, key=lambda group: -len(group) * max(group)):
            block = scaled(make_block(rng, group), 0.95**attempt)
            if block.width > width - 2 * MARGIN or block.height > height - 2 * MARGIN:
                break
            for _ in range(30):
                low, high = MARGIN, width - MARGIN - block.width
                if side == "left" and attempt < 6:
                    high = max(low, min(high, width * 0.55 - block.width))
                if side == "right" and attempt < 6:
                    low = min(high, max(low, width * 0.45))
                block.x = rng.uniform(low, high)
                bottom = max(rng.uniform(0.40, 0.98) * height, block.height + MARGIN)
                block.y = min(bottom, height - MARGIN) - block.height
                if not crosses(block, placed):
                    placed.append(block)
                    break
            else:
                break
        if len(placed) == len(heights):
            return placed
    return None


def sample_picture(rng: random.Random, size: tuple[int, int] = (320, 320), people: int | None = None,
                   held_out: bool = False, world: World = PLAIN) -> Picture:
    """A random picture of size (width, height); held_out: only (hair, cloth) pairs that training never shows."""
    count = people or int(str(weighted(rng, PEOPLE_WEIGHTS)))
    groups = [1] * count
    if count >= 2 and rng.random() < HANDSHAKE_SHARE:
        groups = [1] * (count - 2)
        groups.insert(rng.randint(0, len(groups)), 2)
    grounded = rng.random() < GROUND_SHARE
    heights = sample_heights(rng, groups, size, grounded)
    blocks = None if grounded else place_anywhere(rng, heights, size)
    if blocks is None:
        blocks = place_in_row(rng, heights, size)
    figures: list[Figure] = []
    for block in sorted(blocks, key=lambda block: block.x + block.boxes[0][0] + block.boxes[0][2] / 2):
        looks = [sample_look(rng, held_out) for _ in block.boxes]
        if len(looks) == 2:
            face_each_other = rng.random() < 0.6
            for (_, look), facing in zip(looks, ("facing_right", "facing_left"), strict=True):
                look["pose"] = "handshake"
                if face_each_other:
                    look["facing"] = facing
        for (name, look), (x, y, width, height) in zip(looks, block.boxes, strict=True):
            figures.append(Figure(block.x + x, block.y + y, width, height, look, name))
        if len(looks) == 2:
            last = len(figures) - 1
            figures[last - 1:] = [replace(figures[last - 1], partner=last), replace(figures[last], partner=last - 1)]
    crowd = in_common(rng, figures, world.alike) if world.alike else tuple(figures)
    background = rng.choice(attributes.BACKGROUND)
    return Picture(size[0], size[1], background, crowd, rng.getrandbits(31))
