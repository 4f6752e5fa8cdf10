"""to_xml writes what parse reads back; whatever the text, parse answers with a Scene or a PromptError."""

from __future__ import annotations

import json
import string
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from newbie_pack.xml_prompt import (
    Box,
    Character,
    Field,
    Interaction,
    PromptError,
    Scene,
    Tag,
    layout,
    parse,
    render_json,
    text_of,
    to_xml,
)
from newbie_pack.xml_prompt.reading.fields import stated_gender
from newbie_pack.xml_prompt.words import CHARACTER_FIELDS, GENERAL_FIELDS

MARKS = "()[]{}<>&\"'\\:：,，、;；|_^%=!?*$`.-/（）"
WORDS = st.sampled_from(
    [
        "aqua hair",
        "hatsune_miku_(vocaloid)",
        "初音未来",
        ">_<",
        ":3",
        ";)",
        "<3",
        "^_^",
        "|_|",
        "\\(^o^)/",
        "16:9",
        "a:1.5",
        "1girl",
        "r&b",
        "</n>",
        "]]>",
        "&amp;",
        "<!--",
        "1.2::x::",
        "(a:1.2)",
        "{a|b}",
        "full-width（）",
        "🎀",
        "left",
        "男",
    ]
)
text = st.text(st.one_of(st.sampled_from(MARKS + "ab1 中"), st.characters(exclude_categories=["C", "Z"])), max_size=12)
# Scenes as parse makes them: tags are never empty, stand on one line, and have no space around them.
tag_text = st.one_of(WORDS, text).map(lambda t: " ".join(t.split())).filter(bool)
weight = st.one_of(st.just(1.0), st.integers(1, 1000).map(lambda n: n / 100))
tag = st.builds(Tag, tag_text, weight)
tags = st.lists(tag, min_size=1, max_size=4).map(tuple)
plain_tags = st.lists(st.builds(Tag, tag_text), min_size=1, max_size=3).map(tuple)
line = st.one_of(WORDS, text).map(str.strip)
paragraph = st.lists(line, max_size=3).map(lambda lines: "\n".join(lines).strip())


def fields(names):
    names = [*names, "hair", "Shoes"]

    def build(chosen):
        return st.tuples(*(st.builds(Field, st.just(n), plain_tags if n == "position" else tags) for n in chosen))

    return st.lists(st.sampled_from(names), unique=True, max_size=4).flatmap(build)


@st.composite
def boxes(draw):
    edge = st.one_of(st.integers(0, 1000), st.floats(2, 1000).map(lambda x: round(x, 2))).map(float)
    x = sorted(draw(st.tuples(edge, edge).filter(lambda pair: pair[0] != pair[1])))
    y = sorted(draw(st.tuples(edge, edge).filter(lambda pair: pair[0] != pair[1])))
    return Box(x[0], y[0], max(x[1], 2.0), max(y[1], 2.0))


@st.composite
def scenes(draw):
    numbers = draw(st.lists(st.integers(1, 99), unique=True, max_size=4))
    characters = []
    for number in numbers:
        chosen = draw(fields([name for name in CHARACTER_FIELDS if name != "interaction"]))
        gender = draw(st.sampled_from([stated_gender(chosen), "girl", "boy", "other", None]))
        box, *more = draw(st.lists(boxes(), max_size=3, unique=True)) or [None]
        negative = draw(st.just(()) | tags)
        characters.append(Character(f"character_{number}", draw(line), chosen, gender, box, negative, tuple(more)))
    everyone = tuple(c.id for c in characters)
    some = st.permutations(everyone).flatmap(lambda ids: st.integers(2, len(ids)).map(lambda n: tuple(ids[:n])))
    between = st.just(everyone) if len(everyone) < 2 else st.just(everyone) | some
    interactions = draw(st.lists(st.builds(Interaction, tag_text, between), unique=True, max_size=2))
    system = draw(paragraph | line.map(lambda s: f"{s} <Prompt Start>".strip()))
    return Scene(
        tuple(characters), draw(fields(GENERAL_FIELDS)), draw(paragraph), system, tuple(interactions), draw(line)
    )


@settings(max_examples=80, deadline=None)
@given(scenes())
def test_what_is_written_reads_back(scene):
    once = to_xml(scene)
    again = parse(once)
    assert replace(again, warnings=()) == scene
    assert to_xml(again) == once


# What the names of elements may hold that letters and digits don't: a middle dot, joiners, radicals, Han of plane 2.
NAME_SIGNS = "aZ_中⺀⼀·.-9\u200c\u200d々〇ｱà\u0660\U00020000"


