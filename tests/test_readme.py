"""What the README counts and names is there, under the names that its readers see."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEMPLATES = len(list((ROOT / "workflows").glob("*.json")))
NUMBERS = {11: ("eleven", "十一"), 12: ("twelve", "十二"), 13: ("thirteen", "十三"), 14: ("fourteen", "十四")}


def rows(name: str) -> list[str]:
    """The first column of the table of nodes."""
    return re.findall(r"^\| (NewBie [^|]+?) \|", (ROOT / name).read_text("utf-8"), re.MULTILINE)


def test_as_many_templates_as_are_told():
    english, chinese = NUMBERS[TEMPLATES - 1]
    assert f"this graph and\n{english} others" in (ROOT / "README.md").read_text("utf-8")
    assert f"这个工作流和另外{chinese}个" in (ROOT / "README.zh-CN.md").read_text("utf-8")


def test_chinese_readers_find_the_nodes_under_the_names_of_their_page():
    nodes = json.loads((ROOT / "locales" / "zh" / "nodeDefs.json").read_text("utf-8"))
    shown = {re.sub(r"（.*", "", node["display_name"]) for node in nodes.values()}
    told = [part for row in rows("README.zh-CN.md") for part in row.split("、")]
    assert sorted(re.sub(r"（.*", "", name) for name in told) == sorted(shown)
    english = {part.removeprefix("NewBie ") for row in rows("README.md") for part in row.split(", ")}
    assert {re.search("（(.+)）", name)[1] for name in told} == english


def test_every_task_calls_itself_as_it_is_called():
    tasks = {f"bench {path.stem}": path for path in (ROOT / "lab" / "benchmarks").glob("*.py")}
    tasks |= {f"mini {name}": ROOT / "lab" / "training" / f"{name}.py" for name in ("train", "lora")}
    tasks |= {"mini evaluate": ROOT / "lab" / "judging" / "evaluate.py"}
    started = re.compile(r"ArgumentParser\(\s*(.{0,40})")
    parsers = {task: started.findall(path.read_text("utf-8")) for task, path in tasks.items()}
    assert sum(map(len, parsers.values())) > 15
    for task, calls in parsers.items():
        assert all(call.startswith(f'prog="./run {task}"') for call in calls), task
