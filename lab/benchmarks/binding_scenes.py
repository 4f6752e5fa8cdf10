"""What lab/benchmarks/binding draws: combinations that training never showed, in usual and in unusual places.

usual     the boxes that the pack's layout gives people who say nothing of their place
unstated  the same places; of many an attribute one character says nothing, so that a neighbour's value could fill it
sparse    the same places; everyone's hair and clothes are stated, one thing more, and nothing else: as people write
unusual   everyone on one side; very unequal sizes; one above the other. No overlaps, sizes that training knew
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...xml_prompt import GRID, Character, Field, Scene, Tag, layout
from ..drawing.attributes import VALUES
from ..drawing.scenes import HELD_OUT_PAIRS, MARGIN, SQUAT, Figure, Picture, sample_picture
from ..training import dataset, prompts

Place = tuple[float, float, float]  # left, top, height in pixels of a figure
NAMES = list(VALUES)
SQUARE, WIDE = (320, 320), (384, 256)
SIZES = {1: SQUARE, 2: SQUARE, 3: WIDE, 4: WIDE}  # so that the layout's people are not smaller than training's
LEFT_OUT_SHARE = 2 / 3  # of attributes that one character of the picture leaves unsaid
MAY_BE_LEFT_OUT = tuple(name for name in NAMES if name != "gender")  # the shared count would tell the gender
ALSO = tuple(name for name in MAY_BE_LEFT_OUT if name not in ("hair", "cloth", "kind"))  # sparse prompts say one
BLEEDING = (2, 3, 4)  # people in the pictures of which one person's colours are changed


@dataclass(frozen=True)
class PictureSet:
    """Pictures of one size, drawn from one batch of noise, and their prompts."""

    kind: str
    people: str
    pictures: tuple[Picture, ...]
    described: tuple[prompts.Description, ...]
    recoloured: tuple[Picture, ...] = ()  # each picture with other colours of hair and clothes on one figure
    redescribed: tuple[prompts.Description, ...] = ()  # its prompt
    changed: tuple[int, ...] = ()  # that figure

    @property
    def name(self) -> str:
        return f"{self.kind}, {self.people}"

    @property
    def size(self) -> tuple[int, int]:
        return self.pictures[0].width, self.pictures[0].height

    @property
    def complete(self) -> bool:
        """Whether the prompts state everything."""
        return self.kind not in ("unstated", "sparse")


@dataclass(frozen=True)
class Truth:
    """What is asked for, of N figures in P pictures."""

    index: np.ndarray  # [N] the figure's picture
    boxes: np.ndarray  # [N, 4] left, top, right, bottom in pixels
    values: np.ndarray  # [N, 10]
    stated: np.ndarray  # [N, 10] bool: the prompt says it
    meant: np.ndarray  # [N, 10] bool: the picture must show it. A complete prompt without accessory means none
    alone: np.ndarray  # [N, 10] bool: nobody else's business, as the pose of two who shake hands is
    people: np.ndarray  # [P]
    background: np.ndarray  # [P]


def truth_of(test: PictureSet) -> Truth:
    index, boxes, values, stated, alone = [], [], [], [], []
    for i, (picture, described) in enumerate(zip(test.pictures, test.described, strict=True)):
        count = len(picture.figures)
        box, value = dataset.labels(picture)
        index += [i] * count
        boxes.append(box[:count])
        values.append(value[:count])
        stated.append([[name in said for name in NAMES] for said in described.stated])
        alone.append([[f.partner is None or name not in ("pose", "facing") for name in NAMES] for f in picture.figures])
    said = np.concatenate(stated)
    return Truth(
        np.array(index), np.concatenate(boxes), np.concatenate(values), said,
        np.ones_like(said) if test.complete else said, np.concatenate(alone),
        np.array([len(p.figures) for p in test.pictures]),
        np.array([dataset.BACKGROUND.index(p.background) for p in test.pictures]),
    )


# ------------------------------------------------------------------ prompts


def describe(pictures: Sequence[Picture]) -> tuple[prompts.Description, ...]:
    """Complete prompts; the same picture in other colours has the same words but for them."""
    return tuple(prompts.describe(p, random.Random(i), complete=True) for i, p in enumerate(pictures))


def left_unsaid(described: prompts.Description, picture: Picture, rng: random.Random) -> prompts.Description:
    """The prompt, with some attributes each said of all characters but one."""
    omitted: list[set[str]] = [set() for _ in picture.figures]
    for name in MAY_BE_LEFT_OUT:
        if rng.random() < LEFT_OUT_SHARE:
            rng.choice(omitted).add(name)
    return without_all(described, picture, omitted)


def without_all(
    described: prompts.Description, picture: Picture, omitted: Sequence[set[str]]
) -> prompts.Description:
    """The prompt without these attributes of each of its characters."""
    characters = tuple(
        without(character, figure, gone)
        for character, figure, gone in zip(described.scene.characters, picture.figures, omitted, strict=True)
    )
    stated = tuple(said - gone for said, gone in zip(described.stated, omitted, strict=True))
    return replace(described, scene=replace(described.scene, characters=characters), stated=stated)


def without(character: Character, figure: Figure, gone: set[str]) -> Character:
    """The character with these attributes' words taken out."""
    look = figure.look
    words = {look["hair"] + "_hair": "hair", look["eyes"] + "_eyes": "eyes"}
    words |= {look[name]: name for name in ("style", "accessory", "expression", "pose", "facing")}
    clothes = f"{look['cloth']}_{look['kind']}"
    dressed = "" if {"cloth", "kind"} <= gone else look["kind"] if "cloth" in gone else f"{look['cloth']}_clothes"

    def kept(tag: Tag) -> Tag | None:
        if tag.text == clothes and gone & {"cloth", "kind"}:
            return Tag(dressed) if dressed else None
        return None if words.get(tag.text) in gone else tag

    fields = (Field(field.name, tuple(filter(None, map(kept, field.tags)))) for field in character.fields)
    return replace(character, fields=tuple(field for field in fields if field.tags))


