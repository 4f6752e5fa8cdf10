"""Where everyone says they stand: words -> anchors on the 0..1000 grid, and the order that they ask of each other.

Positions are English, Chinese, Japanese, percentages or four numbers; relations are to somebody by id or name.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

from ..messages import Message
from ..scene import GRID, Box, Character, PromptError, Scene
from ..words import character_id, nearest, word_key

# Where a person's middle stands. Plain left and right are quarters: two people fill the picture between them.
ANCHORS = {
    "far_left": 150.0, "left": 250.0, "center_left": 375.0, "center": 500.0, "center_right": 625.0, "right": 750.0,
    "far_right": 850.0,
}  # fmt: skip

_SIDES = {"left": "left", "right": "right", "lefthand": "left", "righthand": "right"}
_FAR = {"leftmost": "left", "rightmost": "right"}
_MIDDLE_WORDS = "center centre centered centred middle mid central midground"
_MIDDLES = frozenset(_MIDDLE_WORDS.split())
_HEIGHTS = {"top": "top", "upper": "top", "bottom": "bottom", "lower": "bottom", "topmost": "top"}
_DEPTHS = {
    "foreground": "foreground", "front": "foreground", "near": "foreground", "closest": "foreground",
    "background": "background", "back": "background", "distance": "background", "distant": "background",
}  # fmt: skip
_SLIGHT = frozenset({"slightly", "bit", "somewhat", "off"})  # `slightly left` is between left and the middle
# The grammar of a place: [stands] [on the] SIDE [side, half, edge] [of the picture, by any of its names].
_FILLER_WORDS = """
    on in at the a an of to from by over is are be positioned placed located situated posed seen shown drawn
    standing stands stand sitting sits sit seated kneeling kneels lying lies crouching squatting appearing appears
    side sides part portion area half third quarter two thirds corner edge end hand zone section region border most
    image picture screen frame canvas scene illustration composition viewer camera shot photo photograph drawing
    painting artwork art view page pic panel render artboard viewport field visual whole full plane audience
    observer spectator viewers cameras perspective towards toward closer close occupying occupies filling fills
    character person figure quadrant column your our my she he it they
"""
_FILLERS = frozenset(_FILLER_WORDS.split())
_KNOWN = frozenset(
    {*_SIDES, *_FAR, *_MIDDLES, *_HEIGHTS, *_DEPTHS, *_SLIGHT, "far", "extreme", "very", "x", "y", "full-frame"}
)
_MODIFIERS = _SLIGHT | {"far", "extreme", "very", "x", "y"}  # nothing by themselves
_FULL = frozenset(
    {"full_frame", "fullframe", "whole_picture", "whole_image", "full_screen", "full_image", "whole_frame",
     "entire_frame", "entire_image", "entire_picture", "whole_canvas"}
)  # fmt: skip
WORDS = sorted(
    {*ANCHORS, *_MIDDLES, *_HEIGHTS, *_DEPTHS, "left_side", "right_side", "center_x", "center_y", "full_frame"}
)
# `left, facing the viewer`: how someone stands is no place, and says nothing about the side.
_POSTURE = re.compile(r"_(?:and_)?(?:facing|looking|turned|turning|gazing|leaning|pointing|staring|glancing)_.+$")
_FACES = re.compile("(?:面|脸|臉|身体|目光|视线)?[朝向](?!かって)|(?:面|看)[对對着]|[看望][向着]")
_MOVES = re.compile(r"^[a-z]+(?:ing|s)_(?=(?:on|at|in)_(?:the_)?[a-z]+)")  # `walking on the left`, not `walking left`
_AT = re.compile(r"(?:^|_)near_(?=(?:the_)?(?:left|right|top|bottom|upper|lower|center|middle))")  # no depth
_JUST = re.compile(r"(?:^|_)right_(?=(?:in|at)_the_(?:very_)?(?:center|centre|middle|front|back))")  # no side
_OF_LETTER = re.compile(r"_(?:of|from|above|below|over|under|behind|beneath)_[axy]$")  # somebody named A, X or Y
_PUNCTUATION = re.compile(r"[,.!()（），。/／|+&]")
_NO_PLACE = re.compile(r"back_to_back|(?:front|back|top|bottom|upper|lower|center|near)_(?:view|shot|page)")

# Chinese and Japanese, longest first: 左上 is read as 左 and 上. The picture's names, verbs and particles are "".
_NOTHING = """
    画面 画布 图片 图像 图画 照片 相片 插画 插图 镜头 构图 屏幕 场景 视野 画框 页面 观众 观者 畫面 圖片 畫布
    鏡頭 構圖 螢幕 場景 画像 写真 絵 イラスト 構図 カメラ キャンバス スクリーン フレーム シーン 見る人 視聴者
    站在 站立于 坐在 蹲在 躺在 跪在 趴在 位于 位於 处于 處於 处在 出现在 出現在 立っている 立って 立つ
    座っている 座って 座る いる ある 三分之一 部分 部 区域 一侧 一側 一边 一邊 手边 手邊 边 侧 方 面 角 角度
    视角 視角 位置 三分之二 二分之一 図 向かって 観客 半分 半 端 在 的 靠 处 處 于 於 邊 側 辺 の に で へ から
    图 圖 站 坐 화면 그림 위치 서_있는 서_있다 있는 있다 에서 에 의 편
