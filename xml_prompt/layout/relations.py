"""Who stands left of, above or behind whom: what characters say of each other, made sure of and put in order.

On every axis a link says that one comes before another: further left, higher up, further away.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from ..messages import Message
from ..positions import ACROSS, ANCHORS, DEPTH, DOWN, Place
from ..scene import Box, Character, PromptError, Scene
from ..words import character_id, word_key

ROWS = {"top": 0.0, "center": 1.0, "bottom": 2.0}
DEPTHS = {"background": -1.0, "foreground": 1.0}
Interval = tuple[float, float]
_NAME_PARTS = re.compile(r"[\s_\-()（）,，·・]+")


@dataclass(frozen=True)
class Link:
    """On this axis `low` comes before `high`; `low_said_it`: the one who moves is low, the other is referred to."""

    axis: str
    low: int
    high: int
    low_said_it: bool


def links_of(scene: Scene, places: Sequence[Place]) -> tuple[Link, ...]:
    """What the characters say of each other. Who isn't in the scene is left out (see strangers)."""
    links: dict[Link, None] = {}
    for i, place in enumerate(places):
        for relation in place.relations:
            other = _who(scene.characters, relation.other, i)
            if other is not None:
                low, high = (i, other) if relation.before else (other, i)
                links[Link(relation.axis, low, high, relation.before)] = None
    return tuple(links)


def strangers(scene: Scene, places: Sequence[Place]) -> tuple[tuple[int, str], ...]:
    """Which character stands in relation to whom that is nobody in the scene."""
    named = ((i, relation.other) for i, place in enumerate(places) for relation in place.relations)
    return tuple((i, other) for i, other in named if _who(scene.characters, other, i) is None)


def beside_strangers(scene: Scene, places: Sequence[Place]) -> list[Place]:
    """The places, with the picture's own side for who is left or right of nobody in the scene: `right of the couch`."""
    found = list(places)
    for i, place in enumerate(places):
        unmet = [r for r in place.relations if r.axis == ACROSS and _who(scene.characters, r.other, i) is None]
        met = sum(relation.axis == ACROSS for relation in place.relations) > len(unmet)
        if unmet and not met and place.x is None and len({relation.before for relation in unmet}) == 1:
            side = "left" if unmet[0].before else "right"
            found[i] = replace(place, x=ANCHORS[side], side=side)
    return found


def _who(characters: Sequence[Character], name: str, speaker: int) -> int | None:
    """By id, by name, or by words that only one name holds. The speaker itself only if nobody else has that name."""
    key, id = word_key(name), character_id(name.strip())
    others = [i for i in range(len(characters)) if i != speaker]
    for i in (*others, speaker):
        if characters[i].id == id or (key and word_key(characters[i].name) == key):
            return i
    words = set(filter(None, _NAME_PARTS.split(key)))
    having = [i for i in others if words and words <= set(_NAME_PARTS.split(characters[i].name.lower()))]
    return having[0] if len(having) == 1 else None


# Contradictions


def check_links(scene: Scene, places: Sequence[Place], links: Sequence[Link]) -> None:
    """Raises PromptError, naming those concerned, for links in a circle or against stated places."""
    for axis in (ACROSS, DOWN, DEPTH):
        after: dict[int, list[int]] = defaultdict(list)
        for link in links:
            if link.axis == axis:
                after[link.low].append(link.high)
        for low in sorted(after):
            for high, path in _paths(after, low).items():
                if high == low:
                    raise _in_a_circle(scene, axis, path)
                if _against(axis, places[low], places[high]):
                    by_way = Message(" (by way of {name})", name=_named(scene, path[1])) if len(path) > 2 else ""
                    message = Message(
                        "The prompt says {said}{by_way}, but their stated places contradict that. Change one of them.",
                        said=_said(scene, axis, low, high), by_way=by_way,
                    )  # fmt: skip
                    raise PromptError(message)


def _paths(after: Mapping[int, list[int]], start: int) -> dict[int, list[int]]:
    """The shortest way to everyone who comes after start; to start itself where there is a circle."""
    found: dict[int, list[int]] = {}
    frontier = [[start]]
    while frontier:
        reached = []
        for path in frontier:
            for high in after.get(path[-1], ()):
                if high not in found:
                    found[high] = [*path, high]
                    reached.append(found[high])
        frontier = reached
    return found


def _in_a_circle(scene: Scene, axis: str, path: Sequence[int]) -> PromptError:
    if len(path) == 2:
        return PromptError(
            Message("{name} is placed relative to itself. Name someone else.", name=_named(scene, path[0]))
        )
    said = [_said(scene, axis, first, second) for first, second in pairwise(path)]
    said = said if len(said) <= 4 else [*said[:2], "...", said[-1]]
    return PromptError(Message("These can't all be true: {said}. Remove one of them.", said=tuple(said)))


