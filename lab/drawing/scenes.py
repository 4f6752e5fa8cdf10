"""What one training picture shows, as plain data; draw.py paints it, prompts.py says it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ...xml_prompt import GRID, Box, Character, Field, Interaction, Scene, Tag, layout
from ..training.world import PLAIN, World
from . import attributes

SQUAT, TALL = 2 / 3, 1 / 3  # width : height in pixels of the figures' boxes, hair, hats and raised arms included

MARGIN = 2.0  # pixels between any box and the edge of the canvas
TALLEST = 0.94  # of a figure, as a share of the canvas height
CROWDED = 0.8  # how much narrower figures may be where there are more than four
PEOPLE_WEIGHTS = {1: 0.2, 2: 0.3, 3: 0.19, 4: 0.15, 5: 0.05, 6: 0.05, 7: 0.03, 8: 0.03}
GAPS = {"handshake": (-0.04, 0.4, 0.08), "holding_hands": (-0.04, 0.3, 0.08), "hug": (-0.22, -0.14, -0.18)}
BOY_STYLE_WEIGHTS = {"short_hair": 0.72, "long_hair": 0.12, "ponytail": 0.16}
GROUND_SHARE = 0.65  # of pictures in which everyone stands on the ground
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
    partner: int | None = None  # index of the figure with whom this one does what look["pose"] says


@dataclass(frozen=True)
class Picture:
    """A whole picture; figures from left to right by the middle of their boxes."""

    width: int
    height: int
    background: str
    figures: tuple[Figure, ...]
    seed: int  # everything the prompt does not say: clouds, trees, exact tones
    rendering: str = attributes.RENDERING[0]


@dataclass
class Block:
    """Boxes that keep their places relative to each other: one figure, or two who do something together. Pixels."""

    boxes: list[tuple[float, float, float, float]]  # x, y, width, height inside the block
    width: float
    height: float
    pose: str = ""  # of attributes.TOGETHER
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True)
class Group:
    """One figure, or two who do something together, before they have a place."""

    heights: tuple[float, ...]  # pixels
    aspects: tuple[float, ...]
    pose: str = ""


def weighted(rng: random.Random, weights: dict) -> object:
    """One key of weights, drawn by its weight."""
    return rng.choices(list(weights), list(weights.values()))[0]


# ------------------------------------------------------------------ looks


def sample_look(rng: random.Random, held_out: bool = False, world: World = PLAIN) -> tuple[str, dict[str, str]]:
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
        "pose": str(weighted(rng, world.poses)),
        "expression": rng.choice(attributes.EXPRESSION),
        "facing": rng.choice(attributes.FACING[:3]),
    }
    if not held_out and rng.random() < world.behind and look["accessory"] != "glasses":
        look["facing"] = "from_behind"
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

    Two who do something together keep pose and direction, boys what boys wear, and nobody gets a held-out pair: where
    hair or clothes alone are shared, the other is drawn again for whoever would have one.
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
    together = figure.partner is not None or first.partner is not None
    boy = look["gender"] == "1boy"
    kept = {"pose", "facing"} if together else set()
    kept |= {"kind"} if boy and wanted["kind"] == "dress" else set()
    kept |= {"style"} if boy and wanted["style"] not in BOY_STYLE_WEIGHTS else set()
    look = look | {name: wanted[name] for name in shared if name != "gender" and name not in kept}
    if look["facing"] == "from_behind" and look["accessory"] == "glasses":  # which nobody would see
        look = look | {"facing": figure.look["facing"], "accessory": figure.look["accessory"]}
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


def make_block(rng: random.Random, group: Group) -> Block:
    """One box, or two neighbours with the gap, height difference and footing of what they do together."""
    widths = [height * aspect for height, aspect in zip(group.heights, group.aspects, strict=True)]
    if len(widths) == 1:
        return Block([(0.0, 0.0, widths[0], group.heights[0])], widths[0], group.heights[0])
    first, second = group.heights
    gap = min(widths) * rng.triangular(*GAPS[group.pose])
    bottoms = [max(group.heights), max(group.heights) + rng.uniform(-0.03, 0.03) * min(group.heights)]
    tops = [bottom - height for bottom, height in zip(bottoms, group.heights, strict=True)]
    top = min(tops)
    boxes = [(0.0, tops[0] - top, widths[0], first), (widths[0] + gap, tops[1] - top, widths[1], second)]
    return Block(boxes, widths[0] + gap + widths[1], max(bottoms) - top, group.pose)


def sample_groups(
    rng: random.Random, poses: list[str], size: tuple[int, int], grounded: bool, world: World,
    room: tuple[float, float] | None = None,
) -> list[Group]:
    """Shapes and heights in pixels. poses: one a group, "" for a single figure; room: the pixels for a row of them."""
    width, height = room or size
    people = sum(2 if pose else 1 for pose in poses)
    common = SQUAT if rng.random() < world.squat else rng.uniform(TALL, SQUAT)
    low = world.narrowest * (1.0 if people <= 4 and room is None else CROWDED) * min(size) / 320 / common
    high = min(TALLEST * height, (width - 2 * MARGIN) / common / (2 if any(poses) else 1))
    row = (width - 2 * MARGIN) / common / people
    crowd = 1.0 if people <= 2 else 0.85 if people == 3 else 0.72
    usual = rng.uniform(min(low, row), max(low, min(high, row * 1.04)))
    groups = []
    for pose in poses:
        if grounded:
            drawn = usual * rng.uniform(0.82, 1.18)
        else:
            drawn = rng.triangular(low, max(low, high * crowd), low * 1.2)
        heights = [min(high, max(low, drawn))]
        if pose:
            heights.append(heights[0] * rng.uniform(0.82, 1.2))
            heights = [value * min(1.0, high / max(heights)) for value in heights]
        differ = 0.06 if world.squat < 1 else 0.0
        aspects = [min(SQUAT, max(TALL, common * rng.uniform(1 - differ, 1 + differ))) for _ in heights]
        groups.append(Group(tuple(heights), tuple(aspects), pose))
    return groups


def place_in_row(
    rng: random.Random, groups: list[Group], size: tuple[int, int], feet: tuple[float, float] = (0.88, 0.98),
    tallest: float = TALLEST,
) -> list[Block]:
    """Blocks side by side, all shrunk where the row would be too wide or too high.

    feet: where the lower edges may be, and tallest: the most a figure may have, as shares of the canvas height.
    """
    width, height = size
    blocks = [make_block(rng, group) for group in groups]
    room = width - 2 * MARGIN
    shrink = min(1.0, room / sum(block.width for block in blocks), tallest * height / max(b.height for b in blocks))
    blocks = [scaled(block, shrink) for block in blocks]
    free = room - sum(block.width for block in blocks)
    cuts = sorted(rng.uniform(0, free) for _ in blocks)
    if rng.random() < 0.5:  # evenly, as layouts are
        cuts = [free * (index + 0.5) / len(blocks) for index in range(len(blocks))]
    left = MARGIN
    for index, block in enumerate(blocks):
        block.x = left + cuts[index]
        left += block.width
        bottom = min(height - MARGIN, max(block.height + MARGIN, rng.uniform(*feet) * height))
        block.y = bottom - block.height
    return blocks


def place_in_two_rows(rng: random.Random, poses: list[str], size: tuple[int, int], world: World) -> list[Block]:
    """The further row higher, and hidden by no more than a few of the nearer one's heads."""
    poses = rng.sample(poses, len(poses))
    people, behind = sum(2 if pose else 1 for pose in poses), []
    while sum(2 if pose else 1 for pose in behind) < people // 2:
        behind.append(poses.pop())
    line = rng.uniform(0.50, 0.56)  # where the further row's feet are
    rows = ((behind, (line - 0.02, line + 0.02), line - 0.01), (poses, (0.95, 0.985), rng.uniform(0.98, 1.06) - line))
    blocks: list[Block] = []
    for members, feet, tallest in rows:
        groups = sample_groups(rng, members, size, True, world, (size[0], tallest * size[1] / TALLEST))
        blocks += place_in_row(rng, filling(groups, size[0], tallest * size[1], rng), size, feet, tallest)
    return blocks


