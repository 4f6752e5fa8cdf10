"""The people of an XML prompt, a tab each: their fields as chips, written into the XML and nowhere else."""

from __future__ import annotations

import pytest

FIRST = "NewBie first picture (mini)"
NAMES = ["miku", "kaito", "rin", "len", "luka", "meiko", "gumi", "teto"]
EIGHT = "<scene>\n{}  <general_tags>\n    <style>anime</style>\n  </general_tags>\n</scene>".format(
    "".join(
        f"  <character_{i}>\n    <n>{name}</n>\n    <appearance>hair {i}, (eyes:1.{i})</appearance>\n"
        f"    <pose/>\n  </character_{i}>\n"
        for i, name in enumerate(NAMES, start=1)
    )
)


@pytest.fixture
def prompt(canvas, renderer):
    opened = canvas(renderer)
    opened.open_template(FIRST, **{"newbie.people": True, "newbie.layout": True})
    opened.write(EIGHT)
    opened.until("() => document.querySelectorAll('.newbie-box').length === 8")
    return opened


def chips(prompt, label):
    return field(prompt, label).locator(".newbie-chip").all_inner_texts()


def field(prompt, label):
    return prompt.page.locator(".newbie-field").filter(has=prompt.page.get_by_text(label, exact=True))


def test_everybody_is_one_click_away_and_nothing_changes_by_looking(prompt):
    assert prompt.page.locator(".newbie-tabs [role=tab]").all_inner_texts() == [*NAMES, "Picture"]
    for i, name in enumerate(NAMES, start=1):
        prompt.page.get_by_role("tab", name=name).click()
        assert chips(prompt, "appearance") == [f"hair {i}", "eyes"]
        assert field(prompt, "name").locator(".cm-content").inner_text() == name
    prompt.page.get_by_role("tab", name="Picture").click()
    assert chips(prompt, "style") == ["anime"]
    assert prompt.xml == EIGHT


def test_names_are_shown_as_they_are_read(prompt):
    prompt.write(EIGHT.replace("miku", "&lt;R&amp;B&gt; &quot;q&quot;"))
    prompt.page.wait_for_selector(".newbie-tabs >> text=/^<R&B> \"q\"$/")


def test_what_is_typed_into_a_field_is_written_into_its_element_alone(prompt):
    prompt.page.get_by_role("tab", name="luka").click()
    field(prompt, "appearance").locator(".cm-content").click()
    prompt.page.keyboard.press("Control+End")
    prompt.page.keyboard.insert_text("、帽子")
    assert prompt.xml == EIGHT.replace("(eyes:1.5)", "(eyes:1.5)、帽子")
    prompt.page.keyboard.press("Control+z")
    assert prompt.xml == EIGHT
    field(prompt, "pose").locator(".cm-content").click()
    prompt.page.keyboard.insert_text("waving")
    fifth = EIGHT.index("<character_5>")
    assert prompt.xml == EIGHT[:fifth] + EIGHT[fifth:].replace("<pose/>", "<pose>waving</pose>", 1)


def test_what_is_typed_into_a_field_is_words_and_never_markup(prompt):
    """As it is seen in the field, so it is read; in the XML it is escaped."""
    prompt.page.get_by_role("tab", name="luka").click()
    field(prompt, "appearance").locator(".cm-content").click()
    prompt.page.keyboard.press("Control+End")
    typed = ", </appearance><n>rin</n>, black & white, &lt, >_<, <!-- a -->"
    prompt.page.keyboard.insert_text(typed)
    written = typed.replace("&", "&amp;").replace("<", "&lt;")
    assert prompt.xml == EIGHT.replace("(eyes:1.5)", f"(eyes:1.5){written}")
    assert chips(prompt, "appearance") == ["hair 5", "eyes", *typed[2:].split(", ")]
    prompt.page.get_by_role("tab", name="Picture").click()
    prompt.page.get_by_role("tab", name="luka").click()
    assert chips(prompt, "appearance") == ["hair 5", "eyes", *typed[2:].split(", ")]
    prompt.write(EIGHT)
    field(prompt, "appearance").locator(".cm-content").click()
    prompt.page.keyboard.press("Control+End")
    prompt.page.keyboard.type(", <b>&lt;", delay=20)
    assert prompt.xml == EIGHT.replace("(eyes:1.5)", "(eyes:1.5), &lt;b>&amp;lt;")
    for _ in ", <b>&lt;":  # at most a step each
        if prompt.xml != EIGHT:
            prompt.page.keyboard.press("Control+z")
    assert prompt.xml == EIGHT


