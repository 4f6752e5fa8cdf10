"""`./run create`, driven through a pipe: five prompts, one host."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from graphs import ROOT, loads
from PIL import Image

PROMPTS = (
    "<scene>\n <character_1> <n>miku</n> <pose>waving</pose> </character_1>\n</scene>\n"
    "1girl, red hair, white dress, beach\n"
    "<character_1> <n>rin</n> <pose>standing </character_1>\n"  # wrong
    "<character_1><n>kaito</n></character_1><character_2><n>luka</n></character_2>\n"
    "一个女孩，微笑\n"
)


def test_five_prompts_one_of_them_wrong(comfyui, tmp_path):
    variables = {
        **os.environ,
        "COMFYUI_PATH": str(comfyui),
        "COMFYUI_PYTHON": sys.executable,
        "NEWBIE_HOME": str(tmp_path / "home"),
        "NEWBIE_DEVICE": "cpu",
        "PYTHONUTF8": "1",
    }
    (tmp_path / "pictures").mkdir()
    answer = subprocess.run(
        [sys.executable, str(ROOT / "run"), "create", "--steps", "6", "--out", str(tmp_path / "pictures")],
        input=PROMPTS,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=variables,
        timeout=300,
    )
    assert answer.returncode == 1, answer.stdout + answer.stderr  # one of them is wrong, and nobody saw it
    assert answer.stdout.count("Enter prompt (XML or plain text): ") == 6  # five, and the one that ends it
    assert "line 1, column 26: <pose> is never closed. Write </pose> before </character_1>.\n" in answer.stdout
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == [f"newbie-00{n}.png" for n in (1, 2, 3, 4)]
    pictures = [Image.open(tmp_path / "pictures" / name).convert("RGB").tobytes() for name in names]
    assert len(set(pictures)) == 4

    log = (tmp_path / "home" / "host.log").read_text("utf-8", "replace")  # of the last host that was started
    assert log.count("got prompt") == 4  # so there was one, and the wrong prompt was never queued
    assert loads(tmp_path / "home" / "host.log") == 4  # the file, text encoders, diffusion model, VAE: each once


def test_the_second_prompt_costs_only_what_depends_on_it(server, workflow):
    """By the host's own messages: what it took from its cache."""
    from newbie_pack.client import api
    from newbie_pack.client.workflow import Settings, apply

    def ran(**settings) -> set[str]:
        graph = apply(workflow(), Settings(steps=1, **settings))
        job_id = api.submit(server, graph)
        deadline = time.monotonic() + 120
        while not (job := api.poll(server, job_id)) or not job.ended:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert job.error is None
        messages = dict(api.ask(server, f"/history/{job_id}")[job_id]["status"]["messages"])
        cached = messages["execution_cached"]["nodes"]
        return {node["class_type"] for name, node in graph.items() if name not in cached}

    ran(xml="<scene><n>miku</n></scene>", seed=5000)
    drawn = {"NewBieSample", "NewBieDecode", "SaveImage"}
    assert ran(xml="<scene><n>rin</n></scene>", seed=5001) == {"NewBieXMLPrompt", "NewBieEncodeCharacters", *drawn}
    assert ran(xml="<scene><n>rin</n></scene>", seed=5002) == drawn


ODD = [
    "<scene>",
    "<n>" * 70,
    "a\r\n<n>b</n>\r\n",
    "\ufeff<n>a</n>",
    "a\x00b",
    "\udcff",
    "\x1b[31m",
    " ",
    "{",
    "红发，微笑：1.2",
]


def test_what_the_client_accepts_is_what_the_host_draws(server):
    """Through the real node: refused alike, and read as the same scene, for a sample of the corpus and odd texts."""
    from newbie_pack.client import api
    from newbie_pack.client.problem import Problem
    from newbie_pack.client.session import verdict
    from newbie_pack.xml_prompt import parse, to_xml

    folders = [ROOT / "tests" / "data" / name for name in ("valid", "invalid", "field", "plain")]
    files = [path for folder in folders for path in sorted(folder.glob("*.[xt][mx][lt]"))[::10]]
    accepted = 0
    for text in (*(path.read_text("utf-8", "surrogateescape") for path in files), *ODD):
        graph = {
            "1": {"class_type": "NewBieXMLPrompt", "inputs": {"xml": text}},
            "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 1]}},
        }
        try:
            verdict.check(text, (parse,))
        except Problem as problem:
            with pytest.raises(api.HostError) as caught:
                api.draw(server, graph)
            sentence = str(problem).partition("\n")[0]
            assert str(caught.value).removeprefix("NewBieXMLPrompt: ").partition("\n")[0] == sentence, text
            continue
        job_id = api.submit(server, graph)
        while not api.poll(server, job_id).ended:
            time.sleep(0.02)
        outputs = api.ask(server, f"/history/{job_id}")[job_id]["outputs"]
        assert outputs["2"]["text"] == [to_xml(parse(text))], text
        accepted += 1
    assert 20 <= accepted < len(files) + len(ODD)
