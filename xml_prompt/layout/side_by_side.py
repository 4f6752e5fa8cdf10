"""A row of people beside each other: as tall as fits, as near as possible to the places they would like."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, cycle, pairwise

from ..messages import Message
from ..scene import GRID, Box, Character, PromptError, Scene, Tag
from ..words import word_key
from .places import Interval, Link, Place, in_order, levels

# Words for camera and build -> the shape of everyone's box: how wide for its height, how tall, how near. A box is never
# narrower than 1 : 3.2, so that nobody is a line; the built-in model knows people from 2 : 3 to 1 : 3.

# A whole figure's height, against that of someone standing in full. Above 1 the picture cuts it at its bottom edge.
_ZOOMS = {
    3.0: "extreme_close_up, extreme_closeup, 大特写",
    2.5: "close_up, closeup, close_up_shot, closeup_shot, face_focus, face_close_up, headshot, head_shot, "
    "特写, 特写镜头, 面部特写, 脸部特写, 头部特写, 头像",
    2.2: "portrait, portrait_shot, bust, bust_shot, bust_portrait, head_and_shoulders, 肖像, 胸像, 近景",
    1.6: "upper_body, upper_body_shot, half_body, half_body_shot, half_length, waist_up, from_waist_up, medium_shot, "
    "medium_close_up, mid_shot, 半身, 半身像, 上半身, 腰部以上, 中景",
    1.3: "cowboy_shot, american_shot, knee_up, knees_up, thighs_up, three_quarter_shot, 七分身, 牛仔镜头, 膝盖以上",
    1.0: "full_body, full_body_shot, full_shot, full_length, head_to_toe, 全身, 全身像, 全身照",
    0.6: "wide_shot, long_shot, 远景, 全景, 广角镜头, 远镜头",
    0.4: "very_wide_shot, extreme_wide_shot, extreme_long_shot, very_long_shot, establishing_shot, 大远景",
}
ZOOMS = {word: zoom for zoom, words in _ZOOMS.items() for word in words.split(", ")}
CHIBI = frozenset({"chibi", "chibi_only", "super_deformed", "q版", "q版人物", "二头身", "两头身", "三头身"})
_LONGEST = 40

HEADROOM = 40.0  # left free above people
HEIGHT = 910.0  # of people whose picture has room for it


@dataclass(frozen=True)
class Shape:
    """Between what someone's box may be, and how near the camera is."""

    zoom: float = 1.0  # the figure's height against that of one in a picture that says nothing of the kind
    squat: float = 0.64  # width : height in pixels where there is room enough
    slim: float = 1 / 3  # the same where people stand close
    height: float = HEIGHT  # the tallest, on the grid


FULL_BODY = Shape(squat=1 / 2, slim=1 / 3.1, height=GRID - 2 * HEADROOM)
CUT = Shape(slim=1 / 3.2, height=GRID - HEADROOM)  # the picture's lower edge cuts the figure


def shapes(scene: Scene) -> tuple[Shape, ...]:
    """One for each character: its own first camera word counts, else the picture's first."""
    whole = _first(scene.tags("perspective")) or _first(scene.tags("other"))
    chibi = any(_is_chibi(field.tags) for field in scene.general)
    return tuple(
        _shape(_of(character) or whole, chibi or any(_is_chibi(field.tags) for field in character.fields))
        for character in scene.characters
    )


def _shape(zoom: float | None, chibi: bool) -> Shape:
    if zoom is None:
        shape = Shape()
    else:
        shape = replace(CUT if zoom > 1 else FULL_BODY if zoom == 1 else Shape(), zoom=zoom)
    return replace(shape, squat=2 / 3, slim=2 / 3) if chibi else shape


def _is_chibi(tags: Iterable[Tag]) -> bool:
    return any(len(tag.text) <= _LONGEST and _key(tag.text) in CHIBI for tag in tags)


def _of(character: Character) -> float | None:
    return _first(character.tags("action")) or _first(character.tags("other"))


def _first(tags: Iterable[Tag]) -> float | None:
    keys = (_key(tag.text) for tag in tags if len(tag.text) <= _LONGEST)
    return next((ZOOMS[key] for key in keys if key in ZOOMS), None)


_key = lru_cache(maxsize=4096)(word_key)  # every tag of a picture is asked


# How far apart neighbours stand, as a prompt states it: `2`, `30%`, `1.5m`, `80cm`, `2米`.

PERSON_METRES = 1.6  # a length is taken against a person's height

