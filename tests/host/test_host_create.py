"""`./run create`, driven through a pipe: five prompts, one host."""

from __future__ import annotations

import os
import subprocess
import sys

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
    assert "NewBie XML Prompt: line 1, column 26: <pose> is never closed." in answer.stdout
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == [f"newbie-00{n}.png" for n in (1, 2, 3, 4)]
    pictures = [Image.open(tmp_path / "pictures" / name).convert("RGB").tobytes() for name in names]
    assert len(set(pictures)) == 4

    log = (tmp_path / "home" / "host.log").read_text("utf-8", "replace")  # of the last host that was started
    assert log.count("got prompt") == 5  # so there was one
    assert loads(tmp_path / "home" / "host.log") == 4  # the file, text encoders, diffusion model, VAE: each once
