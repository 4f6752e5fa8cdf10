"""The draggable layout: what is moved is written into the XML, and what is written moves."""

from __future__ import annotations

import re

import pytest

FIRST = "NewBie first picture (mini)"
BOX = ".newbie-box"
TRUTH = "app.graph.nodes.find(({ type }) => type === 'NewBieXMLPrompt').widgets[0].value"


@pytest.fixture
def prompt(canvas, renderer):
    opened = canvas(renderer)
    opened.open_template(FIRST, **{"newbie.layout": True})
    opened.page.wait_for_selector(f"{BOX} >> nth=1")
    return opened


def boxes(xml):
    return [[int(n) for n in found.split(",")] for found in re.findall("<bbox>(.*?)</bbox>", xml)]


def drag(prompt, index, across, down, corner=None):
    """In thousandths of the picture."""
    stage = prompt.page.locator(".newbie-stage >> visible=true").bounding_box()
    target = prompt.page.locator(BOX).nth(index)
    if corner:
        target.focus()
        target = target.locator(f".newbie-{corner}")
    place = target.bounding_box()
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    prompt.page.mouse.move(x, y)
    prompt.page.mouse.down()
    prompt.page.mouse.move(x + 3, y)
    prompt.page.mouse.move(x + across / 1000 * stage["width"], y + down / 1000 * stage["height"], steps=4)
    prompt.page.mouse.up()


def test_a_drag_writes_the_box_and_strikes_the_position_through(prompt):
    assert prompt.page.locator(BOX).all_inner_texts() == ["miku", "kaito"]
    drag(prompt, 0, 200, -30)
    ((left, top, right, bottom),) = boxes(prompt.xml)
    assert abs(left - 220) <= 15 and 0 <= top < 45 and right - left > 400
    assert "</pose>\n    <bbox>" in prompt.xml  # with its neighbours' indentation
    prompt.page.wait_for_selector(".newbie-void")
    assert "left, center_y" in prompt.page.inner_text(".newbie-void")
    prompt.page.click(".newbie-remove")
    assert "left, center_y" not in prompt.xml and "right, center_y" in prompt.xml
    assert "</n>\n    <pose>" in prompt.xml  # the line went with it


def test_a_corner_changes_the_size_and_edges_snap_to_thirds(prompt):
    prompt.write("<character_1><n>a</n><bbox>100, 100, 400, 900</bbox></character_1>")
    prompt.page.wait_for_selector(".newbie-stated")
    drag(prompt, 0, 262, -100, corner="se")
    assert boxes(prompt.xml) == [[100, 100, 667, 800]]


def test_a_finger_drags_a_box_and_its_corner_and_two_taps_reset_it(prompt):
    prompt.write("<character_1><n>a</n><bbox>100, 100, 400, 900</bbox></character_1>")
    prompt.page.wait_for_selector(".newbie-stated")
    view = "() => [...app.canvas.ds.offset, app.canvas.ds.scale]"
    before = prompt.page.evaluate(view)
    stage = prompt.page.locator(".newbie-stage >> visible=true").bounding_box()

    def at(x, y):
        return stage["x"] + x / 1000 * stage["width"], stage["y"] + y / 1000 * stage["height"]

    prompt.touch(at(250, 500), at(300, 500), at(400, 460))
    (moved,) = boxes(prompt.xml)
    assert moved == pytest.approx([250, 60, 550, 860], abs=14)
    beside = 10 * 1000 / stage["width"]  # ten pixels off the corner
    prompt.touch(at(moved[2] + beside, moved[3] + beside), at(700, 700), at(800 + beside, 700 + beside))
    assert boxes(prompt.xml) == [pytest.approx([*moved[:2], 800, 700], abs=14)]
    for _ in range(2):
        prompt.touch(at(400, 500))
    prompt.until(f"() => !{TRUTH}.includes('bbox')")
    assert prompt.page.evaluate(view) == before  # the canvas stayed where it was


