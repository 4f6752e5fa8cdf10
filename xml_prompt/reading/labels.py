"""Plain text -> parts, each with the label that begins it: `Mira:`, `**Mira**`, `## Character 1`, `【背景】`.

A part ends at `;` `；` a line end, `BREAK` and its like, and a `|` between spaces. A label stands where a part begins,
in any dress, or, known or capitalised, in the middle of one. One with nothing behind it is of the parts that follow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..layout.places import Place, read_position
from ..messages import Message
from ..tags import PlacedTag, TagError, bracketed
from ..words import GENERAL_BLOCK, LISTS, ROOTS, character_id, gender_of, joint_interaction, word_key
from .fields import character_field, picture_field
from .plain_words import field_of_person, field_of_picture, people_in

MAX_COLONS = 4096

WORDS_THAT_BREAK = r"\b(?:BREAK|ADDCOMM|ADDBASE|ADDCOL|ADDROW|AND)\b"
_STOP = r"(?<=\w)\.[ \t]+(?=[0-9]{1,2}(?:girl|boy|other)s?\b)"
_BREAK = re.compile(rf"\s{{0,8}}{WORDS_THAT_BREAK}|[;；\n]|(?<!\S)\|(?!\S)|{_STOP}")
_BAR = re.compile(r"\||(?<=\s)[/／+＋](?=\s)")
_COLON = re.compile(
    r"[:：]|(?<![=＝])[=＝](?![=＝])|(?<=背景|场景|場景|风格|風格|画风|畫風|氛围|氛圍|光线|光線)[是为為は]"
)
_WEIGHT = re.compile(r"\s*[0-9]*\.?[0-9]+\s*(?:[,，、;；\n)）]|$)")
_CHUNK_END = re.compile(r"[,，、。.!?！？]\s*")
_BULLET = re.compile(
    r"^[ \t]*(?:(?:[-*•·●▪>]|[0-9]{1,2}[.)、）]|[(（][0-9]{1,2}[)）])[ \t]+|[①-⑳][ \t]*)", re.MULTILINE
)
_STARS = re.compile(r"\*\*(?!\*)")
_SPACE = " \t\n,，、*_"
_LABEL_WORDS, _LABEL_SIGNS = 4, 40

_IN_LINE = r"[^\n:：\[\]【】「」《》<>{}|]{1,60}?"
_PROMPT = re.compile(
    r"\s*[*_]*(?:positive[ _]prompt|positive|prompt|正[面向]提示词|提示词|プロンプト)[*_]*\s*[:：][*_]*", re.IGNORECASE
)
_HASHES = re.compile(r"\s*#{1,6}\s+")
_HEADING = re.compile(rf"\s*#{{1,6}}\s*(?P<label>{_IN_LINE})\s*#*\s*[:：]?\s*$")
_RULED = re.compile(
    rf"\s*(?P<rule>={{2,}}|-{{2,}}|~{{2,}}|\*{{2,3}})\s*(?P<label>{_IN_LINE})\s*(?:={{2,}}|-{{2,}}|~{{2,}}|\*{{2,3}})\s*$"
)
_STARRED = re.compile(
    rf"\s*(?:#{{1,6}}\s*)?[*_`]{{1,3}}(?P<label>{_IN_LINE})(?:[*_`]{{1,3}}\s*(?:[:：]|[-–—]\s)|\s*[:：]\s*[*_`]{{1,3}})"
)
_TITLED = re.compile(rf"\s*[【「《〖](?P<label>{_IN_LINE})[】」》〗]\s*[:：]?")
_SQUARE = re.compile(rf"\s*\[(?P<label>{_IN_LINE})\]\s*(?P<colon>[:：]?)")
_ASIDE = re.compile(
    r"\s*(?:#{1,6}\s*)?(?P<label>[^\n:：,，、;；()（）\[\]{}<>|]{1,40}?\s*[(（][^\n()（）]{1,40}[)）])\s*[:：](?![0-9.])"
)
_DASH = r"(?P<label>[A-Z][\w.'’ ]{0,30}?|[\u3040-\u30ff\u4e00-\u9fff]{1,8})\s+(?:[-–—=→]|->|=>)\s+"
_DASHED = re.compile(rf"\s*{_DASH}")
_DASHED_LINE = re.compile(rf"^[ \t]*{_DASH}", re.MULTILINE)
_LETTERED = re.compile(r"\s*(?P<label>[A-Z]|[A-Z][a-z]+)\s*(?:[)=]|\.(?=[0-9]))\s*")
_PARENED = re.compile(r"\s*[(（](?P<label>[^\n()（）:：,，]{1,40})[)）]\s*")
_DRESSES = (_HEADING, _RULED, _STARRED, _TITLED, _SQUARE, _ASIDE, _DASHED, _LETTERED, _PARENED)
_BEFORE_A_PERSON = (_DASHED, _LETTERED, _PARENED)  # labels where a person word follows, and words elsewhere
_TIGHT = re.compile(
    r"^[ \t]*(?P<label>[A-Z][\w.'’ \-]{0,30}|[\u3040-\u30ff\u4e00-\u9fff]{1,8})[:：](?=\S)(?![0-9/.:])", re.MULTILINE
)
_NUMBERED = re.compile(r"[\s_#]*(?:[0-9]{1,2}|[A-Ha-h]|[一二三四五六七八])$")
_ORDINAL = re.compile(r"^(?:the\s+)?(?:first|second|third|fourth|1st|2nd|3rd|4th)\s+", re.IGNORECASE)

PARTS_OF_A_BODY = {
    **dict.fromkeys(("hair", "eyes", "eye", "头发", "发型", "眼睛", "髪", "髪型", "目", "瞳"), "appearance"),
    **dict.fromkeys(("face", "feelings"), "expression"),
}
_PICTURE_WORDS = "overall picture whole_picture common shared base global 整体 环境描述 公共 全体"
PICTURE = ROOTS | GENERAL_BLOCK | LISTS | frozenset(_PICTURE_WORDS.split())
_EVERYONE_WORDS = """
    both all everyone everybody together they each each_of_them both_of_them all_of_them both_girls both_boys
    both_characters all_characters both_people all_people all_three all_four the_two the_three all_girls all_boys
    两人 两个人 二人 俩人 他们 她们 大家 所有人 所有角色 三人 全员 全員 双方 每个人 二人とも ふたり ふたりとも みんな
    両方 彼ら 彼女たち