def _said(scene: Scene, axis: str, low: int, high: int) -> Message:
    names = {"first": _named(scene, low), "second": _named(scene, high)}
    if axis == ACROSS:
        return Message("{first} is left of {second}", **names)
    return (
        Message("{first} is above {second}", **names)
        if axis == DOWN
        else Message("{first} is behind {second}", **names)
    )


def _named(scene: Scene, index: int) -> str:
    character = scene.characters[index]
    return f"{character.name[:40]} ({character.id})" if character.name else character.id


def _against(axis: str, low: Place, high: Place) -> bool:
    """Whether what both state of their places is the other way round. Two equal words leave the order open."""
    first, second = _stated(axis, low), _stated(axis, high)
    if axis == DOWN and (low.row is None) != (high.row is None):
        return False  # a word and a number: the layout tries
    if first is None or second is None:
        return False
    words = {ACROSS: bool(low.side or high.side), DOWN: bool(low.row and high.row), DEPTH: True}[axis]
    return first > second or (first == second and not words)


def _stated(axis: str, place: Place) -> float | None:
    if axis == DEPTH:
        return DEPTHS.get(place.depth or "")
    if axis == ACROSS:
        return (place.box.left + place.box.right) / 2 if place.box else place.x
    if place.box:
        return (place.box.top + place.box.bottom) / 2
    return place.y if place.y is not None else ROWS.get(place.row or "")


def check_met(scene: Scene, links: Sequence[Link], boxes: Sequence[Box]) -> None:
    """Raises PromptError for a link that the finished layout has no room for. Depth is a matter of size alone."""
    for link in links:
        low, high = boxes[link.low], boxes[link.high]
        met = {
            ACROSS: low.left + low.right < high.left + high.right,
            DOWN: low.top + low.bottom < high.top + high.bottom,
            DEPTH: True,
        }
        if not met[link.axis]:
            said = _said(scene, link.axis, link.low, link.high)
            raise PromptError(
                Message("The prompt says {said}, but there is no room. Change one of their positions.", said=said)
            )


# Order


def limits(stated: Mapping[int, Interval], links: Iterable[Link], whole: Interval) -> dict[int, Interval]:
    """Between what the links to stated extents, direct or by way of others, leave everyone who is linked."""
    links = list(links)
    members = sorted({i for link in links for i in (link.low, link.high)})
    found = dict.fromkeys(members, whole)
    upwards = in_order(members, dict.fromkeys(members, 0.0), links)
    for i in upwards:
        starts = (stated[link.low][1] if link.low in stated else found[link.low][0] for link in links if link.high == i)
        found[i] = (max([whole[0], *starts]), whole[1])
    for i in reversed(upwards):
        ends = (stated[link.high][0] if link.high in stated else found[link.high][1] for link in links if link.low == i)
        found[i] = (found[i][0], min([whole[1], *ends]))
    return found


def levels(default: Sequence[float], fixed: Mapping[int, float], links: Iterable[Link], step: float) -> list[float]:
    """A number for everyone such that links climb by at least step, as far as the fixed ones leave room.

    Who says "left of miku" moves, not miku. The links must be free of circles.
    """
    links = list(links)
    if not links:
        return [fixed.get(i, value) for i, value in enumerate(default)]
    at = [fixed.get(i, value) for i, value in enumerate(default)]
    upwards = in_order(range(len(at)), at, links)

    def lower(some: Iterable[Link]) -> None:
        after = defaultdict(list)
        for link in some:
            after[link.low].append(link.high)
        for i in reversed(upwards):
            if i in after and i not in fixed:
                at[i] = min(at[i], *(at[high] - step for high in after[i]))

    def lift(some: Iterable[Link]) -> None:
        before = defaultdict(list)
        for link in some:
            before[link.high].append(link.low)
        for i in upwards:
            if i in before and i not in fixed:
                at[i] = max(at[i], *(at[low] + step for low in before[i]))

    lower(link for link in links if link.low_said_it)
    lift(link for link in links if not link.low_said_it)
    lift(links)
    lower(links)
    return at


def in_order(members: Iterable[int], keys: Sequence[float] | Mapping[int, float], links: Iterable[Link]) -> list[int]:
    """The members by their keys, but nobody before those a link puts before it."""
    members = list(members)
    inside = set(members)
    waiting = {i: {link.low for link in links if link.high == i and link.low in inside} for i in members}
    found: list[int] = []
    while waiting:
        ready = [i for i, before in waiting.items() if not before] or list(waiting)
        chosen = min(ready, key=lambda i: (keys[i], i))
        found.append(chosen)
        del waiting[chosen]
        for before in waiting.values():
            before.discard(chosen)
    return found
