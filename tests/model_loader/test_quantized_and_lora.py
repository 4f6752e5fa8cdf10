"""fp8 files, as they are and scaled, load and sample; a LoRA made for the model reaches its weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import torch
from newbie_pack.isolation.encode import encode
from newbie_pack.lab.benchmarks import fullsize_files as files
from newbie_pack.model_loader import checkpoint, full, identify, requirements
from newbie_pack.sampling.sample import sample
from newbie_pack.xml_prompt import Lora, layout, parse
from safetensors.torch import load_file, save_file

BF16 = "diffusion_models/NewBie-Image-Exp0.1-bf16.safetensors"
SETTINGS = {"seed": 3, "steps": 1, "guidance": 1.0, "eta": 0.0, "sampler": "euler", "scheduler": "simple"}


def step(model):
    """One step of a made-up caption."""
    generator = torch.Generator().manual_seed(5)
    caption, pooled = torch.randn(1, 7, 48, generator=generator), torch.randn(1, 32, generator=generator)
    entry = [[caption, {"pooled_output": pooled}]]
    return sample(model, entry, entry, {"samples": torch.zeros(1, 16, 8, 8)}, **SETTINGS)["samples"]


def load(path):
    found = checkpoint.of_file(path)
    requirements.check_kind(found, identify.DIFFUSION)
    return full.load_model(found, None)


def old_scaled(tensors):
    """The older form of scaled fp8: one mark for the file, .scale_weight beside every matrix."""
    done = {"scaled_fp8": torch.zeros(2, dtype=torch.float8_e4m3fn)}  # 2: multiply in full precision
    for name, value in tensors.items():
        if value.dtype == torch.float8_e4m3fn:
            done[name] = value
            done[name.replace(".weight", ".scale_weight")] = tensors[name.replace(".weight", ".weight_scale")]
        elif not name.endswith((".weight_scale", ".comfy_quant")):
            done[name] = value
    return done


@pytest.mark.parametrize("form", ["fp8", "fp8_scaled", "old fp8_scaled"])
def test_fp8_samples_what_bf16_does_but_for_its_rounding(models, tmp_path, form):
    files.write(
        tmp_path / "a.safetensors",
        files.quantized(files.Weights(0).tensors(files.diffusion_shapes(files.TINY)), form.removeprefix("old ")),
    )
    if form.startswith("old"):
        save_file(old_scaled(load_file(tmp_path / "a.safetensors")), tmp_path / "a.safetensors")
    exact, got = step(load(models / BF16)), step(load(tmp_path / "a.safetensors"))
    assert got.isfinite().all() and not torch.equal(got, exact)
    # e4m3 keeps 4 bits: each weight is off by at most 1/16, by about 1/40 on average, and activations of the scaled
    # form may be rounded alike; through six blocks that stays well below a fifth.
    error = (got - exact).norm() / exact.norm()
    assert error < 0.2, error


def test_a_prefix_does_not_hide_the_scales(models, tmp_path):
    """The scaled form behind a prefix that the host does not know."""
    files.write(
        tmp_path / "a.safetensors",
        files.quantized(files.Weights(0).tensors(files.diffusion_shapes(files.TINY)), "fp8_scaled"),
    )
    tensors = load_file(tmp_path / "a.safetensors")
    save_file({f"module.{name}": value for name, value in tensors.items()}, tmp_path / "b.safetensors")
    assert torch.equal(step(load(tmp_path / "a.safetensors")), step(load(tmp_path / "b.safetensors")))


@pytest.mark.parametrize("prefix", ["", "module.", "model.diffusion_model."])
@pytest.mark.parametrize("behind", [True, False])
def test_the_older_mark_is_found_behind_a_prefix_and_before_it(models, tmp_path, prefix, behind):
    path = tmp_path / "a.safetensors"
    tensors = files.Weights(0).tensors(files.diffusion_shapes(files.TINY))
    files.write(path, files.quantized(tensors, "fp8_scaled"))
    old = old_scaled(load_file(path))
    save_file(old, path)
    mark = f"{prefix}scaled_fp8" if behind else "scaled_fp8"
    named = {mark if name == "scaled_fp8" else prefix + name: value for name, value in old.items()}
    save_file(named, tmp_path / "b.safetensors")
    assert torch.equal(step(load(path)), step(load(tmp_path / "b.safetensors")))


@pytest.mark.parametrize("mark", ["scaled_fp8", "model.scaled_fp8"])
def test_the_older_mark_of_a_gemma(models, tmp_path, mark):
    """Its layers are behind model., the mark need not be."""
    path = tmp_path / "new.safetensors"
    files.write(path, files.quantized(files.Weights(0).tensors(files.gemma_shapes(files.TINY)), "fp8_scaled"))
    new = load_file(path)
    assert all(name.startswith("model.") for name in new)
    tokenizer = {"spiece_model": files.as_tensor(files.gemma_tokenizer())}
    save_file(new | tokenizer, path)
    old = {mark if name == "scaled_fp8" else name: value for name, value in old_scaled(new).items()}
    save_file(old | tokenizer, tmp_path / "old.safetensors")
    jina = full.find(identify.JINA, "jina_clip_v2_bf16.safetensors")
    clips = (full.load_clip(checkpoint.of_file(tmp_path / f"{name}.safetensors"), jina) for name in ("new", "old"))
    a, b = (clip.encode_from_tokens(clip.tokenize("1girl, aqua hair, smile")) for clip in clips)
    assert (a - b).norm() < 0.3 * a.norm()  # the older form may multiply in full precision; without scales: not alike


@pytest.mark.parametrize("precision", ["fp8", "fp8_scaled"])
def test_an_fp8_gemma(models, tmp_path, precision):
    path, weights = tmp_path / "gemma.safetensors", files.Weights(0)
    tokenizer = ("spiece_model", files.as_tensor(files.gemma_tokenizer()))
    files.write(
        path, files.chain(files.quantized(weights.tensors(files.gemma_shapes(files.TINY)), precision), tokenizer)
    )
    jina = full.find(identify.JINA, "jina_clip_v2_bf16.safetensors")
    exact = full.load_clip(full.find(identify.GEMMA, "gemma_3_4b_it_bf16.safetensors"), jina)
    rounded = full.load_clip(checkpoint.of_file(path), jina)
    a, b = (clip.encode_from_tokens(clip.tokenize("1girl, aqua hair, smile")) for clip in (exact, rounded))
    error = (a - b).norm() / a.norm()
    assert 0 < error < 0.35, error


# --- LoRA ------------------------------------------------------------------------------------------------------------

TARGETS = ("attention.qkv", "attention.out", "feed_forward.w2")  # the trainer's, in every block
NAMES = {
    "plain": "diffusion_model.{}.lora_{}.weight",
    "kohya": "lora_unet_{}.lora_{}.weight",
}


def lora_for(state, name):
    """A LoRA of rank 2 for every target of layer 0 -> its tensors, and the change that it makes."""
    generator = torch.Generator().manual_seed(9)
    tensors, changes = {}, {}
    for target in TARGETS:
        key = f"layers.0.{target}"
        rows, columns = state[f"{key}.weight"].shape
        a, b = torch.randn(2, columns, generator=generator) / 8, torch.randn(rows, 2, generator=generator) / 8
        kohya = "lora_unet" in name
        stem = key.replace(".", "_") if kohya else key
        tensors[name.format(stem, "down" if kohya else "A")] = a
        tensors[name.format(stem, "up" if kohya else "B")] = b
        changes[f"diffusion_model.{key}.weight"] = b @ a
    return tensors, changes


@pytest.mark.parametrize("form", list(NAMES))
def test_the_hosts_lora_loader_changes_the_weights(models, monkeypatch, tmp_path, form):
    import folder_paths

    from nodes import LoraLoader

    model = load(models / BF16)
    tensors, changes = lora_for(load_file(models / BF16), NAMES[form])
    save_file(tensors, tmp_path / "lora.safetensors")
    known = folder_paths.folder_names_and_paths
    monkeypatch.setitem(known, "loras", ([str(tmp_path)], known["loras"][1]))
    changed, _ = LoraLoader().load_lora(model, None, "lora.safetensors", 0.5, 0.0)
    assert set(changed.patches) == set(changes)
    before = model.model.state_dict()
    for key, change in changes.items():
        got = changed.patch_weight_to_device(key, return_weight=True).float()
        expected = before[key].float() + 0.5 * change
        torch.testing.assert_close(got, expected, rtol=2**-7, atol=2**-7 * expected.abs().max().item())  # bf16
        assert not torch.equal(got, before[key].float())
    assert not torch.equal(step(changed), step(model))


def bits(model):
    return {name: value.clone().reshape(-1).view(torch.uint8) for name, value in model.model.state_dict().items()}


@pytest.mark.parametrize("form", ["fp8", "fp8_scaled"])
def test_a_characters_lora_does_on_it_what_it_does_on_bf16(models, tmp_path, form):
    """From the prompt to the picture; and the next prompt finds every bit as it was."""
    path = tmp_path / "a.safetensors"
    files.write(path, files.quantized(files.Weights(0).tensors(files.diffusion_shapes(files.TINY)), form))
    (models / "loras").mkdir(exist_ok=True)
    tensors, _ = lora_for(load_file(models / BF16), NAMES["plain"])
    save_file({name: 4 * value for name, value in tensors.items()}, models / "loras" / f"{form}.safetensors")
    jina = full.find(identify.JINA, "jina_clip_v2_bf16.safetensors")
    clip = full.load_clip(full.find(identify.GEMMA, "gemma_3_4b_it_bf16.safetensors"), jina)
    bare = parse("<character_1><appearance>aqua hair</appearance></character_1><character_2><n>kaito</n></character_2>")
    wearer = replace(bare.characters[0], loras=(Lora(form),))
    dressed = replace(bare, characters=(wearer, bare.characters[1]))

    def drawn(model, scene):
        positive = encode(clip, scene, layout(scene, 2.0), "gentle")
        return sample(model, positive, positive, {"samples": torch.zeros(1, 16, 8, 16)}, **SETTINGS)["samples"]

    changes = []
    for model in (load(models / BF16), load(path)):
        before, weights = drawn(model, bare), bits(model)
        changes.append(drawn(model, dressed) - before)
        assert torch.equal(drawn(model, bare), before)
        assert all(torch.equal(now, weights[name]) for name, now in bits(model).items())
    exact, got = changes
    assert (got - exact).norm() < 0.3 * exact.norm() and exact.abs().max() > 0.01  # e4m3, as above