def test_the_last_picture_lies_under_the_layout(prompt):
    """Drawn for real, in two steps."""
    prompt.node("NewBieSample", "node.widgets.find(({ name }) => name === 'steps').value = 2")
    prompt.page.get_by_test_id("queue-button").click()
    drawn = "document.querySelector('.newbie-stage').style.backgroundImage"
    prompt.page.wait_for_function(f"() => {drawn}.includes('/view?')", timeout=90_000)
    size = prompt.page.evaluate(
        f"""async () => {{
          const picture = new Image();
          picture.src = {drawn}.slice(5, -2);
          await picture.decode();
          return [picture.naturalWidth, picture.naturalHeight];
        }}"""
    )
    assert size[0] == size[1] >= 256


def test_keys_move_and_resize_and_tab_goes_from_one_to_the_next(prompt):
    prompt.write(
        "<character_1><bbox>100, 100, 400, 900</bbox></character_1>"
        "<character_2><bbox>500, 100, 900, 900</bbox></character_2>"
    )
    prompt.page.wait_for_selector(".newbie-stated >> nth=1")
    prompt.page.locator(BOX).first.focus()
    prompt.page.keyboard.press("ArrowRight")
    prompt.page.keyboard.press("Shift+ArrowDown")
    assert boxes(prompt.xml)[0] == [105, 150, 405, 950]
    prompt.page.keyboard.press("Tab")
    prompt.page.keyboard.press("Alt+ArrowLeft")
    assert boxes(prompt.xml) == [[105, 150, 405, 950], [500, 100, 895, 900]]
    assert prompt.page.evaluate("() => app.graph.nodes.length") > 5  # keys stay here


def test_numbers_are_typed_and_a_double_click_lays_out_automatically_again(prompt):
    prompt.page.locator(BOX).nth(1).focus()
    field = prompt.page.locator(".newbie-numbers input").first
    field.fill("600")
    field.press("Tab")
    assert boxes(prompt.xml)[0][0] == 600
    prompt.page.wait_for_selector(".newbie-stated")
    prompt.page.locator(BOX).nth(1).dblclick()
    assert boxes(prompt.xml) == []
    prompt.page.wait_for_selector(".newbie-stated", state="detached")


def test_a_drag_is_one_step_of_the_graphs_undo(prompt):
    before = prompt.xml
    drag(prompt, 0, 100, 0)
    assert prompt.xml != before
    prompt.page.mouse.click(1500, 900)  # elsewhere
    prompt.page.keyboard.press("Control+z")
    prompt.until(f"before => {TRUTH} === before", before)


def test_what_is_typed_moves_the_boxes_and_the_picture_has_the_latents_shape(prompt):
    prompt.write("<character_1><n>rin</n><bbox>0, 0, 250, 500</bbox></character_1>")
    prompt.until("() => document.querySelectorAll('.newbie-box').length === 1")
    stage, box = (prompt.page.locator(name).bounding_box() for name in (".newbie-stage", BOX))
    assert box["width"] / stage["width"] == pytest.approx(0.25, abs=0.02)
    assert stage["width"] / stage["height"] == pytest.approx(1, abs=0.02)
    prompt.node("NewBieSize", "node.widgets[0].value = 'mini 384 x 256'")
    prompt.write("<character_1><n>rin</n><bbox>0, 0, 250, 501</bbox></character_1>")
    prompt.until("() => { const { width, height } = document.querySelector('.newbie-stage').getBoundingClientRect();"
                 "return Math.abs(width / height - 1.5) < .03; }")  # fmt: skip


def test_a_new_prompt_node_shows_its_layout_and_a_saved_one_is_as_it_was_saved(canvas, renderer):
    opened = canvas(renderer)
    saved = {"id": 1, "type": "NewBieXMLPrompt", "pos": [50, 100], "size": [400, 300], "widgets_values": ["<n>a</n>"]}
    opened.open({"nodes": [saved], "links": [], "version": 0.4})
    opened.until("() => document.querySelectorAll('.cm-content').length === 1")
    assert opened.page.evaluate("() => app.graph.nodes[0].properties['newbie.layout'] ?? false") is False
    assert opened.page.evaluate("() => app.graph.nodes[0].size[1]") < 400
    opened.page.evaluate(
        """() => {
          const node = LiteGraph.createNode("NewBieXMLPrompt");
          node.pos = [600, 100];
          app.graph.add(node);
        }"""
    )
    opened.page.wait_for_selector(f"{BOX} >> nth=1 >> visible=true")
    assert opened.page.evaluate("() => app.graph.nodes[1].size[1]") >= 600


