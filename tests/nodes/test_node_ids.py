"""What saved workflows name for ever: every node's id, inputs and outputs.

A change here breaks somebody's graph. Either keep the old name, or register a replacement with the host and list the
old id in REPLACED; then change the data as well.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from host_import import NO_HOST

DATA = Path(__file__).resolve().parent.parent / "data" / "node_inputs.json"
REPLACED: frozenset[str] = frozenset()  # ids that the host is told a new one for


def found():
    from newbie_pack.nodes import NewBieExtension

    schemas = [cls.GET_SCHEMA() for cls in asyncio.run(NewBieExtension().get_node_list())]
    return {
        schema.node_id: {
            "inputs": {item.id: item.get_io_type() for item in schema.inputs},
            "required": [item.id for item in schema.inputs if not item.optional],
            "outputs": [item.get_io_type() for item in schema.outputs],
        }
        for schema in schemas
    }


def test_nothing_that_a_saved_workflow_names_has_changed():
    pytest.importorskip("comfy.options", reason=NO_HOST)
    saved, now = json.loads(DATA.read_text("utf-8")), found()
    assert set(saved) - REPLACED == set(now)
    for name in set(saved) - REPLACED:
        assert now[name] == saved[name], name
        assert list(now[name]["inputs"]) == list(saved[name]["inputs"]), f"{name}: widgets are saved by their order"
