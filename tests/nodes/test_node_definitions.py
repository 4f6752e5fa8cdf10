"""What a user sees of the nodes before running any: names, tooltips, translations."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

from newbie_pack.nodes import NewBieExtension
from node_ids import NODE_IDS

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def schemas():
    return {cls.GET_SCHEMA().node_id: cls.GET_SCHEMA() for cls in asyncio.run(NewBieExtension().get_node_list())}


def test_every_node_is_offered(schemas):
    assert tuple(schemas) == NODE_IDS


def test_every_node_explains_itself(schemas):
    for schema in schemas.values():
        assert schema.category.split("/")[0] == "NewBie"
        assert schema.description and schema.search_aliases
        for item in schema.inputs:
            assert item.tooltip, (schema.node_id, item.id)


def test_the_browser_leaves_prompts_as_they_are_typed(schemas):
    """With dynamic prompts the page would strip // and resolve {a|b}."""
    for schema in schemas.values():
        for item in schema.inputs:
            if item.get_io_type() == "STRING":
                assert item.dynamic_prompts is False, (schema.node_id, item.id)


def test_the_chinese_translation_names_every_input_and_output(schemas):
    """There is no English one: the page shows the nodes' own texts where a locale has none."""
    words = json.loads((ROOT / "locales" / "zh" / "nodeDefs.json").read_text(encoding="utf-8"))
    assert set(words) == set(schemas)
    for node_id, schema in schemas.items():
        node = words[node_id]
        assert node["display_name"] and node["description"]
        assert set(node["inputs"]) == {item.id for item in schema.inputs}
        assert all(item["name"] and item["tooltip"] for item in node["inputs"].values())
        assert set(node["outputs"]) == {str(i) for i in range(len(schema.outputs))}


@pytest.mark.parametrize("path", ["{}.md", "{}/zh.md"])
def test_every_node_has_a_help_page(path):
    for node_id in NODE_IDS:
        assert (ROOT / "web" / "docs" / path.format(node_id)).read_text(encoding="utf-8").startswith("# NewBie"), (
            node_id
        )


def test_no_name_is_another_with_a_letter_more(schemas):
    """As Sample and Sampler would be: what draws by itself and what is a part for another node."""
    words = json.loads((ROOT / "locales" / "zh" / "nodeDefs.json").read_text(encoding="utf-8"))
    english = {schema.display_name for schema in schemas.values()}
    chinese = {one["display_name"] for one in words.values()}
    for names in (english, chinese):
        assert not [(a, b) for a in names for b in names if b.startswith(a) and len(b) - len(a) == 1]
    assert {id for id, schema in schemas.items() if schema.category != "NewBie"} == {"NewBieGuider", "NewBieSampler"}