"""
EVERYONE = frozenset(_EVERYONE_WORDS.split())


@dataclass(frozen=True)
class Part:
    """A label ("" for none) and the words behind it, from start to end of the text."""

    label: str
    at: int  # where the label, or else the words, begin
    start: int
    end: int
    first: bool = True  # the label stands where its part begins, not in the middle of a list
    tight: bool = False  # nothing between the label's colon and the word behind it: `artist:name`
    heading: bool = False
    bar: bool = False  # what ended it is a | or BREAK, which put regions beside each other


def parts_of(text: str, start: int, end: int) -> list[Part]:
    """Raises TagError."""
    inside = bracketed(text)
    alike = frozenset(form for form in (_TIGHT, _DASHED_LINE) if len(form.findall(text, start, end)) > 1)
    return _headed(text, [part for first, last, bar in _runs(text, start, end, inside)
                          for part in _labelled(text, first, last, inside, alike, bar)])  # fmt: skip


def without_bullets(text: str) -> str:
    """The text with spaces for the bullets of its lines."""
    return _BULLET.sub(lambda match: " " * len(match.group()), text)


def without_stars(text: str) -> str:
    """The text with spaces for what makes words bold."""
    return _STARS.sub("  ", text)


def _runs(text: str, start: int, end: int, inside: bytearray) -> Iterator[tuple[int, int, bool]]:
    begin, bars = start, _bars(text, start, end, inside)
    breaks = sorted([match.span() for match in _BREAK.finditer(text, start, end) if not inside[match.start()]] + bars)
    for first, last in breaks:
        if first >= begin:
            yield begin, first, text[first:last].strip() not in ";；."
            begin = last
    yield begin, end, False


def _bars(text: str, start: int, end: int, inside: bytearray) -> list[tuple[int, int]]:
    """`girl, red hair|girl, blue hair`: a | without spaces separates where people stand on both sides of it."""
    found = [match.span() for match in _BAR.finditer(text, start, end) if not inside[match.start()]][:64]
    edges = [start, *(last for _, last in found)], [*(first for first, _ in found), end]
    runs = [re.split("[,，、]", text[first:last]) for first, last in zip(*edges, strict=True)]
    return found if sum(any(people_in(tag.strip()) for tag in run) for run in runs) > 1 else []


# Labels


def _labelled(
    text: str, start: int, end: int, inside: bytearray, alike: frozenset[re.Pattern[str]], bar: bool
) -> Iterator[Part]:
    """One part, cut again where a label begins. alike: which forms of labels several lines have."""
    if not text[start:end].strip():
        return
    label, at, begin, first, tight = "", start, start, True, False
    if said := _PROMPT.match(text, start, end):  # `Prompt: 1girl, ...` is the prompt
        start = at = begin = said.end()
    heading = _HASHES.match(text, start, end)
    if head := _head(text, start, end, _DASHED_LINE in alike):
        label, at, begin = head
    elif heading:
        at = begin = heading.end()
    for number, colon in enumerate(_COLON.finditer(text, begin, end)):
        i = colon.start()
        if number >= MAX_COLONS:
            raise TagError(Message("This part has more than {limit} colons. Shorten it.", limit=MAX_COLONS), i)
        found = "" if inside[i] or _WEIGHT.match(text, i + 1, end) else _label_before(text, begin, i, at == begin)
        spaced = colon.group() not in ":=＝" or text[i + 1 : i + 2].isspace() or i + 1 == end
        if colon.group() in "=＝" and not (found and known(found)):
            continue
        begins = bool(found) and (at == begin or (tight and text.startswith(("(", "（"), i + 1)))
        begins = begins and _stands_tight(text, i, end, found, _TIGHT in alike)
        if not found or not (spaced or known(found) or begins):
            continue
        label_at = text.rindex(found, begin, i)
        before = text[begin:label_at].strip(" \t,，、。.")
        if label or label_at - begin > _LABEL_SIGNS or before:
            yield Part(label, at, begin, label_at, first, tight, bool(heading))
            first = not before and not label
        label, at, begin, tight = found, label_at, i + 1, not spaced
    yield Part(label, at, begin, end, first, tight, bool(heading), bar)


def _head(text: str, start: int, end: int, listed: bool) -> tuple[str, int, int] | None:
    """A label in some dress where a part begins: itself, where it begins, and where its words do."""
    for form in _DRESSES:
        match = form.match(text, start, end)
        if match is None or not re.search(r"\w", match["label"]):
            continue
        label = match["label"].strip(" \t*_`#")
        if form is _SQUARE and not match["colon"] and not known(label):
            continue  # [hat] is a weight
        if form in (_HEADING, _RULED, _STARRED, *_BEFORE_A_PERSON) and _is_tag(label):
            continue  # **red hair**, (best quality) 1girl
        described = form is _DASHED and listed and _describes(text, match.end(), end)
        if form in _BEFORE_A_PERSON and not described and not _begins_with_person(text, match.end(), end):
            continue
        return label, match.start("label"), match.end()
    return None


def _is_tag(label: str) -> bool:
    field = field_of_person(label) or field_of_picture(label)
    return not known(label) and field not in (None, "position")


def _describes(text: str, start: int, end: int) -> bool:
    """Whether the first tag of a part says what a person is like."""
    first = re.split(r"[,，、;；\n]", text[start:end], maxsplit=1)[0].strip()
    return field_of_person(first) is not None


def _begins_with_person(text: str, start: int, end: int) -> bool:
    return people_in(re.split(r"[,，、;；\n]", text[start:end], maxsplit=1)[0].strip()) is not None


def _stands_tight(text: str, colon: int, end: int, label: str, many: bool) -> bool:
    """`A:1girl`, `Mira:(smile)`: a label without a space behind it, which what follows or another such line shows."""
    if text[colon + 1 : colon + 2] in ("/", ":", "：", ")", ""):
        return False
    if re.fullmatch(r"[A-Z]", label):
        return True
    named = label[0].isupper() or not label.isascii()
    return named and (many or text[colon + 1] in "(（" or _begins_with_person(text, colon + 1, end))


def _label_before(text: str, start: int, colon: int, first: bool) -> str:
    """The label that ends at this colon, or an empty string."""
    window = max(start, colon - 2 * _LABEL_SIGNS)
    chunk_start = max([window, *(end.end() for end in _CHUNK_END.finditer(text, window, colon))])
    chunk = text[chunk_start:colon].strip()
    words = chunk.split()
    if not words or re.search(r"[()\[\]{}<>（）\"\\]", chunk) or not re.search(r"\w", chunk):
        return ""
    at_start = first and chunk_start == start
    short = len(words) <= _LABEL_WORDS and len(chunk) <= _LABEL_SIGNS
    if short and (at_start or known(chunk) or (chunk_start > start and chunk[0].isupper())):
        return chunk
    for size in (2, 1):
        if len(words) > size and (known(last := " ".join(words[-size:])) or (size == 1 and last[0].isupper())):
            return chunk[chunk.rindex(words[-size]) :] if size == 2 else last
    return ""


def known(label: str) -> bool:
    """Whether a label means something wherever it stands."""
    return of_a_field(label) is not None or is_person(label) or word_key(label) in EVERYONE


def is_person(label: str) -> bool:
    return character_id(word_key(label)) not in (None, "character_") or gender_of(bare_person(label)) is not None


def bare_person(label: str) -> str:
    """`girl 1`, `second girl` -> girl."""
    return _ORDINAL.sub("", _NUMBERED.sub("", label))


def of_a_field(label: str) -> str | None:
    """The field that a label names, or "picture"; None for a name or a person."""
    key = word_key(label)
    if key in PARTS_OF_A_BODY:
        return PARTS_OF_A_BODY[key]
    if key in PICTURE:
        return "picture"
    return character_field(key) or picture_field(key)


def _headed(text: str, parts: Sequence[Part]) -> list[Part]:
    """A label with nothing behind it takes the unlabelled parts that follow, up to a blank line before someone new."""
    found: list[Part] = []
    takes = False
    for part in parts:
        if takes and not part.label and not found[-1].bar:
            last = found[-1]
            empty = not text[last.start : last.end].strip(_SPACE)
            blank = text[last.end : part.start].count("\n") > 1
            if empty or not (blank and _begins_with_person(text, part.start, part.end)):
                found[-1] = replace(last, start=part.start if empty else last.start, end=part.end, bar=part.bar)
                continue
        found.append(part)
        alone = part.heading or not text[part.start : part.end].strip(_SPACE)
        takes = bool(part.label) and alone and word_key(part.label) not in LISTS
    return found


# Chinese and Japanese clauses, cut into tags: who is there, what they are like, where they stand, what they do.
#
#     一个蓝色双马尾的女孩在左边      女孩 | 蓝色双马尾 | 在左边
#     右边是穿白色外套的男孩          男孩 | 白色外套 | 右边
#     他们在海边握手                  海边 | 握手              (of the whole picture)
#     赤い髪の女の子が左にいる        女の子 | 赤い髪 | 左にいる
#
# They write no spaces, so what would be several tags elsewhere is often one clause between two commas.

_ONE = r"(?:有|还有)?(?:[一1]?[个名位只]|[一1１]人の)?"
_PERSON = r"(?P<person>[小美]?(?:[女男](?:孩子?|生|人|性|子)|少[女年])|[萝蘿]莉|御姐|正太|大叔|姑娘|妹子|[帅帥]哥|青年)"
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