_SPACING = re.compile(r"([0-9]{1,4}(?:\.[0-9]{1,4})?|\.[0-9]{1,4})\s*([a-z%％\u4e00-\u9fff ]*)", re.IGNORECASE)
_WIDTHS = frozenset({"", "x", "width", "widths", "box width", "box widths", "倍", "身位", "个身位", "人宽"})
_LENGTHS = {
    **dict.fromkeys(("m", "metre", "metres", "meter", "meters", "米", "公尺"), 1.0),
    **dict.fromkeys(("cm", "centimetre", "centimetres", "centimeter", "centimeters", "厘米", "公分"), 0.01),
}


@dataclass(frozen=True)
class Spacing:
    """The gap between two neighbours: the sum of these parts, one of which is stated."""

    text: str  # as typed
    widths: float = 0.0  # times a neighbour's width
    heights: float = 0.0  # times a neighbour's height, in pixels
    grid: float = 0.0


def read_spacing(text: str) -> Spacing | None:
    """The spacing that a text states, or None for a text that states none."""
    match = _SPACING.fullmatch(text.strip())
    if match is None:
        return None
    number, unit = float(match.group(1)), match.group(2).strip().lower()
    if unit in _WIDTHS:
        return Spacing(text, widths=number)
    if unit in ("%", "％"):
        return Spacing(text, grid=number * GRID / 100)
    return Spacing(text, heights=number * _LENGTHS[unit] / PERSON_METRES) if unit in _LENGTHS else None


# The row

MARGIN = 20.0  # left free at both sides
SPACED_MARGIN = 40.0  # the same where a spacing is stated
GAP_RATIO = 0.08  # between neighbours, in widths
BOX_GAP = 30.0  # between people and stated boxes
PULLED_GAP = 0.5  # the widest gap between people who do something together, in widths
PLAY = 60.0  # how far a word's anchor may be missed
SHRINK = 0.95
MIN_HEIGHT = 200.0  # below this words are missed rather than people shrunk
MIN_SPACED = 10.0  # below this a stated spacing leaves nothing to see of anybody
FIRM = 1e6  # weight of a place stated as a number, against 1 for words and 0.01 for none
LOOSE = 0.01


@dataclass(frozen=True)
class Person:
    """Someone to be placed: index in the scene, what the prompt says, how large against the others."""

    index: int
    place: Place
    depth: float  # 0 is where people stand, -1 the background, 1 the foreground
    shape: Shape
    scale: float  # what camera and depth make of the figure's size
    apart: bool = False  # stands in no rank, and nobody stands behind it

    @property
    def firm(self) -> bool:
        """Whether its place is a number."""
        return self.place.x is not None and not self.place.side


@dataclass(frozen=True)
class Formation:
    """How many ranks a row's people stand in, one behind the other, and how much higher the further one stands.

    sharing: people of different ranks may have the same part of the width; without it, nobody is behind anybody.
    """

    ranks: int = 1
    step: float = 0.0  # from one rank to the next, in heights
    sharing: bool = False

    @property
    def heights(self) -> float:
        """How high all of it is, in heights of one person."""
        return 1 + (self.ranks - 1) * self.step


@dataclass(frozen=True)
class Ground:
    """What a row has to keep to, besides its people."""

    aspect: float
    height: float  # what the row may fill, on the grid
    whole: bool  # whether that is the whole picture, whose edge may cut those whom the camera is near to
    free: tuple[Interval, ...]  # the parts of the width nobody else stands in
    limits: Mapping[int, Interval]  # by links to stated boxes
    links: tuple[Link, ...]  # who is left of whom
    spacing: Spacing | None
    formation: Formation = Formation()


@dataclass(frozen=True)
class Slot:
    """Where someone has been placed in a row, and how large; the height is of what the picture shows."""

    person: Person
    middle: float
    width: float
    height: float
    rank: int  # 0 is the nearest


def free_width(stated: Sequence[Box], spacing: Spacing | None) -> tuple[Interval, ...]:
    """The parts of the width that no stated box covers; all of it where they leave no room."""
    margin = MARGIN if spacing is None else SPACED_MARGIN
    edges, at = [], margin
    for box in sorted(stated, key=lambda box: box.left):
        edges.append((at, box.left - BOX_GAP))
        at = max(at, box.right + BOX_GAP)
    edges.append((at, GRID - margin))
    return tuple((left, right) for left, right in edges if right - left >= 100.0) or ((margin, GRID - margin),)


