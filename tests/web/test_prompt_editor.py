"""The editor of a prompt node: the text widget stays the truth, keys stay in it, mistakes are where they are."""

from __future__ import annotations

import pytest

FIRST = "NewBie first picture (mini)"
EDITOR = ".newbie-panel .cm-content"
BOXES = "[...document.querySelectorAll('textarea')]"
BOX_SHOWN = f"{BOXES}.some((box) => box.value.includes('miku') && box.checkVisibility())"
TAGS = "1girl, blue hair; 1boy, black hair"


@pytest.fixture
def prompt(canvas, renderer):
    opened = canvas(renderer)
    opened.open_template(FIRST)
    return opened


def test_the_editor_takes_the_place_of_the_text_box_and_adds_nothing_to_the_graph(prompt):
    assert "<n>miku</n>" in prompt.page.inner_text(EDITOR)
    assert prompt.node("NewBieXMLPrompt", "node.inputs.map(({ name }) => name)") == ["xml"]
    assert prompt.node("NewBieXMLPrompt", "node.serialize().widgets_values.length") == 1
    prompt.until(f"() => !({BOX_SHOWN})")
    (inputs,) = (node["inputs"] for node in prompt.queued().values() if node["class_type"] == "NewBieXMLPrompt")
    assert inputs == {"xml": prompt.xml}


def test_what_is_typed_is_what_is_queued_and_the_other_way_round(prompt):
    prompt.page.click(EDITOR)
    prompt.page.keyboard.press("Control+End")
    prompt.page.keyboard.insert_text("<!-- typed -->")
    assert prompt.xml.endswith("</scene><!-- typed -->")
    prompt.write("<character_1><n>rin</n></character_1>")
    prompt.until(f"() => document.querySelector('{EDITOR}').innerText.includes('rin')")
    assert "miku" not in prompt.page.inner_text(EDITOR)


def test_undo_and_paste_stay_in_the_editor(prompt):
    before, nodes = prompt.xml, prompt.page.evaluate("() => app.graph.nodes.length")
    prompt.page.click(".newbie-panel .cm-content")
    prompt.page.keyboard.press("Control+End")
    prompt.page.keyboard.insert_text("x")
    prompt.page.keyboard.press("Control+z")
    assert prompt.xml == before and prompt.page.evaluate("() => app.graph.nodes.length") == nodes
    prompt.page.keyboard.press("Control+a")
    prompt.page.keyboard.press("Control+c")
    prompt.page.keyboard.press("Control+End")
    prompt.page.keyboard.press("Control+v")
    prompt.until("length => app.graph.nodes.find(n => n.type === 'NewBieXMLPrompt').widgets[0].value.length > length",
                 len(before))  # fmt: skip
    assert prompt.xml == before * 2 and prompt.page.evaluate("() => app.graph.nodes.length") == nodes
    prompt.page.keyboard.press("Delete")  # nor is the node deleted
    assert prompt.page.evaluate("() => app.graph.nodes.length") == nodes


def test_the_wheel_scrolls_the_editor_that_is_typed_in_and_not_the_canvas(prompt):
    prompt.write("".join(f"<character_{i}>\n  <n>a</n>\n</character_{i}>\n" for i in range(1, 30)))
    prompt.page.click(EDITOR, position={"x": 100, "y": 30})
    view = "() => [...app.canvas.ds.offset, app.canvas.ds.scale]"
    before = prompt.page.evaluate(view)
    prompt.page.mouse.wheel(0, 300)
    prompt.until("() => document.querySelector('.newbie-editor .cm-scroller').scrollTop > 100")
    assert prompt.page.evaluate(view) == before


def test_where_nothing_scrolls_the_wheel_zooms_and_the_middle_button_moves_the_canvas(prompt):
    stage = ".newbie-panel .newbie-bar"
    prompt.page.hover(stage)
    before = prompt.page.evaluate("() => app.canvas.ds.scale")
    prompt.page.mouse.wheel(0, 100)
    prompt.until("before => app.canvas.ds.scale < before", before)
    prompt.page.hover(stage)
    offset = "() => [...app.canvas.ds.offset]"
    before = prompt.page.evaluate(offset)
    place = prompt.page.locator(stage).bounding_box()
    prompt.page.mouse.down(button="middle")
    prompt.page.mouse.move(place["x"] + 90, place["y"] + 60, steps=4)
    prompt.page.mouse.up(button="middle")
    assert prompt.page.evaluate(offset) != before
    prompt.page.mouse.move(place["x"] + 150, place["y"] + 150)  # and no further
    after = prompt.page.evaluate(offset)
    prompt.page.mouse.move(place["x"], place["y"])
    assert prompt.page.evaluate(offset) == after


