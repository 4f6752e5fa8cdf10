"""Pictures in the terminal: which way is chosen, and that what is written decodes to the picture."""

from __future__ import annotations

import base64
import io
import os
import pty
import re
import threading

import numpy
import pytest
from newbie_pack.client.session import inline
from PIL import Image


@pytest.fixture
def png(monkeypatch):
    monkeypatch.setenv("LINES", "30")
    monkeypatch.setenv("COLUMNS", "80")
    pixels = numpy.zeros((50, 37, 3), numpy.uint8)
    pixels[:20, :, 0], pixels[20:, 10:, 1], pixels[45:, :5] = 255, 128, 51
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("environment", "answered", "encoder"),
    [
        ({}, "\x1b_Gi=31;OK\x1b\\\x1b[?62;4c", inline.kitty),
        ({"TMUX": "1"}, "\x1b[?1;2;4c", inline.sixel),
        ({}, "\x1b[?62;4;22c", inline.sixel),
        ({}, "\x1b[?64;14;24c", None),  # 14 and 24 are no 4
        ({}, "", None),
        ({"TERM_PROGRAM": "iTerm.app"}, "\x1b[?62;4c", inline.iterm2),
        ({"LC_TERMINAL": "iTerm2"}, "", inline.iterm2),
        ({"LC_TERMINAL": "iTerm2", "TMUX": "1"}, "\x1b[?1;2c", None),
        ({"TERM_PROGRAM": "Apple_Terminal", "TERM": "xterm-256color"}, "\x1b[?1;2c", None),
    ],
)
def test_the_way_is_chosen_by_what_the_terminal_says(environment, answered, encoder):
    assert inline.chosen(environment, answered) is encoder


def test_a_pipe_shows_no_pictures(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert inline.encoder({"TERM_PROGRAM": "iTerm.app"}) is None


@pytest.mark.parametrize("said", [b"\x1b_Gi=31;OK\x1b\\\x1b[?62;4c", b""], ids=["answers", "is silent"])
def test_a_terminal_is_asked_and_left_as_it_was(monkeypatch, said):
    import termios

    monkeypatch.setattr(inline, "ANSWER", 0.2 if not said else 5.0)
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    with os.fdopen(theirs) as stdin, os.fdopen(os.dup(theirs), "w") as stdout:
        monkeypatch.setattr("sys.stdin", stdin)
        monkeypatch.setattr("sys.stdout", stdout)
        asked = []

        def terminal():
            asked.append(os.read(ours, 1000))
            os.write(ours, said)

        thread = threading.Thread(target=terminal)
        thread.start()
        assert inline.answer().encode("latin-1") == said
        thread.join()
        assert asked == [inline.QUESTION.encode()] and termios.tcgetattr(theirs) == before
    os.close(ours)


def test_kitty_gets_the_file_in_pieces(png, monkeypatch):
    monkeypatch.setattr(inline, "PIECE", 64)
    pieces = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", inline.kitty(png))
    assert base64.b64decode("".join(data for _, data in pieces)) == png
    assert pieces[0][0] == "a=T,f=100,q=2,r=24,m=1"
    assert [keys for keys, _ in pieces[1:]] == ["m=1"] * (len(pieces) - 2) + ["m=0"]
    assert all(len(data) <= 64 for _, data in pieces)


def test_iterm2_gets_the_file_with_its_size(png):
    found = re.fullmatch(r"\x1b]1337;File=inline=1;size=(\d+);height=24;[^:]*:(.*)\x07", inline.iterm2(png))
    assert int(found[1]) == len(png) and base64.b64decode(found[2]) == png


def decoded(text: str) -> numpy.ndarray:
    """Sixels as a terminal reads them -> [H, W, 3] in percent."""
    head, width, height, body = re.fullmatch(r'(\x1bPq)"1;1;(\d+);(\d+)(.*)\x1b\\', text, re.DOTALL).groups()
    assert head
    pixels, colours = numpy.full((int(height) + 5, int(width), 3), -1), {}
    x = top = 0
    colour = None
    for token in re.findall(r"#\d+(?:;2;\d+;\d+;\d+)?|!\d+[?-~]|[$-]|[?-~]", body):
        if token.startswith("#"):
            colour, *rgb = token[1:].replace(";2;", ";", 1).split(";")
            if rgb:
                colours[colour] = [int(part) for part in rgb]
        elif token == "$":
            x = 0
        elif token == "-":
            x, top = 0, top + 6
        else:
            times = int(token[1:-1]) if token.startswith("!") else 1
            for row in range(6):
                if ord(token[-1]) - 63 >> row & 1:
                    pixels[top + row, x : x + times] = colours[colour]
            x += times
    return pixels[: int(height)]


def test_sixels_are_the_picture(png):
    wanted = numpy.asarray(Image.open(io.BytesIO(png)).convert("RGB")) * (100 / 255)
    assert abs(decoded(inline.sixel(png)) - wanted).max() <= 1  # whole percents


def test_sixels_fit_the_terminal(png, monkeypatch):
    monkeypatch.setenv("LINES", "6")
    assert decoded(inline.sixel(png)).shape[:2] == (40, 30)  # two rows of 20 pixels