def side_by_side(row: list[Person], ground: Ground) -> list[Slot]:
    """Places for a row: everyone as large as fits, the same for all but for their scales and shapes."""
    groups = [(_ordered(group, free, ground.links), free) for group, free in _shared_out(row, ground)]
    size = _largest(row, ground)
    for order, interval in groups:
        size = min(size, _fitting(order, interval, size, ground))
    return [slot for order, interval in groups for slot in _arranged(order, interval, size, ground)]


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


def _ordered(group: list[Person], interval: Interval, links: Sequence[Link]) -> list[Person]:
    """From left to right: who has an anchor at the nearest place of an even spread, the others in the places left."""
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
    return _linked([person for person, _ in slots], even, links)


def _linked(order: list[Person], even: Sequence[float], links: Sequence[Link]) -> list[Person]:
    """The order, changed as little as the links ask for."""
    at = {person.index: k for k, person in enumerate(order)}
    inside = [replace(n, low=at[n.low], high=at[n.high]) for n in links if n.low in at and n.high in at]
    if not inside:
        return order
    fixed = {k: p.place.x for k, p in enumerate(order) if p.place.x is not None}
    return [order[k] for k in in_order(range(len(order)), levels(even, fixed, inside, 0.0), inside)]


# How large, and where exactly. A size is the height of somebody of scale 1 whose box is as squat as its shape allows.


def _largest(row: Sequence[Person], ground: Ground) -> float:
    """The greatest size at which everyone fits the height, but those whom the picture cuts."""
    scale = max([1.0, *(p.scale / max(p.shape.zoom, 1.0) if ground.whole else p.scale for p in row)])
    return min(HEIGHT, ground.height, *(p.shape.height for p in row)) / ground.formation.heights / scale


def _width(person: Person, size: float, ground: Ground) -> float:
    return size * person.scale * person.shape.squat / ground.aspect


def _heights(people: Sequence[Person], size: float, ground: Ground) -> list[float]:
    """Everyone's height: up to what the picture allows the largest of them, as far as a shape may be stretched."""
    heights = ground.formation.heights * max([1.0, *(p.scale for p in people)])

    def stretched(shape: Shape) -> float:
        allowed = min(shape.height, ground.height) / heights
        return max(size, min(allowed, size * shape.squat / shape.slim))

    return [person.scale * stretched(person.shape) for person in people]


def _steps(people: Sequence[Person], size: float, ground: Ground) -> list[float]:
    """From everyone's middle to the next one's: with a stated spacing exactly so, without one at least."""
    spacing, formation = ground.spacing, ground.formation
    sizes = [(_width(p, size, ground), high) for p, high in zip(people, _heights(people, size, ground), strict=True)]
    steps = []
    for (a, b), ((wide, high), (other_wide, other_high)) in zip(pairwise(people), pairwise(sizes), strict=True):
        width = (wide + other_wide) / 2
        gap = GAP_RATIO * width
        if spacing is not None and not (a.firm and b.firm):
            height = (high + other_high) / 2 / ground.aspect
            gap = spacing.widths * width + spacing.heights * height + spacing.grid
        shared = formation.ranks if formation.sharing and not (a.apart or b.apart) else 1
        steps.append((width + gap) / shared)
    return steps


def _fitting(people: list[Person], interval: Interval, size: float, ground: Ground) -> float:
    """The greatest size, at most this one, at which the group fits the interval and its words are obeyed."""
    room = (interval[1] - interval[0]) * min(1.0, max(p.shape.zoom for p in people))  # a far camera leaves some free

    def needed(size: float) -> float:
        edges = (_width(people[0], size, ground) + _width(people[-1], size, ground)) / 2
        return edges + sum(_steps(people, size, ground))

    if needed(size) > room and ground.spacing is None:
        size *= room / needed(size)
    elif needed(size) > room:
        size = _greatest(needed, room, size)
        if size < MIN_SPACED:
            message = Message(
                'A spacing of "{spacing}" leaves no room for {count} people side by side. Make it smaller.',
                spacing=ground.spacing.text, count=len(people),
            )  # fmt: skip
            raise PromptError(message)
    while size > MIN_HEIGHT and not _obeyed(_arranged(people, interval, size, ground), ground.spacing is not None):
        size *= SHRINK
    return size


def _greatest(needed: Callable[[float], float], room: float, size: float) -> float:
    """The greatest size that needs no more than the room; needed grows with it."""
    low, high = 0.0, size
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if needed(middle) <= room else (low, middle)
    return low


