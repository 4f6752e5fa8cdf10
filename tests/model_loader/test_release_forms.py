"""The authors' folder and the split files of the same weights are the same model, bit for bit."""

from __future__ import annotations

import json
import shutil

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import torch
from newbie_pack.isolation.encode import encode, encode_plain
from newbie_pack.model_loader import full, state_dict
from newbie_pack.model_loader.checkpoint import CheckpointError
from newbie_pack.sampling.sample import sample
from newbie_pack.xml_prompt import layout, parse
from safetensors.torch import load_file, save_file

SPLIT = (
    "NewBie-Image-Exp0.1-bf16.safetensors",
    "gemma_3_4b_it_bf16.safetensors",
    "jina_clip_v2_bf16.safetensors",
    "ae.safetensors",
)
RELEASE = "NewBie-image-Exp0.1 (folder)"
FOLDER = (RELEASE, "none", "none", "none")
XML = """<character_1><n>miku</n><appearance>aqua hair</appearance><position>left</position></character_1>
<character_2><n>kaito</n><appearance>blue hair</appearance><position>right</position></character_2>
<general_tags><background>night sky</background></general_tags>"""
SETTINGS = {
    "seed": 3,
    "steps": 2,
    "guidance": 4.0,
    "eta": 0.0,
    "sampler": "euler",
    "scheduler": "simple",
    "shift": 6.0,
    "denoise": 1.0,
    "guidance_start": 0.0,
    "guidance_end": 1.0,
    "renorm": 0.0,
}


@pytest.fixture
def release(models, tmp_path, monkeypatch):
    """A copy of the authors' folder that a test may damage."""
    import folder_paths

    folder = tmp_path / "diffusers" / "NewBie-image-Exp0.1"
    shutil.copytree(models / "diffusers" / "NewBie-image-Exp0.1", folder)
    known = folder_paths.folder_names_and_paths
    monkeypatch.setitem(known, "diffusers", ([str(folder.parent)], known["diffusers"][1]))
    return folder


def draw(model, clip, vae, mode):
    scene = parse(XML)
    positive = encode(clip, scene, layout(scene), mode)
    negative = encode_plain(clip, "")
    latent = sample(model, positive, negative, {"samples": torch.zeros(1, 16, 8, 12)}, **SETTINGS)["samples"]
    return positive, latent, vae.decode(latent)


@pytest.mark.parametrize("mode", ["gentle", "strict"])
def test_both_forms_are_the_same_bit_for_bit(models, mode):
    split = draw(*full.load(*SPLIT, None)[:3], mode)
    folder = draw(*full.load(*FOLDER, None)[:3], mode)
    (features, values), (other, other_values) = split[0][0], folder[0][0]
    assert features.shape[-1] == 48 and features.std() > 0.1
    assert torch.equal(features, other)
    assert torch.equal(values["pooled_output"], other_values["pooled_output"])
    assert split[1].isfinite().all() and split[1].std() > 0.1
    assert torch.equal(split[1], folder[1])
    assert torch.equal(split[2], folder[2])


def test_other_weights_are_not_the_same(models, release):
    """What the test above would not see if it compared a thing with itself."""
    path = release / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    tensors["layers.1.attention.qkv.weight"] = tensors["layers.1.attention.qkv.weight"] * 1.5
    save_file(tensors, path)
    split = draw(*full.load(*SPLIT, None)[:3], "gentle")
    folder = draw(*full.load(*FOLDER, None)[:3], "gentle")
    assert torch.equal(split[0][0][0], folder[0][0][0])
    assert not torch.equal(split[1], folder[1])


def test_a_part_of_the_folder_can_be_a_file(models):
    _, clip, _, isolation = full.load(RELEASE, SPLIT[1], "none", SPLIT[3], None)
    assert isolation == "gentle"
    assert clip.cond_stage_model.jina is not None


def test_the_stock_loader_makes_the_same_of_the_split_files(models):
    import comfy.sd

    paths = [str(models / "text_encoders" / name) for name in SPLIT[1:3]]
    stock = comfy.sd.load_clip(paths, clip_type=comfy.sd.CLIPType.NEWBIE)
    _, ours, _, _ = full.load(*SPLIT, None)
    (a, a_values), (b, b_values) = (encode_plain(clip, "1girl, aqua hair")[0] for clip in (ours, stock))
    assert torch.equal(a, b) and torch.equal(a_values["pooled_output"], b_values["pooled_output"])


