"""A word that is typed anywhere into any text of the corpus is in the scene, or a warning or an error says why not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from newbie_pack.xml_prompt import PromptError, convert, parse, to_xml

DATA = Path(__file__).parents[1] / "data"
MARK = "zqxm"
FORMS = (MARK, f"{MARK}, ", f" {MARK} ", f", {MARK}", f"\n{MARK}\n")
EACH = 4
# XML's own comments and declaration, and the language of a fence, are nobody's words. A negative's key may say whose.
SILENT = ("comments", "declaration", "fence", "references", "K03_negatives")


def corpus():
    for folder in ("field", "valid", "plain"):
        for path in sorted((DATA / folder).iterdir()):
            if not path.name.endswith(".expected.json"):
                yield path.name, path.read_bytes().decode("utf-8")
    for path in sorted((DATA / "kinds").glob("*.json")):
        for number, entry in enumerate(json.loads(path.read_text(encoding="utf-8"))):
            if isinstance(entry, dict):
                yield f"{path.stem}:{number}", entry["text"]


@pytest.mark.parametrize(("name", "text"), list(corpus()))
def test_a_marker_is_kept_or_told_of(name, text):
    random = Random(name)
    for _ in range(EACH):
        at = random.randint(0, len(text))
        typed = text[:at] + random.choice(FORMS) + text[at:]
        for reader in (parse, convert):
            try:
                scene = reader(typed)
            except PromptError:
                continue
            written = to_xml(scene)
            assert MARK in written or scene.warnings or name.startswith(SILENT), typed
            assert replace(parse(written), warnings=()) == replace(scene, warnings=())
