"""`./run queue` against servers that draw nothing: stopped, killed, cleared, broken and run again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from newbie_pack.client import api, picture
from newbie_pack.client.problem import Problem
from newbie_pack.client.queue import command, dispatch, manifest, schedule, station

sys.path.append(str(Path(__file__).parent))
from fake_comfy import GRAPH, PROGRAM, FakeComfy

HURRIED = """
import importlib.util, sys
from pathlib import Path
root = Path(sys.argv.pop(1))
spec = importlib.util.spec_from_file_location("inside", root / "client" / "inside.py")
inside = importlib.util.module_from_spec(spec)
spec.loader.exec_module(inside)
inside.load_pack(root)
from newbie_pack.client import api, problem
from newbie_pack.client.queue import command
api.LOOK_AGAIN = 0.05
sys.exit(problem.exit_code(lambda: command.main(sys.argv[1:])))
"""
ROOT = Path(api.__file__).resolve().parent.parent


@pytest.fixture
def fake():
    """Makes servers: fake(), fake(seconds=...)."""
    made = []

    def make(**settings):
        made.append(FakeComfy(**settings))
        return made[-1]

    yield make
    for one in made:
        one.kill()


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(api, "LOOK_AGAIN", 0.05)
    monkeypatch.setattr(schedule, "FIRST_PROBE", 0.05)
    monkeypatch.setattr(schedule, "LAST_PROBE", 0.2)
    monkeypatch.setattr(station, "SILENT_LEAST", 10.0)  # a busy machine is silent for longer than a broken worker
    monkeypatch.setattr(dispatch, "GIVE_UP", 3.0)


@pytest.fixture
def run(tmp_path, capsys):
    """run(prompts, servers, *options) -> (exit code, what was said, the last line about each job)."""
    (tmp_path / "graph.json").write_text(json.dumps(GRAPH))

    def go(prompts, servers, *options):
        if isinstance(prompts, list):
            (tmp_path / "prompts.txt").write_text("\n".join(prompts), "utf-8")
            prompts = tmp_path / "prompts.txt"
        out = tmp_path / "out"
        servers = [word for one in servers for word in ("--server", one if isinstance(one, str) else one.url)]
        code = command.main(
            [str(prompts), *servers, "--out", str(out), "--workflow", str(tmp_path / "graph.json"), *options]
        )
        last = {line["job"]: line for line in manifest.lines(out / manifest.NAME)}
        return code, capsys.readouterr().out, list(last.values())

    return go


def whole(lines, out) -> bool:
    """Whether every line's picture is there, and no other file is."""
    for line in lines:
        data = (out / line["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == line["sha256"] and len(data) == line["bytes"]
    names = {line["file"] for line in lines} | {manifest.NAME, "index.html"}
    return names == {path.name for path in out.iterdir()}


PROMPTS = [f"prompt {n}" for n in range(20)]


def test_every_prompt_is_drawn_once_and_written_down(fake, run, tmp_path):
    host = fake()
    code, said, lines = run(PROMPTS, [host], "--seed", "7", "--set", "3.eta=0.5", "--steps", "9", "--size", "64x96")
    assert code == 0 and "20 pictures of 20 there" in said
    assert host.drawn == {(prompt, 7): 1 for prompt in PROMPTS} and whole(lines, tmp_path / "out")
    assert {line["prompt"] for line in lines} == set(PROMPTS)
    (line,) = [line for line in lines if line["prompt"] == "prompt 3"]
    assert (line["seed"], line["server"], line["error"]) == (7, host.url, None)
    assert line["settings"] == {"steps": 9, "size": "64x96", "3.eta": "0.5"}
    assert line["versions"] == {"comfyui": "0.30.0", "pytorch": "2", "device": "fake"} and line["seconds"] > 0
    assert line["models"] == ["NewBie mini (built in)"]


def test_run_again_it_draws_nothing_again(fake, run):
    host = fake()
    run(PROMPTS, [host])
    code, said, _ = run(PROMPTS, [host])
    assert code == 0 and sum(host.drawn.values()) == 20 and ", 0 of them left" in said


def test_a_picture_that_is_gone_or_cut_off_is_drawn_again(fake, run, tmp_path):
    host = fake()
    _, _, lines = run(PROMPTS, [host])
    (tmp_path / "out" / lines[3]["file"]).unlink()
    (tmp_path / "out" / lines[5]["file"]).write_bytes(b"half")
    code, _, lines = run(PROMPTS, [host])
    assert code == 0 and sum(host.drawn.values()) == 22 and whole(lines, tmp_path / "out")


@pytest.mark.parametrize(
    ("ending", "api_of"),
    [(signal.SIGKILL, "jobs"), (signal.SIGKILL, "older"), (signal.SIGINT, "jobs"), (signal.SIGTERM, "jobs")],
)
def test_stopped_or_killed_it_goes_on(fake, run, tmp_path, ending, api_of):
    """Three times in mid-run. What was on a server when it was killed is taken over and not drawn again."""
    hosts = [fake(seconds=0.05), fake(seconds=0.08)]
    for host in hosts:
        host.jobs_api = api_of == "jobs"
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS))
    out = tmp_path / "out"
    servers = [word for host in hosts for word in ("--server", host.url)]
    typed = [str(tmp_path / "prompts.txt"), *servers, "--out", str(out), "--workflow", str(tmp_path / "graph.json")]
    for least in (3, 8, 13):
        process = subprocess.Popen([sys.executable, "-c", HURRIED, str(ROOT), *typed], stdout=subprocess.PIPE)
        while len(list(out.glob("*.png"))) < least and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(ending)
        said, _ = process.communicate(timeout=20)
        assert process.returncode == (-9 if ending == signal.SIGKILL else 130), said
        assert ending == signal.SIGKILL or b"Run the same command again to go on." in said
    with (out / manifest.NAME).open("ab") as file:
        file.write(b'{"job": "torn')
    (out / ".half.png.part").write_bytes(b"half")
    code, _, lines = run(tmp_path / "prompts.txt", hosts)
    assert code == 0 and len(lines) == 20 and whole(lines, out)
    assert all(map(json.loads, (out / manifest.NAME).read_text().splitlines()))  # the torn line is gone
    if ending == signal.SIGKILL:
        assert sum((host.drawn for host in hosts), hosts[0].drawn.__class__()) == {(text, 1): 1 for text in PROMPTS}


