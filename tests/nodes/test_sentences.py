"""What the pack says can be logged by a host whose streams can't encode everything, and steers no terminal."""

from __future__ import annotations

import ast
import io
import logging
import sys
import traceback
from pathlib import Path

import pytest
from newbie_pack.sentences import log, loggable, telling, told, visible

NAMES = {  # as a stranger may name a file -> as it is shown
    "red\x1b[31m.safetensors": r"red\x1b[31m.safetensors",
    "bell\x07 and nul\x00": r"bell\x07 and nul\x00",
    "title\x9d0;x\x9c": r"title\x9d0;x\x9c",
    "over\rwritten": r"over\rwritten",
    "not utf-8 \udcff\udc80": r"not utf-8 \udcff\udc80",
    "turned ‮ around": r"turned \u202e around",
    "two\u2028lines\u2029": r"two\u2028lines\u2029",
    "初音ミク 👋 ♥ é": "初音ミク 👋 ♥ é",
    "two\nlines": "two\nlines",
}


class Stream(io.TextIOWrapper):
    """As the host's: what it can't encode raises."""

    def __init__(self, encoding):
        super().__init__(io.BytesIO(), encoding=encoding, errors="strict")


@pytest.fixture
def gbk(monkeypatch):
    """A log file that is not UTF-8, as on a Chinese Windows."""
    stream = Stream("gbk")
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.StreamHandler(stream)])
    return stream


@pytest.mark.parametrize(("name", "shown"), NAMES.items())
def test_only_control_letters_are_escaped_on_a_node(name, shown):
    assert visible(name) == shown
    assert visible(shown) == shown
    assert visible(name).encode("utf-8")


@pytest.mark.parametrize("encoding", ["gbk", "ascii", "cp1252", "cp932", "utf-8"])
@pytest.mark.parametrize("name", NAMES)
def test_a_log_line_is_what_the_streams_can_encode(monkeypatch, encoding, name):
    monkeypatch.setattr(sys, "stdout", Stream(encoding))
    loggable(name).encode(encoding)
    assert loggable(loggable(name)) == loggable(name)


def test_chinese_is_left_to_a_stream_that_has_it(gbk):
    assert loggable("找不到“初音” 👋") == r"找不到“初音” \U0001f44b"


def raised(problem, cause=None):
    try:
        try:
            if cause:
                raise cause
        finally:
            raise problem
    except Exception as caught:
        return caught


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", [ValueError, RuntimeError, KeyError, FileNotFoundError, ZeroDivisionError])
def test_an_exception_can_be_logged_with_all_that_led_to_it(gbk, name, kind):
    for problem in (
        raised(kind(f"There is no {name}: choose another.")),
        raised(kind("There is nothing: choose another."), cause=OSError(2, "gone", name)),
        raised(FileNotFoundError(2, "gone", name)),
        raised(UnicodeDecodeError("utf-8", name.encode("utf-8", "replace"), 0, 1, name)),
    ):
        safe = told(problem)
        "".join(traceback.format_exception(safe)).encode("gbk")
        assert "\x1b" not in str(safe) and str(safe)


def test_an_exception_that_can_be_logged_keeps_its_traceback_and_its_cause(gbk):
    problem = raised(ValueError("找不到: 请选择另一个。"), cause=KeyError("a"))
    assert told(problem) is problem
    assert problem.__traceback__ is not None and isinstance(problem.__context__, KeyError)


def test_the_kind_of_problem_stays(gbk):
    import torch

    for kind in (ValueError, torch.OutOfMemoryError, PermissionError):
        assert isinstance(told(raised(kind("no \udcff"))), kind if kind is not PermissionError else RuntimeError)


def test_log_lines_are_made_so(gbk):
    log.warning("%s is not there, and %d others", "a\x1b[2J\udcff 👋", 3)
    gbk.flush()
    assert gbk.buffer.getvalue().decode("gbk").strip() == r"a\x1b[2J\udcff \U0001f44b is not there, and 3 others"


def test_around_what_the_host_runs(gbk):
    @telling()
    def fails(problem):
        raise problem

    with pytest.raises(ValueError, match=r"^no \\udcff: choose another\.$") as caught:
        fails(ValueError("no \udcff: choose another."))
    assert caught.value.__suppress_context__
    with pytest.raises(RuntimeError, match=r"^FileNotFoundError: .*\\U0001f44b"):
        fails(FileNotFoundError(2, "gone", "👋"))
    same = ValueError("as it is")
    with pytest.raises(ValueError) as caught:
        fails(same)
    assert caught.value is same and len(traceback.extract_tb(same.__traceback__)) > 1
    with pytest.raises(KeyboardInterrupt):  # as the host's own interruption is none of the exceptions
        fails(KeyboardInterrupt())


@pytest.mark.parametrize("room", ["nodes", "isolation", "sampling", "model_loader", "xml_prompt"])
def test_nothing_is_logged_or_printed_by_another_way(room):
    root = Path(__file__).resolve().parent.parent.parent
    for path in (root / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            assert not {"logging", "warnings"} & set(names) and called != "print", (path, node.lineno)
