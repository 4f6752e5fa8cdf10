"""What the builders' nodes make: all that was connected and typed, in a form that is read back as the same."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

from hypothesis import given, settings
from hypothesis import strategies as st
from newbie_pack.nodes.prompt import NewBieCharacter, NewBieScene, with_character, with_surroundings
from newbie_pack.xml_prompt import Box, Interaction, PromptError, Scene, Tag, parse, to_xml

CHARACTER = ("name", "gender", "appearance", "clothing", "expression", "action", "position", "negative")
PICTURE = ("caption", "style", "background", "atmosphere", "quality", "interaction")
EVERYTHING = (
    "You draw. <Prompt Start><character_1><n>a</n></character_1><character_3><n>b</n></character_3>"
    '<interaction between="character_1 character_3">hug</interaction><style>ink</style><quality>best</quality>'
    "<lora>rin:0.5</lora><spacing>2</spacing><caption>Two friends.</caption>"
)


def unread(scene):
    return replace(scene, warnings=())


def test_the_scene_node_keeps_all_of_the_connected_scene():
    before = parse(EVERYTHING)
    said = {field.name for field in fields(Scene) if getattr(before, field.name) != field.default}
    assert said >= {field.name for field in fields(Scene)} - {"warnings"}, "let EVERYTHING say this, too"
    assert unread(with_surroundings(before, {}, "")) == unread(before)
    after = with_surroundings(before, {"style": "anime", "background": "beach", "caption": "At noon."}, "")
    assert [(f.name, [tag.text for tag in f.tags]) for f in after.general] == [
        ("style", ["ink", "anime"]), ("quality", ["best"]), ("background", ["beach"]),
    ]  # fmt: skip
    assert after.caption == "Two friends. At noon."
    assert (after.system, after.spacing, after.loras) == (before.system, "2", before.loras)
    assert (after.characters, after.interactions) == (before.characters, before.interactions)


def test_a_system_prompt_typed_into_the_scene_node_replaces_the_connected_one_and_says_so():
    before = parse(EVERYTHING)
    output = NewBieScene.execute("Other words.", before, **dict.fromkeys(PICTURE, ""))
    assert output.args[0].system == "Other words."
    assert "replaces" in output.ui.as_dict()["text"][0]
    assert NewBieScene.execute(before.system, before, **dict.fromkeys(PICTURE, "")).ui is None


def test_an_interaction_of_the_scene_node_is_read_as_in_a_prompt():
    before = with_character(with_character(None, {"name": "a"}), {"name": "b"})
    scene = with_surroundings(before, {"interaction": "(hug:1.2)， high five"}, "")
    both = ("character_1", "character_2")
    assert scene.interactions == (Interaction("hug", both), Interaction("high five", both))
    assert "cannot have a weight" in scene.warnings[0].text()


@pytest.mark.parametrize(("ids", "new"), [("13", "4"), ("12", "3"), ("2", "3"), ("3", "2"), ("23", "4"), ("", "1")])
def test_a_new_character_has_a_number_of_its_own(ids, new):
    before = parse("".join(f"<character_{n}><n>x</n></character_{n}>" for n in ids))
    added = with_character(before, {"name": "rin"}).characters
    assert [c.id for c in added] == [f"character_{n}" for n in ids + new]


def test_what_one_person_did_alone_is_done_together_by_two():
    hug = (Interaction("hug", ("character_1", "character_2")),)
    alone = parse("<character_1><n>a</n></character_1><interaction>hug</interaction>")
    assert with_character(alone, {"name": "b"}).interactions == hug
    own_words = parse("<character_1><n>a</n><interaction>hugging b</interaction></character_1>")
    assert with_character(own_words, {"name": "b"}).interactions == hug


def test_a_character_too_many_is_refused_without_a_place_in_a_text_that_nobody_typed():
    before = parse("".join(f"<character_{n}><n>x</n></character_{n}>" for n in range(1, 65)))
    with pytest.raises(PromptError, match=r"^The prompt has more than 64 characters"):
        with_character(before, {"name": "rin"})


def test_what_is_typed_between_closed_elements_is_kept():
    typed = "ink</style></general_tags><character_2><n>rin</n></character_2><general_tags><style>oil"
    scene = with_surroundings(with_character(None, {"name": "miku"}), {"style": typed}, "")
    assert [c.name for c in scene.characters] == ["miku", "rin"]
    assert scene.tags("style") == (Tag("ink"), Tag("oil"))


words = st.sampled_from(
    ["miku", "1girl", "blue hair, (red:1.2)", ">_<", "holding hands", "hug, 握手", "left of miku", "<b>", "</n>",
     "&", "<position>left</position>", "</clothing><pose>", "女孩", "((a))", "[a", "1.2::x::", "<lora:rin:0.8>",
     "<caption>x</caption>", "50%", "30%, 40%", "miku_(vocaloid)", "a\r\nb", "A sentence. Another.", "\\(a\\)"]
)  # fmt: skip
typed = st.lists(words | st.text(max_size=4), max_size=3).map(" ".join)
prompts = st.sampled_from(
    [
        "",
        EVERYTHING,
        "1girl, hat",
        "<character_2><interaction>hug</interaction></character_2>",
        "<interaction>hug</interaction>",
    ]
)
box = st.none() | st.just(Box(100, 100, 500, 800))


@settings(max_examples=250, deadline=None)
@given(
    prompts,
    st.lists(st.tuples(st.fixed_dictionaries(dict.fromkeys(CHARACTER, typed)), box), max_size=3),
    st.fixed_dictionaries(dict.fromkeys(PICTURE, typed)),
    typed,
)
def test_what_the_builders_make_reads_back(prompt, characters, picture, system):
    try:
        scene = parse(prompt)
        for typed_fields, place in characters:
            scene = with_character(scene, typed_fields, place)
        scene = with_surroundings(scene, picture, system)
    except PromptError as problem:
        assert str(problem)
        return
    assert unread(parse(to_xml(scene))) == unread(scene)


def test_the_nodes_pass_what_they_are_given_on():
    empty = dict.fromkeys(("name", "appearance", "clothing", "expression", "action", "position", "negative"), "")
    scene, xml = NewBieCharacter.execute("girl", parse(EVERYTHING), **{**empty, "name": "rin"}).args
    assert [c.name for c in scene.characters] == ["a", "b", "rin"]
    assert unread(parse(xml)) == unread(scene)
