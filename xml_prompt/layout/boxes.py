"""Everyone's box: stated ones exactly, all others as people who stand in rows; and which parts are whose.

The steps are told in __init__.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise, product

from ..messages import Message
from ..scene import GRID, Box, Character, PromptError, Scene
from .places import (
    ACROSS,
    DEPTH,
    DEPTHS,
    DOWN,
    ROWS,
    Interval,
    Link,
    Place,
    beside_strangers,
    check_links,
    check_met,
    levels,
    limits,
    links_of,
    read_position,
)
from .side_by_side import (
    BOX_GAP,
    HEADROOM,
    HEIGHT,
    IN_A_ROW,
    Formation,
    Ground,
    Person,
    Slot,
    Spacing,
    free_width,
    pulled,
    ranked,
    read_spacing,
    shapes,
)

FEET = 950.0  # where people stand who aren't said to be high or low
FURTHEST = 500.0  # where the feet of those furthest away stand
MIN_BAND = 50.0  # a row less high shows nobody
DEPTH_STEP = 0.5  # between somebody and the one behind
ACROSS_STEP = 200.0  # between people in different rows, one of whom is said to be left of the other


@dataclass(frozen=True)
class _Band:
    """The height a row has; whole: all of the picture's, and feet stand where the prompt says."""

    top: float
    bottom: float
    whole: bool

    @property
    def height(self) -> float:
        return GRID - HEADROOM if self.whole else self.bottom - self.top


_Row = tuple[_Band, list[Person]]


def layout(scene: Scene, aspect: float = 1.0) -> tuple[Box, ...]:
    """One box for each character, in the scene's order. aspect: the picture's width / height in pixels.

    Raises PromptError where characters contradict each other about their places.
    """
    if not (math.isfinite(aspect) and aspect > 0):
        raise ValueError(f"The aspect is width / height, a number above 0, not {aspect}.")
    places = beside_strangers(scene, [place_of(character) for character in scene.characters])
    links = links_of(scene, places)
    check_links(scene, places, links)
    boxes = {i: place.box for i, place in enumerate(places) if place.box is not None}
    across = tuple(link for link in links if link.axis == ACROSS)
    whole = (0.0, float(GRID))
    beside = limits({i: (box.left, box.right) for i, box in boxes.items()}, across, whole)
    beside = {i: interval for i, interval in beside.items() if interval != whole}
    further = [box for character in scene.characters for box in character.more_boxes]
    spacing = read_spacing(scene.spacing) if scene.spacing else None
    for band, row in _towards_each_other(_rows(scene, _people(scene, places, links), boxes, links), across):
        others = [box for box in (*boxes.values(), *further) if box.top < band.bottom and band.top < box.bottom]
        free = free_width(others, spacing)
        formation, slots = ranked(row, Ground(aspect, band.height, band.whole, free, beside, across, spacing))
        if spacing is None:
            slots = pulled(slots, _together(scene))
        else:
            _check_numbers(scene, slots, spacing)
        for slot in slots:
            boxes[slot.person.index] = _standing(slot, band, formation)
    found = tuple(boxes[i] for i in range(len(places)))
    check_met(scene, links, found)
    return found


def place_of(character: Character) -> Place:
    """What the character says about where it is."""
    place, _ = read_position(tag.text for tag in character.tags("position"))
    return replace(place, box=character.box) if character.box is not None else place


def _people(scene: Scene, places: Sequence[Place], links: Sequence[Link]) -> list[Person]:
    """Those who state no box. Who does something with a few others stands beside them, with nobody in between."""
    stated = {i: DEPTHS[place.depth] for i, place in enumerate(places) if place.depth}
    depths = levels([0.0] * len(places), stated, (link for link in links if link.axis == DEPTH), DEPTH_STEP)
    busy = {i for members in _together(scene) if len(members) <= IN_A_ROW for i in members}
    people = []
    for i, (place, depth, shape) in enumerate(zip(places, depths, shapes(scene), strict=True)):
        if place.box is None:
            size = 1 + 0.15 * depth if depth > 0 else 0.6**-depth
            if place.y is not None and shape.zoom <= 1:  # no taller than there is room around the number
                room = max(2 * min(place.y, GRID - place.y), HEIGHT / 2)
                shape = replace(shape, height=min(shape.height, room))
            people.append(Person(i, place, depth, shape, shape.zoom * size, apart=i in busy))
    return people