def test_what_was_written_before_stays_as_it_was_written(prompt):
    before = EIGHT.replace("hair 1,", "a & b, x <3 y, &lt;b&gt; &#128512;, &copy; &,")
    prompt.write(before)
    assert chips(prompt, "appearance") == ["a & b", "x <3 y", "<b> 😀", "&copy", "&", "eyes"]
    field(prompt, "appearance").locator(".cm-content").click()
    prompt.page.keyboard.press("Control+End")
    prompt.page.keyboard.insert_text(", hat")
    assert prompt.xml == before.replace("(eyes:1.1)", "(eyes:1.1), hat")
    prompt.page.keyboard.press("Control+Home")
    prompt.page.keyboard.press("Delete")
    prompt.page.keyboard.insert_text("<")
    assert prompt.xml == before.replace("(eyes:1.1)", "(eyes:1.1), hat").replace("a & b", "&lt; & b")
    prompt.write(EIGHT.replace("<pose/>", "<pose>x<!-- why --></pose>", 1))  # shown as markup, changed as markup
    field(prompt, "pose").locator(".cm-content").click()
    prompt.page.keyboard.press("Control+End")
    prompt.page.keyboard.insert_text("<!-- so -->")
    assert prompt.xml == EIGHT.replace("<pose/>", "<pose>x<!-- why --><!-- so --></pose>", 1)


def test_a_plain_ampersand_does_not_become_another_letter_by_what_follows(prompt):
    prompt.write(EIGHT.replace("hair 1, (eyes:1.1)", "x &"))
    field(prompt, "appearance").locator(".cm-content").click()
    prompt.page.keyboard.press("Control+End")
    prompt.page.keyboard.type("lt;", delay=20)
    assert prompt.xml == EIGHT.replace("hair 1, (eyes:1.1)", "x &amp;lt;")
    prompt.write(EIGHT.replace("hair 1, (eyes:1.1)", "x <"))
    prompt.page.keyboard.press("Control+End")
    prompt.page.keyboard.type("b>", delay=20)
    assert prompt.xml == EIGHT.replace("hair 1, (eyes:1.1)", "x &lt;b>")


def test_a_position_that_a_box_has_made_void_is_struck_through(prompt):
    prompt.write(EIGHT.replace("<pose/>", "<position>left</position>\n    <bbox>0, 0, 500, 1000</bbox>", 1))
    shown = field(prompt, "position").locator(".cm-line")
    lines = "(line) => getComputedStyle(line).textDecorationLine"
    assert shown.evaluate(lines) == "line-through"
    assert field(prompt, "bbox").locator(".cm-line").evaluate(lines) == "none"
    cross = field(prompt, "position").locator(".newbie-drop")
    assert cross.get_attribute("title") == "The box decides. Remove this position"
    field(prompt, "bbox").locator(".newbie-drop").click()
    assert shown.evaluate(lines) == "none" and cross.get_attribute("title") == "Empty this field"
    prompt.page.evaluate("() => app.extensionManager.command.execute('Comfy.Undo')")
    prompt.page.wait_for_selector(".newbie-field .newbie-void")
    cross.click()
    assert prompt.xml == EIGHT.replace("<pose/>", "<bbox>0, 0, 500, 1000</bbox>", 1)


def test_what_is_typed_key_by_key_keeps_its_spaces(prompt):
    prompt.page.get_by_role("tab", name="luka").click()
    words = {"appearance": ", long blue hair, (red eyes:1.2)", "name": " of the sea", "pose": "arms up"}
    for label, typed in words.items():
        field(prompt, label).locator(".cm-content").click()
        prompt.page.keyboard.press("Control+End")
        prompt.page.keyboard.type(typed, delay=20)
    fifth = EIGHT.index("<character_5>")
    changed = EIGHT[fifth:].replace("(eyes:1.5)", "(eyes:1.5), long blue hair, (red eyes:1.2)", 1)
    changed = changed.replace("luka", "luka of the sea", 1).replace("<pose/>", "<pose>arms up</pose>", 1)
    assert prompt.xml == EIGHT[:fifth] + changed


