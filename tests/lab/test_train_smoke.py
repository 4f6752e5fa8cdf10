"""Training from end to end with the smallest plan, in a process of its own: it forks, and sets threads and seeds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from newbie_pack.lab.judging import evaluate
from newbie_pack.lab.training.train import main as train_in_this_process
from newbie_pack.lab.training.world import LEAKY, PLAIN, WIDE
from safetensors import safe_open
from safetensors.torch import load_file

TESTS = Path(__file__).resolve().parent.parent
CODE = "import sys; sys.path.insert(0, sys.argv[1]); import conftest; from newbie_pack.lab.training import train; {}"


def train(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    arguments = ["--smoke", "--out", str(folder / "weights"), "--scratch", str(folder / "scratch"), *options]
    command = [sys.executable, "-c", CODE.format("train.main(sys.argv[2:])"), str(TESTS), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    done = train(folder)
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
    sets = evaluate.picture_sets(1, PLAIN)
    assert {row["people"] for row in rows} == set(sets) == {"1", "2", "3", "4", "handshake"}
    assert set(evaluate.picture_sets(1, WIDE)) > {*sets, "8", "hug", "from behind"}
    assert len(rows) == len(sets) * (1 + len(evaluate.ARMS))
    assert all(0 <= row["mean"] <= 100 and torch.isfinite(torch.tensor(row["box_iou"])) for row in rows)
    assert len(list(tmp_path.glob("*.png"))) == len(sets) * len(evaluate.ARMS)


def test_goes_on_from_its_own_world_alone(trained, tmp_path, capsys):
    with pytest.raises(SystemExit):
        train_in_this_process(["--world", "leaky", "--start", str(trained), "--out", str(tmp_path)])
    assert "--anew" in capsys.readouterr().err


def test_anew_needs_encoders_to_keep(tmp_path, capsys):
    with pytest.raises(SystemExit):
        train_in_this_process(["--world", "leaky", "--anew", "--out", str(tmp_path)])
    assert "keeps the encoders of --start" in capsys.readouterr().err


def test_trains_in_the_leaky_world_with_all_but_the_diffusion_model_of_another_run(trained, tmp_path):
    done = train(tmp_path, "--world", "leaky", "--start", str(trained), "--anew", "--seed", "3",
                 "--total-seconds", "600")
    assert done.returncode == 0, done.stderr
    assert "judge:" not in done.stdout and "autoencoder:" not in done.stdout and "diffusion step" in done.stdout
    made = tmp_path / "weights"
    for name in ("vae", "judge", "gemma", "jina"):
        before, after = (load_file(folder / f"{name}.safetensors") for folder in (trained, made))
        assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)
    before, after = (load_file(folder / "diffusion_model.safetensors") for folder in (trained, made))
    assert before.keys() == after.keys() and not torch.equal(before["x_embedder.weight"], after["x_embedder.weight"])
    for name in ("diffusion_model", "gemma", "jina"):
        with safe_open(made / f"{name}.safetensors", "pt") as file:
            assert file.metadata()["newbie.isolation"] == "gentle"
            assert file.metadata()["newbie.training"] == LEAKY.training != PLAIN.training
