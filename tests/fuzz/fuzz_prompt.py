"""Coverage-guided fuzzing of everything that text goes through: whatever the bytes, only PromptError may come out.

    pip install atheris lxml
    python tests/fuzz/fuzz_prompt.py FOLDER tests/data/field tests/data/valid tests/data/plain tests/data/invalid \
        -dict=tests/fuzz/prompt.dict -max_len=4096 -max_total_time=600 -timeout=5

FOLDER keeps what reached new code; a text that breaks something is written to crash-<hash>. Not collected by pytest.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))
with atheris.instrument_imports(include=["xml_prompt"]):
    import xml_prompt as prompt

ASPECTS = (0.667, 1.0, 1.5)


def check(scene: prompt.Scene) -> None:
    """What holds for every scene that was read."""
    written = prompt.to_xml(scene)
    again = prompt.parse(written)
    assert replace(again, warnings=()) == replace(scene, warnings=()), (scene, again)
    assert prompt.to_xml(again) == written
    for aspect in ASPECTS:
        try:
            boxes = prompt.layout(scene, aspect)
        except prompt.PromptError:
            continue  # the places that the prompt states contradict each other
        assert len(boxes) == len(scene.characters)
        assert all(0 <= b.left < b.right <= prompt.GRID and 0 <= b.top < b.bottom <= prompt.GRID for b in boxes), boxes
        prompt.regions(scene, boxes)
        json.dumps(prompt.report(scene, boxes), allow_nan=False)
        for segments in (prompt.render_xml(scene, boxes), prompt.render_json(scene, boxes), prompt.render_tags(scene)):
            prompt.text_of(segments)


def test_one_input(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for read in (prompt.parse, prompt.convert):
        try:
            scene = read(text)
        except prompt.PromptError as error:
            assert str(error.message)
            continue
        check(scene)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
