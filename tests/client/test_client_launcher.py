"""The launcher as people run it, and the host's command line; nothing is installed and no host is started."""

from __future__ import annotations

import ast
import io
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser
from pathlib import Path

import pytest
from newbie_pack.client import api, arguments, commands, host, testing
from newbie_pack.client import environment as environments
from newbie_pack.client import terminal as terminals
from newbie_pack.client.problem import Problem, exit_code

ROOT = Path(commands.__file__).resolve().parent.parent


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    own = ("COMFYUI_PATH", "COMFYUI_PYTHON", "NEWBIE_HOME", "NEWBIE_DEVICE")
    inherited = {name: value for name, value in os.environ.items() if name not in own}
    return subprocess.run(
        [sys.executable, str(ROOT / "run"), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**inherited, "PYTHONUTF8": "1", **variables},
    )


# --- the command line ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["setup", "demo", "create", "queue", "serve"])
def test_every_command_has_its_help(command):
    answer = run(command, "--help")
    assert answer.returncode == 0
    assert f"usage: ./run {command}" in answer.stdout


def test_help_lists_the_commands():
    answer = run("--help")
    assert answer.returncode == 0
    for command in ("setup", "demo", "create", "queue", "serve", "prompt", "test", "models", "mini", "bench"):
        assert f"\n  {command} " in answer.stdout


def test_no_command_shows_the_help_and_fails():
    answer = run()
    assert answer.returncode == 2
    assert "COMMAND" in answer.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["paint"], "invalid choice: 'paint'"),
        (["demo", "--size", "100x100"], "multiples of 16"),
        (["demo", "--seed", "-1"], "is not between 0"),
        (["demo", "--steps", "0"], "is not between 1"),
        (["demo", "--eta", "nan"], "is not 0 or more"),
        (["demo", "--guidance", "lots"], "'lots' is not a number"),
        (["demo", "--out", "no/such/folder/a.png"], "does not exist"),
        (["demo", "--out", "a.jpg"], "must end in .png"),
        (["demo", "--xml", "no-such-file.xml"], "cannot be read"),
        (["create", "--out", "no/such/folder"], "does not exist"),
        (["demo", "--out", "/proc/a.png"], "nothing can be written to /proc"),
        (["create", "--out", "/proc"], "nothing can be written to /proc"),
        (["queue"], "the following arguments are required: FILE"),
        (["queue", "no-such-file.txt"], "no-such-file.txt does not exist"),
        (["queue", "README.md", "--seeds", "9-1"], "must go from a smaller seed to a larger one"),
        (["queue", "README.md", "--server", "ftp://x"], "is not a server's address"),
        (["serve", "--port", "99999"], "is not between 1 and 65535"),
        (["models"], "the following arguments are required: check|lora"),
        (["models", "check", "--folder", "no/such/folder"], "is not a folder"),
        (["models", "lora", "no-such-file.safetensors"], "does not exist"),
        (["mini"], "followed by train or evaluate"),
        (["mini", "paint"], "followed by train or evaluate"),
        (["bench", "paint"], "no benchmark 'paint': choose one of around, attention, "),
    ],
)
def test_wrong_arguments_are_told_before_any_set_up(arguments, words):
    answer = run(*arguments, NEWBIE_HOME="/proc/none")
    assert answer.returncode in (1, 2)
    assert words in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_wrong_comfyui_path_is_one_sentence(tmp_path):
    answer = run("setup", COMFYUI_PATH=str(tmp_path))
    assert answer.returncode == 1
    assert answer.stderr.startswith("COMFYUI_PATH is ")
    assert len(answer.stderr.splitlines()) == 1


def test_a_home_that_is_a_file_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    answer = run("setup", NEWBIE_HOME=str(tmp_path / "file"))
    assert answer.returncode == 1
    assert answer.stderr == f"{tmp_path / 'file'} is a file: set NEWBIE_HOME to a folder, or to one that can be made.\n"