@settings(max_examples=200, deadline=None)
@given(st.text(NAME_SIGNS, min_size=1, max_size=5), st.booleans())
def test_a_name_that_is_read_can_be_written(name, inside):
    block = "character_1" if inside else "general_tags"
    text = f"<{block}><{name}>red</{name}></{block}>"
    try:
        scene = parse(text)
    except PromptError:
        return
    assert replace(parse(to_xml(scene)), warnings=()) == replace(scene, warnings=())


@pytest.mark.parametrize("name", ["a·b", "a\u200cb", "⺀", "⼀", "\u0e01\u0e31", "hair.left", "武器·左"])
def test_rare_names_are_kept(name):
    scene = parse(f"<character_1><{name}>red</{name}></character_1>")
    assert scene.characters[0].tags(name) == (Tag("red"),)
    assert replace(parse(to_xml(scene)), warnings=()) == replace(scene, warnings=())


PIECES = st.sampled_from(
    [
        "<character_1>",
        "</character_1>",
        "<character_2>",
        "</character_2>",
        "<scene>",
        "</scene>",
        "<n>",
        "</n>",
        "<pose>",
        "</pose>",
        "<bbox>",
        "</bbox>",
        "[1,2,3,4]",
        "<interaction between='",
        "'>",
        "<",
        ">",
        "&",
        "&#0;",
        "&#x10FFFF;",
        "<!DOCTYPE a [<!ENTITY b 'c'>]>",
        "&b;",
        "<?xml version='1.0'?>",
        "<?php",
        "<![CDATA[",
        "]]>",
        "<!--",
        "-->",
        "```",
        "```xml\n",
        "{",
        "}",
        '{"image": {"tags": "',
        '"}}',
        '"character_1": {"bbox": [',
        "]}",
        "\\u0000",
        "\\ud800",
        "\ud800",
        "\x00",
        "\r",
        "\n",
        "\ufeff",
        "<Prompt Start>",
        "(",
        ")",
        ":1.2",
        ":-1",
        "1.5::",
        "::",
        "\\",
        "＜n＞",
        "<lora:a:1>",
        "<lora>",
        "</lora>",
        "<position>",
        "</position>",
        "30%",
        "9" * 5000,
        "<a xmlns='b' x:y='z'/>",
        "<角色1>",
        "</角色1>",
        "١",
        "<negative/>",
        "NaN",
    ]
)
noise = st.lists(PIECES | st.text(string.printable, max_size=5) | st.text(max_size=3), max_size=25).map("".join)


@settings(max_examples=150, deadline=None)
@given(noise | st.text())
def test_any_text_is_a_scene_or_a_prompt_error(text):
    try:
        scene = parse(text)
    except PromptError as error:
        assert str(error.message) and (error.line == 0 or error.column >= 1)
        return
    assert replace(parse(to_xml(scene)), warnings=()) == replace(scene, warnings=())
    assert len(layout(scene)) == len(scene.characters)


json_value = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5) | noise,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["image", "tags", "caption", "character_1", "bbox", "name", "negative", "x y"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=80, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["image", "character_1", "character_2", "style", "?"]), json_value), st.booleans()
)
def test_any_json_is_a_scene_or_a_prompt_error(value, ascii):
    try:
        parse(json.dumps(value, ensure_ascii=ascii))
    except PromptError as error:
        assert str(error.message)


@pytest.mark.parametrize("value", [None, b"<scene/>", 3, ["1girl"]])
def test_only_text_is_a_prompt(value):
    with pytest.raises(PromptError, match="A prompt must be text"):
        parse(value)


def test_the_template_reads_back_with_its_boxes():
    scene = parse('<character_1><n>miku</n><clothing>red "dress"</clothing></character_1><caption>A\nB</caption>')
    boxes = (Box(100, 100, 400, 900),)
    again = parse(text_of(render_json(scene, boxes)))
    assert again == replace(scene, characters=(replace(scene.characters[0], box=boxes[0]),))


@pytest.mark.parametrize("text", [
    "blue\u200d", "\u200dblue", "blue\u200d, \u200dred", "a\u200d\u200db", "a\u200b\u200db",
    "\U0001f469\u200d\U0001f680", "\u0646\u200c", "\U0001f469\u200d, b",
])  # fmt: skip
def test_joiners_at_the_ends_of_words_read_back(text):
    scene = parse(text)
    assert replace(parse(to_xml(scene)), warnings=()) == replace(scene, warnings=())