def test_a_mistake_is_underlined_and_a_click_in_the_list_goes_there(prompt):
    prompt.write("<character_1>\n  <n>miku</n>\n  <pose>waving\n</character_1>")
    prompt.page.wait_for_selector(".newbie-panel .cm-lintRange-error")
    assert "pose" in prompt.page.inner_text(".cm-lintRange-error")
    place = prompt.page.locator(".newbie-problem .newbie-place")
    assert place.inner_text() == "3:3"
    place.click()
    assert "pose" in prompt.page.inner_text(".newbie-panel .cm-activeLine")
    prompt.write("<character_1>\n  <n>miku</n>\n</character_1>")
    prompt.page.wait_for_selector(".newbie-problem", state="detached")
    assert prompt.page.locator(".cm-lintRange-error").count() == 0


def test_format_puts_one_element_a_line_and_loses_nothing(prompt):
    prompt.write("<scene><!-- two --> <character_1><n>a</n>  <pose>x,\n y</pose></character_1> words</scene>")
    prompt.page.get_by_role("button", name="Format").click()
    assert prompt.xml == (
        "<scene>\n  <!-- two -->\n  <character_1>\n    <n>a</n>\n    <pose>x,\n y</pose>\n  </character_1>\n"
        "  words\n</scene>"
    )


def test_plain_tags_are_turned_into_xml_with_one_click(prompt):
    prompt.write(TAGS)
    button = prompt.page.get_by_role("button", name="Turn into XML")
    button.click()
    assert prompt.xml.count("<character_") == 2
    prompt.page.wait_for_selector(".newbie-messages", state="hidden")


def test_elements_positions_and_tags_are_completed(prompt):
    prompt.write("<character_1>\n  \n</character_1>")
    prompt.page.click(EDITOR)
    prompt.page.keyboard.press("Control+Home")
    prompt.page.keyboard.press("ArrowDown")
    prompt.page.keyboard.type("<posi", delay=30)
    prompt.page.click(".cm-tooltip-autocomplete li[aria-selected]")
    assert "<position></position>" in prompt.xml
    prompt.page.keyboard.type("far_l", delay=30)
    prompt.page.click(".cm-tooltip-autocomplete li[aria-selected]")
    assert "<position>far_left</position>" in prompt.xml


def test_what_is_offered_is_seen_at_the_edge_of_the_editor_and_far_away(prompt):
    """A panel doesn't cut the list off, nor does the canvas's zoom make it small."""
    lines = "".join(f"<character_{i}/>\n" for i in range(1, 30))
    prompt.write(f"{lines}<character_30><position></position></character_30>")
    width = f"document.querySelector('{EDITOR}').getBoundingClientRect().width"
    before = prompt.page.evaluate(f"() => {width}")
    prompt.page.evaluate("() => { app.canvas.ds.scale = 0.6; app.canvas.setDirty(true, true); }")
    prompt.until(f"before => {width} < 0.7 * before", before)
    prompt.page.click(EDITOR, position={"x": 100, "y": 10})
    prompt.page.keyboard.press("Control+End")
    for _ in "</position></character_30>":
        prompt.page.keyboard.press("ArrowLeft")
    prompt.page.keyboard.type("l", delay=30)
    options = prompt.page.locator(".cm-tooltip-autocomplete li")
    options.first.wait_for()
    assert options.count() > 1 and options.first.bounding_box()["height"] >= 15
    for option in (options.first, options.nth(1)):
        place = option.bounding_box()
        on_top = "([x, y]) => document.elementFromPoint(x, y)?.closest('.cm-tooltip-autocomplete') !== null"
        assert prompt.page.evaluate(on_top, [place["x"] + 5, place["y"] + place["height"] / 2])


@pytest.mark.parametrize(
    ("typed", "completed"), [("blue_h", "blue_hair"), ("blue h", "blue hair"), ("hat, red e", "hat, red eyes")]
)
def test_a_tag_is_completed_as_it_was_begun(prompt, typed, completed):
    prompt.write("<character_1><appearance></appearance></character_1>")
    prompt.page.click(EDITOR)
    prompt.page.keyboard.press("Control+Home")
    for _ in "<character_1><appearance>":
        prompt.page.keyboard.press("ArrowRight")
    prompt.page.keyboard.type(typed, delay=30)
    prompt.page.click(".cm-tooltip-autocomplete li[aria-selected]")
    assert prompt.xml == f"<character_1><appearance>{completed}</appearance></character_1>"


