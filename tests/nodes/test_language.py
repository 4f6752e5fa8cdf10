"""Which language a node speaks: the page's, as far as the host keeps it, or else the computer's."""

from __future__ import annotations

import json

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import folder_paths
from newbie_pack.nodes.common import language
from newbie_pack.nodes.prompt import NewBieXMLPrompt


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Writes the default user's settings; the computer speaks English."""
    monkeypatch.setattr(folder_paths, "get_user_directory", lambda: str(tmp_path))
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    (tmp_path / "default").mkdir()
    return lambda text: (tmp_path / "default" / "comfy.settings.json").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("stated", "spoken"),
    [({"Comfy.Locale": "zh"}, "zh"), ({"Comfy.Locale": "zh-TW"}, "zh"), ({"NewBie.Locale": "zh"}, "zh"),
     ({"Comfy.Locale": "en", "NewBie.Locale": "zh"}, "en"), ({"Comfy.Locale": "ja"}, "en"), ({}, "en"),
     ({"Comfy.Locale": None}, "en"), ({"Comfy.Locale": 3}, "en"), ([], "en"), (None, "en")],
)  # fmt: skip
def test_the_users_choice_comes_first(settings, stated, spoken):
    settings(json.dumps(stated))
    assert language() == spoken


def test_without_a_choice_the_computer_decides(settings, monkeypatch):
    assert language() == "en"  # no file at all
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert language() == "zh"
    settings("{broken")
    assert language() == "zh"


def test_what_is_said_on_a_node_is_in_that_language(settings):
    settings('{"Comfy.Locale": "zh"}')
    assert NewBieXMLPrompt.validate_inputs("<character_1>") == (
        "第 1 行第 1 列：<character_1> 没有结束。请在结尾处写上 </character_1>。"
    )
    output = NewBieXMLPrompt.execute("<character_1><shoes>red</shoes></character_1>")
    assert output.ui.as_dict()["text"] == ("第 1 行第 14 列：<shoes> 不是已知字段；按原样保留。",)
    with pytest.raises(ValueError, match="第 1 行第 1 列：<character_1> 没有结束"):
        NewBieXMLPrompt.execute("<character_1>")
