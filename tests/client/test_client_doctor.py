"""What the doctor says of a machine and of servers, and its exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
from aiohttp import web
from fake_host import FakeHost
from newbie_pack.client import doctor, doctor_server, host
from newbie_pack.client.environment import ROOT
from newbie_pack.version import pack_version

NODES = {path.stem: {} for path in (ROOT / "web" / "docs").glob("NewBie*.md")}
GB = 1e9


def states(found) -> dict[str, str]:
    """The worst of each; `wrong` comes last by the alphabet, too."""
    return {one.about: max(other.state for other in found if other.about == one.about) for one in found}


def doctored(capsys, *typed: str) -> tuple[int, list[doctor.Finding]]:
    code = doctor.main([*typed, "--json"])
    told = json.loads(capsys.readouterr().out)
    found = [doctor.Finding(**one) for one in told["findings"]]
    assert told["wrong"] == sum(one.state == "wrong" for one in found) and code == min(1, told["wrong"])
    assert all(one.says and (one.state != "wrong" or one.advice or " " in one.says) for one in found)
    return code, found


# --- this machine -----------------------------------------------------------------------------------------------------


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A ComfyUI of a user's, in so far as the doctor looks at it."""
    comfyui = tmp_path / "ComfyUI"
    comfyui.mkdir()
    (comfyui / "main.py").touch()
    (comfyui / "comfyui_version.py").write_text('__version__ = "0.30.0"\n')
    (comfyui / "folder_paths.py").write_text("def get_folder_paths(name): return []\n")
    monkeypatch.setenv("COMFYUI_PATH", str(comfyui))
    monkeypatch.setenv("COMFYUI_PYTHON", sys.executable)
    monkeypatch.setenv("NEWBIE_HOME", str(tmp_path / "home"))
    probed = {"version": "3.11.7", "missing": [], "torch": "2.11", "devices": []}
    monkeypatch.setattr(doctor, "PROBE", f"print({json.dumps(json.dumps(probed))})")
    return comfyui


def test_a_machine_that_is_in_order(installed, capsys, tmp_path):
    code, found = doctored(capsys)
    assert code == 0 and states(found)["ComfyUI"] == "fine" and states(found)["Models"] == "note"
    assert {"System", "Pack", "ComfyUI", "Python", "GPU", "Disk", "Models", "Port"} == set(states(found))
    assert not (tmp_path / "home").exists()  # it looks, and makes nothing


def test_the_probe_is_answered_by_a_real_python():
    answer = subprocess.run([sys.executable, "-c", doctor.PROBE, "torch", "nosuch"], capture_output=True, text=True)
    found = json.loads(answer.stdout)
    assert found["missing"] == ["nosuch"] and found["torch"] and isinstance(found["devices"], list)


