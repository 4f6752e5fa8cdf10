"""Words for camera and build -> the shape of everyone's box: how wide for its height, how tall, how near.

A box is never narrower than 1 : 3.2, so that nobody is a line; the built-in model knows people from 2 : 3 to 1 : 3.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from ..scene import GRID, Character, Scene, Tag
from ..words import word_key

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
