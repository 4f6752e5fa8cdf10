"""LoRA files as people have them: names of all kinds are found, and what is damaged is one sentence."""

from __future__ import annotations

import logging
import unicodedata

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import torch
from loras import listed, listed_anew
from newbie_pack.isolation.lora import Stack, find, read
from safetensors.torch import save_file
from torch import nn

LAYER, STEM = "layers.0.attention.qkv", "lora_unet_layers_0_attention_qkv"
OUT, IN = 24, 16
PLAIN = {f"diffusion_model.{LAYER}.lora_down.weight": torch.ones(4, IN),
         f"diffusion_model.{LAYER}.lora_up.weight": torch.ones(OUT, 4)}
LOHA = {f"{STEM}.hada_w1_a": torch.ones(OUT, 4), f"{STEM}.hada_w1_b": torch.ones(4, IN),
        f"{STEM}.hada_w2_a": torch.ones(OUT, 4), f"{STEM}.hada_w2_b": torch.ones(4, IN)}
LOKR = {f"{STEM}.lokr_w1": torch.ones(4, 4), f"{STEM}.lokr_w2": torch.ones(OUT // 4, IN // 4)}


@pytest.fixture
def folder(tmp_path):
    with listed(tmp_path):
        yield tmp_path


def saved(folder, tensors, name="a.safetensors"):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / name)
    listed_anew()
    return name


@pytest.mark.parametrize("prefix", [
    "diffusion_model.", "model.diffusion_model.", "transformer.", "unet.", "", "base_model.model.",
    "unet.base_model.model.", "base_model.model.transformer.",
])
@pytest.mark.parametrize("ends", [("lora_A.weight", "lora_B.weight"), ("lora_down.weight", "lora_up.weight"),
                                  ("lora.down.weight", "lora.up.weight")])
def test_a_layer_has_one_name_in_every_style(folder, prefix, ends):
    tensors = {f"{prefix}{LAYER}.{end}": value for end, value in zip(ends, PLAIN.values(), strict=True)}
    assert list(read(saved(folder, tensors))) == ["layers_0_attention_qkv"]


@pytest.mark.parametrize(("tensors", "sentence"), [
    (PLAIN | {f"diffusion_model.{LAYER}.lora_down.weight": torch.ones(3, IN)}, "do not fit each other"),
    (PLAIN | {f"diffusion_model.{LAYER}.lora_down.weight": torch.ones(4)}, "do not fit each other"),
    ({name: t[:0] if "down" in name else t[:, :0] for name, t in PLAIN.items()}, "do not fit each other"),
    ({f"diffusion_model.{LAYER}.lora_up.weight": torch.ones(OUT, 4)}, "missing or odd .*lora_down"),
    (PLAIN | {f"diffusion_model.{LAYER}.alpha": torch.ones(3)}, "missing or odd"),
    (PLAIN | {f"diffusion_model.{LAYER}.alpha": torch.tensor(float("nan"))}, "alpha holds NaN"),
    (PLAIN | {f"diffusion_model.{LAYER}.lora_up.weight": torch.full((OUT, 4), float("inf")).half()}, "up.* NaN or inf"),
    (PLAIN | {f"diffusion_model.{LAYER}.lora_magnitude_vector": torch.ones(OUT - 1)}, "do not fit each other"),
    (PLAIN | {f"{LAYER}.lora_magnitude_vector": torch.ones(OUT)}, r"attention\.qkv has the lengths of a DoRA"),
    (PLAIN | {f"diffusion_model.{LAYER}.dora_scale": torch.ones(OUT, 1),
              f"diffusion_model.{LAYER}.lora_magnitude_vector": torch.ones(OUT)}, "do not fit each other"),
    (LOHA | {f"{STEM}.hada_w1_b": torch.ones(3, IN)}, "do not fit each other"),
    (LOHA | {f"{STEM}.hada_w2_b": torch.ones(4, IN + 2)}, "do not fit each other"),
    ({name: t for name, t in LOHA.items() if "w2" not in name}, "missing or odd"),
    ({f"{STEM}.lokr_w1": torch.ones(4, 4)}, "do not fit each other"),
    ({f"diffusion_model.{LAYER}.diff_b": torch.ones(OUT)}, r"a bias or a norm for .*0\.attention\.qkv"),
    ({f"diffusion_model.{LAYER}.set_weight": torch.ones(OUT, IN)}, "weights of another kind"),
    ({"foo": torch.ones(2)}, "no LoRA that ComfyUI can read"),
])
def test_what_is_damaged_or_strange_is_one_sentence(folder, tensors, sentence):
    with pytest.raises(ValueError, match=rf"^a\.safetensors .*{sentence}"):
        read(saved(folder, tensors))


def test_what_is_left_out_is_told(folder, caplog):
    with caplog.at_level(logging.WARNING):
        read(saved(folder, PLAIN | {"foo.bar": torch.ones(2)}))
    assert "foo.bar" in caplog.text and "LoRA" not in caplog.text.replace("a.safetensors", "")


@pytest.mark.parametrize("tensors", [
    LOKR | {f"{STEM}.lokr_w2": torch.ones(OUT // 4, IN // 4 + 1)},
    {name: t[:, :-1].contiguous() if name.endswith("_b") else t for name, t in LOHA.items()},
])
def test_other_adapters_of_another_models_sizes_are_refused(folder, tensors):
    network = nn.ModuleDict({"layer": nn.Linear(IN, OUT)})
    stack = Stack(["a.safetensors"], [read(saved(folder, tensors))], lambda _name: True)
    with pytest.raises(ValueError, match=r"a\.safetensors: made for another model, whose layer has 24 outputs of"):
        stack.fit({LAYER: "layer.weight"}, network)


def test_queries_keys_and_values_apart_are_refused(folder):
    """The host's names put them behind each other as if they were all as wide as the layer."""
    network = nn.ModuleDict({"layer": nn.Linear(IN, OUT)})
    tensors = {name.replace("qkv", "to_v"): t for name, t in PLAIN.items()}
    stack = Stack(["a.safetensors"], [read(saved(folder, tensors))], lambda _name: True)
    with pytest.raises(ValueError, match="queries, keys and values apart"):
        stack.fit({LAYER.replace("qkv", "to_v"): ("layer.weight", (0, 2 * OUT, OUT))}, network)


@pytest.mark.parametrize("name", [
    "film/Party Cone.safetensors", "film/Party Cone", "Party Cone", "film\\Party Cone", "party cone",
    "FILM/PARTY CONE.SAFETENSORS", "Party Cone.SafeTensors", " Party Cone ", "party CONE.safetensors",
])
def test_a_name_is_found_as_people_write_it(folder, name):
    listed_as = saved(folder, PLAIN, "film/Party Cone.safetensors")
    assert find(name) == listed_as


@pytest.mark.parametrize("name", [r"C:\loras\film\Party Cone.safetensors", "films/party cone", "Party_Cone"])
def test_another_folder_is_not_taken_for_it_but_told(folder, name):
    saved(folder, PLAIN, "film/Party Cone.safetensors")
    with pytest.raises(ValueError, match="did you mean film/Party Cone"):
        find(name)


def test_exact_letters_come_first_and_two_alike_are_asked_about(folder):
    for name in ("Hat.safetensors", "hat.safetensors", "a/cap.safetensors", "b/Cap.safetensors"):
        saved(folder, PLAIN, name)
    assert [find("Hat"), find("hat"), find("cap"), find("b/cap")] == [
        "Hat.safetensors", "hat.safetensors", "a/cap.safetensors", "b/Cap.safetensors"]
    with pytest.raises(ValueError, match=r"2 LoRAs are called HAT .*write the folder"):
        find("HAT")


def test_accents_are_the_same_in_one_letter_and_in_two(folder):
    name = saved(folder, PLAIN, f"{unicodedata.normalize('NFD', 'Café が')}.safetensors")
    assert find(unicodedata.normalize("NFC", "café が")) == name