def test_a_server_that_dies_is_noticed_and_comes_back(fake, run, tmp_path):
    hosts = [fake(seconds=0.02), fake(seconds=0.02)]

    def trouble():
        while sum(hosts[0].drawn.values()) < 4:
            time.sleep(0.005)
        hosts[0].kill()
        time.sleep(0.3)
        hosts[0].start()

    thread = threading.Thread(target=trouble)
    thread.start()
    code, said, lines = run([f"p {n}" for n in range(60)], hosts)
    thread.join()
    assert code == 0 and whole(lines, tmp_path / "out") and len(lines) == 60
    assert "does not answer" in said and f"{hosts[0].url} is there again." in said


def test_a_cleared_queue_loses_nothing(fake, run, tmp_path):
    host, over = fake(seconds=0.03), threading.Event()

    def clear():
        while not over.wait(0.2):
            host.clear()

    thread = threading.Thread(target=clear)
    thread.start()
    code, _, lines = run(PROMPTS, [host])
    over.set()
    thread.join()
    assert code == 0 and len(lines) == 20 and whole(lines, tmp_path / "out")


def test_a_worker_that_has_died_is_noticed_and_its_jobs_go_elsewhere(fake, run, monkeypatch):
    monkeypatch.setattr(station, "SILENT_LEAST", 1.0)
    dead, well = fake(seconds=0.01), fake(seconds=0.05)

    def die():
        while sum(dead.drawn.values()) < 3:
            time.sleep(0.002)
        dead.worker_lives = False

    thread = threading.Thread(target=die)
    thread.start()
    code, said, lines = run(PROMPTS, [dead, well])
    thread.join()
    assert code == 0 and len({line["prompt"] for line in lines}) == 20
    assert "no progress" in said and "its prompt worker has stopped" in said