@pytest.mark.parametrize("python", ["/no/such/python", "/bin/false"])
def test_a_python_that_does_not_run_is_one_sentence(tmp_path, python):
    (tmp_path / "main.py").touch()
    answer = run("demo", COMFYUI_PATH=str(tmp_path), COMFYUI_PYTHON=python)
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"{python} does not run") and len(answer.stderr.splitlines()) == 1


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    answer = run("setup", NEWBIE_HOME=str(tmp_path / "file" / "home"))
    assert answer.returncode == 1
    assert str(tmp_path / "file") in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_old_pythons_can_read_the_launcher_and_get_their_sentence(monkeypatch, capsys):
    text = (ROOT / "run").read_text("utf-8")
    ast.parse(text, feature_version=(3, 8))
    monkeypatch.setattr(sys, "version_info", (3, 8, 18, "final", 0))
    with pytest.raises(SystemExit, match=r"Python 3\.11 or newer is needed, and this is 3\.8"):
        runpy.run_path(str(ROOT / "run"), run_name="__main__")


FIRST_STAGE = (
    "run", "commands", "problem", "arguments", "workflow", "environment", "setup", "terminal", "models",
    "inside", "guard",
)  # fmt: skip


def test_what_runs_without_an_environment_uses_the_standard_library_alone():
    for name in FIRST_STAGE:
        path = ROOT / "run" if name == "run" else ROOT / "client" / f"{name}.py"
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module] if node.module else [alias.name for alias in node.names]
                assert node.level == 1 and set(names) <= set(FIRST_STAGE), (path, names)
                continue
            else:
                continue
            for imported in names:
                top = imported.partition(".")[0]
                assert top in sys.stdlib_module_names or (name == "run" and top == "client"), (path, imported)


def test_every_command_but_three_runs_in_the_environments_python(monkeypatch):
    here = environments.Environment(ROOT, ROOT, Path("/their/python"), ROOT, ours=False)
    started = []
    monkeypatch.setattr("newbie_pack.client.setup.prepare", lambda root, wanted: here)
    monkeypatch.setattr("newbie_pack.client.environment.run_module", lambda *given: started.append(given) or 7)
    for typed, module, rest in [
        (["demo", "--steps", "3"], "client.demo", ["--steps", "3"]),
        (["prompt", "show", "--size", "x"], "client.prompt_tool", ["show", "--size", "x"]),
        (["test", "-k", "stamp"], "client.testing", ["-k", "stamp"]),
        (["mini", "train", "--out", "F"], "lab.training.train", ["--out", "F"]),
        (["bench", "prompt", "--json"], "lab.benchmarks.prompt", ["--json"]),
    ]:
        assert commands.launch(ROOT, typed) == 7
        assert started.pop() == (Path("/their/python"), ROOT, module, rest)


def test_the_whole_suite_takes_all_cores_and_a_part_of_it_one(monkeypatch):
    started = []
    monkeypatch.setenv("NEWBIE_HOST", "")
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("newbie_pack.client.testing.become", lambda command: started.append(command[3:]) or 7)
    for cores, typed, workers, threads in [(2, [], 2, "1"), (16, [], 4, "4"), (1, [], 0, None), (2, ["x"], 0, None)]:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        assert testing.main(typed) == 7
        words = started.pop()
        assert (words[:2] == ["-n", str(workers)]) is bool(workers) and words[len(words) - len(typed) :] == typed
        assert os.environ.get("OMP_NUM_THREADS") == threads


