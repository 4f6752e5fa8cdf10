"""`./run models check` where there is nothing but Python: before any set-up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_it_needs_no_package(tmp_path):
    """-S hides every installed one. A release, so that its tokenizer is looked at."""
    for name in ("transformer", "text_encoder", "clip_model", "vae"):
        (tmp_path / "diffusers" / "mine" / name).mkdir(parents=True)
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "a.safetensors").write_bytes(b"<html>")
    command = [sys.executable, "-I", "-S", str(ROOT / "run"), "models", "check", "--folder", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "")
    assert "mine/transformer has no .safetensors file" in done.stdout and "is a web page" in done.stdout
