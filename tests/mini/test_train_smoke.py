"""Training from end to end with the smallest plan, in a process of its own: it forks, and sets threads and seeds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from newbie_pack.mini import evaluate
from safetensors import safe_open

TESTS = Path(__file__).resolve().parent.parent
CODE = "import sys; sys.path.insert(0, sys.argv[1]); import conftest; from newbie_pack.mini import train; {}"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    arguments = ["--smoke", "--out", str(folder / "weights"), "--scratch", str(folder / "scratch")]
    command = [sys.executable, "-c", CODE.format("train.main(sys.argv[2:])"), str(TESTS), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("done")
    assert not list((folder / "scratch").iterdir())  # every drawn chunk was used
    return folder / "weights"


def test_writes_what_the_loader_reads(trained):
    names = ("diffusion_model", "gemma", "jina", "vae", "judge")
    assert {path.name for path in trained.iterdir()} == {f"{name}.safetensors" for name in names}
    for name in names:
        with safe_open(trained / f"{name}.safetensors", "pt") as file:
            metadata = file.metadata()
            stated = json.loads(metadata.get("newbie.config", "null"))
            assert (stated is not None) == (name in ("diffusion_model", "gemma", "jina"))
            stored = [file.get_slice(key) for key in file.keys() if key != "spiece_model"]  # noqa: SIM118
            dtypes = {weight.get_dtype() for weight in stored if weight.get_shape()}  # single constants stay exact
        assert dtypes == {"BF16"}
        if name == "diffusion_model":
            assert metadata["newbie.isolation"] == "strict"


def test_evaluates_what_was_trained(trained, tmp_path, monkeypatch, capsys):
    """All of the evaluation but the sampling, whose place the drawings take."""
    monkeypatch.setattr(evaluate, "paint", lambda mini, pictures, *_: evaluate.drawn(pictures, mini.device))
    evaluate.main(["--weights", str(trained), "--out", str(tmp_path), "--count", "1"])
    rows = [json.loads(line) for line in (tmp_path / "evaluation.json").read_text().splitlines()]
    assert rows == [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["people"] for row in rows} == {"1", "2", "3", "4", "handshake"}
    assert len(rows) == 5 * (1 + len(evaluate.ARMS))
    assert all(0 <= row["mean"] <= 100 and torch.isfinite(torch.tensor(row["box_iou"])) for row in rows)
    assert len(list(tmp_path.glob("*.png"))) == 5 * len(evaluate.ARMS)
