"""What the page is told while a prompt is typed."""

from __future__ import annotations

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

from newbie_pack.nodes.page import Question, question, verdict
from newbie_pack.nodes.prompt import NewBieXMLPrompt
from newbie_pack.xml_prompt import parse

TWO = "<character_1><n>miku</n><bbox>0, 0, 500, 1000</bbox></character_1>\n<character_2><n>kaito</n></character_2>"


def test_everybody_is_told_with_name_and_box():
    told = verdict(Question(TWO))
    assert (told["problem"], told["warnings"], told["hint"]) == (None, [], None)
    assert [(c["id"], c["name"], c["stated"]) for c in told["characters"]] == [
        ("character_1", "miku", True),
        ("character_2", "kaito", False),
    ]
    assert told["characters"][0]["box"] == [0, 0, 500, 1000]


def test_boxes_are_of_the_pictures_shape():
    one = "<character_1><n>a</n></character_1>"
    wide, tall = (verdict(Question(one, aspect=aspect))["characters"][0]["box"] for aspect in (2.0, 0.5))
    assert wide[2] - wide[0] < tall[2] - tall[0]


@pytest.mark.parametrize(("language", "sentence"), [("en", "is never closed"), ("zh", "没有")])
def test_a_mistake_is_told_with_its_place_in_the_users_language(language, sentence):
    told = verdict(Question("<character_1>\n <n>a", language=language))
    assert (told["problem"]["line"], told["problem"]["column"]) == (2, 2)
    assert sentence in told["problem"]["message"]
    assert told["characters"] == []


def test_plain_tags_are_told_where_to_go_and_offered_as_xml():
    tags = "1girl, blue hair; 1boy, black hair"
    told = verdict(Question(tags))
    assert "Text to XML" in told["hint"]
    assert len(parse(told["xml"]).characters) == 2
    assert "Text to XML" in NewBieXMLPrompt.execute(tags).ui.as_dict()["text"][0]
    assert verdict(Question(tags, reader="text"))["hint"] is None
    for not_plain in ("", "<style>flat</style>", TWO, "a castle at night"):
        assert verdict(Question(not_plain))["hint"] is None


def test_fields_of_nodes_are_told_by_field_with_their_place_in_it():
    kaito = {"name": "kaito", "clothing": "hat,\nscarf (", "position": "rigth"}
    told = verdict(Question(people=({"name": "miku"}, kaito)))
    assert told["problem"] is None and [one["name"] for one in told["characters"]] == ["miku", "kaito"]
    assert [(one["field"], one["line"], one["column"]) for one in told["warnings"]] == [
        ("clothing", 2, 7), ("position", 1, 1),
    ]  # fmt: skip
    wrong = verdict(Question(people=({"action": "x, (wave:99)"},)))["problem"]
    assert (wrong["field"], wrong["line"]) == ("action", 1) and "99" in wrong["message"]


def test_what_is_wrong_in_an_earlier_node_is_told_there_alone():
    wrong, right = {"action": "(wave:99)"}, {"name": "rin", "position": "rigth"}
    assert verdict(Question(people=(wrong, right))) == verdict(Question(people=(wrong,), surroundings={})) == {
        "problem": None, "warnings": [], "characters": [], "hint": None, "xml": None,
    }  # fmt: skip
    told = verdict(Question(people=(right,), surroundings={"style": "ink (", "system_prompt": "Draw."}))
    assert [one["field"] for one in told["warnings"]] == ["style"]


def test_an_empty_character_and_a_scene_without_any_are_no_mistake():
    for asked in (Question(people=({},)), Question(surroundings={}), Question(surroundings={"caption": "At noon."})):
        told = verdict(asked)
        assert (told["problem"], told["warnings"]) == (None, [])


@pytest.mark.parametrize(
    "said",
    [{"people": {}}, {"people": [1]}, {"people": [{"name": 1}]}, {"surroundings": [1]}, {"people": []},
     None, [], {}, {"text": 1}, {"text": "", "reader": "eval"}, {"text": "", "aspect": "1"}, {"text": "", "aspect": 0},
     {"text": "", "aspect": float("nan")}, {"text": "", "aspect": 1e9}],
)  # fmt: skip
def test_what_is_no_question_is_refused(said):
    with pytest.raises(ValueError):
        question(said)


def test_a_question_says_what_it_needs_and_no_more():
    assert question({"text": "a", "language": "zh-TW", "aspect": 2}) == Question("a", "xml", 2.0, "zh")
    assert question({"text": "a"}) == Question("a")
    fields = {"name": "miku"}
    assert question({"people": [fields], "surroundings": fields}) == Question(people=(fields,), surroundings=fields)
    assert question({"surroundings": {}}).surroundings == {}
