"""Everyone's box on the 0..1000 grid: stated boxes exactly, all others as standing people, side by side.

People who state no box stand in rows (one, unless some are said to be at the top and others at the bottom). In a row
everyone has the place that the position words, or the even spread, ask for; what is laid out is the arrangement nearest
to these places in which nobody overlaps. People shrink until the words are obeyed to within PLAY. The result depends on
the scene and the aspect alone.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from .positions import Place, read_position
from .scene import GRID, Box, Character, Scene

PERSON = 2 / 3  # width : height of someone standing, in pixels
HEIGHT = 780.0  # of one person with room enough
FEET = 930.0  # where people stand who aren't said to be high or low
MARGIN = 40.0  # left free at both sides
GAP_RATIO = 0.22  # between neighbours, in widths
MIN_GAP = 30.0
PULLED_GAP = 0.5  # the widest gap between people who do something together, in widths
PLAY = 60.0  # how far a word's anchor may be missed
SHRINK = 0.95
MIN_HEIGHT = 200.0  # below this words are missed rather than people shrunk
SCALES = {"foreground": 1.15, "background": 0.6}
FIRM = 1e6  # weight of a place stated as a number, against 1 for words and 0.01 for none
LOOSE = 0.01

Interval = tuple[float, float]


@dataclass(frozen=True)
class _Person:
    """Someone to be placed: index in the scene, what the prompt says, how large against the others."""

    index: int
    place: Place
    scale: float


@dataclass(frozen=True)
class _Slot:
    """Where someone has been placed in a row."""

    person: _Person
    middle: float
    width: float


def layout(scene: Scene, aspect: float = 1.0) -> tuple[Box, ...]:
    """One box for each character, in the scene's order. aspect: the picture's width / height in pixels."""
    if not (math.isfinite(aspect) and aspect > 0):
        raise ValueError(f"The aspect is width / height, a number above 0, not {aspect}.")
    places = [place_of(character) for character in scene.characters]
    boxes = {i: place.box for i, place in enumerate(places) if place.box is not None}
    free = _free(list(boxes.values()))
    people = [_Person(i, p, SCALES.get(p.depth or "", 1.0)) for i, p in enumerate(places) if i not in boxes]
    together = _together(scene)
    for (top, bottom, banded), row in _rows(people):
        limit = min(HEIGHT, bottom - top) if banded else HEIGHT
        slots = _pulled(_side_by_side(row, free, limit, aspect), together)
        for slot in slots:
            boxes[slot.person.index] = _standing(slot, top, bottom, banded, aspect)
    return tuple(boxes[i] for i in range(len(places)))


def place_of(character: Character) -> Place:
    """What the character says about where it is."""
    place, _ = read_position(tag.text for tag in character.tags("position"))
    return replace(place, box=character.box) if character.box is not None else place


# Rows


def _rows(people: Sequence[_Person]) -> list[tuple[tuple[float, float, bool], list[_Person]]]:
    """Who stands together in a row, and the row's top and bottom; banded: the picture is cut into several rows."""
    stated = [row for row in ("top", "center", "bottom") if any(p.place.row == row for p in people)]
    if len(stated) < 2:
        return [((0.0, float(GRID), False), list(people))] if people else []
    plain = "center" if "center" in stated else "bottom"
    height = (GRID - 2 * MARGIN - MIN_GAP * (len(stated) - 1)) / len(stated)
    rows = []
    for i, name in enumerate(stated):
        top = MARGIN + i * (height + MIN_GAP)
        rows.append(((top, top + height, True), [p for p in people if (p.place.row or plain) == name]))
    return rows


def _standing(slot: _Slot, top: float, bottom: float, banded: bool, aspect: float) -> Box:
    """The box of someone whose place in the row is known: feet on the ground unless the prompt says otherwise."""
    place = slot.person.place
    height = slot.width * aspect / PERSON
    if banded:
        feet = bottom - (0.1 * (bottom - top) if place.depth == "background" else 0.0)
        feet = max(feet, top + height)
    elif place.row == "center":
        feet = (top + bottom + height) / 2
    elif place.row == "top":
        feet = MARGIN + height
    elif place.row == "bottom":
        feet = bottom - MARGIN / 2
    else:
        feet = {"foreground": bottom - MARGIN / 2, "background": 780.0}.get(place.depth or "", FEET)
    if place.y is not None:
        feet = place.y + height / 2
    feet = min(max(feet, height), float(GRID))
    left, right = _whole(slot.middle - slot.width / 2, slot.middle + slot.width / 2)
    head, ground = _whole(feet - height, feet)
    return Box(left, head, right, ground)


