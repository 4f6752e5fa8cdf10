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


def test_a_file_with_a_hash_is_offered_as_well(canvas):
    """The host's front-end takes the hash from a node's properties to the file that it finds missing."""
    opened = canvas()
    graph = json.loads((ROOT / "workflows" / "NewBie prompt on an SD checkpoint.json").read_text("utf-8"))
    hashes = [model["hash"] for node in graph["nodes"] for model in node["properties"].get("models", [])]
    opened.open(graph)
    opened.page.get_by_role("button", name="View details").click()
    opened.page.wait_for_selector("text=animagine-xl-4.0-opt.safetensors >> visible=true")
    assert opened.page.get_by_role("button", name="Download").count() >= 1
    saved = opened.page.evaluate("() => app.graph.serialize().nodes.flatMap((one) => one.properties.models ?? [])")
    assert [model["hash"] for model in saved] == hashes != []


def test_the_first_picture_takes_four_clicks_and_no_typing(canvas):
    """One fewer at the very first start, where the host opens the templates by itself."""
    opened = canvas()
    opened.open(BARE)
    opened.page.get_by_role("button", name="Templates").first.click()
    opened.page.get_by_role("dialog").get_by_text(ROOT.name, exact=True).click()
    opened.page.get_by_role("dialog").get_by_text(FIRST, exact=True).first.click()
    opened.page.wait_for_selector(".newbie-panel .cm-content >> visible=true")
    # Fewer steps, for the test's time alone.
    opened.node("NewBieSample", "node.widgets.find(({ name }) => name === 'steps').value = 2")
    opened.page.get_by_test_id("queue-button").click()
    saved = "Object.values(app.nodeOutputs).some(({ images }) => images?.some(({ type }) => type === 'output'))"
    opened.page.wait_for_function(f"() => {saved}", timeout=120_000)


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


@pytest.mark.parametrize("locale", ["en", "zh"])
def test_new_nodes_show_their_titles(canvas, locale):
    """In the classic canvas, which cuts them to the node's width; Nodes 2.0 has a least width of its own."""
    opened = canvas("classic", locale)
    opened.open(BARE)
    titles, drawn = opened.page.evaluate(
        """async () => {
          const drawn = new Set();
          const { fillText } = CanvasRenderingContext2D.prototype;
          CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
            drawn.add(text);
            return fillText.call(this, text, ...rest);
          };
          const types = Object.keys(LiteGraph.registered_node_types).filter((type) => type.startsWith("NewBie"));
          const nodes = types.map((type, i) => {
            const node = LiteGraph.createNode(type);
            node.pos = [100 + (i % 6) * 50, 100 + 60 * i];
            app.graph.add(node);
            return node;
          });
          Object.assign(app.canvas.ds, { scale: 0.6, offset: [0, 0] });
          app.canvas.draw(true, true);
          await new Promise(requestAnimationFrame);
          CanvasRenderingContext2D.prototype.fillText = fillText;
          return [nodes.map(({ title }) => title), [...drawn]];
        }"""
    )
    assert len(titles) == 18 and set(titles) <= set(drawn)


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


@pytest.mark.parametrize("text", ["<character_1><pose>x", "<character_1><position>rigth</position></character_1>"])
def test_what_is_said_inside_a_subgraph_is_seen_outside(canvas, renderer, text):
    """As a badge of its node, which is all that the host lets such a node have, and as a toast."""
    opened = canvas(renderer)
    opened.open_template(FIRST)
    opened.write(text)
    opened.page.evaluate(
        """() => {
          for (const node of app.graph.nodes) if (node.type === "SaveImage") app.graph.remove(node);
          app.graph.convertToSubgraph(new Set(app.graph.nodes.filter(({ type }) => type === "NewBieXMLPrompt")));
        }"""
    )
    outer = "app.graph.nodes.find(({ subgraph }) => subgraph)"
    badges = f"{outer}.badges.flatMap((badge) => badge.ofNewBie ? badge.text : [])"
    opened.page.get_by_test_id("queue-button").click()
    opened.until(f"() => {badges}.length === 1")
    said = opened.page.evaluate(f"() => {badges}[0]")
    assert said.startswith("NewBie XML Prompt: line 1, column ")
    opened.page.wait_for_selector(f"text={said.split(': ', 1)[1]} >> visible=true")
    assert "widgets_values" not in opened.page.evaluate(f"() => {outer}.serialize()")
    opened.page.evaluate(f"() => {{ {outer}.subgraph.nodes[0].widgets[0].value = '<character_1/>'; }}")
    opened.page.get_by_test_id("queue-button").click()
    opened.until(f"() => {badges}.length === 0")


def test_the_sentence_of_a_refusal_is_in_a_toast(canvas):
    opened = canvas()
    opened.open_template(FIRST)
    opened.write("<character_1>")
    opened.page.get_by_test_id("queue-button").click()
    opened.page.wait_for_selector(":text('is never closed'):not(.newbie-panel *, .cm-tooltip *) >> visible=true")


def test_a_page_without_our_nodes_pays_little(canvas):
    """Bytes, as the page's own list has them, and time in our script and all that it calls, as the profiler has it."""
    opened = canvas()
    profiler = opened.page.context.new_cdp_session(opened.page)
    profiler.send("Profiler.enable")
    profiler.send("Profiler.setSamplingInterval", {"interval": 200})
    profiler.send("Profiler.start")
    opened.page.reload()
    opened.until("() => window.app?.graph?.nodes.length && app.extensionManager")
    profile = profiler.send("Profiler.stop")["profile"]
    profiler.detach()
    entries = opened.page.evaluate(
        """() => performance.getEntriesByType("resource").filter(({ name }) => /newbie|panel\\//.test(name))
             .map(({ name, decodedBodySize }) => [name, decodedBodySize])"""
    )
    assert [name.rsplit("/", 1)[1] for name, _ in entries] == ["newbie.js"]
    assert sum(size for _, size in entries) < BYTES
    ours: set[int] = set()
    for node in profile["nodes"]:  # parents come before their children
        if node["id"] in ours or node["callFrame"]["url"].endswith("/newbie.js"):
            ours |= {node["id"], *node.get("children", [])}
    took = sum(microseconds for node, microseconds in zip(profile["samples"], profile["timeDeltas"], strict=True)
               if node in ours)  # fmt: skip
    assert took / 1000 < MILLISECONDS
