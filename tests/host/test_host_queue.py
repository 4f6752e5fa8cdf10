"""`./run queue` on a real host: killed in mid-run and run again, a wrong prompt, a model file that isn't there."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time

from graphs import ROOT
from PIL import Image

PROMPTS = [f"<character_1><n>miku</n><pose>standing</pose></character_1><!-- {n} -->" for n in range(5)]
WRONG = "<character_1><n>rin</n> <pose>standing </character_1>"


def command(server, tmp_path, *options):
    run = [sys.executable, "-P", str(ROOT / "client" / "inside.py"), "client.queue.command"]
    files = [str(tmp_path / "prompts.jsonl"), "--out", str(tmp_path / "out")]
    return [*run, *files, "--server", server.url, "--steps", "2", "--size", "256x256", *options]


def lines(tmp_path):
    told = map(json.loads, (tmp_path / "out" / "manifest.jsonl").read_text().splitlines())
    return list({line["job"]: line for line in told}.values())


def test_killed_and_run_again_it_draws_nothing_twice(server, tmp_path):
    from newbie_pack.client import api
    from newbie_pack.version import mini_version, pack_version

    before = set(api.ask(server, "/history"))
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, [*PROMPTS, WRONG])))
    process = subprocess.Popen(command(server, tmp_path), stdout=subprocess.PIPE, text=True)
    while len(list((tmp_path / "out").glob("*.png"))) < 2 and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    answer = subprocess.run(command(server, tmp_path, "--sheet"), capture_output=True, text=True, timeout=200)
    assert answer.returncode == 1 and "5 pictures of 6 there, 1 failed" in answer.stdout, answer.stdout + answer.stderr
    assert "line 1, column 25: <pose> is never closed." in answer.stdout

    done = [line for line in lines(tmp_path) if line["state"] == "done"]
    assert {line["prompt"] for line in done} == set(PROMPTS)
    for line in done:
        data = (tmp_path / "out" / line["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == line["sha256"]
        with Image.open(tmp_path / "out" / line["file"]) as picture:
            assert picture.size == (256, 256)
            assert json.loads(picture.info["prompt"])["4"]["inputs"]["xml"] == line["prompt"]
        assert line["versions"]["pack"] == pack_version() and line["versions"]["mini"] == mini_version()
        assert line["versions"]["comfyui"] and line["seconds"] > 0
    records = api.ask(server, "/history")
    assert sum(bool(records[id]["outputs"]) for id in set(records) - before) == 5
    with Image.open(tmp_path / "out" / "sheet.jpg") as sheet:
        assert sheet.size == (512, 768)


def test_a_model_file_that_the_server_lacks_is_one_sentence(server, tmp_path):
    (tmp_path / "prompts.jsonl").write_text('"a"')
    options = ["--set", "NewBieLoader.gemma=none.safetensors"]
    answer = subprocess.run(command(server, tmp_path, *options), capture_output=True, text=True, timeout=60)
    assert answer.returncode == 1 and "has no file 'none.safetensors' for gemma" in answer.stdout, answer.stdout
    (line,) = lines(tmp_path)
    assert (line["state"], line["fault"]) == ("failed", "station")