def test_q_k_and_v_apart_are_joined(models, release, monkeypatch):
    path = release / "transformer" / "diffusion_pytorch_model.safetensors"
    apart = {}
    for name, value in load_file(path).items():
        stem = name.removesuffix("qkv.weight")
        if stem == name:
            name = name.replace("attention.out.", "attention.to_out.0.")
            apart[name.replace("q_norm", "norm_q").replace("k_norm", "norm_k")] = value
            continue
        for part, rows in zip("qkv", value.split([64, 32, 32]), strict=True):  # 2 heads and 1 of 32
            apart[f"{stem}to_{part}.weight"] = rows.clone()
    save_file(apart, path)
    model = full.load_model(full.find("diffusion_model", "none", release), None)
    expected = load_file(models / "diffusion_models" / SPLIT[0])
    state = model.model.diffusion_model.state_dict()
    assert {name: torch.equal(state[name], value) for name, value in expected.items()} == dict.fromkeys(expected, True)
    del apart["layers.0.attention.to_k.weight"]
    save_file(apart, path)
    monkeypatch.setattr(full, "read", None)  # told before anything is loaded
    says = r"transformer lacks the tensor layers\.0\.attention\.to_k\.weight"
    with pytest.raises(CheckpointError, match=says):
        full.load(*FOLDER, None)


@pytest.mark.parametrize("parts", [("q_proj", "k_proj", "v_proj"), ("q", "k", "v"), ("wq", "wk", "wv")])
def test_attention_by_other_names_is_told_before_loading(models, release, monkeypatch, parts):
    """No release of NewBie has them: what is in which order is not guessed."""
    path = release / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    for name in [name for name in tensors if name.endswith(".attention.qkv.weight")]:
        rows = zip(parts, tensors.pop(name).split([64, 32, 32]), strict=True)
        tensors |= {name.replace("qkv", part): value.clone() for part, value in rows}
    save_file(tensors, path)
    monkeypatch.setattr(full, "read", None)
    says = r"transformer names its attention in an unknown way \(\w+\.0\.attention\.\w+\.weight, but no"
    with pytest.raises(CheckpointError, match=says):
        full.load(*FOLDER, None)


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
@pytest.mark.parametrize("shape", [(192, 64), (128, 72)])
def test_other_heads_are_told_before_loading(models, release, monkeypatch, prefix, shape):
    path = release / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path) | {"layers.1.attention.qkv.weight": torch.zeros(shape)}
    save_file({prefix + name: value for name, value in tensors.items()}, path)
    monkeypatch.setattr(full, "read", None)
    found, expected = (rf"\[{rows}, {columns}\]" for rows, columns in (shape, (128, 64)))
    says = rf"layers\.1\.attention\.qkv\.weight in .*transformer has the shape {found} instead of {expected}"
    with pytest.raises(CheckpointError, match=says):
        full.load(*FOLDER, None)


def test_other_heads_apart(models, release, monkeypatch):
    """As many keys as queries."""
    path = release / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    for name in [name for name in tensors if name.endswith(".attention.qkv.weight")]:
        del tensors[name]
        tensors |= {name.replace("qkv", f"to_{part}"): torch.zeros(64, 64) for part in "qkv"}
    save_file(tensors, path)
    monkeypatch.setattr(full, "read", None)
    with pytest.raises(CheckpointError, match=r"qkv\.weight in .* has the shape \[192, 64\] instead of \[128, 64\]"):
        full.load(*FOLDER, None)


def test_a_packed_weight_is_the_hosts_matter(models, tmp_path):
    """Two numbers of four bits in a byte: half as wide."""
    path = tmp_path / "packed.safetensors"
    tensors = load_file(models / "diffusion_models" / SPLIT[0])
    save_file(tensors | {"layers.1.attention.qkv.weight": torch.zeros(128, 32, dtype=torch.uint8)}, path)
    full.check_attention(full.checkpoint.of_file(path))


@pytest.mark.parametrize("prefix", ["model.diffusion_model.", "diffusion_model.", "transformer.", "module.", "model."])
def test_any_prefix(models, tmp_path, prefix):
    tensors = load_file(models / "diffusion_models" / SPLIT[0])
    path = tmp_path / "prefixed.safetensors"
    save_file({prefix + name: value for name, value in tensors.items()}, path)
    found = full.checkpoint.of_file(path)
    full.requirements.check_kind(found, "diffusion_model")
    state = full.load_model(found, None).model.diffusion_model.state_dict()
    assert all(torch.equal(state[name], value) for name, value in tensors.items())


