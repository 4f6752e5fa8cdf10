"""The two strengths of a LoRA, as other programs write them, read and written."""

from __future__ import annotations

import pytest
from newbie_pack.xml_prompt import Lora, PromptError, convert, parse, to_xml


@pytest.mark.parametrize(("written", "read"), [
    ("<lora:a>", Lora("a")),
    ("<lora:a:0.8>", Lora("a", 0.8)),
    ("<lora:a:0.8:0.6>", Lora("a", 0.8, 0.6)),
    ("<lora:a:-1:0>", Lora("a", -1.0, 0.0)),
    ("<lora:a::0.5>", Lora("a", 1.0, 0.5)),
    ("<lora>folder/a.safetensors:0.8:1</lora>", Lora("folder/a.safetensors", 0.8, 1.0)),
    ('<lora name="a" weight="0.8"/>', Lora("a", 0.8)),
    ('<lora name="a:0.8:0.6"/>', Lora("a", 0.8, 0.6)),
    ('<lora name="one, another: v2" strength="0.8:0.6"/>', Lora("one, another: v2", 0.8, 0.6)),
    ('<lora name="「一、二」&amp; &quot;3&quot;" strength="1"/>', Lora('「一、二」& "3"')),
    ('<lora strength="0.5">a</lora>', Lora("a", 0.5)),
    ('<lora strength="0.5">a:0.2</lora>', Lora("a", 0.2)),
    ("<lora：名字：０.８>", Lora("名字", 0.8)),
    ("<lora:a:0.8/>", Lora("a", 0.8)),
    ("<lora:a:te=0.6:unet=0.8>", Lora("a", 0.8, 0.6)),
    ("<lora:a:0.8:clip=0.6>", Lora("a", 0.8, 0.6)),
    (r"<lora:C:\\loras\\a.safetensors:0.5>".replace(r"\\", "\\"), Lora("C:\\loras\\a.safetensors", 0.5)),
])
def test_strengths(written, read):
    scene = parse(f"<character_1><appearance>red hair {written}</appearance></character_1>")
    assert scene.characters[0].loras == (read,) and not scene.warnings
    assert parse(to_xml(scene)).characters[0].loras == (read,)


def test_without_another_the_text_encoders_have_the_models_strength():
    assert (Lora("a", 0.8).text_strength, Lora("a", 0.8, 0.0).text_strength) == (0.8, 0.0)


@pytest.mark.parametrize(("written", "left"), [
    ("red hair, (<lora:a>), smile", ["red hair", "smile"]),
    ("red hair, ((<lora:a>:1.2)), smile", ["red hair", "smile"]),
    ("（<lora:a>）", []),
    ("red hair, (<lora:a>, smile)", ["red hair", "smile"]),
    ("red hair, \\(<lora:a>\\)", ["red hair", "()"]),
    ("(), <lora:a>", ["()"]),
    ("red_hair<lora:a>smile", ["red_hair smile"]),
    ("(red hair<lora:a>:1.2)", ["red hair"]),
])
def test_what_stood_around_a_lora_is_read_as_without_it(written, left):
    within = parse(f"<character_1><appearance>{written}</appearance></character_1>")
    assert [tag.text for field in within.characters[0].fields for tag in field.tags] == left
    assert [lora.name for lora in within.characters[0].loras] == ["a"] and not within.warnings


@pytest.mark.parametrize("written", ["(<lora:a>)", "（ <lora:a> ）", "((<lora:a>):1.2)"])
def test_plain_words_keep_no_empty_brackets(written):
    scene = convert(f"1girl, red hair, {written}, smile")
    words = [tag.text for field in scene.characters[0].fields for tag in field.tags]
    assert [lora.name for lora in scene.loras] == ["a"] and {"red hair", "smile"} <= set(words)
    assert not any(set("()（）") & set(word) for word in words)


def test_wide_brackets_are_refused_as_those_of_elements_are():
    with pytest.raises(PromptError, match="full-width"):
        parse("<character_1><appearance>红发，＜lora：名字：0.7＞</appearance></character_1>")


@pytest.mark.parametrize(("written", "said"), [("<lora:a:1:2:3>", '"3" is ignored'), ("<lora:a:1:x>", '"x" is not a'),
                                               ("<lora:a:101>", '"101" is not a'), ("<lora:a:-9999>", "is not a"),
                                               ("<lora:a:nan>", "is not a"), ("<lora:a:1:1e9>", '"1e9" is not a')])
def test_what_is_too_much_or_no_number_is_said(written, said):
    scene = parse(f"<character_1><appearance>red hair {written}</appearance></character_1>")
    assert [said in str(warning.message) for warning in scene.warnings] == [True]


@pytest.mark.parametrize(("written", "read"), [
    ('{"name": "a", "strength": 0.5}', [Lora("a", 0.5)]),
    ('[{"name": "a", "weight": -1}, {"name": "b"}]', [Lora("a", -1.0), Lora("b")]),
    ('{"a": 0.5, "b": null}', [Lora("a", 0.5), Lora("b")]),
    ('["a:0.5:0.2", {"b": 2}]', [Lora("a", 0.5, 0.2), Lora("b", 2.0)]),
    ('"a:0.5, b"', [Lora("a", 0.5), Lora("b")]),
    ('[{"name": "a, b: c", "strength": 0.5}, "d"]', [Lora("a, b: c", 0.5), Lora("d")]),
    ("[]", []),
])
@pytest.mark.parametrize("key", ["lora", "loras"])
def test_those_of_json_are_read_wherever_they_stand(key, written, read):
    inside = parse(f'{{"character_1": {{"appearance": "red hair", "{key}": {written}}}, "caption": "A girl."}}')
    beside = parse(f'{{"character_1": {{"appearance": "red hair"}}, "{key}": {written}, "caption": "A girl."}}')
    assert list(inside.characters[0].loras) == list(beside.loras) == read
    assert not inside.loras and not beside.characters[0].loras and not inside.warnings + beside.warnings
    assert parse(to_xml(inside)) == inside and parse(to_xml(beside)) == beside
