"""What the encoders read: weights and parentheses where they belong, owners, what each form leaves out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from newbie_pack.xml_prompt import (
    Character,
    Field,
    Interaction,
    Scene,
    Tag,
    layout,
    parse,
    render_json,
    render_tags,
    render_xml,
    text_of,
)

SCENE = Scene(
    (
        Character(
            "character_1",
            "miku_(vocaloid)",
            (
                Field("appearance", (Tag("red eyes", 1.2), Tag("hair (long)"), Tag(":("))),
                Field("position", (Tag("left of kaito"),)),
            ),
        ),
        Character("character_2", "", (Field("clothing", (Tag("coat", 0.9),)),)),
    ),
    (Field("style", (Tag("anime_(style)", 1.1), Tag("flat"))),),
    caption="Two (2) singers.",
    interactions=(Interaction("handshake", ("character_1", "character_2")),),
)


def test_the_tags_form_word_for_word():
    assert [(s.owner, s.text) for s in render_tags(SCENE)] == [
        (0, r"(anime_\(style\):1.1), flat, handshake, Two \(2\) singers."),
        (1, r", miku_\(vocaloid\), (red eyes:1.2), hair \(long\), :\("),
        (2, ", (coat:0.9)"),
    ]


def test_people_who_say_nothing_leave_no_comma():
    scene = Scene((Character("character_1"), Character("character_2", "rin")))
    assert text_of(render_tags(scene)) == "rin"


def test_an_interaction_is_told_once():
    twice = Scene(SCENE.characters, interactions=SCENE.interactions * 2)
    assert render_tags(twice)[0].text == "handshake"


def test_the_other_forms_keep_parentheses_and_leave_weights_out():
    xml = text_of(render_xml(SCENE, layout(SCENE)))
    assert "<appearance>red eyes, hair (long), :(</appearance>" in xml and "<n>miku_(vocaloid)</n>" in xml
    assert "1.2" not in xml and "0.9" not in xml and "\\" not in xml
    value = json.loads(text_of(render_json(SCENE, layout(SCENE))))
    assert "red eyes, hair (long), :(" in value["image"]["tags"] and "1.2" not in value["image"]["tags"]
    assert value["character_1"]["name"] == "miku_(vocaloid)"


@pytest.mark.parametrize("weight", [0.01, 0.5, 0.95, 1.0, 1.05, 1.3333, 10.0])
def test_weights_come_back_from_the_tags_form(weight):
    tag = Tag("red eyes", weight)
    text = text_of(render_tags(Scene(general=(Field("other", (tag,)),))))
    assert parse(text).tags("other") == (tag,)
    assert (":" in text) == (weight != 1.0)


def host_reads(text):
    """[(words, weight)] as the host's tokenizers read `(words:weight)`, with \\( and \\) as plain parentheses."""
    text = text.replace("\\)", "\0").replace("\\(", "\1")
    found, at = [], 0
    while at < len(text):
        if text[at] == "(":
            end = text.index(")", at)
            words, _, weight = text[at + 1 : end].rpartition(":")
            found.append((words, float(weight)))
            at = end + 1
        else:
            end = text.find("(", at)
            end = len(text) if end < 0 else end
            found.append((text[at:end], 1.0))
            at = end
    return [(words.replace("\0", ")").replace("\1", "("), weight) for words, weight in found]


words = st.text("ab ():_", min_size=1, max_size=8)


@given(words, st.sampled_from([0.5, 1.0, 1.25]))
def test_the_host_reads_every_tag_as_it_was_said(words, weight):
    scene = Scene(general=(Field("other", (Tag(words, weight),)),))
    assert host_reads(text_of(render_tags(scene))) == [(words, weight)]


@pytest.mark.parametrize(
    ("text", "weighted"),
    [
        ("<character_1><n>miku</n><appearance>a, (long hair:1.2), [b]</appearance><action>(c_(d):2)</action>"
         "</character_1>", [{"long hair": 1.2, "b": 0.9091, "c_(d)": 2.0}, {}]),
        ("<character_1><clothing>(hat:0.5)</clothing></character_1><general_tags><style>x, (y:1.3)</style>"
         "<background>(海边:1.4)</background></general_tags>", [{"hat": 0.5}, {"y": 1.3, "海边": 1.4}]),
        ("(night:1.2), stars", [{"night": 1.2}]),
        ("night, stars", [{}]),
    ],
)
def test_weighted_tags_are_found_in_the_segments_text(text, weighted):
    scene = parse(text)
    for boxes in ((), layout(scene)):
        segments = render_xml(scene, boxes)
        for segment, expected in zip(segments, weighted, strict=False):
            found = {segment.text[span.start : span.end]: span.weight for span in segment.weighted}
            assert found == expected


def test_weighted_tags_are_found_in_the_template_too():
    """Where quotes and line ends take two letters."""
    scene = parse('<character_1><n>miku</n><appearance>"x", (a "b" c:1.2)</appearance><action>(wave:2)</action>'
                  "</character_1><general_tags><style>(flat:0.5)</style></general_tags>")
    segments = render_json(scene, layout(scene))
    found = [(s.owner, s.text[span.start : span.end], span.weight) for s in segments for span in s.weighted]
    assert found == [(1, r'a \"b\" c', 1.2), (1, "wave", 2.0), (0, "flat", 0.5)]