def test_the_host_can_make_its_copies(models):
    """What it calls for another device, or to load without its dynamic memory."""
    model, clip, vae, _ = full.load(*FOLDER, None)
    for patcher in (model, clip.patcher, vae.patcher):
        make, arguments = patcher.cached_patcher_init
        copy, own = make(*arguments, disable_dynamic=True).model.state_dict(), patcher.model.state_dict()
        assert copy.keys() == own.keys() and all(torch.equal(copy[name], own[name]) for name in own)


# --- what is missing or wrong ----------------------------------------------------------------------------------------


def test_the_list_has_whole_folders_alone(models, tmp_path, monkeypatch):
    assert list(full.checkpoint.releases(full.folder_paths.get_folder_paths("diffusers"))) == [RELEASE]
    import folder_paths

    (tmp_path / "diffusers" / "sdxl" / "unet").mkdir(parents=True)
    (tmp_path / "file").touch()
    known = folder_paths.folder_names_and_paths
    roots = [str(tmp_path / name) for name in ("diffusers", "nowhere", "file")]
    monkeypatch.setitem(known, "diffusers", (roots, known["diffusers"][1]))
    assert full.checkpoint.releases(full.folder_paths.get_folder_paths("diffusers")) == {}


def test_a_missing_shard_is_named(release):
    (release / "text_encoder" / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"lacks model-00002-of-00003\.safetensors, one of its 3 parts"):
        full.load(*FOLDER, None)


def test_an_index_that_leads_out_of_the_folder_is_refused(release):
    path = release / "text_encoder" / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"a": "../clip_model/jina-clip-v2.safetensors"}}))
    with pytest.raises(CheckpointError, match=r"index\.json is damaged"):
        full.load(*FOLDER, None)


def test_a_copy_beside_the_model_is_named(release):
    vae = release / "vae"
    shutil.copy(vae / "diffusion_pytorch_model.safetensors", vae / "copy.safetensors")
    with pytest.raises(CheckpointError, match=r"another file beside it has too: keep one copy"):
        full.load(*FOLDER, None)


def test_a_missing_part_of_the_folder(release):
    shutil.rmtree(release / "vae")
    with pytest.raises(CheckpointError, match=r"NewBie-image-Exp0\.1 has no folder vae"):
        full.load(*FOLDER, None)


def test_a_shard_without_what_the_index_names(release):
    path = release / "text_encoder" / "model-00002-of-00003.safetensors"
    tensors = load_file(path)
    lost = next(iter(tensors))
    del tensors[lost]
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=rf"00002-of-00003\.safetensors lacks the tensor {lost}, which its index"):
        full.find("gemma", "none", release)