def _together(scene: Scene) -> list[frozenset[int]]:
    index = {character.id: i for i, character in enumerate(scene.characters)}
    return [frozenset(index[c] for c in i.between if c in index) for i in scene.interactions]


def _check_numbers(scene: Scene, slots: Sequence[Slot], spacing: Spacing) -> None:
    """Raises PromptError where a spacing, kept between all of some people, moved two of them off their numbers."""
    firm = [slot for slot in slots if slot.person.firm]
    for a, b in pairwise(firm):
        wanted = (b.person.place.x or 0.0) - (a.person.place.x or 0.0)
        if abs((b.middle - a.middle) - wanted) > 1.0:
            first, second = (scene.characters[slot.person.index].id for slot in (a, b))
            message = Message(
                'A spacing of "{spacing}" contradicts the numbers of {first} and {second}. Remove one of the three.',
                spacing=spacing.text, first=first, second=second,
            )  # fmt: skip
            raise PromptError(message)


# Rows


def _rows(scene: Scene, people: Sequence[Person], boxes: Mapping[int, Box], links: Sequence[Link]) -> list[_Row]:
    """Who stands together in a row. First those who are said to be above or below stated boxes."""
    down = [link for link in links if link.axis == DOWN]
    extents = {i: (box.top - BOX_GAP, box.bottom + BOX_GAP) for i, box in boxes.items()}
    whole = (HEADROOM, GRID - HEADROOM)
    allowed = limits(extents, down, whole)
    words = {person.place.row for person in people}
    plain = "center" if "center" in words or (down and "bottom" not in words) else "bottom"
    stated = {p.index: level for p in people if (level := _stated_level(p.place, bool(down))) is not None}
    count = 1 + max([-1, *(p.index for p in people), *boxes])
    level = levels([ROWS[plain]] * count, stated, down, 1.0)
    groups: dict[Interval, list[Person]] = defaultdict(list)
    for person in people:
        groups[allowed.get(person.index, whole)].append(person)
    rows = []
    for (top, bottom), group in sorted(groups.items(), key=lambda pair: (pair[0][1] - pair[0][0], pair[0])):
        within = {person.index for person in group}
        linked = any(link.low in within and link.high in within for link in down)
        words = {p.place.row for p in group} - {None}
        if (top, bottom) == whole and not linked and len(words) < 2:
            rows.append((_Band(0.0, float(GRID), whole=True), group))
            continue
        if bottom - top < MIN_BAND:
            message = Message(
                "There is no room for {id} above or below the stated boxes. Make a box smaller, or remove a position.",
                id=scene.characters[group[0].index].id,
            )
            raise PromptError(message)
        steps = sorted({level[person.index] for person in group})
        between = min(BOX_GAP, (bottom - top) / (4 * len(steps)))
        height = (bottom - top - between * (len(steps) - 1)) / len(steps)
        for i, step in enumerate(steps):
            at = top + i * (height + between)
            rows.append((_Band(at, at + height, whole=False), [p for p in group if level[p.index] == step]))
    return rows


def _stated_level(place: Place, by_number: bool) -> float | None:
    """The row that a word says; where people say of each other who is above whom, also the third a number falls in."""
    if place.row:
        return ROWS[place.row]
    return float(min(int(3 * place.y / GRID), 2)) if by_number and place.y is not None else None


def _towards_each_other(rows: list[_Row], across: Sequence[Link]) -> list[_Row]:
    """Links between different rows as places: their people aren't beside each other, and no row's order says them."""
    row_of = {person.index: i for i, (_, row) in enumerate(rows) for person in row}
    links = [n for n in across if n.low in row_of and n.high in row_of and row_of[n.low] != row_of[n.high]]
    if not links:
        return rows
    stated = {p.index: p.place.x for _, row in rows for p in row if p.place.x is not None}
    middle = GRID / 2
    x = levels([middle] * (1 + max(row_of)), stated, links, ACROSS_STEP)

    def moved(person: Person) -> Person:
        if person.index in stated or x[person.index] == middle:
            return person
        near = min(max(x[person.index], 100.0), GRID - 100.0)
        return replace(person, place=replace(person.place, x=near, side="beside"))

    return [(band, [moved(person) for person in row]) for band, row in rows]