def test_fields_and_people_are_added_and_fields_removed(prompt):
    prompt.page.get_by_role("tab", name="teto").click()
    prompt.page.get_by_role("button", name="+ clothing").click()
    prompt.page.keyboard.insert_text("hat")
    assert prompt.xml == EIGHT.replace("\n  </character_8>", "\n    <clothing>hat</clothing>\n  </character_8>")
    field(prompt, "clothing").locator(".newbie-drop").click()
    assert prompt.xml == EIGHT
    prompt.page.get_by_role("button", name="Add a person").click()
    prompt.page.keyboard.insert_text("neru")
    block = "  <character_9>\n    <n>neru</n>\n  </character_9>\n"
    assert prompt.xml == EIGHT.replace("  <general_tags>", f"{block}  <general_tags>")
    prompt.until("() => document.querySelectorAll('.newbie-box').length === 9")


def test_a_person_is_removed_with_all_that_is_said_of_them_and_comes_back_by_undoing(prompt):
    prompt.page.get_by_role("tab", name="len").click()
    prompt.page.get_by_role("button", name="Remove this person").click()
    fourth, fifth = EIGHT.index("  <character_4>"), EIGHT.index("  <character_5>")
    assert prompt.xml == EIGHT[:fourth] + EIGHT[fifth:]
    assert prompt.page.inner_text(".newbie-tabs [aria-selected=true]") == "rin"
    prompt.until("() => document.querySelectorAll('.newbie-box').length === 7")
    prompt.page.evaluate("() => app.extensionManager.command.execute('Comfy.Undo')")
    prompt.until("() => document.querySelectorAll('.newbie-box').length === 8")
    assert prompt.xml == EIGHT
    prompt.write("<character_1><n>a</n></character_1>")
    prompt.page.get_by_role("button", name="Remove this person").click()
    assert prompt.xml == ""
    assert prompt.page.locator(".newbie-tabs button").all_inner_texts() == ["+", "Picture"]


def test_a_button_that_is_pressed_while_the_reader_answers_does_what_it_says(prompt):
    prompt.page.get_by_role("tab", name="len").click()
    prompt.page.get_by_role("button", name="Remove this person").hover()
    prompt.page.mouse.down()
    prompt.write(EIGHT.replace("hair 4", "hair ("))
    prompt.page.wait_for_selector(".newbie-warning")
    prompt.page.mouse.up()
    fourth, fifth = EIGHT.index("  <character_4>"), EIGHT.index("  <character_5>")
    assert prompt.xml == EIGHT[:fourth] + EIGHT[fifth:]


def test_a_person_chosen_in_the_layout_is_the_one_whose_fields_are_shown(prompt):
    prompt.page.locator(".newbie-box").nth(2).click()
    assert chips(prompt, "appearance") == ["hair 3", "eyes"]


def test_a_mistake_is_underlined_in_its_field_and_a_click_goes_there(prompt):
    prompt.write(EIGHT.replace("hair 4", "hair ("))
    place = prompt.page.locator(".newbie-warning .newbie-place")
    assert place.inner_text() == "19:22"
    place.click()
    assert prompt.page.inner_text(".newbie-tabs [aria-selected=true]") == "len"
    assert field(prompt, "appearance").locator(".cm-lintRange-warning").inner_text() == "("
    assert prompt.page.evaluate("() => document.activeElement.ariaLabel") == "appearance"


def test_broken_xml_is_not_edited_in_fields(prompt):
    prompt.write("<character_1><n>miku</n><pose>waving</character_1>")
    prompt.page.wait_for_selector(".newbie-field >> text=Close every tag first")
    assert prompt.page.locator(".newbie-field .cm-content").count() == 0


def test_lines_of_windows_and_json_are_written_as_they_should_be(prompt):
    prompt.write(EIGHT.replace("\n", "\r\n"))
    prompt.page.locator(".newbie-tabs [role=tab]", has_text="rin").click()
    field(prompt, "appearance").locator(".cm-content").click()
    prompt.page.keyboard.press("Control+End")
    prompt.page.keyboard.insert_text(", hat")
    assert prompt.xml.replace("\r\n", "\n") == EIGHT.replace("(eyes:1.3)", "(eyes:1.3), hat")
    written = '{"character_1": {"name": "miku"}, "image": {"tags": "1girl"}}'
    prompt.write(written)
    prompt.until("() => document.querySelectorAll('.newbie-box').length === 1")
    assert prompt.page.locator(".newbie-add button >> visible=true").count() == 0
    assert prompt.page.get_by_role("button", name="Add a person").count() == 0
    assert prompt.xml == written
