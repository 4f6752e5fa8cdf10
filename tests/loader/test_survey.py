"""What `./run models check` finds; the files are the random ones of both forms."""

from __future__ import annotations

import argparse
import shutil

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)  # the random files are made with the host's classes

from newbie_pack.client import models as command
from newbie_pack.model_loader.survey import PARTS, survey


@pytest.fixture
def folder(models, tmp_path):
    """A models folder with nothing in it, beside `models` with everything."""
    return tmp_path / "models"


def put(models, folder, name, new=None):
    target = folder / (new or name)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(models / name, target)
    return target


def test_everything_in_both_forms(models):
    found = survey(command.below(models))
    assert found.complete and not found.problems and not found.others
    named = {(one.part, one.named) for one in found.found}
    assert ("gemma", "gemma_3_4b_it_bf16.safetensors") in named
    assert {part for part, name in named if name == "NewBie-image-Exp0.1 (folder)"} == set(PARTS)
    assert all("BF16" in one.line() and one.size > 1000 for one in found.found)


def test_nothing(folder):
    found = survey(command.below(folder))
    assert not found.complete and not found.found
    assert [line.split()[0] for line in found.advice] == list(PARTS)
    assert str(folder / "text_encoders") in found.advice[1] and "gemma_3_4b_it_bf16.safetensors" in found.advice[1]


def test_a_file_in_the_wrong_folder_and_one_of_another_model(models, folder):
    gemma = put(models, folder, "text_encoders/gemma_3_4b_it_bf16.safetensors", "diffusion_models/a.safetensors")
    put(models, folder, "text_encoders/jina_clip_v2_bf16.safetensors", "clip/deep/er/b.safetensors")
    weights = command.Path(__file__).resolve().parent.parent.parent / "mini" / "weights"
    shutil.copy(weights / "judge.safetensors", folder / "diffusion_models" / "c.safetensors")
    (folder / "vae").mkdir()
    (folder / "vae" / "d.ckpt").write_bytes(b"PK\x03\x04" + bytes(range(60)))
    found = survey(command.below(folder))
    assert [(one.part, one.named) for one in found.found] == [("jina", "deep/er/b.safetensors")]
    assert found.problems[0] == f"{gemma} is the Gemma 3 4B text encoder: move it into models/text_encoders."
    assert "is a pickle" in found.problems[1]
    assert found.others == (f"{folder}/diffusion_models/c.safetensors: not known here",)
    assert len(found.advice) == 3


def test_a_half_release(models, folder):
    shutil.copytree(models / "diffusers", folder / "diffusers")
    (folder / "diffusers/NewBie-image-Exp0.1/text_encoder/model-00001-of-00003.safetensors").unlink()
    found = survey(command.below(folder))
    assert not found.complete
    assert "lacks model-00001-of-00003.safetensors" in found.problems[0]


def test_what_the_command_prints(models, folder, capsys):
    root = command.Path(command.__file__).resolve().parent.parent
    assert command.main(root, argparse.Namespace(task="check", folder=models)) == 0
    assert "All parts are there" in capsys.readouterr().out
    folder.mkdir()
    assert command.main(root, argparse.Namespace(task="check", folder=folder)) == 1
    told = capsys.readouterr().out
    assert told.count("missing: put") == 4 and "Traceback" not in told


def test_the_full_models_sizes_and_names():
    """The shapes of the files that benchmarks/fullsize_files.py writes at full scale, on the meta device."""
    import torch
    from comfy import model_detection, sd
    from newbie_pack.benchmarks import fullsize_files as files
    from newbie_pack.model_loader import kinds
    from newbie_pack.model_loader.checkpoint import Header
    from newbie_pack.model_loader.survey import GIGABYTES

    shapes = {
        kinds.DIFFUSION: files.diffusion_shapes(files.FULL),
        kinds.GEMMA: files.gemma_shapes(files.FULL),
        kinds.JINA: files.jina_shapes(files.FULL),
        kinds.VAE: files.vae_shapes(files.FULL),
    }
    for part, own in shapes.items():
        size = 4 if part == kinds.VAE else 2  # ae.safetensors is kept in float32
        gigabytes = size * sum(torch.Size(shape).numel() for shape in own.values()) / 1e9
        assert abs(gigabytes - GIGABYTES[part]) < 0.06, (part, gigabytes)
        assert kinds.kind_of(Header({}, own)).part == part
    meta = {name: torch.empty(shape, device="meta") for name, shape in shapes[kinds.DIFFUSION].items()}
    assert model_detection.detect_unet_config(meta, "") == files.FULL.diffusion
    assert sd.detect_te_model(shapes[kinds.GEMMA]) == sd.TEModel.GEMMA_3_4B
    assert sd.detect_te_model(shapes[kinds.JINA]) == sd.TEModel.JINA_CLIP_2
