"""The set-up's stamps, archive and sentences; nothing here uses the network."""

from __future__ import annotations

import io
import re
import sys
import tarfile
from collections import namedtuple
from pathlib import Path

import pytest
from newbie_pack.client import environment as environments
from newbie_pack.client import setup
from newbie_pack.client.problem import Problem

ROOT = Path(setup.__file__).resolve().parent.parent


@pytest.fixture
def environment(tmp_path):
    python = tmp_path / "venv" / "bin" / "python"
    return environments.Environment(ROOT, tmp_path, python, tmp_path / "ComfyUI", ours=True)


def step(
    tmp_path: Path, inputs: tuple[bytes, ...] = (b"a",), work=lambda log, line: None, title: str = "a step"
) -> setup.Step:
    (tmp_path / "made").touch()
    return setup.Step(title, tmp_path / "stamps" / "s.done", inputs, work, tmp_path / "made")


# --- stamps ----------------------------------------------------------------------------------------------------------


def test_a_step_is_done_once_marked_and_only_for_these_inputs(tmp_path):
    assert not step(tmp_path).done()
    step(tmp_path).mark()
    assert step(tmp_path).done()
    assert not step(tmp_path, (b"b",)).done()
    assert not step(tmp_path, (b"a", b"")).done()
    (tmp_path / "made").unlink()
    assert not setup.Step(
        "t", tmp_path / "stamps" / "s.done", (b"a",), lambda log, line: None, tmp_path / "made"
    ).done()


def test_how_inputs_are_cut_matters(tmp_path):
    assert step(tmp_path, (b"ab", b"c")).digest() != step(tmp_path, (b"a", b"bc")).digest()


@pytest.mark.parametrize("error", [Problem("no network"), KeyboardInterrupt()])
def test_an_interrupted_step_leaves_no_stamp_and_is_done_again(environment, tmp_path, error, capsys):
    tries = []

    def work(log, line):
        tries.append(1)
        if len(tries) == 1:
            raise error

    todo = [step(tmp_path, work=work)]
    with pytest.raises(type(error)):
        setup.install(environment, todo)
    assert not todo[0].done()
    setup.install(environment, todo)
    assert todo[0].done()
    assert "1/1 a step stopped" in capsys.readouterr().out


def test_a_step_that_fails_keeps_those_before_it(environment, tmp_path):
    def fail(log, line):
        raise OSError(28, "No space left on device", "x")

    first = step(tmp_path)
    second = setup.Step("second", tmp_path / "stamps" / "t.done", (), fail, tmp_path / "made")
    with pytest.raises(Problem, match=r"second: No space left on device \(x\)"):
        setup.install(environment, [first, second])
    assert first.done()
    assert not second.done()


def test_a_changed_pin_redoes_its_own_step_alone(environment, tmp_path):
    root = tmp_path / "clone"
    (root / "setup").mkdir(parents=True)
    for path in (ROOT / "setup").glob("*.txt"):
        (root / "setup" / path.name).write_bytes(path.read_bytes())
    environment = environments.Environment(root, tmp_path, environment.python, environment.comfyui, ours=True)
    environment.python.parent.mkdir(parents=True)
    environment.python.touch()
    environment.comfyui.mkdir()
    (environment.comfyui / "main.py").touch()
    for each in setup.steps(environment):
        each.mark()
    assert all(each.done() for each in setup.steps(environment))
    (root / "setup" / "requirements-torch.txt").write_text("torch==9\n")
    assert [each.title for each in setup.steps(environment) if not each.done()] == ["torch (several GB)"]


# --- the pins --------------------------------------------------------------------------------------------------------