def test_a_host_of_our_own_that_dies_is_started_again(run, tmp_path, monkeypatch):
    (tmp_path / "ComfyUI").mkdir()
    (tmp_path / "ComfyUI" / "main.py").write_text(PROGRAM)
    home = {"COMFYUI_PATH": tmp_path / "ComfyUI", "COMFYUI_PYTHON": sys.executable, "NEWBIE_HOME": tmp_path / "home"}
    for name, value in {**home, "NEWBIE_DEVICE": "cpu"}.items():
        monkeypatch.setenv(name, str(value))
    started = []
    begin = station.Local._start
    monkeypatch.setattr(station.Local, "_start", lambda self: started.append(begin(self)) or started[-1])

    def kill():
        while len(list((tmp_path / "out").glob("*.png"))) < 2:
            time.sleep(0.01)
        os.killpg(started[0].process.pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    code, said, lines = run(PROMPTS[:6], [])
    thread.join()
    assert code == 0 and len(lines) == 6 and whole(lines, tmp_path / "out"), said
    assert len(started) == 2 and "here is there again." in said
    assert "ComfyUI stopped while drawing" in said or "does not answer" in said  # by who is the first to notice
    assert not any(one.alive() for one in started)


def test_what_fails_by_its_prompt_fails_once(fake, run):
    hosts = [fake(), fake()]
    code, said, lines = run(["good", "wrong", "refused"], hosts)
    assert code == 1 and "1 picture of 3 there, 2 failed" in said
    assert "line 1: <a> is never closed." in said and "the sentence" in said
    received = hosts[0].received + hosts[1].received
    assert received == {"good": 1, "wrong": 1, "refused": 1}
    run(["good", "wrong", "refused"], hosts)
    assert hosts[0].received + hosts[1].received == received
    run(["good", "wrong", "refused"], hosts, "--retry")
    assert (hosts[0].received + hosts[1].received)["wrong"] == 2
    assert {line["prompt"]: line.get("fault") for line in lines} == {
        "good": None,
        "wrong": "prompt",
        "refused": "prompt",
    }


def test_what_is_too_much_for_one_server_is_tried_by_each_and_in_the_next_run(fake, run):
    hosts = [fake(), fake(), fake()]
    code, said, lines = run(["memory"], hosts)
    assert code == 1 and "ran out of memory" in said
    assert [host.received["memory"] for host in hosts] == [1, 1, 1]
    run(["memory"], hosts)
    assert [host.received["memory"] for host in hosts] == [2, 2, 2]


def test_a_server_with_a_full_disk_is_left_alone(fake, run):
    full, well = fake(seconds=0.001), fake(seconds=0.01)
    code, said, lines = run(["disk full", *PROMPTS], [full], "--times", "2")
    assert code == 3 and "the disk that ComfyUI writes to is full" in said and "Run the same command again" in said
    assert full.received.total() <= 3  # and it isn't asked again and again
    code, _, lines = run(PROMPTS, [full, well], "--times", "2")
    assert code == 0


def test_a_prompt_that_kills_servers_is_given_up(fake, run):
    hosts, over = [fake(seconds=0.01) for _ in range(2)], threading.Event()

    def nurse():
        while not over.wait(0.1):
            for host in hosts:
                if not host._thread.is_alive():
                    host.start()

    thread = threading.Thread(target=nurse)
    thread.start()
    code, said, lines = run(["poison", *PROMPTS], hosts)
    over.set()
    thread.join()
    assert code == 1 and "20 pictures of 21 there, 1 failed" in said
    assert sum(host.received["poison"] for host in hosts) == schedule.MOST_TRIES


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"version": "0.24.1"}, "is ComfyUI 0.24.1: 0.27 or newer is needed"),
        ({"kinds": {"SaveImage", "NewBieSize"}}, "lacks NewBieLoader, NewBieSample, NewBieXMLPrompt: put their pack"),
    ],
)
def test_a_server_that_cannot_is_one_sentence(fake, run, change, sentence):
    host, well = fake(), fake()
    vars(host).update(change)
    code, said, _ = run(PROMPTS, [host])
    assert code == 3 and said.count(sentence) == 2  # at once, and in the end
    assert not host.received
    code, said, _ = run(PROMPTS, [host, well])
    assert code == 0 and said.count(sentence) == 1


