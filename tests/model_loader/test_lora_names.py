"""`./run models lora` on headers alone: which names it takes, which alpha it finds, and what it says of the rest."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import pytest
from newbie_pack.client import models as command
from newbie_pack.client.problem import Problem
from newbie_pack.model_loader import lora
from newbie_pack.model_loader.checkpoint import CheckpointError, read_header

ROOT = Path(command.__file__).resolve().parent.parent
QKV, W2, TEXT = "layers.0.attention.qkv", "noise_refiner.1.feed_forward.w2", "time_text_embed.1"
COLUMNS = {QKV: 2304, W2: 9216, TEXT: 2048}
PEFT = "base_model.model.{}.lora_{}.weight"
LOKR = {f"lycoris_layers_0_attention_qkv.{end}": (4, 4) for end in ("lokr_w1", "lokr_w2_a", "lokr_w2_b")}


def write(path, shapes, metadata=None):
    """A file of zeros."""
    entries, end = {"__metadata__": metadata or {}}, 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * math.prod(shape)
        entries[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(entries).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(end))
    return path


def pairs(form=PEFT, layers=(QKV, W2, TEXT), rank=4, sides=("A", "B")):
    flat = form.startswith(("lora_unet_", "lycoris_"))
    return {
        form.format(layer.replace(".", "_") if flat else layer, side): shape
        for layer in layers
        for side, shape in zip(sides, ((rank, COLUMNS[layer]), (8, rank)), strict=True)
    }


def alphas(path):
    """Layer -> the alpha that the file has."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    entries = json.loads(raw[8 : 8 + length])
    return {
        name.removeprefix("diffusion_model.").removesuffix(".alpha"): struct.unpack_from(
            "<f", raw, 8 + length + entry["data_offsets"][0]
        )[0]
        for name, entry in entries.items()
        if name.endswith(".alpha")
    }


@pytest.fixture
def target(tmp_path):
    return tmp_path / "new.safetensors"


@pytest.fixture
def convert(tmp_path, target):
    """Of a file with these tensors, metadata and adapter_config.json -> what was done."""

    def run(shapes, metadata=None, config=None):
        path = write(tmp_path / "old.safetensors", shapes, metadata)
        if config is not None:
            text = config if isinstance(config, str) else json.dumps(config)
            (tmp_path / "adapter_config.json").write_text(text, encoding="utf-8")
        return lora.convert(path, target)

    return run


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "sides", "becomes"),
    [
        (PEFT, ("A", "B"), "diffusion_model.{}.lora_{}.weight"),
        ("base_model.model.{}.lora_{}.default.weight", ("A", "B"), "diffusion_model.{}.lora_{}.default.weight"),
        ("transformer.{}.lora_{}.weight", ("A", "B"), "diffusion_model.{}.lora_{}.weight"),
        ("{}.lora_{}.weight", ("A", "B"), "diffusion_model.{}.lora_{}.weight"),
        ("{}.lora_{}.weight", ("down", "up"), "diffusion_model.{}.lora_{}.weight"),
        ("lycoris_{}.lora_{}.weight", ("down", "up"), "lora_unet_{}.lora_{}.weight"),
    ],
)
def test_a_rename(convert, target, form, sides, becomes):
    assert convert(pairs(form, sides=sides)) == lora.Converted(layers=3, written=True, scaled=False)
    assert read_header(target).shapes == pairs(becomes, sides=sides)


@pytest.mark.parametrize(
    ("form", "sides"),
    [("diffusion_model.{}.lora_{}.weight", ("A", "B")), ("lora_unet_{}.lora_{}.weight", ("down", "up"))],
)
def test_what_the_host_reads_as_it_is(convert, target, form, sides):
    assert convert(pairs(form, sides=sides)) == lora.Converted(layers=3, written=False, scaled=False)
    assert convert(pairs(form, sides=sides), {"lora_alpha": "4"}) == lora.Converted(3, written=False, scaled=True)
    assert not target.exists()
    assert convert(pairs(form, sides=sides), {"lora_alpha": "2"}) == lora.Converted(3, written=True, scaled=True)