def test_what_is_no_xml_is_shown_and_locked(prompt):
    prompt.write('{"character_1": {"name": "miku", "bbox": [0, 0, 500, 1000]}, "image": {"tags": "1girl"}}')
    prompt.page.wait_for_selector(".newbie-locked")
    before = prompt.xml
    drag(prompt, 0, 100, 0)
    assert prompt.xml == before


def test_a_character_of_its_own_node_is_dragged_among_ghosts(canvas, renderer):
    opened = canvas(renderer)
    opened.open(
        {
            "nodes": [
                {"id": 1, "type": "NewBieCharacter", "pos": [100, 100], "size": [320, 260],
                 "outputs": [{"name": "scene", "type": "NEWBIE_SCENE", "links": [1]}],
                 "widgets_values": ["miku", "unstated", "", "", "", "", "left", ""]},
                {"id": 2, "type": "NewBieCharacter", "pos": [500, 100], "size": [340, 560],
                 "inputs": [{"name": "previous", "type": "NEWBIE_SCENE", "link": 1}],
                 "properties": {"newbie.layout": True},
                 "widgets_values": ["k & l", "unstated", "", "", "", "", "right", ""]},
            ],
            "links": [[1, 1, 0, 2, 0, "NEWBIE_SCENE"]], "version": 0.4,
        }
    )  # fmt: skip
    opened.page.wait_for_selector(f"{BOX} >> nth=1")
    assert opened.page.locator(BOX).all_inner_texts() == ["miku", "k & l"]
    assert opened.page.locator(".newbie-ghost").count() == 1
    position = "app.graph.getNodeById(2).widgets.find(({ name }) => name === 'position').value"
    drag(opened, 1, -100, 0)
    box = [int(n) for n in opened.page.evaluate(f"() => {position}").split(",")]
    assert 350 < box[0] < 450 and box[2] < 950
    opened.page.wait_for_selector(".newbie-stated")
    opened.page.locator(BOX).nth(1).dblclick()
    assert opened.page.evaluate(f"() => {position}") == ""
    opened.page.evaluate(
        """() => {
          const mask = LiteGraph.createNode("SolidMask");
          app.graph.add(mask);
          const target = app.graph.getNodeById(2);
          mask.connect(0, target, target.inputs.findIndex(({ name }) => name === "mask"));
        }"""
    )
    opened.page.wait_for_selector(".newbie-locked")


def test_numbers_are_typed_one_after_the_other_while_the_server_answers(prompt):
    prompt.write("<character_1><n>a</n><bbox>100, 100, 400, 900</bbox></character_1>")
    prompt.page.wait_for_selector(".newbie-stated")
    keyboard, fields = prompt.page.keyboard, prompt.page.locator(".newbie-numbers input")
    fields.nth(0).focus()
    keyboard.press("Control+a")
    keyboard.type("150")
    with prompt.page.expect_response("**/check"):
        keyboard.press("Tab")
        keyboard.press("Control+a")
        keyboard.type("2")
    prompt.until("() => document.querySelector('.newbie-box').ariaLabel.includes('150')")
    keyboard.type("50")
    keyboard.press("Tab")
    keyboard.press("Delete")
    keyboard.press("Tab")
    assert boxes(prompt.xml) == [[150, 250, 400, 900]]
    assert fields.nth(2).input_value() == "400"  # an empty one is as it was


def test_whoever_goes_while_somebody_is_dragged_is_gone(prompt):
    stage = prompt.page.locator(".newbie-stage >> visible=true").bounding_box()
    place = prompt.page.locator(BOX).nth(1).bounding_box()
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    for across in (0.1, 0):  # moved, and only held
        prompt.write("<character_1><n>a</n></character_1><character_2><n>b</n></character_2>")
        prompt.until("() => document.querySelectorAll('.newbie-box').length === 2")
        prompt.page.mouse.move(x, y)
        prompt.page.mouse.down()
        prompt.page.mouse.move(x - across * stage["width"], y)
        alone = "<character_1><n>a</n></character_1>"
        with prompt.page.expect_response("**/check"):
            prompt.write(alone)
        prompt.page.mouse.up()
        prompt.until("() => document.querySelectorAll('.newbie-box').length === 1")
        assert prompt.xml == alone