def test_the_plain_text_box_is_one_click_away_and_remembered(prompt):
    prompt.page.get_by_role("button", name="Plain text").click()
    prompt.page.wait_for_selector(EDITOR, state="hidden")
    prompt.until(f"() => {BOX_SHOWN}")
    assert prompt.node("NewBieXMLPrompt", "node.serialize().properties['newbie.plain']") is True


def test_a_linked_prompt_has_no_editor(prompt):
    prompt.page.evaluate(
        """() => {
          const source = LiteGraph.createNode("PrimitiveStringMultiline");
          app.graph.add(source);
          const target = app.graph.nodes.find(({ type }) => type === "NewBieXMLPrompt");
          source.connect(0, target, target.inputs.findIndex(({ name }) => name === "xml"));
        }"""
    )
    prompt.page.wait_for_selector(EDITOR, state="hidden")


def test_a_key_in_a_long_prompt_takes_less_than_50_ms(prompt):
    tags = ", ".join(f"tag_{i}" for i in range(4096))
    prompt.write(f"<character_1>\n  <appearance>{tags}</appearance>\n</character_1>")
    prompt.page.click(EDITOR)
    prompt.page.keyboard.press("Control+End")
    took = prompt.seconds_of_a_key(12)
    assert prompt.xml.endswith("x" * 12)
    assert took < 0.05


@pytest.mark.parametrize("palette", ["dark", "light"])
def test_it_speaks_chinese(canvas, renderer, palette):
    opened = canvas(renderer, "zh", palette)
    opened.open_template(FIRST)
    opened.write("<character_1><n>a")
    opened.page.wait_for_selector(".newbie-problem")
    assert "没有" in opened.page.inner_text(".newbie-problem")
    assert opened.page.get_by_role("button", name="布局").is_visible()


def test_text_to_xml_has_the_same_editor(canvas, renderer):
    opened = canvas(renderer)
    node = {"id": 1, "type": "NewBieTextToXML", "pos": [100, 100], "size": [400, 300]}
    opened.open({"nodes": [node | {"widgets_values": ["A: 1girl, left\nB: 1boy, right"]}], "links": [], "version": 0.4})
    opened.until(f"() => document.querySelectorAll('{EDITOR}').length === 1")
    assert "B: 1boy" in opened.page.inner_text(EDITOR)


CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const parts = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
    return { colour: [red, green, blue], alpha: alpha / 255 };
  };
  const over = (below, { colour, alpha }) => below.map((part, i) => part * (1 - alpha) + colour[i] * alpha);
  const light = (colour) => {
    const linear = (part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    const [red, green, blue] = colour.map((part) => linear(part / 255));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const told = [];
  const texts = ".newbie-panel :is(.cm-line, .cm-line *, .cm-gutterElement, li, .newbie-who)";
  for (const one of document.querySelectorAll(texts)) {
    if (!one.checkVisibility() || !one.textContent.trim() || one.matches(".newbie-void, .newbie-void *")) continue;
    const around = [];
    for (let at = one; at && (around.at(-1)?.alpha ?? 0) < 1; at = at.parentElement)
      around.push(parts(getComputedStyle(at).backgroundColor));
    const behind = around.reverse().reduce(over, [0, 0, 0]);
    let alpha = 1;
    for (let at = one; at; at = at.parentElement) alpha *= getComputedStyle(at).opacity;
    const before = over(behind, { ...parts(getComputedStyle(one).color), alpha });
    const [dark, bright] = [before, behind].map(light).sort((a, b) => a - b);
    told.push([one.className, one.textContent, (bright + 0.05) / (dark + 0.05)]);
  }
  return told;
}"""


@pytest.mark.parametrize("palette", ["dark", "light"])
def test_everything_can_be_read_in_both_themes(canvas, renderer, palette):
    """A contrast of 4.5, as WCAG 2.1's 1.4.3 asks for small text; what is struck through may be fainter."""
    opened = canvas(renderer, "en", palette)
    opened.open_template(FIRST, **{"newbie.layout": True})
    opened.write(
        '<!-- who -->\n<character_1 weight="1.2">\n  <n>a</n>\n  <appearance>hat, (b:1.2)</appearance>\n'
        "  <position>rigth</position>\n</character_1>\n<character_2>\n  <n>b</n>\n</character_2>"
    )
    opened.page.wait_for_selector(".newbie-warning")
    opened.page.click(".newbie-panel .cm-content")
    for people in (False, True):
        if people:
            opened.page.get_by_role("button", name="People").click()
            opened.page.wait_for_selector(".newbie-weight")
        contrasts = opened.page.evaluate(CONTRASTS)
        assert len(contrasts) > 5
        assert not [one for one in contrasts if one[2] < 4.5]
