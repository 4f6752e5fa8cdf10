"""The question, the lines that belong to one prompt, and the rounds."""

from __future__ import annotations

import pytest
from newbie_pack.client import create
from newbie_pack.client.api import HostError
from newbie_pack.client.problem import Problem


def typed(*lines: str):
    """A reader of these lines that also keeps what it was asked."""
    left, asked = list(lines), []

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
    assert create.read_prompt(read, never) == "1girl, red hair"
    assert asked == ["Enter prompt (XML or plain text): "]


def test_xml_goes_on_until_its_tags_balance():
    read, _, left = typed("<scene>", " <n>miku</n>", "</scene>", "the next prompt")
    assert create.read_prompt(read, never) == "<scene>\n <n>miku</n>\n</scene>"
    assert left == ["the next prompt"]


@pytest.mark.parametrize(
    "line",
    [
        "<scene><n>a</n></scene>",
        "<style/>",
        "<3 love",
        ">_<, 1girl",
        "plain <b text",
        "<a x='1' />",
        "<_<",
        "<scene><character_1></scene>",
        "</scene>",
    ],
)
def test_these_are_whole_in_one_line(line):
    read, _, left = typed(line, "next")
    assert create.read_prompt(read, never) == line
    assert left == ["next"]


def test_a_line_that_is_waited_for_is_marked():
    read, asked, _ = typed("<scene>", "</scene>")
    create.read_prompt(read, never)
    assert asked == [create.QUESTION, "... "]


def test_an_empty_line_ends_unfinished_xml():
    read, _, left = typed("<scene>", "<n>a", "", "next")
    assert create.read_prompt(read, never) == "<scene>\n<n>a"
    assert left == ["next"]


def test_the_end_of_input_ends_unfinished_xml():
    read, _, _ = typed("<scene>")
    assert create.read_prompt(read, never) == "<scene>"


def test_pasted_lines_are_one_prompt_empty_ones_too():
    read, _, left = typed("<character_1>a</character_1>", "", "<general_tags>b</general_tags>")
    assert (
        create.read_prompt(read, lambda: bool(left)) == "<character_1>a</character_1>\n\n<general_tags>b</general_tags>"
    )


def test_empty_lines_in_a_pipe_are_passed_over():
    read, asked, left = typed("", " ", "1girl", "", "<scene>", "</scene>", "")
    assert create.read_prompt(read, never, terminal=False) == "1girl"
    assert create.read_prompt(read, never, terminal=False) == "<scene>\n</scene>"
    with pytest.raises(EOFError):
        create.read_prompt(read, never, terminal=False)
    assert not left and asked.count(create.QUESTION) == 3


def test_five_rounds_with_a_bad_prompt_among_them(capsys):
    texts = iter(["one", "two", "bad", "three", "four", "five", ""])
    drawn = []

    def draw(text: str, number: int) -> str:
        if text == "bad":
            raise HostError("XML prompt: line 1: <bad> is not closed.")
        drawn.append((text, number))
        return f"{text}.png"

    assert create.rounds(lambda: next(texts), draw, lambda: True) == 1
    assert drawn == [("one", 0), ("two", 1), ("three", 2), ("four", 3), ("five", 4)]
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "one.png",
        "two.png",
        "XML prompt: line 1: <bad> is not closed.",
        "three.png",
        "four.png",
        "five.png",
    ]


def test_ctrl_c_while_drawing_drops_that_picture_alone(capsys):
    texts = iter(["one", "two", ""])

    def draw(text: str, number: int) -> str:
        if text == "one":
            raise KeyboardInterrupt
        return text

    assert create.rounds(lambda: next(texts), draw, lambda: True) == 0
    assert capsys.readouterr().out == "Dropped.\ntwo\n"


def test_a_host_that_died_ends_the_rounds():
    def draw(text: str, number: int) -> str:
        raise Problem("ComfyUI stopped while drawing")

    with pytest.raises(Problem, match="stopped while drawing"):
        create.rounds(lambda: "again", draw, lambda: False)


@pytest.mark.parametrize("error", [EOFError, KeyboardInterrupt])
def test_ctrl_d_and_ctrl_c_at_the_question_end(monkeypatch, error):
    def read(question: str) -> str:
        raise error

    monkeypatch.setattr("builtins.input", read)
    assert create.ask() == ""


def test_no_picture_is_overwritten(tmp_path):
    (tmp_path / "newbie-001.png").touch()
    (tmp_path / "newbie-003.png").touch()
    assert create.free_name(tmp_path).name == "newbie-002.png"
