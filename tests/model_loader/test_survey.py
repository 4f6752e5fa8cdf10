"""What `./run models check` finds; the files are the random ones of both forms."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)  # the random files are made with the host's classes

from newbie_pack.client import models as command
from newbie_pack.client.problem import Problem
from newbie_pack.model_loader import full, identify
from newbie_pack.model_loader.check import PARTS, survey
from newbie_pack.model_loader.checkpoint import CheckpointError, Source
from newbie_pack.model_loader.identify import Header
from newbie_pack.model_loader.requirements import check_whole
from safetensors.torch import load_file, save_file

RELEASE = "NewBie-image-Exp0.1"


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
    for one in found.found:
        precision = "F32" if one.named == "ae.safetensors" else "BF16"
        assert f" GB, {precision}" in one.line() and one.source.header.size > 1000
    assert found.inputs() == {
        "diffusion_model": "NewBie-Image-Exp0.1-bf16.safetensors",
        "gemma": "gemma_3_4b_it_bf16.safetensors",
        "jina": "jina_clip_v2_bf16.safetensors",
        "vae": "ae.safetensors",
    }


def test_nothing(folder):
    found = survey(command.below(folder))
    assert not found.complete and not found.found
    assert [line.split()[0] for line in found.advice] == list(PARTS)
    assert str(folder / "text_encoders") in found.advice[1] and "gemma_3_4b_it_bf16.safetensors" in found.advice[1]


def test_a_file_in_the_wrong_folder_and_one_of_another_model(models, folder):
    gemma = put(models, folder, "text_encoders/gemma_3_4b_it_bf16.safetensors", "diffusion_models/a.safetensors")
    put(models, folder, "text_encoders/jina_clip_v2_bf16.safetensors", "clip/deep/er/b.safetensors")
    weights = Path(__file__).resolve().parent.parent.parent / "mini" / "weights"
    shutil.copy(weights / "judge.safetensors", folder / "diffusion_models" / "c.safetensors")
    (folder / "vae").mkdir()
    (folder / "vae" / "d.ckpt").write_bytes(b"PK\x03\x04" + bytes(range(60)))
    found = survey(command.below(folder))
    assert [(one.part, one.named) for one in found.found] == [("jina", "deep/er/b.safetensors")]
    assert found.problems[0] == f"{gemma} is the Gemma 3 4B text encoder: move it into models/text_encoders."
    pickle = "d.ckpt is a pickle, which can run code when it is opened. Use FLUX's 16-channel VAE for models/vae"
    assert pickle in found.problems[1]
    assert found.others == (f"{folder}/diffusion_models/c.safetensors: not a known model",)
    assert len(found.advice) == 3


def test_a_file_that_is_no_model_is_told_with_what_its_folder_is_for(folder):
    for name in ("text_encoders", "loras"):
        (folder / name).mkdir(parents=True)
        (folder / name / "a.safetensors").write_bytes(b"<html>")
    told = " is a web page, not a model. Download "
    both = "the Gemma 3 4B text encoder or the Jina CLIP v2 text encoder for models/text_encoders (such as "
    both += "gemma_3_4b_it_bf16.safetensors or jina_clip_v2_bf16.safetensors)"
    assert set(survey(command.below(folder)).problems) == {
        f"{folder}/text_encoders/a.safetensors{told}{both}, not its page.",
        f"{folder}/loras/a.safetensors{told}the model's .safetensors file, not its page.",
    }


@pytest.fixture
def release(models, folder):
    """A copy of the authors' folder, alone in `folder`, that a test may damage."""
    shutil.copytree(models / "diffusers", folder / "diffusers")
    return folder / "diffusers" / RELEASE


def test_a_release_alone(release, folder):
    found = survey(command.below(folder))
    assert not found.problems and not found.advice
    assert found.inputs() == dict.fromkeys(PARTS, "none") | {"diffusion_model": f"{RELEASE} (folder)"}


def drop(name):
    return lambda release: shutil.rmtree(release / name)


def remove(name):
    return lambda release: (release / name).unlink()


def remove_index_and_shard(release):
    (release / "text_encoder/model.safetensors.index.json").unlink()
    (release / "text_encoder/model-00003-of-00003.safetensors").unlink()


def pointer_as_tokenizer(release):
    (release / "text_encoder/tokenizer.model").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0")


def pointer_as_jinas(release):
    (release / "clip_model/tokenizer.json").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0")


def page_as_shard(release):
    (release / "text_encoder/model-00002-of-00003.safetensors").write_bytes(b"<html>")