def test_drawing_on_another_server_sets_nothing_up_where_its_modules_are(monkeypatch):
    started = []
    monkeypatch.setattr("newbie_pack.client.setup.prepare", lambda root, wanted: pytest.fail("a set-up was begun"))
    monkeypatch.setattr("newbie_pack.client.environment.run_module", lambda *given: started.append(given) or 7)
    assert commands.launch(ROOT, ["create", "--server", "x"]) == 7
    assert started == [(Path(sys.executable), ROOT, "client.session.command", ["--server", "x"])]
    monkeypatch.setattr(commands, "CLIENT", ("aiohttp", "no_such_module"))
    with pytest.raises(pytest.fail.Exception, match="a set-up was begun"):
        commands.launch(ROOT, ["create", "--server", "x"])


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
def test_a_command_becomes_the_environments_process():
    """So that signals, the terminal and the exit code are its own."""
    code = (
        "import os, sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); print(os.getpid())\n"
        "from client.environment import become\n"
        "become([sys.executable, '-c', 'import os; print(os.getpid()); raise SystemExit(7)'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(ROOT)], capture_output=True, text=True, timeout=60)
    first, second = done.stdout.split()
    assert first == second and done.returncode == 7


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Problem("So it is."), 1, "So it is.\n"),
        (KeyboardInterrupt(), 130, "\nStopped.\n"),
        (OSError(28, "No space", "a.png"), 1, "a.png cannot be written or read: No space.\n"),
    ],
)
def test_a_problem_is_a_sentence_and_ctrl_c_is_130(monkeypatch, capfd, error, code, said):
    monkeypatch.setattr(signal, "signal", lambda *given: None)

    def work() -> int:
        raise error

    assert exit_code(work) == code
    assert capfd.readouterr().err == said


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")
@pytest.mark.parametrize("stream", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full", "| true", "2>/dev/full"])
@pytest.mark.parametrize("command", ["--help", "bench", "prompt check -", "models check --folder docs", "demo --eta x"])
def test_closed_and_full_streams_never_show_a_traceback(tmp_path, command, stream):
    variables = {**os.environ, "COMFYUI_PATH": str(tmp_path), "COMFYUI_PYTHON": sys.executable, "PYTHONUTF8": "1"}
    (tmp_path / "main.py").touch()
    shell = f'"{sys.executable}" "{ROOT / "run"}" {command} {stream}'
    answer = subprocess.run(["bash", "-c", shell], capture_output=True, timeout=60, cwd=ROOT, env=variables)
    assert b"Traceback" not in answer.stderr and b"Exception ignored" not in answer.stderr, answer.stderr
    if stream == ">/dev/full" and command != "--help":  # argparse itself passes over a help that can't be written
        assert answer.returncode != 0


def test_options_become_settings():
    parser = ArgumentParser()
    arguments.create(parser)
    drawing = ["--steps", "5", "--guidance", "2", "--eta", "0", "--size", "384x256"]
    given = parser.parse_args(["--seed", "18446744073709551615", *drawing])
    found = arguments.settings_of(given, "<a/>")
    assert (found.xml, found.seed, found.steps) == ("<a/>", 2**64 - 1, 5)
    assert (found.guidance, found.eta, found.size) == (2.0, 0.0, (384, 256))
    with pytest.raises(SystemExit):
        parser.parse_args(["--seed", "18446744073709551616"])


# --- the host's command line -----------------------------------------------------------------------------------------


def environment(tmp_path: Path, root: Path, ours: bool = True) -> environments.Environment:
    return environments.Environment(root, tmp_path / "home", Path(sys.executable), tmp_path / "ComfyUI", ours)


def value(flags: list[str], flag: str) -> str:
    return flags[flags.index(flag) + 1]


@pytest.mark.parametrize("ours", [True, False])
def test_nothing_is_written_below_the_host_and_only_this_pack_is_loaded(tmp_path, ours):
    root = tmp_path / "a: 'folder' with \"quotes\" 中文" / "pack"
    flags = host.arguments(environment(tmp_path, root, ours), tmp_path, 1234, cpu=True)
    for flag in ("--output-directory", "--input-directory", "--user-directory"):
        assert Path(value(flags, flag)).is_relative_to(tmp_path / "home")
    assert value(flags, "--temp-directory") == str(tmp_path)
    assert value(flags, "--database-url") == "sqlite:///:memory:"
    assert value(flags, "--whitelist-custom-nodes") == "pack"
    assert "--disable-all-custom-nodes" in flags
    assert "--cpu" in flags
    assert ("--models-directory" in flags) is ours  # theirs has models of its own
    paths = json.loads(Path(value(flags, "--extra-model-paths-config")).read_text("utf-8"))
    assert paths == {"newbie": {"custom_nodes": str(root.parent)}}


def test_a_pack_that_lies_in_custom_nodes_needs_no_paths_file(tmp_path):
    root = tmp_path / "ComfyUI" / "custom_nodes" / "pack"
    flags = host.arguments(environment(tmp_path, root, ours=False), tmp_path, 1234, cpu=False)
    assert "--extra-model-paths-config" not in flags
    assert "--cpu" not in flags


def test_the_device_is_what_was_asked_for(tmp_path, monkeypatch):
    here = environment(tmp_path, tmp_path)
    assert host.on_cpu(here, "cpu")
    assert not host.on_cpu(here, "gpu")
    monkeypatch.setenv("NEWBIE_DEVICE", "tpu")
    with pytest.raises(Problem, match="'tpu': set it to cpu, gpu or auto"):
        host.on_cpu(here)


def test_a_host_that_dies_while_starting_is_told_at_once_with_its_last_words(tmp_path):
    here = environment(tmp_path, tmp_path)
    here.comfyui.mkdir()
    (here.comfyui / "main.py").write_text("print('\\033[31mno module named torch\\033[0m'); raise SystemExit(3)")
    with (
        pytest.raises(Problem, match=r"exit code 3.*\n.*no module named torch") as caught,
        host.running(here, device="cpu"),
    ):
        pass
    assert "\x1b" not in str(caught.value)
    assert "no module named torch" in (here.home / "host.log").read_text()


HOST = """
import http.server, subprocess, sys
port = int(sys.argv[sys.argv.index("--port") + 1])
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(child.pid).encode() if "pid" in self.path else b"{}")
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.mark.skipif(os.name == "nt", reason="process groups are POSIX")
@pytest.mark.parametrize("error", [None, KeyboardInterrupt, SystemExit])
def test_the_host_and_its_children_are_stopped_on_every_way_out(tmp_path, error):
    here = environment(tmp_path, tmp_path)
    here.comfyui.mkdir()
    (here.comfyui / "main.py").write_text(HOST)
    try:
        with host.running(here, device="cpu") as running:
            child = api.ask(running.server(), "/pid")
            assert running.alive()
            if error:
                raise error
    except (KeyboardInterrupt, SystemExit):
        pass
    assert not running.alive()
    assert gone(child)


@pytest.mark.skipif(os.name == "nt", reason="process groups are POSIX")
def test_a_pack_that_did_not_load_is_told(tmp_path):
    here = environment(tmp_path, tmp_path)
    here.comfyui.mkdir()
    said = "print('[WARNING] Error while calling comfy_entrypoint in x: no module named lxml', flush=True)"
    (here.comfyui / "main.py").write_text(said + HOST)
    with pytest.raises(Problem, match=r"nodes did not load: .*no module named lxml"), host.announced(here):
        pass


def gone(pid: int, patience: float = 5.0) -> bool:
    """Whether the process ends within the time; one that nobody has waited for yet counts as ended."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        stat = Path(f"/proc/{pid}/stat")
        if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
def test_a_polite_kill_ends_like_ctrl_c(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from client.problem import exit_code\n"
        "def main():\n"
        "    try: print('ready', flush=True); time.sleep(60)\n"
        "    finally: print('cleaned', flush=True)\n"
        "sys.exit(exit_code(main))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(ROOT)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=20)
    assert (out, process.returncode) == (b"cleaned\n", 130)


KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from client import api, host
from client.environment import Environment
root, folder = map(Path, sys.argv[1:])
here = Environment(root, folder / "home", Path(sys.executable), folder / "ComfyUI", True)
with host.running(here, device="cpu") as running:
    print(running.process.pid, api.ask(running.server(), "/pid"), flush=True)
    os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
def test_kill_9_leaves_no_host_behind(tmp_path):
    (tmp_path / "ComfyUI").mkdir()
    (tmp_path / "ComfyUI" / "main.py").write_text(HOST)
    command = [sys.executable, "-c", KILLED, str(ROOT), str(tmp_path)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert answer.returncode == -signal.SIGKILL, answer.stderr
    for pid in map(int, answer.stdout.split()):
        assert gone(pid), pid


# --- progress --------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_one_plain_line_and_a_terminal_a_rewritten_one():
    pipe, terminal = io.StringIO(), Terminal()
    for stream in (pipe, terminal):
        line = terminals.Line("Drawing", stream)
        line.show("1/2")
        line.end("2.0 s")
        line.end("failed")  # a second end says nothing
    assert pipe.getvalue() == "Drawing 2.0 s\n"
    assert terminal.getvalue() == "\r\x1b[KDrawing\r\x1b[KDrawing 1/2\r\x1b[KDrawing 2.0 s\n"


def test_bars_and_wide_characters():
    assert terminals.bar(7, 28, 8) == "[##------] 7/28"
    assert terminals.bar(30, 28, 4) == "[####] 30/28"
    assert terminals.cut("绘制ab", 5) == "绘制a"
    assert terminals.cut("绘制", 3) == "绘"


def test_what_a_terminal_obeys_is_told_and_not_obeyed():
    answer = run("models", "check", "--folder", "a\x1b[31m\u202ered")
    assert answer.returncode == 1 and answer.stderr.startswith(r"a\x1b[31m\u202ered is not a folder")
