"""Every sentence stands in the catalogue of every language, with the same named places, and is given what it names."""

from __future__ import annotations

import ast
from pathlib import Path
from string import Formatter

import pytest
from newbie_pack.xml_prompt import Message, PromptError, language_of, parse, system_language
from newbie_pack.xml_prompt.messages import LANGUAGES, LONGEST, catalogue

ROOT = Path(__file__).parents[2]


def calls():
    """(place, template, the names it is given; None where they are passed on in a dict)."""
    for room in ("xml_prompt", "nodes"):
        for path in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Message":
                    names = [keyword.arg for keyword in node.keywords]
                    yield f"{path.name}:{node.lineno}", node.args[0], None if None in names else set(names)


CALLS = list(calls())


def places(template):
    return {(name, spec) for _, name, spec, _ in Formatter().parse(template) if name is not None}


@pytest.mark.parametrize(("place", "template", "given"), CALLS, ids=[place for place, _, _ in CALLS])
def test_a_message_is_a_literal_that_is_given_what_it_names(place, template, given):
    assert isinstance(template, ast.Constant), "write the sentence here, so that it can be found"
    if given is not None:
        assert {name for name, _ in places(template.value)} == given


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_a_catalogue_holds_all_sentences_and_no_others(language):
    used = {template.value for _, template, _ in CALLS}
    assert len(used) > 100
    assert sorted(catalogue(language)) == sorted(used)
    assert [english for english, other in catalogue(language).items() if places(english) != places(other)] == []
    assert [english for english, other in catalogue(language).items() if other.isascii()] == []


def test_a_refusal_is_told_with_its_place_in_either_language():
    with pytest.raises(PromptError) as caught:
        parse("<n>\nmiku\n<pose>wave")
    assert str(caught.value) == "line 3, column 1: <pose> is never closed. Write </pose> where it ends."
    assert caught.value.text("en") == str(caught.value)
    assert caught.value.text("zh") == "第 3 行第 1 列：<pose> 没有结束。请在结尾处写上 </pose>。"


def test_a_warning_is_told_with_its_place_in_either_language():
    (warning,) = parse("<character_1><position>lefft</position></character_1>").warnings
    assert warning.text() == (
        'line 1, column 24: "lefft" is not a position the layout understands; it is passed on as text only. '
        "Did you mean left?"
    )
    assert warning.text("zh") == "第 1 行第 24 列：布局不认识位置“lefft”；它只作为文字传给模型。是否想写 left？"


def test_braces_and_percents_that_were_typed_stay_as_typed():
    message = Message('The key "{key}" appears twice. Keep one of them.', key="{0} %s {message!r}")
    assert str(message) == 'The key "{0} %s {message!r}" appears twice. Keep one of them.'


def test_what_was_typed_is_cut_where_it_is_long():
    told = str(Message('"{name}" is read as a name.', name="a" * 5000))
    assert len(told) < LONGEST + 30 and "aaa..." in told


@pytest.mark.parametrize(
    ("locale", "language"),
    [("zh", "zh"), ("zh-TW", "zh"), ("zh_CN.UTF-8", "zh"), ("Chinese (Simplified)_China", "zh"), ("en", "en"),
     ("ja", "en"), ("", "en"), ("C", "en")],
)  # fmt: skip
def test_which_language_a_locale_asks_for(locale, language):
    assert language_of(locale) == language


def test_the_process_asks_by_its_environment(monkeypatch):
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert system_language() == "zh"
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    assert system_language() == "en"
