"""Chinese and Japanese clauses, cut into tags: who is there, what they are like, where they stand, what they do.

    一个蓝色双马尾的女孩在左边      女孩 | 蓝色双马尾 | 在左边
    右边是穿白色外套的男孩          男孩 | 白色外套 | 右边
    他们在海边握手                  海边 | 握手              (of the whole picture)
    赤い髪の女の子が左にいる        女の子 | 赤い髪 | 左にいる

Chinese and Japanese write no spaces, so what would be several tags elsewhere is often one clause between two commas.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..layout.places import Place, read_position
from ..tags import PlacedTag
from ..words import gender_of, joint_interaction
from .plain_words import people_in

_ONE = r"(?:有|还有)?(?:[一1]?[个名位只]|[一1１]人の)?"
_PERSON = r"(?P<person>[小美]?(?:[女男](?:孩子?|生|人|性|子)|少[女年]))"
_WHO = rf"{_ONE}(?![两二俩三四五六七八九十几2-9])(?P<features>.*?)的?{_PERSON}"
_STANDS = r"(?:(?P<pose>[站坐蹲躺跪])?(?P<place>(?:在|位于|处于).+))"
_PLACE_FIRST = r"(?P<place>.{1,8}?)(?:(?:是|有)|(?P<pose>站着|坐着))"
_PERSON_LAST = re.compile(rf"{_PLACE_FIRST}{_WHO}")
_PERSON_FIRST = re.compile(rf"{_WHO}{_STANDS}?")
_JA_WHO = (
    r"(?:(?:[一1１]人|ひとり)の)?(?![二三四五六七八九2-9])(?P<features>[^がはに]*?)の?"
    r"(?P<person>女の子|男の子|女性|男性|少女|少年|女子|男子)"
)
_JA_PERSON_FIRST = re.compile(rf"{_JA_WHO}[がは](?P<pose>)(?P<place>.+)")
_JA_PERSON_LAST = re.compile(rf"(?P<place>.{{1,8}}?)(?:には?|の|で){_JA_WHO}(?P<pose>)(?:が(?:いる|立っている))?")
_JA_DOES = re.compile(r"(?:(?<=て)|(?<=で)|して)(?:いる|います)$")
_ALL = "他们|她们|它们|[两二俩](?:个?人)?|大家|みんな|彼ら|彼女たち"
_TOGETHER = re.compile(rf"(?:{_ALL})(?:都|一起|とも|[はが])?(?P<rest>.+)")
_HAS = re.compile(r"^(?:身)?(?:穿着?|戴着?|有着?|留着?|扎着?|长着)")
_LONGEST = 60  # signs; a longer clause is a sentence


@dataclass(frozen=True)
class Clause:
    """Tags that belong together; `shared` if they are of the whole picture whoever was spoken of before."""

    tags: tuple[PlacedTag, ...]
    shared: bool = False


def clauses(tags: list[PlacedTag]) -> list[Clause]:
    """The list cut before every clause that speaks of someone new, or of everyone; a list without any is one clause."""
    found: list[Clause] = []
    for tag in tags:
        cut = _someone(tag) or _everyone(tag)
        if cut is not None:
            found.append(cut)
        elif found and not found[-1].shared:
            found[-1] = Clause((*found[-1].tags, tag))
        else:
            found.append(Clause((tag,)))
    return found or [Clause(())]


def _someone(placed: PlacedTag) -> Clause | None:
    tag = placed.tag
    if len(tag.text) > _LONGEST or (people_in(tag.text) or ("", 1))[1] > 1:
        return None
    forms = ((_PERSON_LAST, True), (_JA_PERSON_LAST, True), (_JA_PERSON_FIRST, False), (_PERSON_FIRST, False))
    found = ((form.fullmatch(tag.text), placed_first) for form, placed_first in forms)
    match = next((match for match, first in found if match and (not first or _is_place(match["place"]))), None)
    if match is None or gender_of(match["person"]) is None:
        return None
    place = match["place"] or ""
    if not place and not match["features"]:
        return None
    if place and not _is_place(place):
        place = place.removeprefix("在")  # 站在海边, 在看书: a scenery, or what is being done
    words = [match["person"], *_features(match["features"]), match["pose"], place]
    stripped = filter(None, (word.strip() for word in words if word))
    return Clause(tuple(placed._replace(tag=replace(tag, text=word)) for word in stripped))


def _everyone(placed: PlacedTag) -> Clause | None:
    tag = placed.tag
    match = _TOGETHER.fullmatch(tag.text) if len(tag.text) <= _LONGEST else None
    if match is None:
        return None
    rest = _JA_DOES.sub("", match["rest"])
    for at in range(len(rest)):
        if joint_interaction(rest[at:]):
            where = rest[:at].removeprefix("在").removesuffix("で")
            words = filter(None, (where.strip(), rest[at:].strip()))
            return Clause(tuple(placed._replace(tag=replace(tag, text=word)) for word in words), shared=True)
    return None


def _features(text: str) -> Iterator[str]:
    for piece in text.split("的"):  # not at 和, which begins words such as 和服
        if word := _HAS.sub("", piece):
            yield word


def _is_place(text: str) -> bool:
    place, unknown = read_position((text,))
    return not unknown and place != Place()