"""
_SIGNS = {
    "水平居中": "center_x", "垂直居中": "center_y", "全屏": "full frame", "全幅": "full frame", "满屏": "full frame",
    "滿屏": "full frame", "整个画面": "full frame", "整個畫面": "full frame", "全画面": "full frame",
    "画面全体": "full frame", "整个": "full frame", "前景": "foreground", "前面": "foreground", "前方": "foreground",
    "手前": "foreground", "最前": "foreground", "背景": "background", "后景": "background", "後景": "background",
    "远景": "background", "遠景": "background", "后面": "background", "後面": "background", "后方": "background",
    "後方": "background", "远处": "background", "遠處": "background", "後ろ": "background", "うしろ": "background",
    "奥": "background", "最左": "far left", "最右": "far right", "极左": "far left", "极右": "far right",
    "左端": "far left", "右端": "far right", "偏左": "center left", "偏右": "center right", "中左": "center left",
    "中右": "center right",
    "左寄り": "center left", "右寄り": "center right", "やや左": "center left", "やや右": "center right",
    "左より": "center left", "右より": "center right", "稍左": "center left", "稍右": "center right",
    "正中间": "center", "正中間": "center", "正中央": "center", "正中": "center", "中央": "center", "中间": "center",
    "中間": "center", "居中": "center", "居左": "left", "居右": "right", "中部": "center", "中心": "center",
    "真ん中": "center", "まん中": "center", "センター": "center", "左": "left", "右": "right", "ひだり": "left",
    "맨_왼쪽": "far left", "맨_오른쪽": "far right", "왼쪽": "left", "좌측": "left", "오른쪽": "right", "우측": "right",
    "가운데": "center", "중앙": "center", "중간": "center", "위쪽": "top", "상단": "top", "아래쪽": "bottom",
    "하단": "bottom", "앞쪽": "foreground", "전경": "foreground", "뒤쪽": "background", "배경": "background",
    "みぎ": "right", "上": "top", "顶": "top", "頂": "top", "下": "bottom", "底": "bottom", "中": "center",
    "←": "left", "→": "right", "↑": "top", "↓": "bottom", "↖": "top left", "↗": "top right", "↙": "bottom left",
    "↘": "bottom right", "⬅": "left", "➡": "right", "⬆": "top", "⬇": "bottom", "\ufe0f": "",
}  # fmt: skip
_CHINESE = sorted(
    (*_SIGNS.items(), *((word, "") for word in _NOTHING.split())), key=lambda pair: len(pair[0]), reverse=True
)
_PERCENT = re.compile(r"(?:([xy])\s*[=:]?\s*)?([0-9]{1,3}(?:\.[0-9]{1,4})?)\s*[%％]", re.IGNORECASE)
_NUMBER = re.compile(r"[\[(（]?\s*(-?[0-9]{1,4}(?:\.[0-9]{1,4})?)\s*[\])）]?")
_ON_AXIS = re.compile(rf"(?:([xy])\s*[=:：]\s*)?{_NUMBER.pattern}", re.IGNORECASE)

# Axes; on each, what comes first is further left, higher up, further away.
ACROSS, DOWN, DEPTH = "across", "down", "depth"
_LONGEST = 120  # no position is longer, and none is looked for in what is


def _relation_pattern(english: str, signs: str) -> re.Pattern[str]:
    """Both as word_key() spells them; the group is whom it is about."""
    english = english.replace("OTHER", "(?P<english>.+)")
    stands = "に_?(?:いる|立つ|立っている|座っている)?|で"
    signs = rf"(?:[站坐]?在|位于|位於)?(?P<signs>.+?)_?[的の의]?_?(?:{signs})(?:{stands}|에)?"
    return re.compile(rf"(?:(?:[a-z]+(?:ing|ed)|is|stands|sits)_)*(?:{english})|{signs}")


def _side_pattern(side: str, signs: str) -> re.Pattern[str]:
    side = f"{side}(?:_hand)?(?:_side)?"
    english = rf"(?:(?:on|to|at)_)?(?:the_)?{side}_(?:of|from)_OTHER|(?:(?:on|to|at)_)?(?P<owner>.+)['’]s?_{side}"
    return _relation_pattern(english, f"(?:{signs})手?[边侧面方邊側辺隣]?")


_RELATIONS = (
    (ACROSS, True, _side_pattern("left", "左|왼쪽|좌측")),
    (ACROSS, False, _side_pattern("right", "右|오른쪽|우측")),
    (DEPTH, True, _relation_pattern("behind_OTHER", "[身背][后後]|[后後][面方边邊ろ]|うしろ|奥|뒤쪽?")),
    (DEPTH, False, _relation_pattern("in_front_of_OTHER", "[身面]前|前[面方边邊]|手前|(?<=の)前")),
    (DOWN, True, _relation_pattern("(?:above|over|on_top_of)_OTHER", "上[面方边邊]|之上|头顶|(?<=の)上")),
    (DOWN, False, _relation_pattern("(?:below|under|underneath|beneath)_OTHER", "下[面方边邊]|之下|(?<=の)下")),
)


@dataclass(frozen=True)
class Relation:
    """Someone's place against another's: before it on this axis, or behind it. `other` is the id or name as typed."""

    axis: str
    before: bool
    other: str


@dataclass(frozen=True)
class Place:
    """What a position field says; None where it says nothing."""

    x: float | None = None  # the middle, on the grid
    y: float | None = None  # the middle, stated as a number
    side: str = ""  # the word behind x; empty for a number: words leave some play, numbers none
    row: str | None = None  # "top", "center", "bottom"
    depth: str | None = None  # "foreground", "background"
    box: Box | None = None  # four numbers, or the full frame
    relations: tuple[Relation, ...] = ()


def read_position(texts: Iterable[str]) -> tuple[Place, tuple[str, ...]]:
    """The place that these tags state together, and those of them that say nothing about a place."""
    texts = list(texts)
    box = _box(texts)
    if box is not None:
        return Place(box=box), ()
    place, unknown, loose_center = Place(), [], False
    numbers = numbers_in(texts)
    for text in texts:
        if text in numbers:
            axis, value = numbers[text]
            place = replace(place, x=value, side="") if axis == "x" else replace(place, y=value)
            continue
        percent = _PERCENT.fullmatch(text.strip())
        if percent and float(percent.group(2)) <= 100:
            value = float(percent.group(2)) * GRID / 100
            axis = (percent.group(1) or ("x" if place.x is None else "y")).lower()
            place = replace(place, x=value, side="") if axis == "x" else replace(place, y=value)
            continue
        words = _words(text) if len(text) <= _LONGEST else None
        if words is None:
            relation = _relation(text) if len(text) <= _LONGEST else None
            if relation is None:
                unknown.append(text)
            else:
                place = replace(place, relations=(*place.relations, relation))
            continue
        place, center = _with_words(place, words)
        loose_center = loose_center or center
    if loose_center:  # "left, center" is about the height, "top, center" about the side, "center" alone about both
        if place.x is None:
            place = replace(place, x=ANCHORS["center"], side="center")
        elif place.row is None and place.y is None:
            place = replace(place, row="center")
    return place, tuple(unknown)


def numbers_in(texts: Sequence[str]) -> dict[str, tuple[str, float]]:
    """`x=300`, `y: 0.5`, and of two numbers alone the one across and the one down: axis and place on the grid."""
    matches = {text: match for text in texts if (match := _ON_AXIS.fullmatch(text.strip()))}
    bare = [text for text, match in matches.items() if not match.group(1)]
    axes = dict(zip(bare, "xy", strict=True)) if len(bare) == 2 == len(matches) else {}
    axes |= {text: match.group(1).lower() for text, match in matches.items() if match.group(1)}
    values = {text: float(matches[text].group(2)) for text in axes}
    scale = GRID if all(value <= 1 for value in values.values()) else 1
    return {text: (axes[text], value * scale) for text, value in values.items() if 0 <= value * scale <= GRID}


def disagreeing(texts: Iterable[str]) -> tuple[str, str] | None:
    """Two of these tags that state opposite places, as `left` and `far right` do; the later one counts."""
    said: dict[str, str] = {}
    for text in texts:
        words = _words(text) if len(text) <= _LONGEST else None
        side, row, depth, _ = _named_by(words) if words else ("", "", "", False)
        for stated in filter(_OPPOSITE.get, (side.split("_")[-1], row, depth)):
            if (other := said.get(_OPPOSITE[stated])) is not None:
                return other, text
            said[stated] = text
    return None


_OPPOSITES = (("left", "right"), ("top", "bottom"), ("foreground", "background"))
_OPPOSITE = {one: other for pair in _OPPOSITES for one, other in (pair, pair[::-1])}


def nearest_position(text: str) -> str:
    """The word it may be misspelt from; a posture such as `facing right` is from none."""
    if _POSTURE.search(f"_{word_key(text)}"):
        return ""
    return nearest(word_key(text), WORDS, 0.75)


@lru_cache(maxsize=1024)
def _relation(text: str) -> Relation | None:
    """`left of miku`, `behind character_2`, `在初音的右边`: whether there is such a person is for the scene to say."""
    key = word_key(text)
    if _FACES.match(key):
        return None
    for axis, before, pattern in _RELATIONS:
        match = pattern.fullmatch(key)
        if match:
            other = next(filter(None, match.groups()))
            return Relation(axis, before, other.strip("_").removeprefix("the_"))
    return None


@lru_cache(maxsize=1024)
def _words(text: str) -> tuple[str, ...] | None:
    """The known words of one tag, fillers left out; None if it has any other."""
    key = word_key(_PUNCTUATION.sub(" ", text))
    if _FACES.match(key) or _OF_LETTER.search(key):
        return None
    if not key.isascii():
        for signs, english in _CHINESE:
            key = key.replace(signs, f" {english} ")
        key = word_key(key)
    for full in _FULL:
        key = key.replace(full, "full-frame")
    if _NO_PLACE.fullmatch(key):
        return None
    key = _JUST.sub("_", _AT.sub("_", key))
    key = _MOVES.sub("", _POSTURE.sub("", key)).replace("’s", "").replace("'s", "")
    words = [word for word in key.split("_") if word and word not in _FILLERS]
    known = _KNOWN.issuperset(words) and not _MODIFIERS.issuperset(words)
    return tuple(words) if words and known and not {"left", "right"}.issubset(words) else None


@lru_cache(maxsize=1024)
def _named_by(words: tuple[str, ...]) -> tuple[str, str, str, bool]:
    """Side, row and depth that the words of one tag name, and whether it says "center" without saying of what."""
    far = next((_FAR[word] for word in words if word in _FAR), "")
    side = far or next((_SIDES[word] for word in words if word in _SIDES), "")
    row = next((_HEIGHTS[word] for word in words if word in _HEIGHTS), "")
    depth = next((_DEPTHS[word] for word in words if word in _DEPTHS), "")
    center = any(word in _MIDDLES for word in words)
    if center and "x" in words:
        side, center = "center", False
    elif center and "y" in words:
        row, center = "center", False
    elif side and (center or not _SLIGHT.isdisjoint(words)):
        side, center = f"center_{side}", False
    elif center and row:
        side, center = "center", False
    elif far or (side and not {"far", "extreme", "very"}.isdisjoint(words)):
        side = f"far_{side}"
    return side, row, depth, center


def _with_words(place: Place, words: tuple[str, ...]) -> tuple[Place, bool]:
    """The place with what one tag adds, and whether it says "center" without saying of what."""
    if "full-frame" in words:
        return replace(place, box=Box(0, 0, GRID, GRID)), False
    side, row, depth, center = _named_by(words)
    x, side = (ANCHORS[side], side) if side else (place.x, place.side)
    return replace(place, x=x, side=side, row=row or place.row, depth=depth or place.depth), center


def _edges(texts: Sequence[str]) -> list[float]:
    matches = [_NUMBER.fullmatch(text.strip()) for text in texts]
    return [float(match.group(1)) for match in matches if match] if len(matches) == 4 and all(matches) else []


def in_fractions(texts: Sequence[str]) -> bool:
    """Whether these are a box's four numbers as fractions of the picture."""
    edges = _edges(texts)
    return bool(edges) and max(edges) <= 1