def test_shards_without_an_index(release):
    """All of them are the model; some of them are not."""
    folder = release / "text_encoder"
    (folder / "model.safetensors.index.json").unlink()
    assert len(full.find("gemma", "none", release).paths) == 3
    (folder / "model-00003-of-00003.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"text_encoder has only 2 of its 3 parts, and no index: download"):
        full.find("gemma", "none", release)


def test_a_file_that_lacks_a_tensor_is_refused_before_loading(models, tmp_path, monkeypatch):
    import folder_paths

    path = tmp_path / SPLIT[0]
    tensors = load_file(models / "diffusion_models" / SPLIT[0])
    del tensors["layers.1.feed_forward.w2.weight"]
    save_file(tensors, path)
    monkeypatch.setattr(folder_paths, "get_full_path", lambda _folder, _name: str(path))
    with pytest.raises(CheckpointError, match=r"\.safetensors lacks the tensor layers\.1\.feed_forward\.w2\.weight"):
        full.find("diffusion_model", SPLIT[0])


def test_a_file_that_aria2_has_not_finished(models, tmp_path):
    shutil.copy(models / "vae" / "ae.safetensors", tmp_path)
    full.checkpoint.of_file(tmp_path / "ae.safetensors")
    (tmp_path / "ae.safetensors.aria2").touch()
    with pytest.raises(CheckpointError, match=r"ae\.safetensors is incomplete \(ae\.safetensors\.aria2 is"):
        full.checkpoint.of_file(tmp_path / "ae.safetensors")


def test_a_folder_that_cannot_be_read(release, monkeypatch):
    folder = release / "vae"

    def refuse(path, *_args, **_options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(folder), "glob", refuse)
    with pytest.raises(CheckpointError, match=r"vae can't be read \(permission denied\)"):
        full.find("vae", "none", release)
    monkeypatch.setattr(type(folder), "is_dir", refuse)
    assert full.checkpoint.releases(full.folder_paths.get_folder_paths("diffusers")) == {}


@pytest.mark.parametrize("prefix", ["vae.", "first_stage_model."])
def test_a_vae_behind_a_prefix(models, tmp_path, prefix):
    """We take it; the host's own loading of a VAE does not, of which the survey tells."""
    import comfy.sd

    tensors = load_file(models / "vae" / "ae.safetensors")
    prefixed = {prefix + name: value for name, value in tensors.items()}
    save_file(prefixed, tmp_path / "a.safetensors")
    found = full.checkpoint.of_file(tmp_path / "a.safetensors")
    full.requirements.require(found, "vae")
    state = full.load_vae(found).first_stage_model.state_dict()
    assert all(torch.equal(state[name], value) for name, value in tensors.items())
    with pytest.raises(RuntimeError, match="VAE is invalid"):
        comfy.sd.VAE(sd=prefixed).throw_exception_if_invalid()


def test_pickles_alone(release):
    path = release / "text_encoder"
    for file in path.glob("*.safetensors*"):
        file.unlink()
    with pytest.raises(CheckpointError, match=r"text_encoder has no \.safetensors file"):
        full.load(*FOLDER, None)
    (path / "pytorch_model.bin").write_bytes(b"\x80\x02")
    with pytest.raises(CheckpointError, match=r"only pickles"):
        full.load(*FOLDER, None)


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("text_encoder/tokenizer.model", r"text_encoder has no tokenizer\.model or tokenizer\.json: put Gemma's"),
        ("clip_model/tokenizer.json", r"clip_model has no tokenizer\.json or sentencepiece\.bpe\.model"),
    ],
)
def test_a_missing_tokenizer_is_told_before_loading(release, monkeypatch, file, says):
    (release / file).unlink()
    monkeypatch.setattr(full, "read", None)  # nothing is loaded
    with pytest.raises(CheckpointError, match=says):
        full.load(*FOLDER, None)


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1", b"<html></html>"])
def test_a_tokenizer_that_is_none_is_told_before_loading(release, monkeypatch, content):
    (release / "text_encoder" / "tokenizer.model").write_bytes(content)
    monkeypatch.setattr(full, "read", None)
    with pytest.raises(CheckpointError, match=r"tokenizer\.model is not Gemma's SentencePiece model: download Gemma's"):
        full.load(*FOLDER, None)


def test_a_download_that_went_on_too_long(release):
    path = release / "vae" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes() + bytes(64))
    with pytest.raises(CheckpointError, match=r"is damaged: it has [\d,]+ bytes instead of [\d,]+\. Download FLUX's"):
        full.checkpoint.of_folder(release, "vae")


def test_what_the_host_cannot_read_though_its_header_is_whole(release):
    path = release / "vae" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes().replace(b'"F32"', b'"F99"').replace(b'"BF16"', b'"BF99"'))
    with pytest.raises(CheckpointError, match="is damaged: download it again"):
        full.load_vae(full.checkpoint.of_folder(release, "vae"))


def test_a_safetensors_file_by_another_name(models, tmp_path):
    shutil.copy(models / "vae" / "ae.safetensors", tmp_path / "ae.pt")
    with pytest.raises(CheckpointError, match="is a safetensors file with another extension"):
        full.load_vae(full.checkpoint.of_file(tmp_path / "ae.pt"))


def test_a_model_and_encoders_that_do_not_fit(models, release, monkeypatch):
    path = release / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    tensors["cap_embedder.0.weight"] = torch.ones(72)
    tensors["cap_embedder.1.weight"] = torch.ones(64, 72)
    save_file(tensors, path)
    monkeypatch.setattr(full, "read", None)  # nothing is loaded
    with pytest.raises(CheckpointError, match=r"text_encoder makes text features 48 wide, but .*transformer takes 72"):
        full.load(*FOLDER, None)