def test_everything_locked_has_an_exact_version_and_a_hash():
    text = (ROOT / "setup" / "requirements-host.txt").read_text()
    entries = re.split(r"\n(?=\S)", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    names = [re.match(r"([\w.-]+)==[\w.]+", entry) for entry in entries]
    assert all(names)
    assert all("--hash=sha256:" in entry for entry in entries)
    locked = {match[1] for match in names if match}
    assert {"lxml", "pytest", "hypothesis", "torchsde", "aiohttp", "sentencepiece"} <= locked
    assert not {name for name in locked if name in ("torch", "torchvision", "torchaudio", "triton") or "nvidia" in name}


# --- the archive -----------------------------------------------------------------------------------------------------


def archive(path: Path, **files: bytes) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_only_the_folder_is_unpacked(tmp_path):
    made = archive(tmp_path / "a.tar.gz", **{"p/vendor/C/main.py": b"1", "p/vendor/C/d/x": b"2", "p/other": b"3"})
    setup.unpack(made, "p/vendor/C", tmp_path / "out")
    found = {str(p.relative_to(tmp_path / "out")): p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert found == {"main.py": b"1", str(Path("d/x")): b"2"}


@pytest.mark.parametrize("name", ["p/vendor/C/../../../evil", "/evil", "p/vendor/C/..\\evil", "C:/evil"])
def test_a_path_that_leads_out_is_refused(tmp_path, name):
    made = archive(tmp_path / "a.tar.gz", **{name: b"x"})
    with pytest.raises(Problem, match="leads out"):
        setup.unpack(made, "p/vendor/C", tmp_path / "deep" / "out")
    assert not list(tmp_path.rglob("*evil*"))


def test_links_are_left_out(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo("p/link")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(info)
    setup.unpack(tmp_path / "a.tar.gz", "p", tmp_path / "out")
    assert not (tmp_path / "out").exists()


# --- sentences -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n", "disk is full"),
        (
            "WARNING: Retrying ... NewConnectionError('... Failed to establish a new connection: [Errno -3] Temporary "
            "failure in name resolution')\nERROR: No matching distribution found for torch==2.14.1\n",
            "cannot be reached: check the network",
        ),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n", "wrong hash"),
        ("ERROR: No matching distribution found for torch==2.14.1\n", "no suitable file, or could not be reached"),
        ("blah\nERROR: something new.\n", "torch: something new (details"),
        ("", "torch: it failed (details"),
    ],
)
def test_a_failure_is_one_sentence_with_the_logs_path(log, words):
    sentence = setup.explain("torch", log, Path("/there/setup.log"))
    assert words in sentence
    assert sentence.startswith("torch: ")
    assert "/there/setup.log" in sentence.replace("\\", "/")
    assert "\n" not in sentence


def test_a_small_disk_is_told_before_anything_is_installed(environment, monkeypatch, capsys):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(setup.shutil, "disk_usage", lambda path: usage(10, 9, 2_500_000_000))
    with pytest.raises(Problem, match=r"2\.5 GB free .* about 10 GB: free some space, or set NEWBIE_HOME"):
        setup.install(environment, setup.steps(environment))
    assert capsys.readouterr().out == ""


def test_no_venv_module_names_the_package(environment, monkeypatch):
    environment.log.write_text("The virtual environment was not created ... because ensurepip is not available.\n")
    monkeypatch.setattr(setup, "run_logged", lambda *arguments: 1)
    with pytest.raises(Problem, match=rf"install the package python3\.{sys.version_info[1]}-venv"):
        setup.make_venv(environment, environment.home / "venv", io.BytesIO(), setup.Line("t", io.StringIO()))


def test_a_failed_command_is_explained_from_its_own_output(environment):
    """A real process: `python` here is one that fails as pip does without a network."""
    code = "import sys; print('ERROR: Read timed out.'); sys.exit(1)"
    with environment.log.open("wb") as log:
        code_of = setup.run_logged([sys.executable, "-c", code], log, setup.Line("t", io.StringIO()), {})
    assert code_of == 1
    assert "cannot be reached" in setup.explain("torch", setup.tail(environment.log), environment.log)


# --- where things are ------------------------------------------------------------------------------------------------


def test_everything_is_below_the_repository_by_default(tmp_path):
    found = environments.locate(tmp_path, {})
    assert (found.home, found.comfyui, found.ours) == (tmp_path / ".comfyui", tmp_path / ".comfyui" / "ComfyUI", True)
    assert found.python.is_relative_to(tmp_path / ".venv")


def test_newbie_home_moves_all_of_it(tmp_path):
    found = environments.locate(tmp_path / "clone", {"NEWBIE_HOME": str(tmp_path / "big")})
    assert found.home == tmp_path / "big"
    assert found.python.is_relative_to(tmp_path / "big")
    assert found.comfyui.is_relative_to(tmp_path / "big")


def test_an_existing_comfyui_is_used_with_its_own_python(tmp_path):
    theirs = tmp_path / "theirs"
    python = environments.venv_python(theirs / "venv")
    python.parent.mkdir(parents=True)
    python.touch()
    (theirs / "main.py").touch()
    found = environments.locate(tmp_path, {"COMFYUI_PATH": str(theirs)})
    assert (found.comfyui, found.python, found.ours) == (theirs, python, False)
    found = environments.locate(tmp_path, {"COMFYUI_PATH": str(theirs), "COMFYUI_PYTHON": "/opt/python"})
    assert found.python == Path("/opt/python")
    assert found.home == tmp_path / ".comfyui"


@pytest.mark.parametrize(
    ("variables", "words"),
    [({"COMFYUI_PATH": "/nowhere"}, "no main.py"), ({"COMFYUI_PYTHON": "/usr/bin/python3"}, "set both")],
)
def test_wrong_variables_are_told(tmp_path, variables, words):
    with pytest.raises(Problem, match=words):
        environments.locate(tmp_path, variables)


def test_what_an_existing_python_lacks_comes_with_the_command(tmp_path):
    theirs = environments.Environment(tmp_path, tmp_path, Path(sys.executable), tmp_path, ours=False)
    environments.check_theirs(theirs, ("lxml",))
    with pytest.raises(Problem, match=r"lacks no_such_thing: run \".*\" -m pip install no_such_thing"):
        environments.check_theirs(theirs, ("lxml", "no_such_thing"))


def test_a_python_that_does_not_run_is_told(tmp_path):
    theirs = environments.Environment(tmp_path, tmp_path, tmp_path / "no-python", tmp_path, ours=False)
    with pytest.raises(Problem, match="does not run"):
        environments.check_theirs(theirs, ())
