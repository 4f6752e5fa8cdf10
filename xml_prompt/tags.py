r"""Tag lists: separators, weights, escapes, and the marks that only look like one of these.

    blue hair, (red eyes:1.2)，((smile))、[hat]; {cape} | 1.3::cat ears, tail:: | dress:1.2
    hatsune_miku_(vocaloid)     parentheses after a word are part of the name
    \(tag\)  a\,b               a backslash takes the next mark literally
    >_<  :3  ;)  <3  ^_^  |_|   emoticons are tags

A bracket weighs whole tags only: `(blue) hair` stays as typed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from .messages import Message
from .scene import Tag

SEPARATORS = ",，、;；\n"
PAREN, SQUARE, BRACE = 1.1, round(1 / 1.1, 4), 1.05  # A1111's ( ) and [ ], NovelAI's { }
MAX_NESTING = 16
MAX_MARKS = 16384  # brackets, escapes and separators in one text: far more than any list of tags has
MIN_WEIGHT, MAX_WEIGHT = 0.01, 10.0

_OPEN = {"(": ")", "（": ")", "[": "]", "{": "}"}
_CLOSE = {")": ")", "）": ")", "]": "]", "}": "}"}
_FACTOR = {"(": PAREN, "（": PAREN, "[": SQUARE, "{": BRACE}
_ESCAPABLE = frozenset("()[]{}（）\\:：" + SEPARATORS)

# Only those with a mark that would mean something else: `^_^` and `|_|` are words like any other.
_EMOTICONS = r"""
    >:( >:) >:3 >:d >;) :3 :) :( :d :p :o :q :t :x :c :i :/ :| :> :< :>= :3= ;) ;( ;3 ;d ;o ;p ;q ;_; ;w; (;_;) (:3
    (^_^) (^o^) \(^o^)/ \o/ \m/ \n/ \||/ d: c: 3: d; =) =( (o)_(o) ^_^; (>_<) (=_=) (._.) <\3
"""
EMOTICONS = frozenset(_EMOTICONS.split())
_LONGEST = max(map(len, EMOTICONS))
_FIRSTS = frozenset("".join(emoticon[0] + emoticon[0].upper() for emoticon in EMOTICONS) + "(（")
_AFTER_EMOTICON = re.compile(rf"[ \t\u3000]*(?:[{SEPARATORS})）\]}}]|[:：][0-9]*\.?[0-9]|::|$)")
_AFTER_OPEN_FACE = re.compile(rf"[ \t\u3000]*(?:[{SEPARATORS}]|$)")

_NUMBER = r"[0-9]{1,4}(?:\.[0-9]{0,8})?|\.[0-9]{1,8}"
_GROUP_WEIGHT = re.compile(rf"[:：]\s*({_NUMBER})\s*$")
_BAD_GROUP_WEIGHT = re.compile(r"[:：]\s*([-+]?[0-9.][-+0-9.,]*\s*[%％x×倍]?)\s*$")
# Bare weights need their point: `16:9` and `12:30` are words.
_BARE_WEIGHT = re.compile(r"(?<=[^\s:：\\])[:：]([0-9]{0,2}\.[0-9]{1,4})$")
_NUMERIC_BELOW = re.compile(r"(-(?:[0-9]{1,4}(?:\.[0-9]{0,8})?|\.[0-9]{1,8}))::")
_NUMERIC_GROUP = re.compile(rf"({_NUMBER})::(?!:)")

# `(´・ω・`)`, `（≧▽≦）`: brackets around marks, of which one at least is not English, and no word. No weight: a face.
_KAOMOJI = re.compile(
    r"[(（](?=[^()（）]{0,24}[^\x00-\x7f])(?=(?:[^()（）]{0,24}?[^\w\s()（）]){2})(?![^()（）]{0,24}[^\W\d_]{2})"
    r"(?![^()（）]{0,24}[:：][0-9.]+[)）])[^()（）\n]{3,24}[)）]"
)
_BETWEEN = re.compile(r"[,，、；\s]*")  # not `;`, which `;)` begins with
_OPENS, _CLOSES, _ESCAPED = (re.escape("".join(sorted(marks))) for marks in (_OPEN, _CLOSE, _ESCAPABLE))
_MARK = re.compile(rf"[{_OPENS}{_CLOSES}{SEPARATORS}]|::+|\\[{_ESCAPED}]")
_EDGE = re.compile(rf"[{_OPENS}{SEPARATORS}]")
# Without any of these there is no bracket, weight, escape or emoticon: most tags, and most lists.
_SPECIAL = re.compile(rf"[{_OPENS}{_CLOSES}\\:：;]")
_PLAIN = re.compile(rf"[^{SEPARATORS}\s](?:[^{SEPARATORS}]*[^{SEPARATORS}\s])?")


class PlacedTag(NamedTuple):
    """A tag and where in the text it begins."""

    tag: Tag
    offset: int


class TagError(ValueError):
    """A tag list that can't be read, and where in it."""

    def __init__(self, message: Message, offset: int) -> None:
        self.message, self.offset = message, offset
        super().__init__(str(message))


@dataclass(frozen=True)
class _Marks:
    """What one pass over the text settles: partner of every bracket, emoticons, and the offsets taken literally."""

    partner: dict[int, int]
    emoticon: dict[int, int]  # start -> end
    literal: frozenset[int]
    escapes: frozenset[int]  # backslashes that take the next mark literally
    unpaired: tuple[int, ...]


def emoticon_at(text: str, start: int) -> int:
    """Where the emoticon that begins here ends; start itself where there is none."""
    if (kaomoji := _KAOMOJI.match(text, start)) and _AFTER_EMOTICON.match(text, kaomoji.end()):
        return kaomoji.end()
    for size in range(min(_LONGEST, len(text) - start), 1, -1):
        face = text[start : start + size].lower()
        # `(:3` alone is a face; in `(:3)` and `(:3:1.2)` the bracket weighs one.
        after = _AFTER_OPEN_FACE if face.startswith("(") and ")" not in face else _AFTER_EMOTICON
        if face in EMOTICONS and after.match(text, start + size):
            return start + size
    return start


def _marks(text: str) -> _Marks:
    partner: dict[int, int] = {}
    emoticon: dict[int, int] = {}
    literal: set[int] = set()
    escapes: set[int] = set()
    unpaired: list[int] = []
    stack: list[int] = []

    def begin(at: int) -> int:
        """Where to go on when a tag may begin here: behind the emoticon, if it is one."""
        at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]  # it always matches
        if text[at : at + 1] in _FIRSTS and (end := emoticon_at(text, at)) > at and not _NUMERIC_GROUP.match(text, at):
            emoticon[at] = end
            literal.update(range(at, end))
            return end
        return at

    at, marks = begin(0), 0
    while found := _MARK.search(text, at):
        mark, i, at = found.group(), found.start(), found.end()
        marks += 1
        if marks > MAX_MARKS:
            message = Message("A list has more than {limit} brackets and separators. Shorten it.", limit=MAX_MARKS)
            raise TagError(message, i)
        if mark[0] == "\\":
            literal.update((i, i + 1))
            escapes.add(i)
        elif mark in _CLOSE:
            if stack and _OPEN[text[stack[-1]]] == _CLOSE[mark]:
                opened = stack.pop()
                partner[opened], partner[i] = i, opened
            else:
                unpaired.append(i)
        else:
            if mark in _OPEN:
                stack.append(i)
                if len(stack) > MAX_NESTING:
                    raise TagError(
                        Message(
                            "Brackets are nested more than {limit} deep. Write a plain bracket as \\( or \\).",
                            limit=MAX_NESTING,
                        ),
                        i,
                    )
            # The last of several colons may be the eyes of `:3`.
            at = behind if mark[0] == ":" and (behind := begin(at - 1)) > at else begin(at)
    unpaired += stack
    literal.update(unpaired)
    return _Marks(partner, emoticon, frozenset(literal), frozenset(escapes), tuple(sorted(unpaired)))


def _unescaped(text: str, start: int, end: int, marks: _Marks) -> str:
    """The words, each escaped mark without its backslash."""
    if text.find("\\", start, end) < 0:
        return text[start:end]
    return "".join(text[i] for i in range(start, end) if i not in marks.escapes)


def _placed(words: str, weight: float, offset: int) -> PlacedTag:
    if not MIN_WEIGHT <= weight <= MAX_WEIGHT:
        message = Message(
            'The weight {weight:g} of "{tag}" is out of range. Write a number from {lowest} to {highest:g}: (tag:1.2).',
            weight=weight, tag=words, lowest=MIN_WEIGHT, highest=MAX_WEIGHT,
        )  # fmt: skip
        raise TagError(message, offset)
    return PlacedTag(Tag(words, round(weight, 4)), offset)


def _numeric_group(text: str, start: int, end: int) -> tuple[re.Match[str], int] | None:
    """NovelAI's `1.2::tags::`, beginning here: the match of its weight, and the offset of the closing `::`."""
    opened = _NUMERIC_GROUP.match(text, start, end)
    close = text.find("::", opened.end(), end) if opened else -1
    return (opened, close) if opened and close >= 0 else None


def _pieces(text: str, start: int, end: int, marks: _Marks, weights: bool) -> Iterator[tuple[int, int]]:
    """The runs between separators that stand in no bracket and no emoticon, without the space around them."""
    first = at = _BETWEEN.match(text, start, end).end()  # type: ignore[union-attr]  # it always matches
    while first < end:
        if at == first and weights and (group := _numeric_group(text, at, end)):
            at = group[1] + 2
        edge = _EDGE.search(text, at, end)
        i = edge.start() if edge else end
        if edge and i in marks.literal:
            at = i + 1
        elif edge and text[i] in _OPEN:
            at = marks.partner[i] + 1 if weights and i < marks.partner.get(i, -1) < end else i + 1
        else:
            last = i
            while last > first and text[last - 1].isspace() and last - 1 not in marks.literal:
                last -= 1
            if first < last:
                yield first, last
            first = at = _BETWEEN.match(text, i + 1, end).end() if edge else end  # type: ignore[union-attr]


def _read(text: str, start: int, end: int, marks: _Marks, weights: bool, weight: float) -> Iterator[PlacedTag]:
    for first, last in _pieces(text, start, end, marks, weights):
        if not _SPECIAL.search(text, first, last):
            yield _placed(text[first:last], weight, first)
            continue
        if not weights or marks.emoticon.get(first) == last:
            words = text[first:last] if marks.emoticon.get(first) == last else _unescaped(text, first, last, marks)
            yield _placed(words, weight, first)
            continue
        numeric = _numeric_group(text, first, last)
        if numeric and numeric[1] == last - 2:
            inner = weight * float(numeric[0].group(1))
            yield from _read(text, numeric[0].end(), last - 2, marks, weights, inner)
            continue
        if below := _NUMERIC_BELOW.match(text, first, last):
            _placed(text[below.end() : last].rstrip(":"), float(below.group(1)), first)  # raises: no weight is below 0
        if marks.partner.get(first) == last - 1 and is_foreign_group(text, first, last):
            yield _placed(text[first:last], weight, first)
            continue
        if marks.partner.get(first) == last - 1:
            inside = first + 1, last - 1
            stated = _GROUP_WEIGHT.search(text, *inside)
            bad = _BAD_GROUP_WEIGHT.search(text, *inside) if text[first] in "(（" else None
            if stated and stated.start() > inside[0] and stated.start() not in marks.literal:
                inner = weight * float(stated.group(1))
                yield from _read(text, inside[0], stated.start(), marks, weights, inner)
                continue
            if bad and bad.start() not in marks.literal and inside[0] not in marks.emoticon and bad.start() > inside[0]:
                message = Message('The weight "{text}" is not a number. Write (tag:1.2).', text=bad.group(1).strip())
                raise TagError(message, bad.start(1))
            if text[inside[0] : inside[1]].strip():
                yield from _read(text, *inside, marks, weights, weight * _FACTOR[text[first]])
                continue
        bare = _BARE_WEIGHT.search(text, first, last)
        if bare and bare.start() not in marks.literal and text[first : bare.start()].strip():
            words = _unescaped(text, first, bare.start(), marks).rstrip()
            yield _placed(words, weight * float(bare.group(1)), first)
            continue
        yield _placed(_unescaped(text, first, last, marks), weight, first)


def read_tags(
    text: str, weights: bool = True, weight: float = 1.0, most: int | None = None
) -> tuple[tuple[PlacedTag, ...], tuple[int, ...]]:
    """The tags of a list, and the offsets of brackets without a partner (kept as typed). weights=False: words alone.

    Reads no more than `most` tags. Raises TagError for a weight that is no weight, and brackets nested too deep.
    """
    if not text or text.isspace():
        return (), ()
    if len(text) <= MAX_MARKS and not _SPECIAL.search(text):
        matches = islice(_PLAIN.finditer(text), most)
        if weight == 1.0:  # nearly always
            return tuple(PlacedTag(Tag(match.group()), match.start()) for match in matches), ()
        return tuple(_placed(match.group(), weight, match.start()) for match in matches), ()
    marks = _marks(text)
    found = tuple(islice(_read(text, 0, len(text), marks, weights, weight), most))
    return found, marks.unpaired


def bracketed(text: str) -> bytearray:
    """1 for every offset that stands in brackets, in an emoticon, or behind a backslash. Raises TagError."""
    marks, inside = _marks(text), bytearray(len(text))
    for opened, closed in marks.partner.items():
        if opened < closed:
            inside[opened : closed + 1] = b"\1" * (closed + 1 - opened)
    for offset in marks.literal:
        inside[offset] = 1
    return inside


def tags_of(text: str, weights: bool = True) -> tuple[Tag, ...]:
    """The tags alone."""
    return tuple(placed.tag for placed in read_tags(text, weights)[0])


def spelled(tag: Tag, weights: bool = True) -> str:
    """One tag such that reading it gives it back: as it is where that works, with its marks escaped elsewhere."""

    def reads_as(text: str, wanted: Tag) -> bool:
        try:
            # Between others, so that nothing at its ends reaches beyond it: `1.2::` would, to the next `::`.
            others = tags_of(f"x, {text}, ::, x", weights)
            return others == (Tag("x"), wanted, Tag("::"), Tag("x")) and not _marks(text).unpaired
        except TagError:
            return False

    escaped = "".join(f"\\{char}" if char in _ESCAPABLE else char for char in tag.text)
    if not weights or tag.weight == 1.0:
        return tag.text if reads_as(tag.text, tag) else escaped
    plain, quoted = (f"({words}:{tag.weight:g})" for words in (tag.text, escaped))
    return plain if reads_as(plain, tag) else quoted


def tag_list(tags: Sequence[Tag], weights: bool = True) -> str:
    """A list that reads back as these tags."""
    return ", ".join(spelled(tag, weights) for tag in tags)


# What other programs would do something with, and nothing here does: found in a list, so that it can be said.
#
#     [hat:10]  [red hair:blue hair:0.5]                 schedules over the steps (A1111)
#     {red|blue}  {2$$a|b}  [a|b]  red|blue              choices (dynamic prompts, NovelAI)
#     __hair__  ${c}  <wildcard:x>  BREAK  hat++  MASK(  wildcards, variables, regions, weights of other kinds

# Bounded, so that no text takes long; nobody writes longer ones.
_FREE, _IN_BRACES, _IN_SQUARE = r"(?<!\\)", r"[^{}\n]{0,200}", r"[^\[\]\n]{0,200}"
_SCHEDULE = re.compile(rf"{_FREE}\[{_IN_SQUARE}[:：]\s{{0,8}}[0-9.]{{1,8}}\s{{0,8}}\]")
_CHOICE = re.compile(
    rf"{_FREE}\{{(?=[^|]{{0,200}}?\w){_IN_BRACES}\|{_IN_BRACES}\}}|{_FREE}\[(?=[^|]{{0,200}}?\w){_IN_SQUARE}\|{_IN_SQUARE}\]"
)
_BARE_CHOICE = re.compile(r"[^\W_][^,，、;；|\n()（）]{0,80}\|(?=\s{0,8}[^\W_])[^,，、;；\n()（）]{0,200}")
_FOREIGN = re.compile(
    rf"{_FREE}\$\{{{_IN_BRACES}\}}|{_FREE}\$(?!character_[0-9]{{1,9}}\$)\{{?[\w.]{{1,80}}\}}?|\{{[0-9\-]{{1,8}}\$\${_IN_BRACES}\}}"
    r"|(?<!\w)__(?=[^\W_])[\w/*.\- ]{0,80}?__(?!\w)"
    r"|\b(?:BREAK|AND|ADDCOMM|ADDBASE|ADDCOL|ADDROW)\b"
    r"|<(?:wildcard|wc|random|hypernet|embed|segment|setvar|var|fromto|alternate|repeat|preset|object)[:\[][^<>\n]{0,200}>"
    r"|(?:[^\W_](?:[\w ]{0,60}\w)?(?:\+{2,8}|-{2,8})|\([^()\n]{0,80}\)(?:\+{1,8}|-{1,8}|[0-9]\.[0-9]{1,2})"
    r"|\"[^\"\n]{1,80}\"(?:\+{1,8}|-{1,8}))(?=\s{0,8}(?:[,，\n]|$))"
    r"|\b(?:MASK|MASKW|AREA|COUPLE|FEATHER|FILL|STYLE|SHUFFLE|SHIFT|DEF|ATTN|NOISE|CLIPS)\([^()\n]{0,200}\)"
    r"|\)\.(?:blend|and|swap)\("
    r"|(?<!\S)--[a-z]+\b"
    r"|(?<![\w.:])(?:[0-9]{1,4}\.?[0-9]{0,4}|\.[0-9]{1,4})::(?!.{0,400}::)"
)
MAX_FOREIGN = 256  # pieces in one text; more warnings are not shown
# Without any of these there is nothing to find: nearly always.
_MAYBE_FOREIGN = re.compile(r"[|$\[]|__|::|\+|--|[)\"]-|\)[0-9]|<|\b[A-Z]{3,}")


def is_foreign_group(text: str, start: int, end: int) -> bool:
    """Whether brackets hold a choice or a schedule, and no weight."""
    choice = text[start] in "{[" and "|" in text[start:end] and re.search(r"[^\W_]", text[start:end])
    return bool(choice or _SCHEDULE.fullmatch(text, start, end))


def foreign_syntax(text: str) -> Iterator[tuple[int, Message]]:
    """Each piece of another program's syntax: where it begins, and what happens to it."""
    if not _MAYBE_FOREIGN.search(text):
        return
    taken: list[tuple[int, int]] = []
    for pattern in (_SCHEDULE, _CHOICE, _FOREIGN, _BARE_CHOICE):
        for match in pattern.finditer(text):
            start, end = match.span()
            if len(taken) >= MAX_FOREIGN:
                return
            if any(first < end and start < last for first, last in taken):
                continue
            taken.append((start, end))
            yield start, _message(pattern, match.group().strip())


def _message(pattern: re.Pattern[str], text: str) -> Message:
    if pattern is _SCHEDULE:
        return Message("{text} is a step schedule, which has no effect here; it is passed on as text.", text=text)
    if pattern in (_CHOICE, _BARE_CHOICE):
        return Message("{text} is dynamic-prompt syntax, which has no effect here; it is passed on as text.", text=text)
    return Message("{text} is another program's syntax, which has no effect here; it is passed on as text.", text=text)
