"""What the host tells the front-end about the nodes."""

from __future__ import annotations

import pytest
from graphs import inputs_of, read
from node_ids import NODE_IDS


def test_the_pack_brings_these_nodes_and_no_others(object_info):
    assert {name for name, info in object_info.items() if info["category"].startswith("NewBie")} == set(NODE_IDS)


@pytest.mark.parametrize("name", NODE_IDS)
def test_a_node_explains_itself(object_info, name):
    info = object_info[name]
    assert info["display_name"].startswith("NewBie ")
    assert info["description"] and info["search_aliases"]
    assert not info.get("deprecated") and not info.get("experimental")
    for key, spec in inputs_of(info).items():
        assert spec[1].get("tooltip"), key


@pytest.mark.parametrize("name", NODE_IDS)
@pytest.mark.parametrize("page", ["{}.md", "{}/zh.md"])
def test_a_node_has_its_help(object_info, server, name, page):
    """Fetched where the front-end fetches it."""
    module = object_info[name]["python_module"].removeprefix("custom_nodes.")
    text = read(f"{server.url}/extensions/{module}/docs/{page.format(name)}").decode()
    assert text.startswith("# ")
    for key in inputs_of(object_info[name]):
        assert f"`{key}`" in text, f"{key} is not explained"


def test_names_and_tooltips_are_translated(object_info, server):
    from newbie_pack.client import api

    words = api.ask(server, "/i18n")["zh"]["nodeDefs"]
    for name in NODE_IDS:
        assert words[name]["display_name"] and words[name]["description"]
        for key in inputs_of(object_info[name]):
            assert words[name]["inputs"][key]["name"] and words[name]["inputs"][key]["tooltip"]