def without_a_tensor(release):
    path = release / "text_encoder/model-00002-of-00003.safetensors"
    save_file(dict(list(load_file(path).items())[1:]), path)


@pytest.mark.parametrize(
    ("damage", "part", "says"),
    [
        (drop("transformer"), "diffusion_model", f"{RELEASE} has no folder transformer: download it from the same"),
        (drop("clip_model"), "jina", f"{RELEASE} has no folder clip_model: download it from the same release."),
        (drop("vae"), "vae", f"{RELEASE} has no folder vae: download it from the same release, or choose a file."),
        (remove("text_encoder/model-00001-of-00003.safetensors"), "gemma", "lacks model-00001-of-00003.safetensors"),
        (remove_index_and_shard, "gemma", "text_encoder has only 2 of its 3 parts, and no index: download the whole"),
        (pointer_as_tokenizer, "gemma", "tokenizer.model is not Gemma's SentencePiece model: download Gemma's"),
        (pointer_as_jinas, "jina", "tokenizer.json is not XLM-RoBERTa's tokenizer: download"),
        (page_as_shard, "gemma", "not a model. Download the Gemma 3 4B text encoder of this release, not its page."),
        (without_a_tensor, "gemma", "model-00002-of-00003.safetensors lacks the tensor language_model.model.layers."),
    ],
)
def test_a_release_that_cannot_be_loaded(release, folder, monkeypatch, damage, part, says):
    """One sentence says what is wrong with it, and the loader says the same."""
    import folder_paths

    damage(release)
    found = survey(command.below(folder))
    assert not found.complete and not found.problems
    (told,) = found.advice
    assert told.startswith(f"{part} ") and says in told
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "diffusers", ([str(release.parent)], ["folder"]))
    with pytest.raises(CheckpointError) as caught:
        full.find(part, "none", release)
    assert str(caught.value) == told.split(maxsplit=1)[1]


def test_a_file_in_the_place_of_a_broken_part(models, release, folder):
    drop("vae")(release)
    put(models, folder, "vae/ae.safetensors")
    found = survey(command.below(folder))
    assert found.inputs() == dict.fromkeys(PARTS, "none") | {
        "diffusion_model": f"{RELEASE} (folder)",
        "vae": "ae.safetensors",
    }
    assert "has no folder vae" in found.problems[0]


def test_the_encoders_of_a_release_are_not_for_a_file(models, release, folder):
    """The loader takes them with their own diffusion model alone."""
    drop("transformer")(release)
    put(models, folder, "diffusion_models/NewBie-Image-Exp0.1-bf16.safetensors")
    found = survey(command.below(folder))
    assert [one.part for one in found.found] == ["diffusion_model"]
    assert not found.complete and "has no folder transformer" in found.advice[0]


def test_a_model_that_nothing_goes_with(models, folder):
    for name in ("text_encoders/gemma_3_4b_it_bf16.safetensors", "text_encoders/jina_clip_v2_bf16.safetensors"):
        put(models, folder, name)
    put(models, folder, "vae/ae.safetensors")
    path = put(models, folder, "diffusion_models/NewBie-Image-Exp0.1-bf16.safetensors")
    good = load_file(path)
    save_file(good | {"cap_embedder.1.weight": good["cap_embedder.1.weight"].new_ones(64, 72)}, path)
    found = survey(command.below(folder))
    assert len(found.found) == 4 and not found.complete and not found.advice
    (problem,) = found.problems
    assert "makes text features 48 wide, but" in problem and "takes 72 from Gemma" in problem
    save_file(good, path.with_name("other.safetensors"))
    found = survey(command.below(folder))
    assert found.inputs()["diffusion_model"] == "other.safetensors" and found.problems == (problem,)


@pytest.mark.parametrize("place", ["diffusion_models", "text_encoders", "diffusers/deeper"])
def test_a_release_in_another_folder(release, folder, place):
    moved = folder / place / RELEASE
    moved.parent.mkdir(parents=True)
    release.rename(moved)
    found = survey(command.below(folder))
    assert not found.complete and not found.advice
    assert found.problems == (f"{moved} is a release: move the whole folder into {folder / 'diffusers'}.",)


def test_a_release_without_a_folder_of_its_own(release, folder):
    for path in release.iterdir():
        path.rename(release.parent / path.name)
    found = survey(command.below(folder))
    assert found.problems[0].startswith(f"{folder}/diffusers holds a release's folders directly: move them into")


