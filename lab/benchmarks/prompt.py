"""How long a prompt takes: parse, layout and render, on one core, without a host.

    ./run bench prompt                   a table
    ./run bench prompt --json            one JSON object a line
    ./run bench prompt --package DIR     measures another copy of xml_prompt, for before and after

First the prompt people write (two characters, 60 tags), stage by stage; then the growth up to the bound of 4,096 tags.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from ... import xml_prompt
from ...client.problem import Problem

RUNS, SECONDS = 400, 2.0  # of each row, whichever is over first
TARGET_MS = 1.0
GROWTH = (64, 128, 256, 512, 1024, 2048, 4096)

PROMPT = """<scene>
  <character_1>
    <n>hatsune_miku_(vocaloid)</n>
    <gender>1girl</gender>
    <appearance>aqua hair, twintails, (very long hair:1.2), aqua eyes, blunt bangs, pale skin, hairpin, bow</appearance>
    <clothing>grey shirt, sleeveless, collared shirt, aqua necktie, black skirt, pleated skirt, detached sleeves, \
zettai_ryouiki</clothing>
    <body_type>slim, petite</body_type>
    <expression>smile, open mouth, blush, :d</expression>
    <action>standing, facing_right, waving</action>
    <position>left, center_y</position>
  </character_1>
  <character_2>
    <n>kaito</n>
    <gender>1boy</gender>
    <appearance>blue hair, short hair, blue eyes, (messy hair:1.1), fair skin</appearance>
    <clothing>white coat, blue scarf, headset, black gloves, brown pants, belt, long sleeves</clothing>
    <body_type>tall, slender</body_type>
    <expression>smile, closed mouth</expression>
    <action>standing, facing_left, hand on hip</action>
    <position>right, center_y</position>
  </character_2>
  <general_tags>
    <count>1girl, 1boy</count>
    <style>anime style, cel shading</style>
    <background>stage, spotlights</background>
    <atmosphere>cheerful</atmosphere>
    <lighting>backlighting</lighting>
    <quality>masterpiece, best quality</quality>
  </general_tags>
  <interaction>handshake</interaction>
</scene>
"""


def prompt_of(tags: int) -> str:
    """Two characters and the whole picture share this many tags; every eighth is weighted."""
    words = [f"(tag {i:04d}:1.1)" if i % 8 == 0 else f"tag {i:04d}" for i in range(tags)]
    parts = [", ".join(words[i::3]) for i in range(3)]
    return (
        f"<character_1><n>miku</n><appearance>{parts[0]}</appearance></character_1>"
        f"<character_2><n>kaito</n><appearance>{parts[1]}</appearance></character_2>"
        f"<general_tags><other>{parts[2]}</other></general_tags>"
    )


def tags_in(scene: Any) -> int:
    fields = [field for character in scene.characters for field in character.fields] + list(scene.general)
    return sum(len(field.tags) for field in fields)


def median_ms(work: Callable[[], object]) -> tuple[float, float, int]:
    """-> median and the fastest of many runs in milliseconds, and how many. The collector runs between, not within."""
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    for _ in range(5):
        work()
    gc.collect()
    gc.disable()
    try:
        while len(times) < RUNS and (len(times) < 5 or time.perf_counter() < end):
            begin = time.perf_counter()
            work()
            times.append((time.perf_counter() - begin) * 1000)
    finally:
        gc.enable()
    return statistics.median(times), min(times), len(times)


def row(name: str, tags: int, work: Callable[[], object]) -> dict[str, Any]:
    median, fastest, runs = median_ms(work)
    return {
        "name": name,
        "tags": tags,
        "median_ms": round(median, 4),
        "min_ms": round(fastest, 4),
        "us_per_tag": round(median * 1000 / tags, 3),
        "runs": runs,
    }


def rows(pack: ModuleType) -> Iterator[dict[str, Any]]:
    def everything(text: str) -> None:
        scene = pack.parse(text)
        pack.render_xml(scene, pack.layout(scene))

    scene = pack.parse(PROMPT)
    boxes = pack.layout(scene)
    tags = tags_in(scene)
    yield row("parse", tags, lambda: pack.parse(PROMPT))
    yield row("layout", tags, lambda: pack.layout(scene))
    yield row("render", tags, lambda: pack.render_xml(scene, boxes))
    yield row("all", tags, lambda: everything(PROMPT))
    for size in GROWTH:
        text = prompt_of(size)
        yield row("growth", size, lambda text=text: everything(text))


def copy_in(folder: Path) -> ModuleType:
    """xml_prompt imports nothing of ours, so that a copy works anywhere. Raises Problem."""
    folder = folder.resolve()
    if not (folder / "__init__.py").is_file():
        raise Problem(f"{folder} is not a copy of xml_prompt, it has no __init__.py: name the copy's own folder.")
    sys.path.insert(0, str(folder.parent))
    return importlib.import_module(folder.name)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./run bench prompt", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--package", type=Path, metavar="DIR", help="another copy of xml_prompt")
    options = parser.parse_args(arguments)
    pack = copy_in(options.package) if options.package else xml_prompt
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if not options.json:
        print(f"{'':8}{'tags':>6}{'median ms':>12}{'min ms':>10}{'us/tag':>9}{'runs':>6}")
    over = False
    for found in rows(pack):
        over = over or (found["name"] == "all" and found["median_ms"] > TARGET_MS)
        if options.json:
            print(json.dumps(found), flush=True)
        else:
            numbers = "{tags:>6}{median_ms:>12.3f}{min_ms:>10.3f}{us_per_tag:>9.2f}{runs:>6}".format(**found)
            print(f"{found['name']:8}{numbers}", flush=True)
    return 1 if over else 0
