"""`./run queue --ray` with two actors on the CPU, each with a ComfyUI process that draws nothing; both are killed."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

import pytest
from newbie_pack.client.queue import command, manifest, schedule

ray = pytest.importorskip("ray", reason="Ray is an extra: pip install ray")
psutil = pytest.importorskip("psutil")
sys.path.append(str(Path(__file__).parent))
from fake_comfy import GRAPH, PROGRAM  # noqa: E402

FOLDER = "newbie-ray-test"


def running(words: str) -> list[psutil.Process]:
    found = [(one, " ".join(one.info["cmdline"] or [])) for one in psutil.process_iter(["cmdline"])]
    return [one for one, command in found if words in command and "guard.py" not in command]


def hosts() -> list[psutil.Process]:
    return running(f"{FOLDER}/main.py")


def actors() -> list[psutil.Process]:
    return running("ray::CardActor")


def test_two_actors_one_killed_and_a_host_killed(tmp_path, monkeypatch, capsys):
    comfyui = tmp_path / FOLDER
    comfyui.mkdir()
    (comfyui / "main.py").write_text(PROGRAM)
    (tmp_path / "graph.json").write_text(json.dumps(GRAPH))
    (tmp_path / "prompts.txt").write_text("\n".join(f"prompt {n}" for n in range(40)))
    monkeypatch.setenv("COMFYUI_PATH", str(comfyui))
    monkeypatch.setenv("COMFYUI_PYTHON", sys.executable)
    monkeypatch.setenv("NEWBIE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NEWBIE_DEVICE", "cpu")
    monkeypatch.setattr(schedule, "LAST_PROBE", 2.0)
    out, killed = tmp_path / "out", []

    def drawn() -> int:
        return len(list(out.glob("*.png")))

    def kill():
        for least, whom in ((4, hosts), (20, actors)):
            while drawn() < least or len(hosts()) < 2:
                time.sleep(0.02)
            whom()[0].kill()
            killed.append(whom.__name__)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    options = ["--workflow", str(tmp_path / "graph.json"), "--out", str(out), "--ray", "--actors", "2"]
    code = command.main([str(tmp_path / "prompts.txt"), *options])
    said = capsys.readouterr().out
    assert killed == ["hosts", "actors"] and code == 0, said
    lines = list({line["job"]: line for line in manifest.lines(out / manifest.NAME)}.values())
    assert len(lines) == 40 == drawn() and all(line["state"] == "done" for line in lines)
    assert {line["server"] for line in lines} == {"ray 1", "ray 2"}
    assert "its actor ended, and Ray starts it again" in said and "is there again." in said
    assert not hosts() and not actors()


def test_without_an_address_that_answers_it_is_one_sentence(tmp_path, capsys):
    (tmp_path / "prompts.txt").write_text("a")
    options = ["--out", str(tmp_path / "out"), "--ray", "127.0.0.1:1"]
    code = command.main([str(tmp_path / "prompts.txt"), *options])
    assert code == 3 and "Ray does not answer at 127.0.0.1:1" in capsys.readouterr().out