def test_nobody_there_is_one_sentence(run):
    code, said, _ = run(PROMPTS, ["127.0.0.1:1"])
    assert code == 3 and "No server can draw this now. ComfyUI at http://127.0.0.1:1 does not answer" in said


def test_a_full_disk_here_stops_the_run_and_leaves_nothing_half(fake, run, tmp_path, monkeypatch):
    host, real = fake(), os.fsync

    def full(file):
        if len(list((tmp_path / "out").glob("*.png"))) >= 5:
            raise OSError(28, "No space left on device")
        real(file)

    monkeypatch.setattr(os, "fsync", full)
    code, said, _ = run(PROMPTS, [host])
    assert code == 3 and "cannot be written: No space left on device." in said
    monkeypatch.setattr(os, "fsync", real)
    code, _, lines = run(PROMPTS, [host])
    assert code == 0 and len(lines) == 20 and whole(lines, tmp_path / "out")


def test_a_file_where_the_folder_should_be_is_told(run, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(Problem, match="out is a file: choose a folder") as caught:
        run(PROMPTS, [])
    assert caught.value.code == 3 and (tmp_path / "out").read_text() == "mine"


def test_a_server_that_loses_its_files_is_tried_thrice_and_takes_no_other_job_down(fake, run):
    host = fake()
    host.files = type("Lost", (dict,), {"get": lambda self, name: None})()
    code, said, _ = run(["a"], [host])
    assert code == 1 and "has drawn it, but no longer has the file" in said
    assert host.received["a"] == schedule.MOST_TRIES and "is there again" not in said


def test_two_runs_do_not_write_one_folder(fake, run, tmp_path):
    with manifest.opened(tmp_path / "out"), pytest.raises(Problem, match="Another run is writing"):
        run(PROMPTS, [fake()])


def test_a_dry_run_asks_no_server_and_makes_nothing(run, tmp_path):
    code, said, lines = run(PROMPTS, [], "--dry-run", "--seeds", "1-3,9")
    assert code == 0 and said.startswith("80 pictures of 20 prompts:") and "and 75 more" in said
    assert not (tmp_path / "out").exists() and not lines


def test_seeds_and_times(fake, run):
    host = fake()
    run(["a", "a"], [host], "--times", "3", "--seed", "5")
    assert host.drawn == {("a", 5): 2, ("a", 6): 2, ("a", 7): 2}  # what is asked for twice is drawn twice
    code, _, lines = run(["a", "a"], [host], "--seeds", "5-6")
    assert code == 0 and host.drawn.total() == 6 and len({line["file"] for line in lines}) == 6


def test_the_page_shows_all_and_escapes_it(fake, run, tmp_path):
    host = fake()
    prompts = tmp_path / "p.jsonl"
    prompts.write_text("\n".join(map(json.dumps, ["<b onclick='x'>&", "wrong <script>", "plain \ud800"])))
    run(prompts, [host], "--sheet")
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert "2 of 3 pictures" in page and "&lt;b onclick=&#x27;x&#x27;&gt;&amp;" in page
    assert "<script" not in page and "<b onclick" not in page and "http" not in page.replace(host.url, "")
    assert (tmp_path / "out" / "sheet.jpg").read_bytes()[:2] == b"\xff\xd8"


def test_several_servers_are_kept_busy_by_what_each_can_take(fake, run):
    fast, slow = fake(seconds=0.01), fake(seconds=1.0)
    code, _, _ = run([f"p {n}" for n in range(24)], [fast, slow])
    assert code == 0 and slow.drawn.total() <= 6 and fast.drawn.total() >= 18  # a quarter: this machine may be busy


def test_write_is_all_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with contextlib.suppress(Problem):
        picture.write(path, b"new")
    assert path.read_bytes() == b"old" and [one.name for one in tmp_path.iterdir()] == ["a.png"]