# Heights


def _standing(slot: Slot, band: _Band, formation: Formation) -> Box:
    """The box of someone whose place in the row is known: feet on the ground unless the prompt says otherwise."""
    height = slot.height
    all_ranks = height if slot.person.apart else height * formation.heights
    feet = _feet(slot.person, all_ranks, band) - slot.rank * formation.step * height
    left, right = _whole(slot.middle - slot.width / 2, slot.middle + slot.width / 2)
    top, bottom = _whole(feet - height, feet)
    return Box(left, top, right, bottom)


def _feet(person: Person, height: float, band: _Band) -> float:
    """Where the nearest rank stands, or where the picture cuts it. height: of all ranks together."""
    place, depth = person.place, person.depth
    if not band.whole and place.y is None:
        lifted = 0.1 * min(max(-depth, 0.0), 1.0) * band.height
        return max(band.bottom - lifted, band.top + height)
    if place.y is not None:
        feet = place.y + height / 2
    elif place.row == "top":
        feet = HEADROOM + height
    elif person.shape.zoom > 1:
        feet = GRID
    elif place.row == "center":
        feet = (GRID + height) / 2
    elif place.row == "bottom":
        feet = GRID - HEADROOM / 2
    else:
        feet = max(FEET + 150 * depth, FURTHEST) if depth < 0 else max(FEET + 50 * depth, HEADROOM + height)
    return min(max(feet, height), float(GRID))


def _whole(low: float, high: float) -> Interval:
    """Both edges on the grid's lines, inside of it, and at least one line apart."""
    low, high = round(low, 6), round(high, 6)  # edges that touch are rounded alike
    first = min(max(round(low), 0), GRID - 1)
    return float(first), float(min(max(round(high), first + 1), GRID))


# Regions: which part of the picture belongs to whom


def gap(a: Box, b: Box) -> Box | None:
    """The space between two boxes that stand beside each other, over the height that both share; None if they touch."""
    first, second = (a, b) if a.left <= b.left else (b, a)
    top, bottom = max(a.top, b.top), min(a.bottom, b.bottom)
    if first.right >= second.left or top >= bottom:
        return None
    return Box(first.right, top, second.left, bottom)


def distance(a: Box, b: Box) -> float:
    """Squared, from edge to edge; 0 where they touch."""
    across = max(0.0, a.left - b.right, b.left - a.right)
    down = max(0.0, a.top - b.bottom, b.top - a.bottom)
    return across**2 + down**2


def without(whole: Box, hole: Box) -> list[Box]:
    """What is left of a box, in up to four: left and right of the hole over the full height, above and below it."""
    left, right = max(whole.left, hole.left), min(whole.right, hole.right)
    top, bottom = max(whole.top, hole.top), min(whole.bottom, hole.bottom)
    if left >= right or top >= bottom:
        return [whole]
    parts = (
        Box(whole.left, whole.top, left, whole.bottom),
        Box(right, whole.top, whole.right, whole.bottom),
        Box(left, whole.top, right, top),
        Box(left, bottom, right, whole.bottom),
    )
    return [part for part in parts if part.width > 0 and part.height > 0]


def regions(scene: Scene, boxes: Sequence[Box]) -> tuple[tuple[Box, ...], ...]:
    """Every character's rectangles, in the scene's order: its box, its further ones, the gaps of its interactions.

    A gap is between the nearest boxes of two, less the boxes of everyone else.
    """
    places = [[box, *character.more_boxes] for character, box in zip(scene.characters, boxes, strict=True)]
    own = [list(some) for some in places]
    index = {character.id: i for i, character in enumerate(scene.characters)}
    for interaction in scene.interactions:
        for i, j in combinations(sorted(index[c] for c in interaction.between if c in index), 2):
            between = gap(*min(product(places[i], places[j]), key=lambda pair: distance(*pair)))
            parts = [] if between is None else [between]
            for hole in (box for k, some in enumerate(places) if k not in (i, j) for box in some):
                parts = [left for part in parts for left in without(part, hole)]
            for one in (own[i], own[j]):
                one += [part for part in parts if part not in one]
    return tuple(tuple(rectangles) for rectangles in own)
