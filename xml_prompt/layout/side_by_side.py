"""A row of people beside each other: as tall as fits, as near as possible to the places they would like."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from ..messages import Message
from ..positions import Place
from ..scene import GRID, Box, PromptError
from .relations import Link, in_order, levels
from .spacing import Spacing

PERSON = 2 / 3  # width : height of someone standing, in pixels
HEIGHT = 780.0  # of one person with room enough
MARGIN = 40.0  # left free at both sides
GAP_RATIO = 0.22  # between neighbours, in widths
MIN_GAP = 30.0
PULLED_GAP = 0.5  # the widest gap between people who do something together, in widths
PLAY = 60.0  # how far a word's anchor may be missed
SHRINK = 0.95
MIN_HEIGHT = 200.0  # below this words are missed rather than people shrunk
MIN_SPACED = 10.0  # below this a stated spacing leaves nothing to see of anybody
FIRM = 1e6  # weight of a place stated as a number, against 1 for words and 0.01 for none
LOOSE = 0.01

Interval = tuple[float, float]


@dataclass(frozen=True)
class Person:
    """Someone to be placed: index in the scene, what the prompt says, how large against the others."""

    index: int
    place: Place
    depth: float  # 0 is where people stand, -1 the background, 1 the foreground
    zoom: float  # what the camera words make of the height
    scale: float  # of the width, against the others'

    @property
    def firm(self) -> bool:
        """Whether its place is a number."""
        return self.place.x is not None and not self.place.side


@dataclass(frozen=True)
class Ground:
    """What a row has to keep to, besides its people."""

    aspect: float
    free: tuple[Interval, ...]  # the parts of the width nobody else stands in
    limits: Mapping[int, Interval]  # by links to stated boxes
    links: tuple[Link, ...]  # who is left of whom
    spacing: Spacing | None


_Order = list[tuple[Person, float]]  # from left to right, each with the place it would like


@dataclass(frozen=True)
class Slot:
    """Where someone has been placed in a row."""

    person: Person
    middle: float
    width: float


def free_width(stated: Sequence[Box]) -> tuple[Interval, ...]:
    """The parts of the width that no stated box covers; all of it where they leave no room."""
    edges, at = [], MARGIN
    for box in sorted(stated, key=lambda box: box.left):
        edges.append((at, box.left - MIN_GAP))
        at = max(at, box.right + MIN_GAP)
    edges.append((at, GRID - MARGIN))
    return tuple((left, right) for left, right in edges if right - left >= 100.0) or ((MARGIN, GRID - MARGIN),)


def side_by_side(row: list[Person], ground: Ground, height: float) -> list[Slot]:
    """Places for a row: everyone as tall as fits and at most this tall, the same for all but for their scales."""
    groups = [(_targets(group, free, ground.links), free) for group, free in _shared_out(row, ground)]
    for order, interval in groups:
        height = min(height, _fitting(order, interval, height, ground))
    return [slot for order, interval in groups for slot in _arranged(order, interval, height, ground)]


# Who is where


def _shared_out(row: list[Person], ground: Ground) -> list[tuple[list[Person], Interval]]:
    """Who goes into which free interval: to the one that holds or is nearest to the anchor, else where most room is."""
    free, members = ground.free, defaultdict[int, list[Person]](list)
    for person in (p for p in row if p.place.x is not None or p.index in ground.limits):
        nearest = _nearest(person, ground, [len(members[i]) for i in range(len(free))])
        members[nearest].append(person)
    loose = [p for p in row if p.place.x is None and p.index not in ground.limits]
    counts = [len(members[i]) for i in range(len(free))]
    for _ in loose:
        counts[max(range(len(free)), key=lambda i: (_share(free[i], counts[i]), -i))] += 1
    rest = iter(loose)  # left to right in the scene's order
    for i, count in enumerate(counts):
        members[i] += [next(rest) for _ in range(count - len(members[i]))]
    return [(sorted(members[i], key=lambda p: p.index), free[i]) for i in range(len(free)) if members[i]]


def _share(interval: Interval, people: int) -> float:
    """How much room one more would have."""
    return (interval[1] - interval[0]) / (people + 1)


def _nearest(person: Person, ground: Ground, counts: list[int]) -> int:
    """The free interval nearest to the anchor, or with most room, among those the person's links allow."""
    low, high = ground.limits.get(person.index, (0.0, float(GRID)))
    free = ground.free
    allowed = [i for i, (left, right) in enumerate(free) if low <= left and right <= high] or list(range(len(free)))
    x = person.place.x
    if x is None:
        return max(allowed, key=lambda i: (_share(free[i], counts[i]), -i))
    return min(allowed, key=lambda i: (max(free[i][0] - x, x - free[i][1], 0.0), i))