def _whole(low: float, high: float) -> Interval:
    """Both edges on the grid's lines, inside of it, and at least one line apart."""
    first = min(max(round(low), 0), GRID - 1)
    return float(first), float(min(max(round(high), first + 1), GRID))


# Side by side


def _free(stated: Sequence[Box]) -> list[Interval]:
    """The parts of the width that no stated box covers; all of it where they leave no room."""
    edges, at = [], MARGIN
    for box in sorted(stated, key=lambda box: box.left):
        edges.append((at, box.left - MIN_GAP))
        at = max(at, box.right + MIN_GAP)
    edges.append((at, GRID - MARGIN))
    return [(left, right) for left, right in edges if right - left >= 100.0] or [(MARGIN, GRID - MARGIN)]


def _side_by_side(row: list[_Person], free: list[Interval], limit: float, aspect: float) -> list[_Slot]:
    """Places for a row: everyone as tall as fits, the same for all but for their scales."""
    groups = _shared_out(row, free)
    height = limit
    if limit < HEIGHT:  # in a band nobody is taller than the band
        height = limit / max([1.0, *(person.scale for person in row)])
    for group, interval in groups:
        height = min(height, _fitting(group, interval, height, aspect))
    return [slot for group, interval in groups for slot in _arranged(group, interval, height, aspect)]


def _shared_out(row: list[_Person], free: list[Interval]) -> list[tuple[list[_Person], Interval]]:
    """Who goes into which free interval: to the one that holds or is nearest to the anchor, else where most room is."""
    members: dict[int, list[_Person]] = defaultdict(list)
    for person in (p for p in row if p.place.x is not None):
        x = person.place.x or 0.0
        members[min(range(len(free)), key=lambda i: (max(free[i][0] - x, x - free[i][1], 0.0), i))].append(person)
    loose = [p for p in row if p.place.x is None]
    counts = [len(members[i]) for i in range(len(free))]
    for _ in loose:
        counts[max(range(len(free)), key=lambda i: ((free[i][1] - free[i][0]) / (counts[i] + 1), -i))] += 1
    rest = iter(loose)  # left to right in the scene's order
    for i, count in enumerate(counts):
        members[i] += [next(rest) for _ in range(count - len(members[i]))]
    return [(sorted(members[i], key=lambda p: p.index), free[i]) for i in range(len(free)) if members[i]]


def _targets(group: list[_Person], interval: Interval) -> list[tuple[_Person, float]]:
    """The group from left to right, each with the place it would like: its anchor, or its share of an even spread."""
    low, high = interval
    even = [low + (k + 0.5) / len(group) * (high - low) for k in range(len(group))]
    anchored = sorted((p for p in group if p.place.x is not None), key=lambda p: (p.place.x, p.index))
    taken: list[tuple[_Person, float]] = []
    open_slots = list(range(len(group)))
    for k, person in enumerate(anchored):  # the nearest slot that leaves enough for those further right
        last = len(open_slots) - (len(anchored) - k)
        first = next((n for n, s in enumerate(open_slots) if not taken or s > taken[-1][1]), 0)
        choice = min(open_slots[first : last + 1], key=lambda s: (abs(even[s] - (person.place.x or 0.0)), s))
        open_slots.remove(choice)
        taken.append((person, choice))
    loose = iter(p for p in group if p.place.x is None)
    order = sorted([*taken, *((next(loose), slot) for slot in open_slots)], key=lambda pair: pair[1])
    return [(p, p.place.x if p.place.x is not None else even[int(slot)]) for p, slot in order]


def _gap(width: float, people: int) -> float:
    return min(max(MIN_GAP, GAP_RATIO * width), 300.0 / people)


def _fitting(group: list[_Person], interval: Interval, height: float, aspect: float) -> float:
    """The greatest height at which the group fits the interval and its words are obeyed."""
    room = interval[1] - interval[0]
    total = sum(person.scale for person in group)
    n = len(group)

    def needed(tall: float) -> float:
        width = tall * PERSON / aspect
        return total * width + (n - 1) * _gap(width, n)

    if needed(height) > room:  # piecewise linear in the height: one of the gap's three pieces holds
        unit = PERSON / aspect
        pieces = [
            room / (unit * (total + (n - 1) * GAP_RATIO)),
            (room - (n - 1) * MIN_GAP) / (unit * total),
            (room - (n - 1) * 300.0 / n) / (unit * total),
        ]
        height = max([tall for tall in pieces if 0 < tall <= height and needed(tall) <= room + 1e-6], default=1.0)
    while height > MIN_HEIGHT and not _obeyed(_arranged(group, interval, height, aspect)):
        height *= SHRINK
    return height