def place_as_laid_out(rng: random.Random, poses: list[str], size: tuple[int, int]) -> list[Block]:
    """Where the pack's layout puts people of whom the prompt says no more."""
    people = [index for index, pose in enumerate(poses) for _ in range(2 if pose else 1)]  # each one's group
    ids = [f"character_{number + 1}" for number in range(len(people))]
    members = {index: [i for i, group in enumerate(people) if group == index] for index in range(len(poses))}
    interactions = tuple(Interaction(pose, tuple(ids[i] for i in members[index]))
                         for index, pose in enumerate(poses) if pose)
    style = rng.choice(((), (), (Field("style", (Tag("chibi"),)),)))
    scene = Scene(tuple(Character(id, "", ()) for id in ids), general=style, interactions=interactions)
    boxes = [in_pixels(box, size) for box in layout(scene, size[0] / size[1])]
    blocks = []
    for index, pose in enumerate(poses):
        own = sorted((boxes[i] for i in members[index]), key=lambda box: box[0] + box[2] / 2)
        x, y = min(box[0] for box in own), min(box[1] for box in own)
        right, bottom = max(box[0] + box[2] for box in own), max(box[1] + box[3] for box in own)
        inside = [(box[0] - x, box[1] - y, box[2], box[3]) for box in own]
        blocks.append(Block(inside, right - x, bottom - y, pose, x, y))
    return blocks