def _arranged(people: list[Person], interval: Interval, size: float, ground: Ground) -> list[Slot]:
    """The places nearest to the wanted ones at which nobody overlaps: isotonic regression of the shifted targets."""
    widths = [_width(person, size, ground) for person in people]
    heights = _heights(people, size, ground)
    shifts = list(accumulate(_steps(people, size, ground), initial=0.0))
    even = _even(interval, widths)
    targets = [p.place.x if p.place.x is not None else even[k] for k, p in enumerate(people)]
    weights = [LOOSE if p.place.x is None else FIRM if p.firm else 1.0 for p in people]
    rigid = [ground.spacing is not None and not (a.firm and b.firm) for a, b in pairwise(people)]
    blocks: list[tuple[float, float, int]] = []  # mean, weight, members: pool adjacent violators
    for target, shift, weight, kept in zip(targets, shifts, weights, [False, *rigid], strict=True):
        blocks.append((target - shift, weight, 1))
        while len(blocks) > 1 and (kept or blocks[-2][0] >= blocks[-1][0]):
            (mean, heavy, count), (other, light, more) = blocks[-2:]
            blocks[-2:] = [((mean * heavy + other * light) / (heavy + light), heavy + light, count + more)]
            kept = False
    low, high = _bounds(people, interval, widths, shifts)
    middles = [min(max(mean, low), high) for mean, _, count in blocks for _ in range(count)]
    ranks, room = cycle(range(ground.formation.ranks)), ground.height / ground.formation.heights
    return [
        Slot(person, middle + shift, width, min(height, ground.height), 0)
        if person.apart
        else Slot(person, middle + shift, width, min(height, room), next(ranks))
        for person, middle, shift, width, height in zip(people, middles, shifts, widths, heights, strict=True)
    ]


def _even(interval: Interval, widths: Sequence[float]) -> list[float]:
    """Middles spread over the interval in equal steps, with nobody beyond its ends."""
    share = (interval[1] - interval[0]) / len(widths)
    first, last = interval[0] + max(share, widths[0]) / 2, interval[1] - max(share, widths[-1]) / 2
    return [first + (last - first) * k / max(1, len(widths) - 1) for k in range(len(widths))]


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


# Ranks: how many a row's people stand in, one behind the other, so that they fill the picture

IN_A_ROW = 4  # more people stand in ranks
ENOUGH = 0.42  # of what is free, two fifths of a whole picture: a row that fills less goes in ranks too
MORE = 1.1  # times as much must further ranks fill
ZIGZAG = 0.25  # how much higher every second one stands in a row of people beside each other, in heights
BEHIND, CLEAR = 0.9, 1.03  # how much higher a further rank stands: partly hidden, or clear of the nearer one


def ranked(row: list[Person], ground: Ground) -> tuple[Formation, list[Slot]]:
    """Up to four beside each other; more, or who would leave the picture empty, in the ranks that fill it best."""
    row = _with_those_apart(row, ground)
    free = sum(right - left for left, right in ground.free) * (GRID if ground.whole else ground.height)
    best, most = (Formation(), []), 0.0
    for formation in _formations(row, ground):
        slots = side_by_side(row, replace(ground, formation=formation))
        filled = sum(slot.width * slot.height for slot in slots)
        if filled > MORE * most:
            best, most = (formation, slots), filled
        elif formation.ranks > 2:
            break  # with still more ranks people only get smaller
        if formation.ranks == 1 and filled >= ENOUGH * free:
            break
    return best


def _with_those_apart(row: list[Person], ground: Ground) -> list[Person]:
    """Those stand apart, too, whose height or feet aren't what most others' are."""

    def kind(p: Person) -> tuple[object, ...]:
        return p.shape, p.depth, p.place.y, p.place.row if ground.whole else None

    alike = Counter(kind(p) for p in row if not p.apart and p.depth == 0.0 and p.place.y is None)
    usual = alike.most_common(1)
    return [replace(p, apart=p.apart or not usual or kind(p) != usual[0][0]) for p in row]


def _formations(row: list[Person], ground: Ground) -> Iterator[Formation]:
    """All that come into question, the simplest first."""
    in_ranks = 0 if ground.spacing is not None else sum(not person.apart for person in row)
    if len(row) <= IN_A_ROW or in_ranks < 2:
        yield Formation()
    if in_ranks < 2:
        return
    yield Formation(2, ZIGZAG)
    said = len(row) <= IN_A_ROW or any(person.place != Place() for person in row)
    for ranks in range(2, (in_ranks + 1) // 2 + 1):
        yield Formation(ranks, CLEAR if said else BEHIND, sharing=True)