def test_a_release_of_another_model(release, folder):
    drop("transformer")(release)
    drop("text_encoder")(release)
    drop("clip_model")(release)
    (release / "transformer").mkdir()
    judge = Path(__file__).resolve().parents[2] / "mini" / "weights" / "judge.safetensors"
    shutil.copy(judge, release / "transformer" / "a.safetensors")
    found = survey(command.below(folder))
    assert found.others == (f"{release}: a release of another model",) and not found.problems
    assert len(found.advice) == 4


def test_half_downloads(folder):
    names = [
        "diffusers/e/transformer/a.safetensors.part",
        "diffusion_models/b.safetensors.part",
        "loras/c.crdownload",
        "vae/.cache/huggingface/download/d.incomplete",
        "vae/e.safetensors.aria2",
    ]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "vae/f.safetensors.download").mkdir()  # Safari's
    found = survey(command.below(folder))
    told = "is an unfinished download: let it finish, or delete it and download the file again."
    assert sorted(found.problems) == [f"{folder / name} {told}" for name in [*names, "vae/f.safetensors.download"]]


def test_aria2s_whole_looking_file_is_told_once(models, folder):
    path = put(models, folder, "vae/ae.safetensors")
    path.with_name("ae.safetensors.aria2").touch()
    found = survey(command.below(folder))
    assert not found.found and len(found.problems) == 1 and "is still there): let aria2 finish" in found.problems[0]


@pytest.mark.parametrize("suffix", [".pt", ".ckpt", ".bin", ".pth"])
def test_a_safetensors_file_by_another_name(models, folder, suffix):
    path = put(models, folder, "vae/ae.safetensors", f"vae/ae{suffix}")
    found = survey(command.below(folder))
    assert not found.found
    assert found.problems == (f"{path} is a safetensors file with another extension: rename it to ae.safetensors.",)


def test_a_vae_behind_a_prefix(models, folder):
    path = put(models, folder, "vae/ae.safetensors")
    save_file({f"first_stage_model.{name}": value for name, value in load_file(path).items()}, path)
    (one,) = survey(command.below(folder)).found
    assert one.part == "vae" and 'behind "first_stage_model.": for NewBie Loader only' in one.line()


@pytest.mark.parametrize(("name", "prefixes"), [
    ("diffusion_models/NewBie-Image-Exp0.1-bf16.safetensors",
     ("", "model.", "model.diffusion_model.", "net.", "transformer.", "diffusion_model.", "module.")),
    ("text_encoders/gemma_3_4b_it_bf16.safetensors", ("", "model.", "language_model.model.", "model.language_model.")),
    ("text_encoders/jina_clip_v2_bf16.safetensors", ("", "model.", "text_model.transformer.roberta.")),
])  # fmt: skip
def test_what_the_hosts_own_loaders_do_not_read_is_noted(models, folder, name, prefixes):
    """That they don't is tried; a text encoder they load without its weights, with no error."""
    import comfy.sd
    import torch

    good, encoders = load_file(models / name), ("gemma_3_4b_it_bf16", "jina_clip_v2_bf16")
    own = "" if name.startswith("diffusion") else "model."
    path = put(models, folder, name)
    for number, prefix in enumerate(prefixes):
        # Other numbers each time: memory that is given without being filled may still hold those of the last model.
        good = {n: value + number + 1 if value.is_floating_point() else value for n, value in good.items()}
        renamed = {n if n == "spiece_model" else prefix + n.removeprefix(own): value for n, value in good.items()}
        save_file(renamed, path)
        if name.startswith("diffusion"):
            try:
                state = comfy.sd.load_diffusion_model(str(path)).model.diffusion_model.state_dict()
            except RuntimeError:
                state = {}
            weight = state.get("layers.0.attention.qkv.weight")
            wanted = good["layers.0.attention.qkv.weight"]
        else:
            paths = [models / f"text_encoders/{one}.safetensors" for one in encoders]
            paths = [str(path if one.name == path.name else one) for one in paths]
            model = comfy.sd.load_clip(paths, clip_type=comfy.sd.CLIPType.NEWBIE).cond_stage_model
            part = model.gemma if "gemma" in name else model.jina
            end = next(n for n in good if n.endswith(("layers.0.mlp.up_proj.weight", "layers.0.mlp.fc1.weight")))
            weight, wanted = part.transformer.state_dict()[end], good[end]
        reads = weight is not None and torch.equal(weight, wanted)
        (one,) = survey(command.below(folder)).found
        noted = "for NewBie Loader only" in one.line()
        assert noted != reads, (prefix, one.line())
        assert (f'behind "{prefix}"' in one.line()) == (noted and prefix != "")