def _targets(group: list[Person], interval: Interval, links: Sequence[Link]) -> _Order:
    """The group from left to right, each with the place it would like: its anchor, or its share of an even spread."""
    low, high = interval
    even = [low + (k + 0.5) / len(group) * (high - low) for k in range(len(group))]
    anchored = sorted((p for p in group if p.place.x is not None), key=lambda p: (p.place.x, p.index))
    taken: list[tuple[Person, int]] = []
    open_slots = list(range(len(group)))
    for k, person in enumerate(anchored):  # the nearest slot that leaves enough for those further right
        last = len(open_slots) - (len(anchored) - k)
        first = next((n for n, s in enumerate(open_slots) if not taken or s > taken[-1][1]), 0)
        choice = min(open_slots[first : last + 1], key=lambda s: (abs(even[s] - (person.place.x or 0.0)), s))
        open_slots.remove(choice)
        taken.append((person, choice))
    loose = iter(p for p in group if p.place.x is None)
    slots = sorted([*taken, *((next(loose), slot) for slot in open_slots)], key=lambda pair: pair[1])
    order = _linked([person for person, _ in slots], even, links)
    return [(p, p.place.x if p.place.x is not None else even[k]) for k, p in enumerate(order)]


def _linked(order: list[Person], even: Sequence[float], links: Sequence[Link]) -> list[Person]:
    """The order, changed as little as the links ask for."""
    at = {person.index: k for k, person in enumerate(order)}
    inside = [replace(n, low=at[n.low], high=at[n.high]) for n in links if n.low in at and n.high in at]
    if not inside:
        return order
    fixed = {k: p.place.x for k, p in enumerate(order) if p.place.x is not None}
    return [order[k] for k in in_order(range(len(order)), levels(even, fixed, inside, 0.0), inside)]


# How tall, and where exactly


def _gap(width: float, people: int) -> float:
    return min(max(MIN_GAP, GAP_RATIO * width), 300.0 / people)


def _gaps(order: Sequence[Person], height: float, ground: Ground) -> list[float]:
    """Between each and the next; with a stated spacing exactly so, without one at least."""
    unit = height * PERSON / ground.aspect
    plain, spacing = _gap(unit, len(order)), ground.spacing
    if spacing is None:
        return [plain] * (len(order) - 1)
    gaps = []
    for a, b in pairwise(order):
        width = unit * (a.scale + b.scale) / 2
        stated = spacing.widths * width + spacing.heights * width / PERSON + spacing.grid
        gaps.append(plain if a.firm and b.firm else stated)
    return gaps


def _fitting(order: _Order, interval: Interval, height: float, ground: Ground) -> float:
    """The greatest height at which the group fits the interval and its words are obeyed."""
    room = interval[1] - interval[0]
    people = [person for person, _ in order]
    unit = PERSON / ground.aspect
    total = sum(person.scale for person in people)
    n = len(people)

    def needed(tall: float) -> float:
        return total * tall * unit + sum(_gaps(people, tall, ground))

    if needed(height) > room and ground.spacing is not None:
        height = _greatest(needed, room, height)
        if height < MIN_SPACED:
            message = Message(
                'A spacing of "{spacing}" leaves no room for {count} people side by side. Make it smaller.',
                spacing=ground.spacing.text, count=n,
            )  # fmt: skip
            raise PromptError(message)
    elif needed(height) > room:  # piecewise linear in the height: one of the gap's three pieces holds
        pieces = [
            room / (unit * (total + (n - 1) * GAP_RATIO)),
            (room - (n - 1) * MIN_GAP) / (unit * total),
            (room - (n - 1) * 300.0 / n) / (unit * total),
        ]
        height = max([tall for tall in pieces if 0 < tall <= height and needed(tall) <= room + 1e-6], default=1.0)
    while height > MIN_HEIGHT and not _obeyed(_arranged(order, interval, height, ground), ground.spacing is not None):
        height *= SHRINK
    return height


