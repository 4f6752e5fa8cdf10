"""What a user meets first: templates, the size, a refusal, and what our script costs a page without our nodes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
NAMES = sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))
FIRST = "NewBie first picture (mini)"
BYTES, MILLISECONDS = 30_000, 50  # that a page without our nodes may cost
BARE = {"nodes": [], "links": [], "version": 0.4}
RECTANGLES = {
    "classic": "app.graph.nodes.map(({ title, pos, size }) => [title, pos[0], pos[1] - 30, size[0], size[1] + 30])",
    "nodes2": """app.graph.nodes.map(({ id, title }) => {
        const { x, y, width, height } = document.querySelector(`[data-node-id="${id}"]`).getBoundingClientRect();
        return [title, ...[x, y, width, height].map((side) => side / app.canvas.ds.scale)]; })""",
}


@pytest.mark.parametrize("name", NAMES)
def test_no_nodes_of_a_template_overlap_and_nothing_is_missing(canvas, renderer, name):
    opened = canvas(renderer)
    graph = json.loads((ROOT / "workflows" / f"{name}.json").read_text("utf-8"))
    opened.open(graph)
    if renderer == "nodes2":
        opened.until("count => document.querySelectorAll('[data-node-id]').length === count", len(graph["nodes"]))
    if any(node["type"] == "NewBieXMLPrompt" for node in graph["nodes"]):
        opened.page.wait_for_selector(".newbie-panel", state="attached")
    places = opened.page.evaluate(f"() => {RECTANGLES[renderer]}")
    for i, (one, ax, ay, aw, ah) in enumerate(places):
        for other, bx, by, bw, bh in places[:i]:
            apart = ax + aw <= bx + 1 or bx + bw <= ax + 1 or ay + ah <= by + 1 or by + bh <= ay + 1
            assert apart, (one, other)


def test_missing_files_are_offered_for_download(canvas):
    opened = canvas()
    opened.open(json.loads((ROOT / "workflows" / "NewBie two characters (full model).json").read_text("utf-8")))
    opened.page.get_by_role("button", name="View details").click()
    for name in ("NewBie-Image-Exp0.1-bf16", "gemma_3_4b_it_bf16", "jina_clip_v2_bf16", "ae"):
        opened.page.wait_for_selector(f"text={name}.safetensors >> visible=true")
    assert opened.page.get_by_role("button", name="Download").count() >= 1


def test_the_size_is_suggested_first_where_a_latent_is_wanted(canvas):
    assert canvas().page.evaluate("() => LiteGraph.slot_types_default_in.LATENT[0]") == "NewBieSize"


@pytest.mark.parametrize("words", ["size", "latent", "resolution", "newbie"])
def test_the_size_is_found_by_name(canvas, words):
    opened = canvas()
    opened.open(BARE)
    search = "() => app.extensionManager.command.execute('Workspace.SearchBox.Toggle')"
    opened.page.evaluate(search)
    opened.page.locator("input:focus").fill(words)
    opened.page.wait_for_selector("text=NewBie Size >> visible=true")
    opened.page.evaluate(search)
    opened.page.wait_for_selector("text=NewBie Size >> visible=true", state="detached")


def test_scenes_have_a_colour_of_their_own(canvas):
    opened = canvas()
    opened.open_template(FIRST)
    assert opened.page.evaluate("() => LGraphCanvas.link_type_colors.NEWBIE_SCENE").startswith("#")


def test_a_refused_prompt_takes_its_old_preview_away(canvas, renderer):
    """The preview runs for real; the refusal is the host's."""
    opened = canvas(renderer)
    opened.open_template(FIRST)
    opened.page.evaluate(
        """() => { for (const node of app.graph.nodes) if (node.type === "SaveImage") app.graph.remove(node); }"""
    )
    opened.page.get_by_test_id("queue-button").click()
    drawn = "Object.values(app.nodeOutputs).some(({ images }) => images?.length)"
    opened.until(f"() => {drawn}")
    shown = "app.graph.nodes.some(({ type, imgs }) => type === 'NewBieLayoutPreview' && imgs?.length)"
    if renderer == "classic":  # it loads the picture by itself
        opened.until(f"() => {shown}")
    opened.write("<character_1>")
    opened.page.get_by_test_id("queue-button").click()
    opened.until(f"() => !({drawn}) && !({shown})")


def test_a_page_without_our_nodes_pays_little(canvas):
    """Bytes and run time of what the page loads of ours, as its own clock has them."""
    opened = canvas()
    opened.page.reload()
    opened.until("() => window.app?.graph?.nodes.length && app.extensionManager")
    entries = opened.page.evaluate(
        """() => performance.getEntriesByType("resource").filter(({ name }) => /newbie|panel\\//.test(name))
             .map(({ name, decodedBodySize }) => [name, decodedBodySize])"""
    )
    assert [name.rsplit("/", 1)[1] for name, _ in entries] == ["newbie.js"]
    assert sum(size for _, size in entries) < BYTES
    took = opened.page.evaluate(
        """async () => {
          const extension = app.extensions.find(({ name }) => name === "NewBieXML.Prompt");
          const begin = performance.now();
          await extension.setup();
          for (const { nodeData } of Object.values(LiteGraph.registered_node_types))
            extension.beforeRegisterNodeDef({ prototype: {} }, nodeData);
          return performance.now() - begin;
        }"""
    )
    assert took < MILLISECONDS