def recoloured(picture: Picture, rng: random.Random) -> tuple[Picture, int]:
    """Other colours of hair and clothes, held out too, on one figure."""
    chosen = rng.randrange(len(picture.figures))
    look = picture.figures[chosen].look
    pairs = [(hair, cloth) for hair, cloth in HELD_OUT_PAIRS if hair != look["hair"] and cloth != look["cloth"]]
    hair, cloth = rng.choice(pairs)
    figures = list(picture.figures)
    figures[chosen] = replace(figures[chosen], look=look | {"hair": hair, "cloth": cloth})
    return replace(picture, figures=tuple(figures)), chosen


# ------------------------------------------------------------------ places


def laid_out(picture: Picture) -> Picture:
    """The same people where the layout puts them."""
    people = tuple(Character(f"character_{i + 1}") for i in range(len(picture.figures)))
    boxes = layout(Scene(people), picture.width / picture.height)
    places = []
    for box in boxes:
        left, top = box.left / GRID * picture.width, box.top / GRID * picture.height
        width, height = box.width / GRID * picture.width, box.height / GRID * picture.height
        tall = min(height, width / SQUAT)  # people stand in the middle of a box of another shape
        places.append((left + (width - tall * SQUAT) / 2, top + (height - tall) / 2, tall))
    return placed(picture, places)


def placed(picture: Picture, places: Sequence[Place]) -> Picture:
    """The same people at these places, from left to right."""
    ordered = sorted(places, key=lambda place: place[0] + place[2] * SQUAT / 2)
    figures = tuple(
        replace(figure, x=left, y=top, width=height * SQUAT, height=height)
        for figure, (left, top, height) in zip(picture.figures, ordered, strict=True)
    )
    return replace(picture, figures=figures)


def in_rows(rng: random.Random, rows: Sequence[Sequence[float]], left: float, right: float) -> list[Place]:
    """Heights of the people of each row, from above -> places between left and right, free space shared at random."""
    canvas = SQUARE[1] - 2 * MARGIN
    spare = canvas - sum(map(max, rows))
    above = sorted(rng.uniform(0, spare) for _ in rows)
    found, top = [], MARGIN
    for row, down in zip(rows, above, strict=True):
        free = right - left - sum(row) * SQUAT
        across, x = sorted(rng.uniform(0, free) for _ in row), left
        for height, along in zip(row, across, strict=True):
            found.append((x + along, top + down + max(row) - height, height))
            x += height * SQUAT
        top += max(row)
    return found


def heights(rng: random.Random, count: int, low: float, high: float) -> list[float]:
    """Pixels, from shares of the picture's height."""
    return [rng.uniform(low, high) * SQUARE[1] for _ in range(count)]


def split_in_rows(rng: random.Random, people: int) -> list[int]:
    return {2: [1, 1], 3: rng.choice(([1, 2], [2, 1])), 4: [2, 2]}[people]


def one_side(rng: random.Random, people: int) -> list[Place]:
    """Everyone within 55 % of the width, two abreast."""
    rows = [2] if people == 2 else split_in_rows(rng, people)
    room = 0.55 * SQUARE[0]
    left, right = rng.choice(((MARGIN, room), (SQUARE[0] - room, SQUARE[0] - MARGIN)))
    return in_rows(rng, [heights(rng, row, 0.36, 0.4) for row in rows], left, right)