def test_the_trainers_lokr(convert, target):
    """It has alpha beside each layer; the adapter_config.json beside it says the same once more."""
    shapes = LOKR | {"lycoris_layers_0_attention_qkv.alpha": ()}
    done = convert(shapes, {"lora_alpha": "4"}, {"peft_type": "LYCORIS", "lora_alpha": 4.0, "r": 8})
    assert done == lora.Converted(layers=1, written=True, scaled=True)
    assert read_header(target).shapes == {name.replace("lycoris_", "lora_unet_"): one for name, one in shapes.items()}


@pytest.mark.parametrize("layers", [(TEXT,), (W2,), (QKV,)])
def test_one_layer_is_enough_to_know_it(tmp_path, convert, layers):
    assert convert(pairs(layers=layers)).layers == 1
    assert lora.passed_over(read_header(tmp_path / "old.safetensors"))


@pytest.mark.parametrize(
    ("shapes", "says"),
    [
        ({}, "is not a LoRA for NewBie: none of its tensors"),
        ({"layers.0.attention.qkv.weight": (3840, 2304)}, "is not a LoRA for NewBie"),
        (pairs("base_model.model.{}.lora_{}.weight", (QKV,)) | {"x.weight": (1,)}, "has x.weight, which ComfyUI's"),
        (pairs() | {f"base_model.model.{QKV}.lora_magnitude_vector": (3840,)}, "lora_magnitude_vector, which ComfyUI"),
        ({f"base_model.model.{QKV}.lokr_w1": (4, 4)}, "lokr_w1, which ComfyUI's LoraLoader can't read"),
        ({"transformer.layers.0.attention.to_q.lora_A.weight": (4, 3840)}, "targets separate q, k or v"),
        ({f"diffusion_model.{QKV}.lora_A.weight": (4, 3840)}, "does not have 2304 columns"),
        ({"transformer.layers.0.attn.to_q.lora_A.weight": (4, 2304)}, "none of its tensors has the name of one"),
        ({"lora_unet_layers.0.attention.qkv.lora_down.weight": (4, 2304)}, "none of its tensors has the name of one"),
        (pairs() | pairs("transformer.{}.lora_{}.weight"), "under two names"),
        ({f"base_model.model.{QKV}.lora_A.weight": (4, 2304)}, "lacks lora_A.weight or lora_B.weight"),
        ({f"base_model.model.{QKV}.lora_B.weight": (8, 4)}, "lacks lora_A.weight or lora_B.weight"),
        (pairs() | {f"base_model.model.{W2}.lora_B.weight": (8, 3)}, "or their shapes don't match"),
        (pairs() | {f"base_model.model.{W2}.lora_B.weight": ()}, "or their shapes don't match"),
    ],
)
def test_what_is_not_converted(convert, target, shapes, says):
    with pytest.raises(CheckpointError, match=says):
        convert(shapes)
    assert not target.exists()


def test_another_models_lora_is_none_of_the_surveys_business():
    z_image = pairs("transformer.{}.lora_{}.weight", (W2,)) | {"transformer.layers.0.attention.to_k.lora_A.weight": ()}
    wide = {f"transformer.{QKV}.lora_A.weight": (4, 3840)}
    for shapes in (z_image, wide, pairs("diffusion_model.{}.lora_{}.weight"), {f"{QKV}.weight": (3840, 2304)}):
        assert not lora.passed_over(lora.Header({}, shapes))


# --- alpha -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metadata", "config", "expected"),
    [
        ({"lora_alpha": "6"}, None, [6, 6, 6]),
        (None, {"lora_alpha": 16, "r": 4, "use_rslora": False, "rank_pattern": {}, "alpha_pattern": {}}, [16] * 3),
        ({"lora_alpha": "16.0"}, {"lora_alpha": 16}, [16, 16, 16]),
        (None, {"lora_alpha": 3, "r": 4, "use_rslora": True}, [6, 6, 6]),  # 3 / sqrt(4) = 6 / 4
        (None, {"lora_alpha": 3, "alpha_pattern": {"attention.qkv": 5, QKV: 7}}, [5, 3, 3]),  # the first one counts
        (None, {"lora_alpha": 3, "alpha_pattern": {"xt_embed.1": 9, "qkv": 5, TEXT: 7}}, [5, 3, 7]),  # whole words
        (None, {"lora_alpha": 3, "r": 8, "rank_pattern": {"0.attention.qkv": 4, "w2": 4, "1": 4}}, [3, 3, 3]),
        (None, {"lora_alpha": 3, "init_lora_weights": None}, [3, 3, 3]),  # as false: not drawn at all
        (None, {"r": 9}, []),
        (None, {}, []),
        (None, None, []),
    ],
)
def test_alpha_is_found(convert, target, metadata, config, expected):
    assert convert(pairs(), metadata, config).scaled == bool(expected)
    assert alphas(target) == dict(zip((QKV, W2, TEXT), expected, strict=False))