def _box(texts: Sequence[str]) -> Box | None:
    """Four numbers that make a box inside the grid."""
    edges = _edges(texts)
    if not edges:
        return None
    left, top, right, bottom = (edge * GRID for edge in edges) if in_fractions(texts) else edges
    inside = all(math.isfinite(edge) and 0 <= edge <= GRID for edge in (left, top, right, bottom))
    return Box(left, top, right, bottom) if inside and left < right and top < bottom else None


# Who stands left of, above or behind whom: what characters say of each other, made sure of and put in order.
# On every axis a link says that one comes before another: further left, higher up, further away.


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
    """The one who is meant; of several with this very name the first, and nobody where words are all they share."""
    meant = meant_by(characters, name, speaker)
    named = any(word_key(characters[i].name) == word_key(name) for i in meant)
    return meant[0] if len(meant) == 1 or named else None


def meant_by(characters: Sequence[Character], name: str, speaker: int) -> tuple[int, ...]:
    """By id, by name, or by words that a name holds. The speaker itself only if nobody else has that name."""
    key, id = word_key(name), character_id(name.strip())
    others = [i for i in range(len(characters)) if i != speaker]
    by_id = [i for i in (*others, speaker) if characters[i].id == id]
    named = [i for i in others if key and word_key(characters[i].name) == key]
    itself = [speaker] if key and word_key(characters[speaker].name) == key else []
    words = set(filter(None, _NAME_PARTS.split(key)))
    having = [i for i in others if words and words <= set(_NAME_PARTS.split(characters[i].name.lower()))]
    return tuple(by_id or named or itself or having)


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
