"""Which lines make one prompt."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from newbie_pack.client.session import lines


def typed(*given: str):
    """A reader of these lines that also keeps what it was asked."""
    left, asked = list(given), []

    def read(question: str) -> str:
        asked.append(question)
        if not left:
            raise EOFError
        return left.pop(0)

    return read, asked, left


def never() -> bool:
    return False


def test_the_question_is_exactly_this():
    read, asked, _ = typed("1girl, red hair")
    assert lines.read_prompt(read, never) == "1girl, red hair"
    assert asked == ["Enter prompt (XML or plain text): "]


def test_xml_goes_on_until_its_tags_balance():
    read, asked, left = typed("<scene>", " <n>miku</n>", "</scene>", "the next prompt")
    assert lines.read_prompt(read, never) == "<scene>\n <n>miku</n>\n</scene>"
    assert left == ["the next prompt"] and asked == [lines.QUESTION, "... ", "... "]


WHOLE = [
    "<scene><n>a</n></scene>",
    "<style/>",
    "<3 love",
    ">_<, 1girl",
    "plain <b text",
    "<a x='1' />",
    "<_<",
    "<scene><character_1></scene>",
    "</scene>",
    "<scene><!-- <b> --></scene>",
    "<?xml version='1.0'?><scene/>",
    '{"image": {"tags": "a } { [b"}}',
    "```xml <scene/> ```",
    "blush, :{, {{red hair}}",
    "<lora:miku:0.8>, 1girl",
    "&lt;scene&gt;&lt;/scene&gt;",
]
OPEN = [
    "<scene>",
    "<scene>\n<!-- </scene>",
    "```xml\n<scene/>",
    '{"image": {',
    '{"tags": ["a",',
    "<a>\n<b/>",
    "&lt;scene&gt;",
    "<scene>\n<lora:a:1>",
    "You draw. <Prompt Start>",
]


@pytest.mark.parametrize("text", WHOLE)
def test_these_are_whole_in_one_line(text):
    read, _, left = typed(text, "next")
    assert lines.read_prompt(read, never) == text
    assert left == ["next"]


@pytest.mark.parametrize("text", OPEN)
def test_these_go_on(text):
    assert lines.unfinished(text)


def test_an_empty_line_and_the_end_of_input_end_unfinished_xml():
    read, _, left = typed("<scene>", "<n>a", "", "next")
    assert lines.read_prompt(read, never) == "<scene>\n<n>a"
    assert left == ["next"]
    assert lines.read_prompt(typed("<scene>")[0], never) == "<scene>"


def test_pasted_lines_are_one_prompt_empty_ones_too():
    given = ["<character_1>a</character_1>", "", "<general_tags>b</general_tags>"]
    read, _, left = typed(*given)
    assert lines.read_prompt(read, lambda: bool(left)) == "\n".join(given)


# --- a file or a pipe -------------------------------------------------------------------------------------------------

PROMPTS = [  # each is one, whatever stands before and after it
    "1girl, red hair",
    "<scene>\n <character_1>\n\n  <n>miku</n>\n </character_1>\n</scene>",
    "<character_1><n>a</n></character_1>\n\n<character_2><n>b</n></character_2>\n<general_tags>beach</general_tags>",
    "<scene>\n<character_1>\n<n>a</n>\n\n</character_1>\n<general_tags>\nbeach\n</general_tags>\n</scene>",
    '{\n  "image": {"tags": "a"},\n\n  "character_1": {}\n}',
    "```xml\n<scene>\n\n<n>a</n></scene>\n```",
    "You are an assistant. <Prompt Start>\n<character_1>\n<n>a</n>\n</character_1>",
    "<character_1> <n>rin</n> <pose>standing </character_1>",  # wrong, and only itself
    "<img><n>a</n></img>",
    "<lora:miku:0.8> 1girl",
    "&lt;scene&gt;\n&lt;n&gt;a&lt;/n&gt;\n&lt;/scene&gt;",
    "一个女孩，微笑",
    ":seed 5",
]


@pytest.mark.parametrize("between", ["\n", "\n\n", "\r\n \r\n"], ids=repr)
@pytest.mark.parametrize(("one", "next"), list(itertools.permutations(PROMPTS, 2)))
def test_every_prompt_of_a_file_is_found(one, next, between):
    assert list(lines.prompts((one + between + next).splitlines(keepends=True))) == [one, next]


@pytest.mark.parametrize("after", ["<scene>b</scene>", "<scene>c", "1girl"])
def test_a_prompt_that_is_never_closed_takes_no_other_with_it(after):
    assert list(lines.prompts(["<scene>\n", "<n>a\n", "\n", f"{after}\n"])) == ["<scene>\n<n>a", after]


def test_a_comment_that_is_never_closed_takes_no_other_with_it():
    assert list(lines.prompts(["<!-- a\n", "b\n", "\n", "1girl\n"])) == ["<!-- a\nb", "1girl"]


def test_a_file_of_which_nothing_is_ever_closed_is_read_in_time():
    start = time.monotonic()
    found = list(lines.prompts(["<scene>\n", *("<n>a, a, a, a, a, a, a, a, a, a, a, a, a, a\n" for _ in range(4000))]))
    assert len(found) > 1 and time.monotonic() - start < 20


def test_marks_of_the_byte_order_and_empty_lines_are_no_prompts():
    assert list(lines.prompts(["\ufeff\n", "\n", "\ufeff<scene>\n", "</scene>\n", " \n"])) == ["<scene>\n</scene>"]


@pytest.mark.parametrize("text", ["1girl", "<scene>\n</scene>", "```\na\n```", '{"a":\n1}', "</n>", ":again"])
def test_a_prompt_that_is_complete_waits_for_no_further_line(text):
    def given():
        yield from text.splitlines(keepends=True)
        raise AssertionError("a further line was asked for")

    assert next(lines.prompts(given())) == text


# --- the history ------------------------------------------------------------------------------------------------------


def test_prompts_of_several_lines_stay_in_the_history(tmp_path, monkeypatch):
    readline = pytest.importorskip("readline")
    path = tmp_path / "new" / "history"
    readline.clear_history()
    terminal = lines.Terminal(path)
    for text in ("<scene>\n</scene>", "红发", "红发", "\udcff"):
        monkeypatch.setattr("builtins.input", lambda question, text=text: text)
        monkeypatch.setattr(lines, "pasted", never)
        assert terminal.ask() == text
    readline.clear_history()
    path.write_text(path.read_text() + 'no json\n[1]\n"a\\u0000b"\n"\\ud800"\n')
    lines.Terminal(path)
    found = [readline.get_history_item(n + 1) for n in range(readline.get_current_history_length())]
    assert found[:2] == ["<scene>\n</scene>", "红发"] and len(found) == 3
    assert path.stat().st_mode & 0o077 == 0


def test_a_history_that_cannot_be_kept_costs_nothing_else(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    terminal = lines.Terminal(tmp_path / "file" / "history")
    monkeypatch.setattr("builtins.input", lambda question: "1girl")
    monkeypatch.setattr(lines, "pasted", never)
    assert terminal.ask() == "1girl"


MARKS = """
<scene> </scene> <n>a</n> <character_1> </character_1> <!-- --> { } ``` <a/> :seed,5 < " <lora:a:1> &lt;scene&gt;
<![CDATA[ <?x \ufeff
"""
LINE = st.one_of(
    st.text(st.characters(exclude_characters="\r\n"), max_size=20),
    st.sampled_from([*MARKS.split(), "", " ", "<Prompt Start>"]),
)


@given(st.lists(LINE, max_size=12))
def test_no_line_is_lost_or_doubled(given_lines):
    found = [line for prompt in lines.prompts(f"{line}\n" for line in given_lines) for line in prompt.split("\n")]
    told = [line.rstrip("\r\n").removeprefix("\ufeff").strip() for line in given_lines]
    assert [line.strip() for line in found if line.strip()] == [part for part in told if part]