def test_a_release_needs_no_note(models):
    assert not any("for NewBie Loader only" in one.line() for one in survey(command.below(models)).found)


def test_a_folder_that_has_the_models_folder_in_it(folder):
    (folder / "models").mkdir(parents=True)
    with pytest.raises(Problem, match=rf"{folder} is not a models folder, but has one in it: name {folder}/models\."):
        command.main(["check", "--folder", str(folder)])
    (folder / "vae").mkdir()
    assert command.main(["check", "--folder", str(folder)]) == 1


def test_a_quantised_file_and_a_shard_by_itself(models, folder):
    path = put(models, folder, "diffusion_models/NewBie-Image-Exp0.1-bf16.safetensors")
    tensors = load_file(path)
    mark = {"layers.0.attention.qkv.weight.quant_state.bitsandbytes__nf4": tensors["x_embedder.bias"].clone()}
    save_file(tensors | mark, path)
    put(
        models,
        folder,
        f"diffusers/{RELEASE}/text_encoder/model-00002-of-00003.safetensors",
        "text_encoders/model-00002-of-00003.safetensors",
    )
    found = survey(command.below(folder))
    assert not found.found and not found.others
    quantised, shard = found.problems
    assert "quantised to 4 bits by bitsandbytes, which ComfyUI can't load: use NewBie" in quantised
    assert "00002-of-00003.safetensors is one of the 3 parts of a model: use the model in one file" in shard


def test_what_cannot_be_read(models, folder, monkeypatch):
    path = put(models, folder, "vae/ae.safetensors")

    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(path), "open", refuse)
    assert "ae.safetensors can't be read (permission denied)" in survey(command.below(folder)).problems[0]


def test_links_are_followed_as_the_host_does_and_rings_end(models, folder):
    folder.mkdir()
    (folder / "vae").symlink_to(models / "vae")
    (folder / "text_encoders").mkdir()
    (folder / "text_encoders" / "mine").symlink_to(models / "text_encoders")
    (folder / "text_encoders" / "ring").symlink_to(folder / "text_encoders")
    found = survey(command.below(folder))
    assert [one.named for one in found.found] == [
        "mine/gemma_3_4b_it_bf16.safetensors",
        "mine/jina_clip_v2_bf16.safetensors",
        "ae.safetensors",
    ]


def test_one_folder_for_two_kinds_of_files(models):
    folders = command.below(models)
    folders["checkpoints"] = folders["diffusion_models"]
    assert survey(folders).problems == ()


def test_what_the_command_prints(models, folder, capsys):
    assert command.main(["check", "--folder", str(models)]) == 0
    assert "All parts are there. Choose in NewBie Loader:\n  diffusion_model  NewBie-" in capsys.readouterr().out
    folder.mkdir()
    assert command.main(["check", "--folder", str(folder)]) == 1
    told = capsys.readouterr().out
    assert told.count("missing: put") == 4 and "Traceback" not in told
    assert told.endswith("No complete set of files was found. The built-in mini needs none of them.\n")


def test_the_full_models_sizes_and_names():
    """The shapes of the files that lab/benchmarks/fullsize_files.py writes at full scale, on the meta device."""
    import torch
    from comfy import model_detection, sd
    from newbie_pack.lab.benchmarks import fullsize_files as files
    from newbie_pack.model_loader.check import GIGABYTES

    shapes = {
        identify.DIFFUSION: files.diffusion_shapes(files.FULL),
        identify.GEMMA: files.gemma_shapes(files.FULL),
        identify.JINA: files.jina_shapes(files.FULL),
        identify.VAE: files.vae_shapes(files.FULL),
    }
    for part, own in shapes.items():
        size = 4 if part == identify.VAE else 2  # ae.safetensors is kept in float32
        gigabytes = size * sum(torch.Size(shape).numel() for shape in own.values()) / 1e9
        assert abs(gigabytes - GIGABYTES[part]) < 0.06, (part, gigabytes)
        assert identify.kind_of(Header({}, own)).part == part
        check_whole(Source(Path(part), (), Header({}, own)), part)
    meta = {name: torch.empty(shape, device="meta") for name, shape in shapes[identify.DIFFUSION].items()}
    assert model_detection.detect_unet_config(meta, "") == files.FULL.diffusion
    assert sd.detect_te_model(shapes[identify.GEMMA]) == sd.TEModel.GEMMA_3_4B
    assert sd.detect_te_model(shapes[identify.JINA]) == sd.TEModel.JINA_CLIP_2
