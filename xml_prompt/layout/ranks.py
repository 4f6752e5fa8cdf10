"""How many ranks a row's people stand in, one behind the other, so that they fill the picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from ..positions import Place
from ..scene import GRID
from .side_by_side import Formation, Ground, Person, Slot, side_by_side

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
