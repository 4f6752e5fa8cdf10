"""Kinds of writing that people publish, each as a rule with its neighbours: the data is in tests/data/kinds.

An entry is a text and what it says: "people" [name, gender, every tag but those of gender], the named "fields" of the
first, "general" fields, "caption", "system", "negative" of everyone, "acts" [kind, ids], the ids from left to right
("across"), stated "boxes" (null, edges, or "inside LEFT TOP RIGHT BOTTOM"), the text for SD ("sd"), parts of its
"warns" in order ("*": whichever) with their "places"; or the part of an "error". "read": convert, instead of parse.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from newbie_pack.xml_prompt import PromptError, convert, layout, parse, render_tags, text_of, to_xml

KINDS = Path(__file__).parents[1] / "data" / "kinds"
TABLES = ("K08_positions", "K13_genders")


def entries(*names):
    for path in sorted(KINDS.glob("*.json")):
        if (path.stem in names) if names else (path.stem not in TABLES):
            for number, entry in enumerate(json.loads(path.read_text(encoding="utf-8"))):
                yield pytest.param(entry, id=f"{path.stem}:{number}")


def texts(tags):
    return [tag.text for tag in tags]


def weighed(tags):
    return [tag.text if tag.weight == 1 else [tag.text, tag.weight] for tag in tags]


def person(character):
    tags = Counter(tag.text for field in character.fields if field.name != "gender" for tag in field.tags)
    genders = [tag.text for field in character.fields if field.name == "gender" for tag in field.tags[1:]]
    return character.name, character.gender, tags + Counter(genders)


def split(tags):
    """Commas inside brackets belong to their tag."""
    found, depth = [""], 0
    for sign in tags:
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and depth <= 0:
            found.append("")
        else:
            found[-1] += sign
    return Counter(filter(None, map(str.strip, found)))


@pytest.mark.parametrize("entry", list(entries()))
def test_what_it_says(entry):
    reader = {"convert": convert}.get(entry.get("read"), parse)
    if "error" in entry:
        with pytest.raises(PromptError) as caught:
            reader(entry["text"])
        assert entry["error"] in str(caught.value.message)
        assert caught.value.line > 0
        return
    scene = reader(entry["text"])
    boxes = layout(scene)
    if "people" in entry:
        expected = [(name, gender, split(tags)) for name, gender, tags in entry["people"]]
        assert [person(character) for character in scene.characters] == expected
    for name, tags in entry.get("fields", {}).items():
        assert texts(scene.characters[0].tags(name)) == tags
    for name, tags in entry.get("general", {}).items():
        assert weighed(scene.tags(name)) == tags
    assert entry.get("caption", scene.caption) == scene.caption
    assert entry.get("system", scene.system) == scene.system
    if "negative" in entry:
        assert [texts(character.negative) for character in scene.characters] == entry["negative"]
    if "acts" in entry:
        assert [[act.kind, list(act.between)] for act in scene.interactions] == entry["acts"]
    if "across" in entry:
        middles = [box.left + box.right for box in boxes]
        order = sorted(range(len(middles)), key=middles.__getitem__)
        assert [scene.characters[i].id for i in order] == entry["across"]
    for character, box in zip(scene.characters, entry.get("boxes", ()), strict="boxes" in entry):
        check_box(character.box, box)
    if "sd" in entry:
        assert text_of(render_tags(scene)) == entry["sd"]
    if entry.get("warns") != "*":
        messages = [str(warning.message) for warning in scene.warnings]
        assert len(messages) == len(entry.get("warns", ())), messages
        assert all(part in message for part, message in zip(entry.get("warns", ()), messages, strict=True)), messages
    if "places" in entry:
        assert [f"{warning.line}:{warning.column}" for warning in scene.warnings] == entry["places"]
    assert replace(parse(to_xml(scene)), warnings=()) == replace(scene, warnings=())


def check_box(box, expected):
    if isinstance(expected, str):
        left, top, right, bottom = map(float, expected.removeprefix("inside ").split())
        assert box is not None
        assert left <= box.left < box.right <= right
        assert top <= box.top < box.bottom <= bottom
    else:
        assert (box and [box.left, box.top, box.right, box.bottom]) == expected


@pytest.mark.parametrize("entry", list(entries("K08_positions")))
def test_where_someone_stands(entry):
    words, side = entry
    scene = parse(f"<character_1><n>rin</n><position>{words}</position></character_1><character_2/>")
    anchors = {"far_left": 150, "left": 250, "center_left": 375, "center": 500, "center_right": 625, "right": 750}
    place = anchors.get(side, 850 if side else None)
    box = layout(scene)[0]
    if place is None:
        assert [str(w.message) for w in scene.warnings if "layout" in str(w.message)]
    else:
        assert not scene.warnings
        alone = layout(replace(scene, characters=scene.characters[:1]))[0]
        assert (place < 500) == (box.left + box.right < 1000) or place == 500
        assert abs((alone.left + alone.right) / 2 - place) <= 60


@pytest.mark.parametrize("entry", list(entries("K13_genders")))
def test_who_someone_is(entry):
    words, gender = entry
    scene = parse(f"<character_1><gender>{words}</gender></character_1>")
    assert scene.characters[0].gender == gender
    assert any("is not a gender" in str(warning.message) for warning in scene.warnings) == (gender is None)