def _greatest(needed: Callable[[float], float], room: float, height: float) -> float:
    """The greatest height that needs no more than the room; needed grows with it."""
    low, high = 0.0, height
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if needed(middle) <= room else (low, middle)
    return low


def _arranged(order: _Order, interval: Interval, height: float, ground: Ground) -> list[Slot]:
    """The places nearest to the targets at which nobody overlaps: isotonic regression of the shifted targets."""
    people = [person for person, _ in order]
    widths = [height * person.scale * PERSON / ground.aspect for person in people]
    shifts = [0.0]
    for gap, (first, second) in zip(_gaps(people, height, ground), pairwise(widths), strict=True):
        shifts.append(shifts[-1] + (first + second) / 2 + gap)
    weights = [LOOSE if p.place.x is None else FIRM if p.firm else 1.0 for p in people]
    rigid = [ground.spacing is not None and not (a.firm and b.firm) for a, b in pairwise(people)]
    blocks: list[tuple[float, float, int]] = []  # mean, weight, members: pool adjacent violators
    for (_, target), shift, weight, kept in zip(order, shifts, weights, [False, *rigid], strict=True):
        blocks.append((target - shift, weight, 1))
        while len(blocks) > 1 and (kept or blocks[-2][0] >= blocks[-1][0]):
            (mean, heavy, count), (other, light, more) = blocks[-2:]
            blocks[-2:] = [((mean * heavy + other * light) / (heavy + light), heavy + light, count + more)]
            kept = False
    low, high = _bounds(people, interval, widths, shifts)
    middles = [min(max(mean, low), high) for mean, _, count in blocks for _ in range(count)]
    return [
        Slot(person, middle + shift, width)
        for person, middle, shift, width in zip(people, middles, shifts, widths, strict=True)
    ]


def _bounds(people: list[Person], interval: Interval, widths: list[float], shifts: list[float]) -> Interval:
    """Between what the shifted middles must stay; places stated as numbers may use the picture to its edges."""
    left, right = (0.0, float(GRID)) if any(person.firm for person in people) else interval
    low = left + widths[0] / 2
    return low, max(low, right - widths[-1] / 2 - shifts[-1])


def _obeyed(slots: list[Slot], only_numbers: bool) -> bool:
    """Whether every word's people stand, on average, within PLAY of its anchor, and every number is met."""
    sides: dict[tuple[str, float], list[float]] = defaultdict(list)
    for slot in slots:
        place = slot.person.place
        if place.x is not None and (slot.person.firm or not only_numbers):
            sides[place.side, place.x].append(slot.middle)
    means = {word: sum(middles) / len(middles) for word, middles in sides.items()}
    return all(abs(mean - anchor) <= (PLAY if side else 1.0) for (side, anchor), mean in means.items())


# Interactions


def pulled(slots: list[Slot], together: Sequence[frozenset[int]]) -> list[Slot]:
    """Neighbours who do something together, moved towards their common middle until no gap is wider than PULLED_GAP.

    Only inwards, into their own gaps, so nobody comes to overlap. Those whose place is a number stay.
    """
    slots = sorted(slots, key=lambda slot: (slot.middle, slot.person.index))
    for members in together:
        run: list[int] = []
        for i, slot in enumerate([*slots, None]):
            if slot and slot.person.index in members and not slot.person.firm:
                run.append(i)
                continue
            for k, closer in zip(run, _closed_up([slots[k] for k in run]), strict=True):
                slots[k] = closer
            run = []
    return slots


def _closed_up(run: list[Slot]) -> list[Slot]:
    if len(run) < 2:
        return run
    lefts = [run[0].middle - run[0].width / 2]
    for a, b in pairwise(run):
        gap = (b.middle - b.width / 2) - (a.middle + a.width / 2)
        lefts.append(lefts[-1] + a.width + min(gap, PULLED_GAP * min(a.width, b.width)))
    outer = run[-1].middle + run[-1].width / 2
    shift = (outer - (lefts[-1] + run[-1].width)) / 2  # half of what was saved: the common middle stays
    return [replace(s, middle=left + shift + s.width / 2) for s, left in zip(run, lefts, strict=True)]
