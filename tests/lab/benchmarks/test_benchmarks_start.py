"""How a benchmark is started: the list, an unknown name, --help without a host, and where the host is looked for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
from newbie_pack.client import commands, environment
from newbie_pack.client.problem import Problem

ROOT = Path(commands.__file__).resolve().parent.parent
NAMES = [
    "around", "attention", "binding", "caches", "colours", "decode", "fullsize", "fullsize_files", "gentle", "lora",
    "masks", "prompt", "redraw", "rehearsal", "sampling", "skip", "soak", "style", "versions",
]
OWN = ("COMFYUI_PATH", "COMFYUI_PYTHON", "NEWBIE_HOME", "NEWBIE_HOST", "NEWBIE_DEVICE", "PYTHONPATH")
ASK_ALL = """
import contextlib, importlib, io, json, pathlib, sys
sys.path.insert(0, sys.argv[1])
from client import inside
del sys.path[0]
inside.load_pack(pathlib.Path(sys.argv[1]))
said = {}
for name in sys.argv[2:]:
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            importlib.import_module(f"{inside.PACKAGE}.lab.benchmarks.{name}").main(["--help"])
    except SystemExit as end:
        said[name] = [end.code, out.getvalue()]
    except Exception as error:
        said[name] = [repr(error), ""]
print(json.dumps(said))
"""


def python(*arguments, folder=None, **variables):
    """A Python that knows of no host."""
    inherited = {name: value for name, value in os.environ.items() if name not in OWN}
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
        env={**inherited, "PYTHONUTF8": "1", **variables},
    )


def asked(*arguments):
    return commands.bench(ROOT, list(arguments))


def test_alone_it_lists_them_with_a_line_each(capsys):
    for arguments in ((), ("--help",)):
        assert asked(*arguments) is None
        usage, _, *lines, _, hint = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines] == NAMES
        assert all(len(line) <= 130 and line.endswith(".") and len(line.split()) > 5 for line in lines)
        assert "./run bench NAME" in usage and "--help" in hint


def test_an_unknown_name_is_one_sentence_with_the_names():
    with pytest.raises(Problem) as caught:
        asked("speed", "--json")
    assert str(caught.value) == f"There is no benchmark 'speed': choose one of {', '.join(NAMES)}."


@pytest.fixture(scope="module")
def helps(tmp_path_factory):
    """Every --help, from one process where nothing of a host can be imported."""
    for module in ("torch", "cv2", "sentencepiece"):
        pytest.importorskip(module)
    found = python("-c", ASK_ALL, str(ROOT), *NAMES, folder=tmp_path_factory.mktemp("away"))
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


@pytest.mark.parametrize("name", NAMES)
def test_help_needs_no_host(helps, name):
    code, said = helps[name]
    assert code == 0
    assert said.startswith(f"usage: ./run bench {name} ")
    if name != "fullsize_files":  # it makes files, and measures nothing
        assert "--json " in said
    for option in ("--host", "--device"):  # the environment says both
        assert option not in said


def test_without_set_up_a_missing_host_is_one_sentence(tmp_path):
    pytest.importorskip("torch")
    inside = str(ROOT / "client" / "inside.py")
    found = python(inside, "lab.benchmarks.decode", folder=tmp_path, NEWBIE_HOME=str(tmp_path))
    assert found.returncode == 1
    assert found.stderr == (
        f"There is no ComfyUI in {tmp_path / 'ComfyUI'}: run ./run setup, or set COMFYUI_PATH to its folder.\n"
    )


@pytest.mark.parametrize("flags", [(), ("-P",)])
def test_a_module_does_not_see_the_launchers_files(tmp_path, flags):
    """As a script, its folder would be first on the path: `import setup` would be the launcher's."""
    client = tmp_path / "pack of another name" / "client"
    client.mkdir(parents=True)
    for name in ("inside.py", "problem.py"):
        shutil.copy(ROOT / "client" / name, client)
    (client.parent / "__init__.py").touch()
    seen = "import sys\ndef main(given): print(*given, *sys.path, sep='\\n')\n"
    (client.parent / "seen.py").write_text(seen, "utf-8")
    found = python(*flags, str(client / "inside.py"), "seen", "--word")
    assert found.returncode == 0, found.stderr
    said = found.stdout.splitlines()
    assert said[0] == "--word" and len(said) > 2
    assert str(client) not in said and str(client.parent) not in said


@pytest.mark.parametrize(("wish", "found", "cpu"), [("cpu", True, True), ("gpu", False, False), ("", True, False),
                                                    ("auto", True, False), ("auto", False, True), ("", False, True)])
def test_the_device_is_wished_for_or_found(monkeypatch, wish, found, cpu):
    torch = pytest.importorskip("torch")
    from newbie_pack.lab.benchmarks import host

    for name in OWN:
        monkeypatch.delenv(name, raising=False)
    if wish:
        monkeypatch.setenv("NEWBIE_DEVICE", wish)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: found)
    assert host.on_cpu(environment.locate(ROOT)) is cpu
    monkeypatch.setenv("NEWBIE_DEVICE", "tpu")
    with pytest.raises(Problem, match="'tpu': set it to cpu, gpu or auto"):
        host.chosen_device()


def test_the_host_is_the_one_that_is_named(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from newbie_pack.lab.benchmarks import host

    for name in OWN:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "main.py").touch()
    (tmp_path / "comfy").mkdir()
    (tmp_path / "comfy" / "options.py").touch()
    (tmp_path / "comfy" / "cli_args.py").write_text("class args: cpu = use_pytorch_cross_attention = None\n", "utf-8")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    monkeypatch.setenv("NEWBIE_DEVICE", "cpu")
    with mock.patch.dict(sys.modules):
        for name in [name for name in sys.modules if name.partition(".")[0] == "comfy"]:
            del sys.modules[name]
        host.add_host()
        import comfy.cli_args as seen
    assert Path(seen.__file__).parent.parent == tmp_path
    assert seen.args.cpu is True and seen.args.use_pytorch_cross_attention is True
    assert sys.dont_write_bytecode and not list(tmp_path.rglob("*.pyc"))