def in_pixels(box: Box, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """x, y, width and height of the figure that stands in the middle of the box, of a shape that figures have."""
    left, right = (edge * size[0] / GRID for edge in (box.left, box.right))
    top, bottom = (edge * size[1] / GRID for edge in (box.top, box.bottom))
    width, height = min(right - left, (bottom - top) * SQUAT), min(bottom - top, (right - left) / TALL)
    return (left + right - width) / 2, (top + bottom - height) / 2, width, height


def filling(groups: list[Group], width: float, height: float, rng: random.Random) -> list[Group]:
    """The groups as tall as most of the height, or as wide as most of the width, allows."""
    wide = sum(h * a for group in groups for h, a in zip(group.heights, group.aspects, strict=True))
    high = max(height for group in groups for height in group.heights)
    grow = min(width / wide, height / high) * rng.uniform(0.86, 1.0)
    return [replace(group, heights=tuple(height * grow for height in group.heights)) for group in groups]


def scaled(block: Block, factor: float) -> Block:
    """The block with every length multiplied by factor."""
    boxes = [(x * factor, y * factor, width * factor, height * factor) for x, y, width, height in block.boxes]
    return Block(boxes, block.width * factor, block.height * factor, block.pose)


def crosses(block: Block, others: list[Block]) -> bool:
    """Whether the block touches another, or stands in x order between two who do something together."""
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


def place_anywhere(rng: random.Random, groups: list[Group], size: tuple[int, int]) -> list[Block] | None:
    """Blocks anywhere on the canvas, in the air too, apart from each other; None where no room was found."""
    width, height = size
    side = rng.choice((None, None, "left", "right"))
    for attempt in range(24):
        placed: list[Block] = []
        for group in sorted(groups, key=lambda group: -len(group.heights) * max(group.heights)):
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
        if len(placed) == len(groups):
            return placed
    return None


def sample_picture(rng: random.Random, size: tuple[int, int] = (320, 320), people: int | None = None,
                   held_out: bool = False, world: World = PLAIN, pose: str | None = None) -> Picture:
    """A random picture of size (width, height).

    held_out: only (hair, cloth) pairs that training never shows, and every face is seen; pose: of attributes.TOGETHER,
    what two of the people do together.
    """
    count = people or int(str(weighted(rng, {n: w for n, w in PEOPLE_WEIGHTS.items() if n <= world.most_people})))
    poses = [""] * count
    if count >= 2 and (pose or rng.random() < world.together_share):
        poses = [""] * (count - 2)
        poses.insert(rng.randint(0, len(poses)), pose or str(weighted(rng, world.together)))
    two_rows = count > 4 or (count > 2 and rng.random() < world.two_rows)
    grounded = rng.random() < GROUND_SHARE
    if rng.random() < world.laid_out:
        blocks = place_as_laid_out(rng, poses, size)
    elif two_rows:
        blocks = place_in_two_rows(rng, poses, size, world)
    else:
        groups = sample_groups(rng, poses, size, grounded, world)
        found = None if grounded else place_anywhere(rng, groups, size)
        blocks = place_in_row(rng, groups, size) if found is None else found
    figures: list[Figure] = []
    for block in blocks:
        figures += figures_of(rng, block, held_out, world, len(figures))
    order = sorted(range(len(figures)), key=lambda i: figures[i].x + figures[i].width / 2)
    place = {before: after for after, before in enumerate(order)}
    figures = [replace(figures[i], partner=None if figures[i].partner is None else place[figures[i].partner])
               for i in order]
    crowd = in_common(rng, figures, world.alike) if world.alike else tuple(figures)
    background, rendering = rng.choice(world.backgrounds), str(weighted(rng, world.renderings))
    if rendering == "flat_color" and background == "white_background":  # white on white, with no outline
        rendering = attributes.RENDERING[0]
    return Picture(size[0], size[1], background, crowd, rng.getrandbits(31), rendering)


def figures_of(rng: random.Random, block: Block, held_out: bool, world: World, first: int) -> list[Figure]:
    """The block's people; first: the index of its first figure."""
    looks = [sample_look(rng, held_out, world) for _ in block.boxes]
    if len(looks) == 2:
        face_each_other = rng.random() < 0.6
        for (_, look), facing in zip(looks, ("facing_right", "facing_left"), strict=True):
            look["pose"] = block.pose
            if face_each_other:
                look["facing"] = facing
            elif look["facing"] == "from_behind":
                look["facing"] = "looking_at_viewer"
    partners = (first + 1, first) if len(looks) == 2 else (None,)
    return [Figure(block.x + x, block.y + y, width, height, look, name, partner)
            for (name, look), (x, y, width, height), partner in zip(looks, block.boxes, partners, strict=True)]