KWARGS = "hf_model_config_kwargs"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, r"text_config is null instead of an object"),
        ([1], r"text_config is \[1\] instead of an object"),
        ({KWARGS: None}, rf"text_config\.{KWARGS} is null instead of an object"),
        ({KWARGS: {"lora_adaptations": None}}, rf"text_config\.{KWARGS}\.lora_adaptations is null instead of a list"),
        ({KWARGS: {"lora_adaptations": "a"}}, rf'text_config\.{KWARGS}\.lora_adaptations is "a" instead of a list'),
        ({KWARGS: {"lora_rank": None}}, rf"text_config\.{KWARGS}\.lora_rank is null instead of a number above 0"),
        ({KWARGS: {"lora_rank": 0}}, rf"text_config\.{KWARGS}\.lora_rank is 0"),
        ({KWARGS: {"lora_alpha": "4"}}, rf'text_config\.{KWARGS}\.lora_alpha is "4"'),
        ({KWARGS: {"lora_alpha": True}}, rf"text_config\.{KWARGS}\.lora_alpha is true"),
        ({KWARGS: {"lora_alpha": 10**400}}, rf"text_config\.{KWARGS}\.lora_alpha is 10*"),
        ({KWARGS: {"lora_alpha": float("nan")}}, rf"text_config\.{KWARGS}\.lora_alpha is NaN"),
        ({"default_lora_task": "other"}, r'text_config\.default_lora_task is "other" instead of one of its'),
        ({"default_lora_task": {}}, r"text_config\.default_lora_task is \{\} instead of one of its"),
    ],
)
def test_a_value_of_jinas_config_that_cannot_be_is_told_before_loading(release, monkeypatch, text, says):
    (release / "clip_model" / "config.json").write_text(json.dumps({"text_config": text}))
    monkeypatch.setattr(full, "read", None)
    with pytest.raises(CheckpointError, match=r"clip_model/config\.json, " + says):
        full.load(*FOLDER, None)


def test_an_adapter_that_is_not_there(release):
    """The config names two tasks, the file has the adapters of one."""
    path = release / "clip_model" / "config.json"
    tasks = {"lora_adaptations": ["retrieval.query", "other"]}
    path.write_text(json.dumps({"text_config": {"default_lora_task": "other", "hf_model_config_kwargs": tasks}}))
    with pytest.raises(CheckpointError, match=r"The adapters of model\.\S+ in .*clip_model do not fit"):
        full.load(*FOLDER, None)


def test_a_config_without_a_task_leaves_the_weights_as_they_are(release):
    path = release / "clip_model" / "config.json"
    path.write_text(json.dumps({"text_config": {"default_lora_task": None}}))
    found = full.find("jina", "none", release)
    name = "embeddings.word_embeddings"
    tensors = full.read(found)
    (raw,) = (value for key, value in tensors.items() if key.endswith(f"{name}.parametrizations.weight.original"))
    assert torch.equal(state_dict.jina(tensors, found.config, found.where)[f"model.{name}.weight"], raw)
    assert not torch.equal(state_dict.jina(tensors, {}, found.where)[f"model.{name}.weight"], raw)


@pytest.mark.parametrize(("file", "name", "shape"), [
    (f"diffusion_models/{SPLIT[0]}", "layers.0.feed_forward.w1.weight", (99, 64)),
    (f"text_encoders/{SPLIT[1]}", "model.embed_tokens.weight", (1300, 48)),
    (f"text_encoders/{SPLIT[2]}", "model.encoder.layers.0.mlp.fc1.weight", (99, 32)),
    (f"vae/{SPLIT[3]}", "decoder.conv_out.weight", (4, 32, 3, 3)),
])  # fmt: skip
def test_a_tensor_of_another_shape_is_told_with_its_file(models, tmp_path, monkeypatch, file, name, shape):
    import folder_paths

    get = folder_paths.get_full_path
    tensors, file = load_file(models / file), file.partition("/")[2]
    was = list(tensors[name].shape)
    save_file(tensors | {name: tensors[name].new_zeros(shape)}, tmp_path / file)
    monkeypatch.setattr(folder_paths, "get_full_path", lambda f, n: str(tmp_path / n) if n == file else get(f, n))
    with pytest.raises(CheckpointError) as caught:
        full.load(*SPLIT, None)
    assert str(caught.value) == (
        f"{name} in {tmp_path / file} has the shape {list(shape)} instead of {was}: the file belongs to another model; "
        f"choose one such as {file}."
    )


def test_the_tensor_without_a_prefix_counts():
    """As in what is looked at before loading."""
    tensors = dict.fromkeys(("ema.a.weight", "a.weight"))
    assert state_dict.prefix_before(tensors, "a.weight") == ""
    del tensors["a.weight"]
    assert state_dict.prefix_before(tensors, "b.weight", "a.weight") == "ema."


def test_a_missing_tensor_is_named(models, release):
    path = release / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    del tensors["layers.0.attention.qkv.weight"]
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=r"transformer lacks the tensor layers\.0\.attention\.qkv\.weight: downl"):
        full.load(*FOLDER, None)
    with pytest.raises(CheckpointError, match=r"transformer lacks the tensor layers\.0\.attention\.qkv\.weight: it"):
        full.load_model(full.checkpoint.of_folder(release, "diffusion_model"), None)
