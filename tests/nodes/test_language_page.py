"""Every example on the language pages does what its page says: no warning, a warning, or an error."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from newbie_pack.xml_prompt import PromptError, Scene, convert, layout, parse

DOCS = Path(__file__).resolve().parent.parent.parent / "web" / "docs"
PAGES = ("language.md", "language.zh.md")
FENCE = re.compile(r"^(```|~~~)(xml|json|text)(?: ([\w ]+))?\n(.*?)^\1$", re.MULTILINE | re.DOTALL)


def examples() -> list:
    found = []
    for page in PAGES:
        text = (DOCS / page).read_text(encoding="utf-8")
        for fence in FENCE.finditer(text):
            line = text.count("\n", 0, fence.start()) + 1
            found.append(pytest.param(fence[3], fence[4], id=f"{page}:{line}"))
    return found


def read(text: str, reader: Callable[[str], Scene]) -> Scene:
    scene = reader(text)
    assert len(layout(scene)) == len(scene.characters)
    return scene


@pytest.mark.parametrize(("marks", "text"), examples())
def test_an_example_does_what_its_page_says(marks: str | None, text: str):
    """Marks behind a fence's language: error, warning, convert (what NewBie Text to XML reads)."""
    said = set((marks or "").split())
    assert said <= {"error", "warning", "convert"}
    reader = convert if "convert" in said else parse
    if "error" in said:
        with pytest.raises(PromptError):
            read(text, reader)
        return
    scene = read(text, reader)
    assert bool(scene.warnings) == ("warning" in said), scene.warnings
    if "convert" in said:
        assert len(scene.characters) > 1
    else:
        assert scene.characters or scene.general or scene.caption


@pytest.mark.parametrize("page", PAGES)
def test_every_fence_on_the_page_is_an_example(page: str):
    text = (DOCS / page).read_text(encoding="utf-8")
    assert len(re.findall(r"^~~~$", text, re.MULTILINE)) == 1
    plain = re.sub(r"^~~~.*?^~~~$", "~~~\n~~~", text, flags=re.MULTILINE | re.DOTALL)
    assert plain.count("```") == 2 * (len(FENCE.findall(text)) - 1)


def test_both_pages_have_the_same_sections():
    """As many sections and examples of each kind, in the same order: a rule is never explained in one language only."""
    english, chinese = ((DOCS / page).read_text(encoding="utf-8") for page in PAGES)
    assert english.count("\n## ") == chinese.count("\n## ")

    def shape(text: str) -> list[tuple[str, str]]:
        return [(fence[2], fence[3] or "") for fence in FENCE.finditer(text)]

    assert shape(english) == shape(chinese)


def test_the_pages_are_rendered_whole():
    """What is left of the HTML without its tags is what the Markdown says."""
    pytest.importorskip("comfy.options", reason="no host")
    import html

    from newbie_pack.nodes.language_page import page

    for name in ("language", "language.zh"):
        shown = html.unescape(re.sub(r"<[^>]*>", "", page(name).split("<body>")[1]))
        assert not re.search(r"^(#|\||```|~~~)", shown.replace("```xml", "").replace("```\n", "\n"), re.MULTILINE)
        text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
        examples = [found[4] for found in FENCE.finditer(text)]
        assert examples and all(example.strip("\n") in shown for example in examples)
        assert len(re.findall("<h[1-4]>", page(name))) == len(re.findall("^#{1,4} ", text, re.MULTILINE))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("`<n>` & **b** *i*", "<code>&lt;n&gt;</code> &amp; <b>b</b> <i>i</i>"),
        ("[zh](language.zh.md) [x](javascript:alert(1))", '<a href="language.zh">zh</a> x)'),
        ("<script>", "&lt;script&gt;"),
        ("2 * 3 * 4", "2 * 3 * 4"),
    ],
)
def test_spans(text, shown):
    pytest.importorskip("comfy.options", reason="no host")
    from newbie_pack.nodes.language_page import spans

    assert spans(text) == shown
