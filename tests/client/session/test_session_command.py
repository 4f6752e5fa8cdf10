"""The session: rounds, commands, what is checked before anything is drawn."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from newbie_pack.client import arguments, workflow
from newbie_pack.client.api import Unreachable
from newbie_pack.client.environment import ROOT
from newbie_pack.client.problem import Ended, Problem
from newbie_pack.client.queue import batch
from newbie_pack.client.session import command, inline, lines
from newbie_pack.client.session.colon import COMMANDS, Quit, command_of
from newbie_pack.client.session.session import Session, free_name
from newbie_pack.client.workflow import Settings

PNG = b"\x89PNG one picture"
WRONG = "<scene>\n<character_1> <n>初音</n> <pose>b</character_1> </scene>"


class Typed:
    """A terminal at which these are typed; an exception is raised."""

    def __init__(self, *texts: str | BaseException) -> None:
        self.texts, self.before, self.kept = list(texts), [], []

    def keep(self, text: str) -> None:
        self.kept.append(text)

    def ask(self, before: str = "") -> str:
        self.before.append(before)
        text = self.texts.pop(0) if self.texts else ""
        if isinstance(text, BaseException):
            raise text
        return text


@pytest.fixture
def session(tmp_path):
    def made(*texts, piped: bool = False, **more) -> Session:
        """One whose drawn graphs are kept in `.graphs`, and which has run to its end."""
        terminal = Typed(*texts)
        graph = workflow.load(ROOT / workflow.DEMO)
        graphs = []

        def draw(graph):
            graphs.append(graph)
            return [PNG], 1.25

        one = Session(graph, Settings(), tmp_path, draw, None if piped else terminal, **more)
        one.graphs = graphs
        one.failed = command.rounds(one, terminal.ask, lambda: True)
        return one

    return made


def texts_of(session) -> list[tuple[str, int]]:
    inputs = [{node["class_type"]: node["inputs"] for node in graph.values()} for graph in session.graphs]
    return [(one["NewBieXMLPrompt"]["xml"], one["NewBieSample"]["seed"]) for one in inputs]


def test_prompts_are_drawn_with_seeds_that_count_up(session, tmp_path, capsys):
    done = session("one", "<n>二</n>")
    assert texts_of(done) == [("one", 2), ("<n>二</n>", 3)] and done.failed == 0
    assert (tmp_path / "newbie-002.png").read_bytes() == PNG
    assert capsys.readouterr().out.splitlines()[-1] == f"{tmp_path / 'newbie-002.png'}  1.2 s, seed 3"


def test_a_wrong_prompt_gets_a_caret_and_is_not_queued(session, capsys):
    done = session("one", WRONG, "three")
    assert texts_of(done) == [("one", 2), ("three", 3)] and done.failed == 1
    assert (
        "line 2, column 25: <pose> is never closed. Write </pose> before </character_1>.\n"
        "    <character_1> <n>初音</n> <pose>b</character_1> </scene>\n"
        "                     \u3000\u3000     ^\n"
    ) in capsys.readouterr().out


def test_warnings_are_told_and_the_prompt_is_drawn(session, capsys):
    assert len(session("<character_1><hairs>blue</hairs></character_1>").graphs) == 1
    assert "Note: line 1, column 14: <hairs>" in capsys.readouterr().out


# --- commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed",
    [":seed 5", "：seed 5", ":种子 5", "：种子，5", ":种子5", ":seed=5", "： Seed　５", ":种子、5。"],
)
def test_a_command_is_read_however_its_colon_is_typed(session, typed):
    assert texts_of(session(typed, "a", "b")) == [("a", 5), ("b", 6)]


@pytest.mark.parametrize(
    "text", [":d, smile", ":3", ":q, 1girl", ":p", ":|", " :seed 5", ":<", "1girl :seed 5", ":", ":>="]
)
def test_emoticons_and_texts_are_prompts(text):
    assert command_of(text) is None


NAMES = sorted({name for command in COMMANDS for name in command.names} - {"open", "打开", "edit", "编辑", "修改"})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.sampled_from(NAMES), st.one_of(st.text(max_size=12), st.from_regex(r"[\dx×,.a=/~ -]{0,12}", fullmatch=True)))
def test_whatever_follows_a_command_is_done_or_a_sentence(session, name, typed):
    one = session("a") if not hasattr(session, "one") else session.one
    session.one = one
    with contextlib.suppress(Problem, Quit):
        work = command_of(f":{name} {typed}")
        if work is not None and not typed.strip().startswith("/"):  # :save may go anywhere, as it is told
            one.out.mkdir(exist_ok=True)
            with contextlib.chdir(one.out):
                work(one)


@pytest.mark.parametrize("text", [":quit", "：退出。", ":q", ":exit"])
def test_the_session_can_be_left(session, text):
    assert session(text, "never").graphs == []


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (":sead 5", "no command :sead; did you mean :seed?"),
        (":xyzzy", "no command :xyzzy; :help lists them"),
        (":seed five", "'five' is not a whole number"),
        (":seed 18446744073709551616", "is too large"),
        (":seed -1", "not a whole number"),
        (":size big", "is not a size"),
        (":size 100x100", "multiples of 16"),
        (":set 6.stepps=3", "has no input 'stepps'"),
        (":set steps", "write NODE.INPUT=VALUE"),
        (":again", "Nothing has been drawn yet"),
        (":save a.png", "Nothing has been drawn yet"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(session, capsys, typed, says):
    done = session(typed, "a")
    assert says in capsys.readouterr().out and done.failed == 1
    assert texts_of(done) == [("a", 2)]


@pytest.mark.parametrize("typed", ["256x384", "256 384", "256，384。", "256、384", "２５６×３８４", "256*384"])
def test_the_size_stays_until_it_is_changed(session, typed):
    for graph in session(f":size {typed}", "a", "b").graphs:
        assert {"size": "custom", "size.width": 256, "size.height": 384}.items() <= graph["3"]["inputs"].items()


def test_any_input_can_be_set(session):
    done = session(":set NewBieSample.steps=3", ":set 6.eta=0", "a")
    assert (done.graphs[0]["6"]["inputs"]["steps"], done.graphs[0]["6"]["inputs"]["eta"]) == (3, 0)


def test_again_takes_the_next_seed_and_edit_the_same(session, monkeypatch):
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.delenv("EDITOR", raising=False)
    done = session("a", ":again", ":edit 1", "a, smile", ":again 1", ":again 9")
    assert texts_of(done) == [("a", 2), ("a", 3), ("a, smile", 2), ("a", 4)] and done.failed == 1
    assert done.terminal.before[3] == "a"  # it was in the line already


def test_an_editor_is_used_where_one_is_named(session, monkeypatch, tmp_path):
    program = tmp_path / "an editor.py"
    program.write_text("import sys; p = sys.argv[1]; open(p, 'a', encoding='utf-8').write('，微笑')")
    monkeypatch.setenv("EDITOR", f'{sys.executable} "{program}"')
    assert [text for text, _ in texts_of(session("红发", ":edit"))] == ["红发", "红发\n，微笑"]
    monkeypatch.setenv("EDITOR", "false")
    assert session("a", ":edit").failed == 1
    for broken in ("no-such-editor", 'vi "', "/"):
        monkeypatch.setenv("EDITOR", broken)
        assert session("a", ":edit").failed == 1


def test_an_edit_that_is_wrong_is_not_lost(session, monkeypatch, tmp_path):
    program = tmp_path / "editor.py"
    program.write_text("import sys; open(sys.argv[1], 'w').write('<scene><n>long</scene>')")
    monkeypatch.setenv("EDITOR", f"{sys.executable} {program}")
    done = session("a", ":edit")
    assert done.failed == 1 and done.terminal.kept == ["<scene><n>long</scene>"]


def test_save_goes_by_the_ending(session, tmp_path, capsys):
    names = ("p.png", "p.xml", "s.jsonl", "p.doc", "p.xml")
    saves = [f":save {tmp_path / name}" for name in names]
    done = session("a", ":size 64x96", ":set 6.scheduler=beta", "b", *saves, ":save")
    assert (tmp_path / "p.png").read_bytes() == PNG and (tmp_path / "p.xml").read_text() == "b\n"
    first, second = batch.read([tmp_path / "s.jsonl"])  # as ./run queue reads it
    assert (first.prompt, first.settings, first.inputs) == ("a", {"seed": 2}, ())
    assert (second.prompt, second.settings) == ("b", {"seed": 3, "size": (64, 96)})
    assert second.inputs == (("6.scheduler", "beta"),)
    assert (tmp_path / "newbie-002.xml").read_text() == "b\n"
    assert done.failed == 2 and "exists already" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["~nobody-here/a.png", "a\x00.png", "a" * 300 + ".png", "no/such/folder.png"])
def test_what_no_file_can_be_called_is_told(session, name):
    assert session("a", f":save {name}", "b").failed == 1


def test_history_and_help_are_lists(session, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    session("红色的头发" * 20, ":history", ":help")
    told = capsys.readouterr().out.splitlines()
    (line,) = [line for line in told if line.startswith("  1  newbie-001.png  seed 2  红")]
    assert len(line) < 40
    assert len([line for line in told if line.startswith("  :")]) == len(COMMANDS)
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    session(":help")
    assert "下一张的种子" in capsys.readouterr().out


def test_a_picture_is_opened_by_the_systems_program(session, monkeypatch, tmp_path):
    started = []
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("subprocess.Popen", lambda command, **more: started.append(command))
    session("a", ":open")
    assert started == [["/bin/xdg-open", str(tmp_path / "newbie-001.png")]]
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert session("a", ":open").failed == 1


# --- ends and interruptions -------------------------------------------------------------------------------------------


def test_one_ctrl_c_drops_and_a_second_ends(session, capsys):
    assert texts_of(session(KeyboardInterrupt(), "a", KeyboardInterrupt(), "b")) == [("a", 2), ("b", 3)]
    assert capsys.readouterr().out.count("Dropped. Press Ctrl-C again to end the session.") == 2
    with pytest.raises(KeyboardInterrupt):
        session("a", KeyboardInterrupt(), KeyboardInterrupt(), "never")


def test_ctrl_c_while_drawing_drops_that_picture_alone(session, tmp_path):
    one = session()
    drawn = []

    def draw(graph):
        drawn.append(graph)
        if len(drawn) == 1:
            raise KeyboardInterrupt
        return [PNG], 1.0

    one.draw, one.terminal = draw, Typed("a", "b")
    command.rounds(one, one.terminal.ask, lambda: True)
    assert [(kept.settings.xml, kept.settings.seed) for kept in one.drawn] == [("b", 2)]


def test_a_kill_and_an_interrupted_pipe_end_at_once(session):
    with pytest.raises(Ended):
        session(Ended(), "never")
    with pytest.raises(KeyboardInterrupt):
        session(KeyboardInterrupt(), "never", piped=True)


def test_ctrl_d_ends(session):
    assert texts_of(session("a", EOFError(), "never")) == [("a", 2)]


def test_a_host_that_died_ends_the_rounds(session):
    one = session()

    def draw(graph):
        raise Problem("ComfyUI stopped while drawing.")

    one.draw = draw
    with pytest.raises(Problem, match="stopped while drawing"):
        command.rounds(one, Typed("a").ask, lambda: False)


def test_a_server_that_is_gone_ends_a_pipe_but_not_a_terminal(session):
    def draw(graph):
        raise Unreachable("ComfyUI at x does not answer.")

    one = session()
    one.draw = draw
    assert command.rounds(one, Typed("a", "b").ask, lambda: True) == 2
    one.terminal = None
    with pytest.raises(Unreachable):
        command.rounds(one, Typed("a", "b").ask, lambda: True)


def test_a_pipe_is_asked_like_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n1girl\n\n<scene>\n</scene>\n"))
    ask = command.asker()
    assert [ask(), ask(), ask()] == ["1girl", "<scene>\n</scene>", ""]
    assert capsys.readouterr().out == lines.QUESTION * 3


def test_edit_needs_a_terminal(session, capsys):
    assert session("a", ":edit", piped=True).failed == 1
    assert ":edit needs a terminal" in capsys.readouterr().out


# --- pictures and names -----------------------------------------------------------------------------------------------


def test_a_workflow_that_makes_several_pictures_keeps_all(session, tmp_path):
    one = session()
    one.draw = lambda graph: ([PNG, PNG + b"2"], 1.0)
    one.picture("a", None)
    assert [path.name for path in one.drawn[0].paths] == ["newbie-001.png", "newbie-002.png"]
    assert (tmp_path / "newbie-002.png").read_bytes() == PNG + b"2"


def test_pictures_are_shown_where_the_terminal_can(session, capsys):
    session("a", show=inline.iterm2)
    assert "\x1b]1337;File=inline=1" in capsys.readouterr().out


def test_no_picture_is_overwritten(tmp_path):
    (tmp_path / "newbie-001.png").touch()
    (tmp_path / "newbie-003.png").touch()
    assert free_name(tmp_path).name == "newbie-002.png"


def test_a_folder_whose_name_no_terminal_prints_is_written_to_and_told(session, tmp_path, capsys):
    folder = tmp_path / "\udcff\x1b[31m\u202e"
    folder.mkdir()
    one = session()
    one.out = folder
    one.picture("a", 1)
    assert (folder / "newbie-001.png").read_bytes() == PNG
    assert "\\udcff\\x1b[31m\\u202e" in capsys.readouterr().out


@pytest.mark.parametrize("prompt", ["../../../tmp/x", "/etc/passwd", "a" * 5000, "..\\..\\x", "<n>../x</n>", "\udcff"])
def test_no_prompt_names_a_file(session, tmp_path, prompt):
    session(prompt, ":save")
    assert {path.name for path in tmp_path.iterdir()} <= {"newbie-001.png", "newbie-001.xml"}


def test_a_workflow_without_a_place_for_what_is_asked_is_told_first(session):
    with pytest.raises(Problem, match=r"2 nodes that a prompt is typed into"):
        redraw = workflow.load(ROOT / "workflows" / "api" / "NewBie redraw one character (mini).json")
        Session(redraw, Settings(), Path(), lambda graph: ([], 0.0))


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("http://a:8188/", "http://a:8188"),
        ("127.0.0.1:8188", "http://127.0.0.1:8188"),
        ("localhost", "http://localhost"),
        ("https://x.org/comfy/", "https://x.org/comfy"),
        ("[::1]:8188", "http://[::1]:8188"),
    ],
)
def test_addresses(typed, url):
    assert arguments.url(typed) == url


@pytest.mark.parametrize(
    "typed", ["", "ftp://x", "http://", "x:99999", "x:y", "http://x?a=1", "file:///etc", "http://[x"]
)
def test_what_is_no_address_is_told(typed):
    with pytest.raises(arguments.argparse.ArgumentTypeError, match="is not a server's address"):
        arguments.url(typed)
