"""Where a text names a gender: `1girl`, `two boys`, `she`, `少女`."""

from __future__ import annotations

import re

from .names import GENDER_WORDS

_WORDS = [word for word, gender in GENDER_WORDS.items() if gender != "other"]  # "other" is an ordinary word
_LATIN = "|".join(sorted(filter(str.isascii, _WORDS), key=len, reverse=True))
_CHINESE = "|".join(sorted((w for w in _WORDS if not w.isascii() and len(w) > 1), key=len, reverse=True))
_SIGN = "|".join(w for w in _WORDS if not w.isascii() and len(w) == 1)  # alone: 女 is part of many other words
_LINE = r"(?<=(?<!\\)\\[nrt])"  # the template writes a new line as two letters
_NAMED = re.compile(
    rf"(?:(?<![A-Za-z])|{_LINE})(?:{_LATIN})(?![A-Za-z])|{_CHINESE}|(?<![\u4e00-\u9fff])(?:{_SIGN})(?![\u4e00-\u9fff])",
    re.IGNORECASE,
)


def gender_spans(text: str) -> tuple[tuple[int, int, str], ...]:
    """(start, end, girl or boy) of every word of text that names a gender, in order."""
    return tuple((*match.span(), GENDER_WORDS[match.group().lower()]) for match in _NAMED.finditer(text))