TALL = """const size = app.graph.nodes.find(({ type }) => type === "NewBieSize");
    const set = (name, value) => (size.widgets.find((one) => one.name === name).value = value);
    const add = (type) => { const node = LiteGraph.createNode(type); app.graph.add(node); return node; };
    const named = (...types) => new Set(app.graph.nodes.filter(({ type }) => types.includes(type)));
    set("size", "NewBie 1024 x 1536");"""
INSTEAD = """const consumers = app.graph.nodes.map((node) => [node, node.inputs.findIndex(({ type, link }) =>
      type === "LATENT" && link != null && app.graph.getLink(link).origin_id === size.id)]).filter(([, i]) => i >= 0);
    for (const [node, i] of consumers) between.connect(0, node, i);"""
BETWEEN = f"{INSTEAD} size.connect(0, between, 0);"
PICTURE = f"""const canvas = Object.assign(document.createElement("canvas"), {{ width: 200, height: 300 }});
    const form = new FormData();
    form.append("image", new File([await new Promise((made) => canvas.toBlob(made))], "two_by_three.png"));
    await fetch("/upload/image", {{ method: "POST", body: form }});
    const [picture, between] = [add("LoadImage"), add("VAEEncode")];
    picture.widgets[0].value = "two_by_three.png";
    picture.widgets[0].callback("two_by_three.png");
    picture.connect(0, between, 0);
    {INSTEAD}"""
NUMBERS = """set("size", "custom");
    for (const [name, value] of [["size.width", 400], ["size.height", 600]]) {
      const number = add(primitive);
      number.connect(0, size, size.inputs.findIndex((input) => input.name === name));
      number.widgets[0].value = value;
    }"""
WAYS = {
    "a chosen size": "",
    "a picture": PICTURE,
    "a reroute": f"const between = add('Reroute'); {BETWEEN}",
    "a bypassed node": f"const between = add('RepeatLatentBatch'); between.mode = 4; {BETWEEN}",
    "numbers": f"const primitive = 'PrimitiveInt'; {NUMBERS}",
    "old primitives": f"const primitive = 'PrimitiveNode'; {NUMBERS}",
    "a subgraph of the size": "app.graph.convertToSubgraph(named('NewBieSize'));",
    "a subgraph in another": """const { node } = app.graph.convertToSubgraph(named('NewBieSize'));
        app.graph.convertToSubgraph(new Set([node]));""",
    "a subgraph of the reader": "app.graph.convertToSubgraph(named('NewBieSize', 'NewBieEncodeCharacters'));",
    "a subgraph of the prompt": "app.graph.convertToSubgraph(named('NewBieXMLPrompt'));",
    "a subgraph of both": "app.graph.convertToSubgraph(named('NewBieXMLPrompt', 'NewBieEncodeCharacters'));",
}


@pytest.mark.parametrize("way", WAYS)
def test_the_shape_is_that_of_the_latent_however_it_gets_there_and_nothing_is_typed(canvas, way):
    opened = canvas()
    opened.open_template(FIRST, **{"newbie.layout": True})
    opened.until("() => document.querySelector('.newbie-frame').style.getPropertyValue('--newbie-aspect') === '1'")
    opened.page.evaluate(
        f"""async () => {{
          {TALL} {WAYS[way]}
          const inner = [...app.graph.subgraphs.values()].flatMap(({{ nodes }}) => [...nodes]);
          window.prompted = [...app.graph.nodes, ...inner].find(({{ type }}) => type === "NewBieXMLPrompt");
          app.extensionManager.workflow.activeWorkflow.changeTracker.captureCanvasState();
        }}"""
    )
    panel = "window.prompted.widgets.find(({ name }) => name === 'newbie_panel')?.element"
    opened.until(
        f"() => {panel}?.querySelector('.newbie-frame').style.getPropertyValue('--newbie-aspect').startsWith('0.666')"
    )
