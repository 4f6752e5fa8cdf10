"""Camera words -> how tall people are against the height they'd have in a picture that says nothing of the kind."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from ..scene import Character, Scene, Tag
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
_LONGEST = 40


def zooms(scene: Scene) -> tuple[float, ...]:
    """One for each character: its own first camera word counts, else the picture's first, else 1."""
    whole = _first(scene.tags("perspective")) or _first(scene.tags("other")) or 1.0
    return tuple(_of(character) or whole for character in scene.characters)


def _of(character: Character) -> float | None:
    return _first(character.tags("action")) or _first(character.tags("other"))


def _first(tags: Iterable[Tag]) -> float | None:
    return next((zoom for zoom in (_zoom(tag.text) for tag in tags if len(tag.text) <= _LONGEST) if zoom), None)


@lru_cache(maxsize=4096)
def _zoom(text: str) -> float | None:
    return ZOOMS.get(word_key(text))