def test_an_alpha_beside_a_layer_stays(convert, target):
    """And one is added where there is none."""
    shapes = pairs("lycoris_{}.lora_{}.weight", sides=("down", "up")) | {"lycoris_time_text_embed_1.alpha": ()}
    assert convert(shapes, {"lora_alpha": "6"}).scaled
    assert sorted(alphas(target).values()) == [0, 6, 6]


ODD = "lora_alpha {}: it must be a number"


@pytest.mark.parametrize(
    ("metadata", "config", "says"),
    [
        ({"lora_alpha": "many"}, None, ODD.format("'many'")),
        ({"lora_alpha": "nan"}, None, ODD.format("'nan'")),
        ({"lora_alpha": "1e39"}, None, ODD.format("'1e39'")),  # more than float32 has
        ({"lora_alpha": None}, None, ODD.format("None")),
        ({"lora_alpha": "6"}, {"lora_alpha": 8}, r"old\.safetensors says lora_alpha 6, but .*json says 8"),
        (None, "{", r"adapter_config\.json is damaged"),
        (None, "[]", r"adapter_config\.json is damaged"),
        *((None, {"lora_alpha": odd}, ODD.format(odd)) for odd in (None, True, 0, -1, math.inf, math.nan, 10**400)),
        (None, {"lora_alpha": []}, r"lora_alpha \[\]: it must be a number"),
        (None, {"lora_alpha": 4, "r": None}, "r None: it must be a number"),
        (None, {"lora_alpha": 4, "r": 8}, f"says rank 8 for diffusion_model.{QKV}, but .* has 4"),
        (None, {"lora_alpha": 4, "rank_pattern": {"w2": 8}}, f"says rank 8 for diffusion_model.{W2}, but .* has 4"),
        (None, {"lora_alpha": 4, "rank_pattern": None}, "rank_pattern is not an object"),
        (None, {"lora_alpha": 4, "alpha_pattern": {"w2": "x"}}, "alpha_pattern 'x': it must be a number"),
        (None, {"lora_alpha": 4, "alpha_pattern": {"w[12]": 8}}, "which is not a plain layer name"),
        (None, {"lora_alpha": 4, "use_rslora": None}, "use_rslora None: it must be true or false"),
        (None, {"lora_alpha": 4, "use_rslora": "no"}, "use_rslora 'no': it must be true or false"),
        (None, {"lora_alpha": 4, "peft_type": "LYCORIS"}, "peft_type 'LYCORIS', but the LoRA is plain"),
        (None, {"lora_alpha": 4, "init_lora_weights": "pissa_niter_4"}, "init_lora_weights 'pissa_niter_4'"),
    ],
)
def test_an_alpha_that_can_not_be_taken_is_told(convert, target, metadata, config, says):
    with pytest.raises(CheckpointError, match=says) as problem:
        convert(pairs(), metadata, config)
    assert "\n" not in str(problem.value)
    assert not target.exists()


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def run(capsys):
    """The command's output."""

    def with_arguments(*arguments):
        assert command.main(["lora", *map(str, arguments)]) == 0
        return capsys.readouterr().out

    return with_arguments


