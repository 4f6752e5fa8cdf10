"""The words people use, in English and Chinese: names of elements, words for gender, interactions that join two."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

ROOTS = frozenset({"img", "image", "scene", "prompt", "xml", "characters", "场景", "画面", "提示词"})
GENERAL_BLOCK = frozenset({"general_tags", "general", "general_tag", "通用标签", "整体标签", "通用"})
LORA_ELEMENTS = frozenset({"lora", "loras", "lyco", "locon"})

CHARACTER_FIELDS = (
    "gender", "appearance", "clothing", "body_type", "expression", "action", "interaction", "position", "other",
)  # fmt: skip
GENERAL_FIELDS = (
    "count", "artists", "style", "background", "environment", "perspective", "atmosphere", "lighting", "quality",
    "objects", "other",
)  # fmt: skip

# Other spellings of an element -> its name. `n` is how the released weights' prompts spell the name.
_CHARACTER_SYNONYMS = {
    "n": "name", "pose": "action", "clothes": "clothing", "outfit": "clothing", "body": "body_type",
    "名字": "name", "姓名": "name", "名称": "name", "性别": "gender", "外貌": "appearance", "外观": "appearance",
    "长相": "appearance", "服装": "clothing", "衣服": "clothing", "服饰": "clothing", "体型": "body_type",
    "身材": "body_type", "表情": "expression", "动作": "action", "姿势": "action", "互动": "interaction",
    "交互": "interaction", "位置": "position", "边框": "bbox", "负面": "negative", "反向": "negative", "其他": "other",
    "其它": "other",
}  # fmt: skip
_GENERAL_SYNONYMS = {
    "artist": "artists", "数量": "count", "人数": "count", "画师": "artists", "艺术家": "artists", "风格": "style",
    "画风": "style", "背景": "background", "环境": "environment", "视角": "perspective", "构图": "perspective",
    "氛围": "atmosphere", "气氛": "atmosphere", "光照": "lighting", "光线": "lighting", "灯光": "lighting",
    "质量": "quality", "画质": "quality", "物体": "objects", "物品": "objects", "其他": "other", "其它": "other",
    "描述": "caption", "说明": "caption", "互动": "interaction", "交互": "interaction", "间距": "spacing",
    "负面": "negative", "系统": "system",
}  # fmt: skip

CHARACTER_ELEMENTS = {
    **{name: name for name in (*CHARACTER_FIELDS, "name", "bbox", "negative")},
    **_CHARACTER_SYNONYMS,
}
GENERAL_ELEMENTS = {
    **{name: name for name in (*GENERAL_FIELDS, "caption", "interaction", "spacing", "negative", "system")},
    **_GENERAL_SYNONYMS,
}

_CHARACTER = re.compile(r"(?:character|char|角色|人物)[_\-]?([0-9]{1,9}|[一二三四五六七八九十]?)", re.IGNORECASE)
_CHINESE_DIGITS = {digit: str(i) for i, digit in enumerate("一二三四五六七八九十", start=1)}

UNSTATED = "unstated"  # a gender that nobody has said
_GENDERS = {
    "girl": "girl girls woman women female lady she 女 女孩 女性 女生 女人 少女 女子 女孩子 女士",
    "boy": "boy boys man men male guy he 男 男孩 男性 男生 男人 少年 男子 男孩子 男士",
    "other": "other others androgynous nonbinary non_binary genderless 其他 无性 中性 无性别",
}
GENDER_WORDS = {word: gender for gender, words in _GENDERS.items() for word in words.split()}
_COUNT = re.compile(r"[0-9]{1,2}\+?|[一二两三四五六七八九十]?[个名位]?")

# What two people do with each other's bodies; a character that names one means the other one too.
_JOINT = {
    "handshake": "handshake, shaking_hands, shake_hands, hand_shake, 握手",
    "hug": "hug, hugging, embrace, embracing, 拥抱, 抱在一起",
    "holding_hands": "holding_hands, hold_hands, hand_in_hand, 牵手, 手牵手, 拉手",
    "kiss": "kiss, kissing, 接吻, 亲吻",
    "high_five": "high_five, high_fiving, 击掌",
    "carrying": "carrying, carrying_person, princess_carry, piggyback, 抱起, 公主抱, 背着",
    "back-to-back": "back_to_back, 背靠背",
}
JOINT_INTERACTIONS = {word: kind for kind, words in _JOINT.items() for word in words.split(", ")}


# https://www.w3.org/TR/xml/#NT-NameStartChar without the colon (prompts have no namespaces), and without the marks
# that Chinese writes beside words: 、。「」 and the full-width forms.
_START = (
    "A-Z_a-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02ff\u0370-\u037d\u037f-\u1fff\u200c\u200d\u2070-\u218f\u2c00-\u2fef"
    "\u3005-\u3007\u3021-\u302f\u3031-\u3035\u3038-\ud7ff\uf900-\ufdcf\ufdf0-\ufeff\U00010000-\U000effff"
)
NAME = rf"[{_START}][{_START}0-9.\-\u00b7]*+"  # of an element or attribute
MAX_NAME = 64
_WHOLE_NAME = re.compile(NAME)


def is_field_name(name: str, known: Mapping[str, str]) -> bool:
    """Whether an element of this name is read as a field of this name, where `known` elements may stand."""
    key = name.lower()
    frame = key in GENERAL_BLOCK | LORA_ELEMENTS or (key in ROOTS and known is GENERAL_ELEMENTS)
    return is_name(name) and not frame and character_id(name) is None and known.get(key, name) == name


def is_name(name: str) -> bool:
    return len(name) <= MAX_NAME and _WHOLE_NAME.fullmatch(name) is not None


_GAPS = re.compile(r"[\s_\-]+")


def word_key(word: str) -> str:
    """Lower case, with one underscore for every run of spaces, hyphens and underscores: how words are compared."""
    return _GAPS.sub("_", word.strip().lower()).strip("_")


def character_id(name: str) -> str | None:
    """`Character1`, `char-1`, `角色一` -> `character_1`; no number -> `character_`; any other name -> None."""
    match = _CHARACTER.fullmatch(name)
    if match is None:
        return None
    number = match.group(1)
    if number and number not in _CHINESE_DIGITS:
        number = number.lstrip("0") or "0"
    return f"character_{_CHINESE_DIGITS.get(number, number)}"


def nearest(name: str, known: Iterable[str], cutoff: float = 0.7) -> str:
    """The known name most like this one, or an empty string."""
    return next(iter(get_close_matches(name.lower()[:64], list(known), 1, cutoff)), "")


def gender_of(word: str) -> str | None:
    """`1girl`, `2boys`, `woman`, `一个女孩` -> girl, boy or other; None for any other word."""
    key = word_key(word)
    count = _COUNT.match(key)
    rest = key[count.end() :].strip("_") if count else key
    return GENDER_WORDS.get(key) or GENDER_WORDS.get(rest)


def joint_interaction(text: str) -> str | None:
    """The joint interaction that a character's own words name ("handshake with miku"), or None."""
    key = word_key(text)
    if key in JOINT_INTERACTIONS:
        return JOINT_INTERACTIONS[key]
    parts = key.split("_")
    starts = ("_".join(parts[:size]) for size in range(min(len(parts), 3), 0, -1))
    return next((JOINT_INTERACTIONS[start] for start in starts if start in JOINT_INTERACTIONS), None)


# Where a text names a gender: `1girl`, `two boys`, `she`, `少女`.
_NAMING = [word for word, gender in GENDER_WORDS.items() if gender != "other"]  # "other" is an ordinary word
_LATIN = "|".join(sorted(filter(str.isascii, _NAMING), key=len, reverse=True))
_CHINESE_NAMING = "|".join(sorted((w for w in _NAMING if not w.isascii() and len(w) > 1), key=len, reverse=True))
_SIGN = "|".join(w for w in _NAMING if not w.isascii() and len(w) == 1)  # alone: 女 is part of many other words
_LINE = r"(?<=(?<!\\)\\[nrt])"  # the template writes a new line as two letters
_NAMED = re.compile(
    rf"(?:(?<![A-Za-z])|{_LINE})(?:{_LATIN})(?![A-Za-z])|{_CHINESE_NAMING}|(?<![\u4e00-\u9fff])(?:{_SIGN})(?![\u4e00-\u9fff])",
    re.IGNORECASE,
)


def gender_spans(text: str) -> tuple[tuple[int, int, str], ...]:
    """(start, end, girl or boy) of every word of text that names a gender, in order."""
    return tuple((*match.span(), GENDER_WORDS[match.group().lower()]) for match in _NAMED.finditer(text))
