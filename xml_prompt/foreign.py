"""What other programs would do something with, and nothing here does: found in a list of tags, so that it can be said.

    [hat:10]  [red hair:blue hair:0.5]                 schedules over the steps (A1111)
    {red|blue}  {2$$a|b}  [a|b]  red|blue              choices (dynamic prompts, NovelAI)
    __hair__  ${c}  <wildcard:x>  BREAK  hat++  MASK(  wildcards, variables, regions, weights of other kinds
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .messages import Message

_FREE = r"(?<!\\)"
_SCHEDULE = re.compile(rf"{_FREE}\[[^\[\]\n]*[:：]\s*[0-9.]+\s*\]")
_CHOICE = re.compile(rf"{_FREE}\{{[^{{}}\n]*\w[^{{}}\n]*\|[^{{}}\n]*\}}|{_FREE}\[[^\[\]\n]*\w[^\[\]\n]*\|[^\[\]\n]*\]")
_BARE_CHOICE = re.compile(r"[^\W_][^,，、;；|\n()（）]*\|(?=\s*[^\W_])[^,，、;；\n()（）]*")
_OTHER = re.compile(
    rf"{_FREE}\$\{{?[\w.]+\}}?|{_FREE}\$\{{[^{{}}\n]*\}}|\{{[0-9\-]+\$\$[^{{}}\n]*\}}"
    r"|(?<!\w)__(?=[^\W_])[\w/*.\- ]*?__(?!\w)"
    r"|\b(?:BREAK|AND|ADDCOMM|ADDBASE|ADDCOL|ADDROW)\b"
    r"|<(?:wildcard|wc|random|hypernet|embed|segment|setvar|var|fromto|alternate|repeat|preset|object)[:\[][^<>\n]*>"
    r"|(?:\w(?:\+{2,}|-{2,})|\)(?:\++|-+))(?=\s*(?:[,，\n]|$))"
    r"|\b(?:MASK|MASKW|AREA|COUPLE|FEATHER|FILL|STYLE|SHUFFLE|SHIFT|DEF|ATTN|NOISE|CLIPS)\([^()\n]*\)"
    r"|\)\.(?:blend|and|swap)\("
    r"|(?<![\w.:])(?:[0-9]+\.?[0-9]*|\.[0-9]+)::(?!.*::)"
)
# Without any of these there is nothing to find: nearly always.
_SUSPECT = re.compile(r"[|$\[]|__|::|\+|--|\)-|<|\b[A-Z]{3,}")


def is_foreign_group(text: str, start: int, end: int) -> bool:
    """Whether brackets hold a choice or a schedule, and no weight."""
    return bool(_CHOICE.fullmatch(text, start, end) or _SCHEDULE.fullmatch(text, start, end))


def foreign_syntax(text: str) -> Iterator[tuple[int, Message]]:
    """Each piece of another program's syntax: where it begins, and what happens to it."""
    if not _SUSPECT.search(text):
        return
    taken: list[tuple[int, int]] = []
    for pattern in (_SCHEDULE, _CHOICE, _OTHER, _BARE_CHOICE):
        for match in pattern.finditer(text):
            start, end = match.span()
            if any(first < end and start < last for first, last in taken):
                continue
            taken.append((start, end))
            yield start, _message(pattern, match.group().strip())


def _message(pattern: re.Pattern[str], text: str) -> Message:
    if pattern is _SCHEDULE:
        return Message("{text} is a schedule over the steps, which is not run; it is passed on as text.", text=text)
    if pattern in (_CHOICE, _BARE_CHOICE):
        return Message("{text} is a choice, which is not made here; it is passed on as text.", text=text)
    return Message("{text} is another program's syntax; it is passed on as text.", text=text)
