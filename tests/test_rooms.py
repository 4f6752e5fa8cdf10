"""Which room may import which: imports point downwards, and the prompt language is entered by its door alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BELOW = {  # room -> those that it may import, besides itself and the files of the root
    "xml_prompt": set(),
    "model_loader": set(),
    "sampling": {"model_loader", "xml_prompt"},
    "isolation": {"sampling", "model_loader", "xml_prompt"},
    "nodes": {"isolation", "sampling", "model_loader", "xml_prompt"},
}


def imports(room):
    """(file, what it imports of ours, as path below the root)."""
    for path in sorted((ROOT / room).rglob("*.py")):
        package = path.relative_to(ROOT).parts[:-1]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                where = package[: len(package) - node.level + 1]
                yield path, (*where, *(node.module or "").split("."))


@pytest.mark.parametrize("room", BELOW)
def test_imports_point_downwards(room):
    found = {(path.name, target[0]) for path, target in imports(room) if target[0] in {*BELOW, "client", "lab", "mini"}}
    assert {(name, target) for name, target in found if target not in {room, *BELOW[room]}} == set()


@pytest.mark.parametrize("room", ["isolation", "sampling", "nodes", "client", "lab"])
def test_the_prompt_language_is_entered_by_its_door(room):
    assert [(path.name, target) for path, target in imports(room) if target[0] == "xml_prompt" and target[1:]] == []


def test_the_prompt_language_needs_neither_the_host_nor_torch():
    named = set()
    for path in (ROOT / "xml_prompt").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                named |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                named.add(node.module.split(".")[0])
    assert {"lxml", "re"} <= named
    assert not named & {"torch", "numpy", "comfy", "comfy_api", "folder_paths", "nodes", "server"}
