"""Words that name a gender, found in running text."""

from __future__ import annotations

import pytest
from newbie_pack.xml_prompt.words import gender_spans


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1girl, 2boys", [("girl", "girl"), ("boys", "boy")]),
        ("<gender>girl</gender>", [("girl", "girl")]),  # the element's own name is none
        ("a blue-haired Boy and she", [("Boy", "boy"), ("she", "girl")]),
        ("the others, girlfriend, manga, heel, boyish, mankind", []),
        ("one girl_(series)", [("girl", "girl")]),
        ("蓝发少女和男孩", [("少女", "girl"), ("男孩", "boy")]),
        ("女, 男", [("女", "girl"), ("男", "boy")]),
        ("女王, 男装", []),  # a sign that is part of another word
        (r"a girl\nboy\t2boys", [("girl", "girl"), ("boy", "boy"), ("boys", "boy")]),  # lines as the template has them
        (r"c:\\nboy", []),
        ("", []),
    ],
)
def test_words_of_gender(text, expected):
    assert [(text[start:end], gender) for start, end, gender in gender_spans(text)] == expected