def test_nothing_is_installed_yet(tmp_path):
    """In a Python without any packages, as before the set-up."""
    variables = {**os.environ, "NEWBIE_HOME": str(tmp_path / "home")}
    variables.pop("COMFYUI_PATH", None)
    command = [sys.executable, "-S", str(ROOT / "run"), "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, env=variables, timeout=60)
    assert done.returncode == 1 and done.stderr == ""
    assert "-> ./run setup, or set COMFYUI_PATH" in done.stdout and "things are wrong." in done.stdout
    asked = subprocess.run([*command, "--server", "x"], capture_output=True, text=True, env=variables, timeout=60)
    assert asked.returncode == 1 and "once the set-up is done" in asked.stderr


@pytest.mark.parametrize(
    ("break_it", "about", "advice"),
    [
        (
            lambda comfyui: (comfyui / "comfyui_version.py").write_text('__version__ = "0.24.1"'),
            "ComfyUI",
            "0.27 or newer",
        ),
        (lambda comfyui: (comfyui / "main.py").unlink(), "ComfyUI", ""),
        (lambda comfyui: (comfyui / "folder_paths.py").write_text("1 / 0"), "Models", ""),
        (lambda comfyui: os.environ.update(COMFYUI_PYTHON="/nowhere/python"), "Python", "COMFYUI_PYTHON"),
        (lambda comfyui: os.environ.update(COMFYUI_PYTHON="/bin/false"), "Python", "COMFYUI_PYTHON"),
    ],
)
def test_what_is_wrong_is_told(installed, capsys, break_it, about, advice):
    break_it(installed)
    code, found = doctored(capsys)
    assert code == 1 and states(found)[about] == "wrong"
    assert any(advice in one.advice for one in found if one.about == about and one.state == "wrong")
    assert not [one for one in found if "print(" in one.says]  # of what a Python was asked, its last words alone


def test_packages_that_are_missing_come_with_the_command(installed, capsys, monkeypatch):
    monkeypatch.setattr(doctor, "PROBE", 'print(\'{"version": "3.12.0", "missing": ["lxml"]}\')')
    _, found = doctored(capsys)
    (python,) = [one for one in found if one.about == "Python"]
    assert python.state == "wrong" and python.advice == f'"{sys.executable}" -m pip install lxml'


def test_a_disk_that_is_full_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": GB}))
    assert doctor.of_disk(tmp_path / "not" / "there", 2 * GB).state == "wrong"
    assert doctor.of_disk(tmp_path, 0.5 * GB).state == "fine"


def test_cards():
    card = {"name": "A card", "type": "x", "vram_total": 24 * GB, "vram_free": 20 * GB}
    assert [one.state for one in doctor.of_cards([card, card])] == ["fine", "fine"]
    (short,) = doctor.of_cards([{**card, "vram_free": 3 * GB}, {"type": "cpu"}])
    assert short.state == "note" and "3.0 of 24.0 GB free" in short.says and short.advice


def test_a_mini_that_is_not_there_whole(monkeypatch, tmp_path):
    (tmp_path / "vae.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    monkeypatch.setattr(doctor, "mini_files", lambda: [tmp_path / "vae.safetensors", tmp_path / "jina.safetensors"])
    assert doctor.of_pack().state == "wrong"


def test_nodes_that_did_not_load_are_told_with_their_reason(installed, capsys, tmp_path):
    (tmp_path / "home").mkdir()
    other = f"Cannot import /x/custom_nodes/{ROOT.name}_other module for custom nodes: no"
    ours = f"Error while calling comfy_entrypoint in {ROOT}: No module named 'lxml'"
    (tmp_path / "home" / "host.log").write_text(f"\x1b[31m[WARNING]\x1b[0m {other}\n[WARNING] {ours}\n{ours}\n")
    code, found = doctored(capsys)
    nodes = {one.state: one for one in found if one.about == "Nodes"}
    assert code == 1 and other in nodes["note"].says and ours in nodes["wrong"].says
    assert "pip install" in nodes["wrong"].advice


# --- servers ----------------------------------------------------------------------------------------------------------


def server(**changed):
    """A host that is in order, but for what is changed: path -> its JSON, or a status."""
    fake = FakeHost()
    gpu = {"name": "A card", "type": "x", "vram_total": 24 * GB, "vram_free": 20 * GB}
    system = {"os": "linux", "comfyui_version": "0.30.0", "python_version": "3.11.7 (main)", "pytorch_version": "2.11"}
    parts = ("diffusion_model", "gemma", "jina", "vae")
    lists = {name: ["COMBO", {"options": ["none", "a.safetensors"]}] for name in parts}
    answers = {
        "/system_stats": {"system": {**system, "ram_free": GB, "ram_total": GB}, "devices": [gpu]},
        "/object_info": {**NODES, "NewBieLoader": {"input": {"required": lists}}},
        "/newbie_xml/version": {"version": pack_version()},
        "/internal/logs/raw": {"entries": [{"m": "fine\n"}]},
        "/queue": {"queue_running": [], "queue_pending": []},
        "/history": {},
    } | changed  # fmt: skip
    for path, body in answers.items():

        async def answer(request, body=body):
            return web.Response(status=body) if isinstance(body, int) else web.json_response(body)

        fake.answers[path] = answer
    return fake


@pytest.fixture
def ask(capsys, monkeypatch):
    monkeypatch.setattr(doctor_server, "MOMENT", 0.0)

    def asked(**changed):
        fake = server(**changed)
        try:
            return doctored(capsys, "--server", fake.url)
        finally:
            fake.stop()

    return asked


def test_a_server_that_is_in_order(ask):
    code, found = ask()
    assert code == 0 and set(states(found).values()) == {"fine"}
    assert {"ComfyUI", "Python", "GPU", "Memory", "Pack", "Models", "Queue"} == set(states(found))


def old(number):
    return [number, "id", {}, {"create_time": (time.time() - 3600) * 1000}, []]


@pytest.mark.parametrize(
    ("changed", "about", "says"),
    [
        ({"/object_info": {"KSampler": {}}}, "Pack", "this pack's nodes are not there"),
        ({"/object_info": {name: {} for name in NODES if name != "NewBieSize"}}, "Pack", "NewBieSize"),
        ({"/object_info": 500}, "Server", "500"),
        ({"/system_stats": {"system": {}}}, "Server", "does not answer as ComfyUI does"),
        ({"/system_stats": 404}, "Server", "404"),
        ({"/queue": {"queue_running": [old(1)], "queue_pending": [old(2)]}}, "Queue", "minutes ago"),
        ({"/queue": {"queue_running": [], "queue_pending": [old(2)]}}, "Queue", "0 running, 1 waiting"),
        ({"/queue": []}, "Server", "does not answer as ComfyUI does"),
    ],
)
def test_what_is_wrong_with_a_server_is_told(ask, changed, about, says):
    code, found = ask(**changed)
    assert code == 1 and any(one.state == "wrong" and one.about == about and says in one.says for one in found)


def test_a_prompt_that_waited_long_has_not_run_long(ask):
    """It is at work since the one before it ended."""
    ended = {"status": {"messages": [["execution_success", {"timestamp": time.time() * 1000 - 5000}]]}}
    queue = {"queue_running": [old(1)], "queue_pending": [old(2)]}
    code, found = ask(**{"/queue": queue, "/history": {"id": ended}})
    assert code == 0 and states(found)["Queue"] == "fine"


def test_the_disk_of_a_server_on_this_machine_is_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": GB}))
    argv = ["/comfy/main.py", "--output-directory", str(tmp_path)]
    (found,) = doctor_server.of_their_disk("http://localhost:1", argv)
    assert found.state == "wrong" and str(tmp_path) in found.says
    assert not list(doctor_server.of_their_disk("http://10.0.0.1:1", argv))
    assert not list(doctor_server.of_their_disk("http://localhost:1", ["/nowhere/main.py", "--output-directory"]))


@pytest.mark.parametrize("log", [404, {}, {"entries": [{}]}, []])
def test_a_server_that_tells_no_log_is_judged_all_the_same(ask, log):
    assert ask(**{"/internal/logs/raw": log})[0] == 0


def test_another_version_of_the_pack_is_worth_knowing(ask):
    code, found = ask(**{"/newbie_xml/version": {"version": "9.9"}})
    assert code == 0 and any("9.9 there" in one.says and one.state == "note" for one in found)
    assert any("unknown" in one.says for one in ask(**{"/newbie_xml/version": 404})[1])


def test_a_server_that_is_down(capsys):
    code, found = doctored(capsys, "--server", f"127.0.0.1:{host.free_port()}")
    assert code == 1 and [one.about for one in found] == ["Server"] and "does not answer" in found[0].says


def test_text_for_people(installed, capsys):
    assert doctor.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "Nothing is wrong." and lines[0].startswith("fine   System")
