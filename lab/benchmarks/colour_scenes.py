"""What benchmarks/colours asks for: people of colours that nobody else in the picture has, in usual and unusual places.

Usual places are said in words, and the layout makes boxes of them. Unusual ones are stated as boxes, in fractions of
the picture, so that they hold at any size.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...xml_prompt import GRID
from ..drawing.scenes import SQUAT
from .binding_scenes import BLEEDING, SQUARE, UNUSUAL
from .colour_measures import HUES, Rectangle

USUAL = "usual"
POSITIONS = {
    1: ("center",),
    2: ("left", "right"),
    3: ("left", "center", "right"),
    4: ("far_left", "center_left", "center_right", "far_right"),
}  # as the layout reads them, near to where it puts as many who say nothing
STYLES = ("short_hair", "long_hair", "ponytail")
# Colours of clothes as prompts say them. The mini knows no aqua ones.
CLOTHES = {"red": "red", "blonde": "yellow", "green": "green", "blue": "blue", "purple": "purple", "pink": "pink"}
UNSEEN = ("white", "black")  # clothes that hue can't judge


def eyes(clothes: str) -> str:
    """Of the clothes' colour, so that they are not of anybody else's, nor where clothes are judged."""
    return "" if clothes in UNSEEN else f", {CLOTHES.get(clothes, clothes)}_eyes"


@dataclass(frozen=True)
class Wanted:
    """What is asked of one picture, each a value a person. hair and clothes: keys of HUES; clothes: or of UNSEEN."""

    hair: tuple[str, ...]
    clothes: tuple[str, ...]
    styles: tuple[str, ...]
    places: tuple[str, ...]  # elements of the XML

    def xml(self) -> str:
        people = "".join(
            f"<character_{i}><gender>1girl</gender><appearance>{hair}_hair, {style}{eyes(clothes)}</appearance>"
            f"<clothing>{CLOTHES.get(clothes, clothes)}_dress</clothing><pose>standing</pose>{place}</character_{i}>"
            for i, (hair, clothes, style, place) in enumerate(
                zip(self.hair, self.clothes, self.styles, self.places, strict=True), start=1
            )
        )
        count = f"{len(self.hair)}girl{'s' if len(self.hair) > 1 else ''}"
        return f"{people}<general_tags><count>{count}</count><background>white_background</background></general_tags>"


@dataclass(frozen=True)
class PictureSet:
    """Pictures of one kind; of some also the same with other colours on one character."""

    places: str
    people: str
    wanted: tuple[Wanted, ...]
    recoloured: tuple[Wanted, ...] = ()
    changed: tuple[int, ...] = ()  # that character

    @property
    def name(self) -> str:
        return f"{self.places}_{self.people}".replace(" ", "_")


def word_places(people: int) -> tuple[str, ...]:
    return tuple(f"<position>{word}</position>" for word in POSITIONS[people])


def box_places(boxes: Sequence[Rectangle]) -> tuple[str, ...]:
    return tuple(f"<bbox>{[round(edge * GRID) for edge in box]}</bbox>" for box in boxes)


def unusual_boxes(kind: str, people: int, rng: random.Random) -> list[Rectangle]:
    """As lab/benchmarks/binding draws them in a square, from left to right."""
    place, _ = UNUSUAL[kind]
    width, height = SQUARE
    boxes = [
        (left / width, top / height, (left + tall * SQUAT) / width, (top + tall) / height)
        for left, top, tall in place(rng, people)
    ]
    return sorted(boxes, key=lambda box: box[0] + box[2])


def looks(places: tuple[str, ...], rng: random.Random) -> tuple[Wanted, Wanted, int]:
    """A picture, the same with other colours on one character, and which one. No hue is asked for twice.

    The hair of four and one more to change to leave two hues for clothes; whom none is left for is in white or black.
    """
    people = len(places)
    *colours, unused = rng.sample(sorted(HUES), len(HUES))
    hair = colours[:people]
    clothes = [*(colour for colour in colours[people:] if colour in CLOTHES), *UNSEEN, *UNSEEN][:people]
    before = Wanted(tuple(hair), tuple(clothes), tuple(rng.choice(STYLES) for _ in hair), places)
    changed = rng.randrange(people)
    hair[changed], clothes[changed] = unused, next(colour for colour in UNSEEN if colour != clothes[changed])
    return before, replace(before, hair=tuple(hair), clothes=tuple(clothes)), changed


def usual_set(people: int, count: int, seed: int) -> PictureSet:
    rng = random.Random(seed + people)
    before, after, changed = zip(*(looks(word_places(people), rng) for _ in range(count)), strict=True)
    if people not in BLEEDING:
        return PictureSet(USUAL, str(people), before)
    return PictureSet(USUAL, str(people), before, after, changed)


def unusual_set(kind: str, people: Sequence[int], count: int, seed: int) -> PictureSet:
    rng = random.Random(f"{kind} {seed}")
    numbers = [people[i % len(people)] for i in range(count)]
    wanted = tuple(looks(box_places(unusual_boxes(kind, number, rng)), rng)[0] for number in numbers)
    return PictureSet(kind, "-".join(map(str, sorted({people[0], people[-1]}))), wanted)


def picture_sets(people: Sequence[int], count: int, seed: int) -> list[PictureSet]:
    """count pictures of every number of people in usual places, and of every unusual place that has room for them."""
    people = sorted(set(people))
    room = {kind: [number for number in people if number in numbers] for kind, (_, numbers) in UNUSUAL.items()}
    sets = [usual_set(number, count, seed) for number in people]
    return sets + [unusual_set(kind, numbers, count, seed) for kind, numbers in room.items() if numbers]