def test_the_command_says_whether_an_alpha_is_known(tmp_path, run):
    path = write(tmp_path / "a.safetensors", pairs(), {"lora_alpha": "4"})
    told = f"{tmp_path / 'a-comfyui.safetensors'}: 3 layers, for ComfyUI's LoraLoader; put it into models/loras.\n"
    assert run(path) == told
    path = write(tmp_path / "b.safetensors", pairs())
    assert "states its alpha" in run(path)
    as_it_is = run(tmp_path / "b-comfyui.safetensors")
    assert "3 layers, which the LoraLoader reads already" in as_it_is and "states its alpha" in as_it_is
    assert not (tmp_path / "b-comfyui-comfyui.safetensors").exists()


@pytest.mark.parametrize(
    ("out", "says"),
    [
        ("no/such/folder/a.safetensors", "folder does not exist: make it"),
        ("a.png", r"must end in \.safetensors"),
        ("old.safetensors", "already exists"),
    ],
)
def test_a_target_that_can_not_be_is_one_sentence(tmp_path, run, out, says):
    path = write(tmp_path / "old.safetensors", pairs())
    with pytest.raises(Problem, match=says):
        run(path, "--out", tmp_path / out)
    with pytest.raises(Problem, match="is a folder: give the file in it"):
        run(tmp_path)


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, run, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    path = write(tmp_path / "old.safetensors", pairs())
    monkeypatch.setattr(lora.shutil, "copyfileobj", full)
    with pytest.raises(Problem, match="No space left on device"):
        run(path)
    assert list(tmp_path.iterdir()) == [path]


LAYER, FLAT = "layers.0.attention.qkv", "layers_0_attention_qkv"


@pytest.mark.parametrize(
    ("name", "hosts"),
    [
        (f"base_model.model._orig_mod.{LAYER}.lora_A.weight", f"diffusion_model.{LAYER}.lora_A.weight"),
        (f"_orig_mod.{LAYER}.lora_A.weight", f"diffusion_model.{LAYER}.lora_A.weight"),
        (f"module.{LAYER}.lora_B.weight", f"diffusion_model.{LAYER}.lora_B.weight"),
        (f"module._orig_mod.{LAYER}.lora_A.weight", f"diffusion_model.{LAYER}.lora_A.weight"),
        (f"_orig_mod.module.{LAYER}.lora_A.weight", f"diffusion_model.{LAYER}.lora_A.weight"),
        (f"module.base_model.model.{LAYER}.lora_A.weight", f"diffusion_model.{LAYER}.lora_A.weight"),
        (f"_orig_mod.base_model.model.{LAYER}.lora_A.default.weight", f"diffusion_model.{LAYER}.lora_A.default.weight"),
        (f"diffusion_model._orig_mod.{LAYER}.lora_down.weight", f"diffusion_model.{LAYER}.lora_down.weight"),
        (f"transformer.module.{LAYER}.lora_up.weight", f"diffusion_model.{LAYER}.lora_up.weight"),
        (f"base_model.model.module.{LAYER}.alpha", f"diffusion_model.{LAYER}.alpha"),
        (f"lora_unet__orig_mod_{FLAT}.lora_down.weight", f"lora_unet_{FLAT}.lora_down.weight"),
        (f"lycoris__orig_mod_{FLAT}.lokr_w1", f"lora_unet_{FLAT}.lokr_w1"),
        (f"lora_unet_module_{FLAT}.alpha", f"lora_unet_{FLAT}.alpha"),
        (f"_fsdp_wrapped_module.{LAYER}.lora_A.weight", f"diffusion_model.{LAYER}.lora_A.weight"),
        ("layers.0._checkpoint_wrapped_module.ffn_norm1.diff", "diffusion_model.layers.0.ffn_norm1.diff"),
        (f"model.diffusion_model.module.{LAYER}.lora_A.weight", f"diffusion_model.{LAYER}.lora_A.weight"),
    ],
)
def test_what_wrapped_the_model_in_training_is_no_part_of_a_name(name, hosts):
    """torch.compile's _orig_mod and DataParallel's module, wherever in the name they stand."""
    found = lora.parse(name)
    assert found is not None and found.hosts == hosts
    assert not found.known


def test_only_whole_words_are_wrappers():
    assert lora.parse(f"submodule.{LAYER}.lora_A.weight") is None
    assert lora.parse(f"_orig_mod.{LAYER}.weight") is None