def unequal(rng: random.Random, people: int) -> list[Place]:
    """One about twice as tall as everyone else, who stand above each other beside it."""
    big = rng.uniform(0.76, 0.86) * SQUARE[1]
    top = rng.uniform(MARGIN, SQUARE[1] - MARGIN - big)
    middle = MARGIN + big * SQUAT
    small = in_rows(rng, [heights(rng, 1, 0.36, 0.41) for _ in range(people - 1)], middle, SQUARE[0] - MARGIN)
    places = [(MARGIN, top, big), *small]
    if rng.random() < 0.5:
        places = [(SQUARE[0] - x - height * SQUAT, y, height) for x, y, height in places]
    return places


def above(rng: random.Random, people: int) -> list[Place]:
    """Two rows; of two people, one straight above the other."""
    places = in_rows(rng, [heights(rng, row, 0.37, 0.46) for row in split_in_rows(rng, people)], MARGIN,
                     SQUARE[0] - MARGIN)
    if people == 2:
        (x, y, height), (_, below, other) = places
        offset = x + (height - other) * SQUAT / 2
        places[1] = min(max(offset, MARGIN), SQUARE[0] - MARGIN - other * SQUAT), below, other
    return places


UNUSUAL: dict[str, tuple[Callable[[random.Random, int], list[Place]], tuple[int, ...]]] = {
    "one side": (one_side, (2, 3, 4)),
    "unequal sizes": (unequal, (2, 3)),
    "one above another": (above, (2, 3, 4)),
}


# ------------------------------------------------------------------ sets


def sample_alone(rng: random.Random, size: tuple[int, int], people: int) -> Picture:
    """A held-out picture in which nobody shakes hands."""
    while True:
        picture = sample_picture(rng, size, people, held_out=True)
        if all(figure.partner is None for figure in picture.figures):
            return picture


def usual_set(people: int, count: int) -> PictureSet:
    rng, size = random.Random(300 + people), SIZES[people]
    pictures = tuple(laid_out(sample_picture(rng, size, people, held_out=True)) for _ in range(count))
    if people not in BLEEDING:
        return PictureSet("usual", str(people), pictures, describe(pictures))
    others, chosen = zip(*(recoloured(picture, rng) for picture in pictures), strict=True)
    return PictureSet("usual", str(people), pictures, describe(pictures), others, describe(others), chosen)


def sparse_set(people: int, count: int) -> PictureSet:
    rng, size = random.Random(600 + people), SIZES[people]
    pictures = tuple(laid_out(sample_alone(rng, size, people)) for _ in range(count))
    others, chosen = zip(*(recoloured(picture, rng) for picture in pictures), strict=True)
    omitted = []
    for _ in pictures:
        omitted.append([set(ALSO) - {rng.choice(ALSO)} for _ in range(people)])
    before, after = (
        tuple(map(without_all, describe(some), some, omitted)) for some in (pictures, others)
    )
    return PictureSet("sparse", str(people), pictures, before, others, after, chosen)


def unstated_set(people: int, count: int) -> PictureSet:
    rng, size = random.Random(400 + people), SIZES[people]
    pictures = tuple(laid_out(sample_alone(rng, size, people)) for _ in range(count))
    described = tuple(left_unsaid(d, p, rng) for d, p in zip(describe(pictures), pictures, strict=True))
    return PictureSet("unstated", str(people), pictures, described)


def unusual_set(kind: str, count: int) -> PictureSet:
    place, numbers = UNUSUAL[kind]
    rng = random.Random(500 + list(UNUSUAL).index(kind))
    pictures = []
    for i in range(count):
        people = numbers[i % len(numbers)]
        pictures.append(placed(sample_alone(rng, SQUARE, people), place(rng, people)))
    return PictureSet(kind, f"{numbers[0]}-{numbers[-1]}", tuple(pictures), describe(pictures))


def picture_sets(count: int) -> list[PictureSet]:
    """count pictures in usual places (a quarter each of 1 to 4 people), 3/4 of it each unstated and sparse, 1/2 in

    unusual places.
    """
    quarter, sixth = max(1, count // 4), max(1, count // 6)
    sets = [usual_set(people, quarter) for people in (1, 2, 3, 4)]
    sets += [make(people, quarter) for make in (unstated_set, sparse_set) for people in (2, 3, 4)]
    return sets + [unusual_set(kind, sixth) for kind in UNUSUAL]
