"""The session as a person at a terminal has it: a real process in a pseudo terminal, a host that is a fake."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent / "queue"))
from fake_comfy import GRAPH, FakeComfy
from newbie_pack.client.environment import ROOT
from newbie_pack.client.session.lines import QUESTION

pty = pytest.importorskip("pty")
readline = pytest.importorskip("readline")
pytestmark = pytest.mark.skipif("libedit" in (readline.__doc__ or ""), reason="libedit knows no bracketed paste")
XML = "<scene>\n  <character_1>\n    <n>初音</n>\n\n  </character_1>\n</scene>"


class Person:
    """Sees what the program writes, and types."""

    def __init__(self, command: list[str], variables: dict[str, str]) -> None:
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            os.execve(command[0], command, variables)
        self.seen, self.read = "", 0

    def sees(self, text: str, patience: float = 60.0) -> str:
        """Waits for the text, and returns all that came before it since the last."""
        end, start = time.monotonic() + patience, self.read
        while text not in self.seen[start:]:
            assert select.select([self.terminal], [], [], max(0, end - time.monotonic()))[0], self.seen
            try:
                self.seen += os.read(self.terminal, 4096).decode("utf-8", "replace")
            except OSError:  # the program has ended
                raise AssertionError(f"{text!r} was never seen in:\n{self.seen}") from None
        self.read = self.seen.index(text, start) + len(text)
        return self.seen[start : self.read]

    def types(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def answers(self, text: str) -> None:
        self.sees(QUESTION)
        self.types(text)

    def interrupts(self, text: str) -> None:
        """Ctrl-C until it is answered: readline takes no notice of one that comes while it writes its question, or
        not before the next key.
        """
        for typed in ("\x03", " ") * 6:
            self.types(typed)
            try:
                self.sees(text, 5.0)
            except AssertionError:
                continue
            return
        raise AssertionError(self.seen)

    def ends(self) -> int:
        while True:
            try:
                if not os.read(self.terminal, 4096):
                    break
            except OSError:
                break
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])


@pytest.fixture
def fake():
    host = FakeComfy()
    yield host
    host.kill()


@pytest.fixture
def program(tmp_path, fake) -> tuple[list[str], dict[str, str]]:
    """A command, and its environment."""
    graph = tmp_path / "graph.json"
    graph.write_text(json.dumps(GRAPH))
    options = ["--server", fake.url, "--workflow", str(graph), "--out", str(tmp_path)]
    variables = {**os.environ, "TERM": "xterm", "NEWBIE_HOME": str(tmp_path / "home"), "PYTHONUTF8": "1"}
    variables |= {"LC_ALL": "C.UTF-8", "INPUTRC": os.devnull}
    variables = {name: value for name, value in variables.items() if name not in ("EDITOR", "VISUAL", "COMFYUI_PATH")}
    return [sys.executable, "-P", str(ROOT / "client" / "inside.py"), "client.session.command", *options], variables


@pytest.fixture
def person(program):
    return Person(*program)


def pasted(text: str) -> str:
    """As a terminal sends it that marks what is pasted, https://invisible-island.net/xterm/ctlseqs."""
    return f"\x1b[200~{text.replace(chr(10), chr(13))}\x1b[201~"


def test_a_session(person, fake, tmp_path):
    person.answers(pasted(XML) + "\r")
    person.sees("newbie-001.png  ")
    person.answers(pasted(":seed 3\n：种子，7") + "\r")  # two lines, two commands
    person.sees("The next picture has the seed 3.")
    person.sees("The next picture has the seed 7.")
    person.answers("".join(f"{line}\r" for line in XML.split("\n")))  # pasted, but not marked as that
    person.sees("newbie-002.png  ")
    person.answers("<scene>\r<n>a\r\r")  # an empty line ends what is unfinished
    assert "line 2, column 1: <n> is never closed" in person.sees("^\r\n")
    person.answers("\x1b[A\x1b[A\r")  # up twice: the XML, whole
    person.sees("newbie-003.png  ")
    person.answers(":edit\r")
    person.sees(QUESTION)
    person.sees("</scene>")
    person.types("\x1b[D" * len("</scene>") + "<style>flat</style>\r")
    person.sees("newbie-004.png  ")
    person.answers("\x04")
    assert person.ends() == 0
    edited = XML.replace("</scene>", "<style>flat</style></scene>")
    assert fake.drawn == {(XML, 1): 1, (XML, 7): 1, (XML, 8): 1, (edited, 8): 1}
    assert len(list(tmp_path.glob("*.png"))) == 4


def test_ctrl_c_cancels_in_the_host_and_a_second_one_ends(person, fake):
    person.answers("hang\r")
    person.sees("NewBieSample")
    person.types("\x03")
    person.sees("Dropped. Press Ctrl-C again to end the session.")
    assert len(fake.cancelled) == 1
    person.answers("half a line")
    person.interrupts("Stopped.")  # the second in a row
    assert person.ends() == 130


def test_ctrl_c_at_a_line_drops_the_line(person, fake):
    person.answers("half a line")
    person.sees("half a line")
    person.interrupts("Dropped.")
    person.answers("1girl\r")
    person.sees("newbie-001.png  ")
    person.answers("\r")  # an empty line at the question
    assert person.ends() == 0 and fake.drawn == {("1girl", 1): 1}


def test_ctrl_c_ends_a_pipe_at_once_and_cancels_in_the_host(program, fake):
    command, variables = program
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=variables, text=True, **pipes) as process:
        process.stdin.write("first\nhang\nnever\n")
        process.stdin.close()
        end = time.monotonic() + 60
        while fake.running is None or fake.running[1]["2"]["inputs"]["xml"] != "hang":
            assert time.monotonic() < end
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130 and process.stderr.read() == "\nStopped.\n"
    assert len(fake.cancelled) == 1 and fake.drawn == {("first", 1): 1}