def _arranged(group: list[_Person], interval: Interval, height: float, aspect: float) -> list[_Slot]:
    """The places nearest to the targets at which nobody overlaps: isotonic regression of the shifted targets."""
    order = _targets(group, interval)
    widths = [height * person.scale * PERSON / aspect for person, _ in order]
    gap = _gap(height * PERSON / aspect, len(order))
    shifts, at = [], 0.0
    for i, width in enumerate(widths):
        at += (widths[i - 1] + width) / 2 + gap if i else 0.0
        shifts.append(at)
    weights = [LOOSE if p.place.x is None else 1.0 if p.place.side else FIRM for p, _ in order]
    blocks: list[tuple[float, float, int]] = []  # mean, weight, members: pool adjacent violators
    for (_, target), shift, weight in zip(order, shifts, weights, strict=True):
        blocks.append((target - shift, weight, 1))
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            (mean, heavy, count), (other, light, more) = blocks[-2:]
            blocks[-2:] = [((mean * heavy + other * light) / (heavy + light), heavy + light, count + more)]
    low, high = _bounds(order, interval, widths, shifts)
    middles = [min(max(mean, low), high) for mean, _, count in blocks for _ in range(count)]
    return [
        _Slot(person, middle + shift, width)
        for (person, _), middle, shift, width in zip(order, middles, shifts, widths, strict=True)
    ]


def _bounds(
    order: list[tuple[_Person, float]], interval: Interval, widths: list[float], shifts: list[float]
) -> Interval:
    """Between what the shifted middles must stay; places stated as numbers may use the picture to its edges."""
    firm = any(p.place.x is not None and not p.place.side for p, _ in order)
    left, right = (0.0, float(GRID)) if firm else interval
    low = left + widths[0] / 2
    return low, max(low, right - widths[-1] / 2 - shifts[-1])


def _obeyed(slots: list[_Slot]) -> bool:
    """Whether every word's people stand, on average, within PLAY of its anchor, and every number is met."""
    sides: dict[tuple[str, float], list[float]] = defaultdict(list)
    for slot in slots:
        if slot.person.place.x is not None:
            sides[slot.person.place.side, slot.person.place.x].append(slot.middle)
    means = {word: sum(middles) / len(middles) for word, middles in sides.items()}
    return all(abs(mean - anchor) <= (PLAY if side else 1.0) for (side, anchor), mean in means.items())


# Interactions


def _together(scene: Scene) -> list[frozenset[int]]:
    index = {character.id: i for i, character in enumerate(scene.characters)}
    return [frozenset(index[c] for c in i.between if c in index) for i in scene.interactions]


def _pulled(slots: list[_Slot], together: list[frozenset[int]]) -> list[_Slot]:
    """Neighbours who do something together, moved towards their common middle until no gap is wider than PULLED_GAP.

    Only inwards, into their own gaps, so nobody comes to overlap. Those whose place is a number stay.
    """
    slots = sorted(slots, key=lambda slot: (slot.middle, slot.person.index))
    for members in together:
        run: list[int] = []
        for i, slot in enumerate([*slots, None]):
            place = slot.person.place if slot else None
            if slot and place and slot.person.index in members and (place.x is None or place.side):
                run.append(i)
                continue
            for k, closer in zip(run, _closed_up([slots[k] for k in run]), strict=True):
                slots[k] = closer
            run = []
    return slots


def _closed_up(run: list[_Slot]) -> list[_Slot]:
    if len(run) < 2:
        return run
    lefts = [run[0].middle - run[0].width / 2]
    for a, b in pairwise(run):
        gap = (b.middle - b.width / 2) - (a.middle + a.width / 2)
        lefts.append(lefts[-1] + a.width + min(gap, PULLED_GAP * min(a.width, b.width)))
    outer = run[-1].middle + run[-1].width / 2
    shift = (outer - (lefts[-1] + run[-1].width)) / 2  # half of what was saved: the common middle stays
    return [replace(s, middle=left + shift + s.width / 2) for s, left in zip(run, lefts, strict=True)]
