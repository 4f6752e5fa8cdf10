"""What a file is, by names and shapes alone; and what is said of one that is not the file that is needed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from newbie_pack.model_loader.checkpoint import CheckpointError, Source
from newbie_pack.model_loader.identify import (
    DIFFUSION,
    GEMMA,
    JINA,
    PARTS,
    VAE,
    Header,
    kind_of,
    precision_of,
)
from newbie_pack.model_loader.requirements import USUAL, check_kind, check_pair, check_whole


def source(shapes: dict, name: str = "a.safetensors") -> Source:
    return Source(Path(name), (Path(name),), Header({}, shapes))


LUMINA = {"cap_embedder.1.weight": (2304, 2304), "noise_refiner.0.attention_norm1.weight": (2304,)}
NEWBIE = {
    "cap_embedder.1.weight": (2304, 2560),
    "noise_refiner.0.attention_norm1.weight": (2304,),
    "clip_text_pooled_proj.1.weight": (1024, 1024),
}
Z_IMAGE = {"cap_embedder.1.weight": (3840, 2560), "noise_refiner.0.attention_norm1.weight": (3840,)}


def gemma_of(width: int, layers: int, prefix: str = "model.", q_norm: bool = True) -> dict:
    shapes = {f"{prefix}embed_tokens.weight": (262208, width)}
    for i in range(layers):
        shapes[f"{prefix}layers.{i}.input_layernorm.weight"] = (width,)
        shapes[f"{prefix}layers.{i}.post_feedforward_layernorm.weight"] = (width,)
        if q_norm:
            shapes[f"{prefix}layers.{i}.self_attn.q_norm.weight"] = (256,)
    return shapes


TOWER = {f"vision_tower.vision_model.encoder.layers.{i}.layer_norm1.weight": (1152,) for i in range(27)}


def jina_of(width: int, layers: int) -> dict:
    shapes = {f"model.encoder.layers.{i}.mixer.Wqkv.weight": (3 * width, width) for i in range(layers)}
    return shapes | {"model.emb_ln.weight": (width,)}


def adapted_jina_of(adapters: int, prefix: str) -> dict:
    """As its authors publish it, with the adapters of so many tasks."""
    shapes: dict = {f"{prefix}emb_ln.weight": (1024,)}
    for i in range(24):
        stem = f"{prefix}encoder.layers.{i}.mixer.Wqkv.parametrizations.weight"
        sides = {f"{stem}.0.lora_A": (adapters, 4, 1024), f"{stem}.0.lora_B": (adapters, 3072, 4)}
        shapes |= {f"{stem}.original": (3072, 1024)} | sides
    return shapes


JINA_SHAPES = jina_of(1024, 24)
UNET, SD_VAE = (
    {"model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3)},
    "first_stage_model.decoder.conv_in.weight",
)
KINDS = [
    (NEWBIE, "a NewBie diffusion model", DIFFUSION),
    *(
        ({prefix + name: shape for name, shape in NEWBIE.items()}, "a NewBie diffusion model", DIFFUSION)
        for prefix in ("model.diffusion_model.", "transformer.", "module.", "_orig_mod.model.")
    ),
    (NEWBIE | {"cap_embedder.1.weight": (256, 192)}, "a NewBie diffusion model 256 wide instead of 2304", ""),
    (LUMINA, "a Lumina 2 diffusion model (it has no place for Jina's vector)", ""),
    (
        {"time_caption_embed.caption_embedder.1.weight": (2304, 2304)},
        "a diffusion model in the diffusers format (such as Lumina 2's)",
        "",
    ),
    (Z_IMAGE, "a Z-Image diffusion model", ""),
    ({"double_blocks.0.img_attn.qkv.weight": (9216, 3072)}, "a FLUX or Hunyuan diffusion model", ""),
    ({"model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight": (1, 1)}, "an SD3 diffusion model", ""),
    (UNET, "an SD 1.5 or 2 diffusion model (UNet)", ""),
    (UNET | {"model.diffusion_model.label_emb.0.0.weight": (1, 1)}, "an SDXL diffusion model (UNet)", ""),
    (UNET | {SD_VAE: (512, 4, 3, 3)}, "an SD 1.5 or 2 checkpoint", ""),
    (
        UNET | {SD_VAE: (512, 4, 3, 3), "conditioner.embedders.1.model.ln_final.weight": (1280,)},
        "an SDXL checkpoint",
        "",
    ),
    (
        {f"model.diffusion_model.{name}": shape for name, shape in LUMINA.items()}
        | {"vae.decoder.conv_in.weight": (512, 16, 3, 3)},
        "a checkpoint with a Lumina 2 diffusion model (it has no place for Jina's vector) and more in it",
        "",
    ),
    (gemma_of(2560, 34), "the Gemma 3 4B text encoder", GEMMA),
    (TOWER | gemma_of(2560, 34, "language_model.model."), "the Gemma 3 4B text encoder", GEMMA),
    (gemma_of(2560, 34, "model.language_model.") | TOWER, "the Gemma 3 4B text encoder", GEMMA),
    (gemma_of(2304, 26, q_norm=False), "a Gemma 2 text encoder (2B)", ""),
    (gemma_of(3840, 48), "a Gemma 3 text encoder of another size (12B)", ""),
    (gemma_of(1152, 26), "a Gemma 3 text encoder of another size (1B)", ""),
    (gemma_of(2560, 42), "a Gemma text encoder with 42 layers instead of 34", ""),
    (JINA_SHAPES, "the Jina CLIP v2 text encoder", JINA),
    (adapted_jina_of(1, "text_model.transformer.roberta."), "the Jina CLIP v2 text encoder", JINA),
    (jina_of(768, 24), "a Jina text encoder 768 wide instead of 1024", ""),
    (jina_of(1024, 12), "a Jina text encoder with 12 layers instead of 24", ""),
    (
        adapted_jina_of(5, "roberta."),
        "a Jina text encoder with 5 adapters instead of 1 (such as jina-embeddings-v3)",
        "",
    ),
    ({"text_model.encoder.layers.0.layer_norm1.weight": (768,)}, "a CLIP-L text encoder", ""),
    ({"text_model.encoder.layers.0.layer_norm1.weight": (1280,)}, "a CLIP-G text encoder", ""),
    ({"encoder.block.0.layer.0.SelfAttention.k.weight": (4096, 4096)}, "a T5 text encoder", ""),
    *(
        ({f"{prefix}encoder.layer.0.attention.self.query.weight": (1, 1)}, "a BERT or XLM-RoBERTa text encoder", "")
        for prefix in ("", "roberta.")
    ),
    ({"vision_model.encoder.layers.0.layer_norm1.weight": (1024,)}, "a CLIP vision encoder", ""),
    ({"model.layers.0.post_attention_layernorm.weight": (2560,)}, "a Qwen, Llama or Mistral text encoder", ""),
    ({"decoder.conv_in.weight": (512, 16, 3, 3)}, "FLUX's 16-channel VAE", VAE),
    *(
        (
            {f"{prefix}decoder.conv_in.weight": (512, 16, 3, 3), f"{prefix}encoder.conv_in.weight": (1, 3, 3, 3)},
            "FLUX's 16-channel VAE",
            VAE,
        )
        for prefix in ("vae.", "first_stage_model.")
    ),
    ({SD_VAE: (512, 4, 3, 3)}, "a 4-channel VAE of SD 1.5 or SDXL", ""),
    ({"decoder.conv_in.weight": (512, 4, 3, 3)}, "a 4-channel VAE of SD 1.5 or SDXL", ""),
    ({"decoder.conv_in.weight": (512, 32, 3, 3)}, "a 32-channel VAE of FLUX.2", ""),
    ({"decoder.conv_in.weight": (512, 16, 3, 3, 3)}, "a video VAE", ""),
    ({"decoder.conv1.weight": (384, 16, 3, 3, 3)}, "a video VAE", ""),
    (
        {"layers.0.attention.qkv.lora_A.weight": (8, 2304), "layers.0.attention.qkv.lora_B.weight": (3840, 8)},
        "a LoRA",
        "",
    ),
    (
        {"lora_unet_x.lora_down.weight": (8, 1), "lora_unet_x.lora_up.weight": (1, 8), "lora_unet_x.alpha": ()},
        "a LoRA",
        "",
    ),
]


QUANTISED = [  # each with tensors of the form's own names beside or instead of the weight
    (
        NEWBIE | {"cap_embedder.1.weight": (2949120, 1), "cap_embedder.1.weight.quant_state.bitsandbytes__nf4": (80,)},
        "a NewBie diffusion model quantised to 4 bits by bitsandbytes",
        DIFFUSION,
    ),
    (
        gemma_of(2560, 34) | {"model.layers.0.mlp.up_proj.weight.absmax": (409600,)},
        "the Gemma 3 4B text encoder quantised to 4 bits by bitsandbytes",
        GEMMA,
    ),
    (JINA_SHAPES | {"encoder.SCB": (3072,)}, "the Jina CLIP v2 text encoder quantised to 8 bits by bitsandbytes", JINA),
    (
        NEWBIE
        | {f"layers.0.attention.qkv.{end}": (1,) for end in ("qweight", "wscales", "smooth", "lora_down", "lora_up")},
        "a NewBie diffusion model quantised to 4 bits for Nunchaku (SVDQuant)",
        DIFFUSION,
    ),
    (
        {f"transformer_blocks.0.attn.to_q.{end}": (1,) for end in ("qweight", "wscales", "lora_down", "lora_up")},
        "a model quantised to 4 bits for Nunchaku (SVDQuant)",
        "",
    ),
    (
        gemma_of(2560, 34) | {f"model.layers.0.mlp.up_proj.{end}": (1, 1) for end in ("qweight", "qzeros", "scales")},
        "the Gemma 3 4B text encoder quantised to a few bits by GPTQ or AWQ",
        GEMMA,
    ),
    ({"token_embd.weight": (1,), "blk.0.attn_q.weight": (1,)}, "a model quantised for llama.cpp (GGUF)", ""),
]


@pytest.mark.parametrize(("shapes", "what", "meant"), QUANTISED)
def test_what_is_quantised_as_the_host_does_not_read_it(shapes, what, meant):
    kind = kind_of(Header({}, shapes))
    assert (kind.what, kind.part, kind.meant) == (what, "", meant)
    if meant:
        with pytest.raises(CheckpointError) as caught:
            check_kind(source(shapes), meant)
        assert str(caught.value) == f"a.safetensors is {what}, which ComfyUI can't load: use {USUAL[meant]} instead."


def test_the_hosts_own_quantisation_is_none_of_these():
    """fp8 and nvfp4 as the host reads them."""
    marks = ("weight_scale", "weight_scale_2", "comfy_quant", "input_scale", "scale_weight")
    shapes = NEWBIE | {f"layers.0.attention.qkv.{mark}": (1,) for mark in marks} | {"scaled_fp8": (2,)}
    assert kind_of(Header({}, shapes)).part == DIFFUSION


@pytest.mark.parametrize(("shapes", "what", "part"), KINDS, ids=[f"{i} {what}" for i, (_, what, _) in enumerate(KINDS)])
def test_what_it_is(shapes, what, part):
    kind = kind_of(Header({}, shapes))
    assert (kind.what, kind.part) == (what, part)


@pytest.mark.parametrize("shapes", [
    {"cap_embedder.1.weight": (), "noise_refiner.0.attention_norm1.weight": (1,),
     "clip_text_pooled_proj.1.weight": (1,)},
    {"layers.0.post_feedforward_layernorm.weight": (1,), "layers.0.input_layernorm.weight": (1, 2)},
    {"text_model.encoder.layers.0.layer_norm1.weight": ()},
])
def test_known_names_with_other_dimensions_are_not_known(shapes):
    assert kind_of(Header({}, shapes)) is None


def test_what_is_not_known():
    assert kind_of(Header({}, {"some.other.weight": (3, 3)})) is None
    assert kind_of(Header({}, {})) is None


def test_every_part_is_one_that_the_loader_takes():
    taken = {kind_of(Header({}, shapes)).part for shapes, _, _ in KINDS} - {""}
    assert taken == set(PARTS)
    for shapes, _, part in KINDS:
        if part:
            kind = kind_of(Header({}, shapes))
            assert kind.folder == PARTS[part].folder
            check_kind(source(shapes), part)  # no complaint


@pytest.mark.parametrize(
    ("part", "shapes", "says"),
    [
        (
            DIFFUSION,
            Z_IMAGE,
            "a.safetensors is a Z-Image diffusion model, not a NewBie diffusion model: put the right file, such as "
            "NewBie-Image-Exp0.1-bf16.safetensors, into models/diffusion_models and choose it.",
        ),
        (
            GEMMA,
            JINA_SHAPES,
            "a.safetensors is the Jina CLIP v2 text encoder (for the input jina), not the Gemma 3 4B text encoder: put "
            "the right file, such as gemma_3_4b_it_bf16.safetensors, into models/text_encoders and choose it.",
        ),
        (
            VAE,
            {"x.y": (1,)},
            "a.safetensors is not a model that the loader knows (its first tensor is x.y); FLUX's 16-channel VAE is "
            "needed: put the right file, such as ae.safetensors, into models/vae and choose it.",
        ),
    ],
)
def test_the_whole_sentence(part, shapes, says):
    with pytest.raises(CheckpointError) as caught:
        check_kind(source(shapes), part)
    assert str(caught.value) == says


def test_the_name_of_the_file_says_nothing(tmp_path):
    """The same bytes under any name."""
    from newbie_pack.model_loader.checkpoint import read_header

    weights = Path(__file__).resolve().parent.parent.parent / "mini" / "weights"
    found = set()
    for name in ("jina_clip_v2_bf16.safetensors", "NewBie-Image-Exp0.1-bf16.safetensors", "ae.sft"):
        shutil.copy(weights / "jina.safetensors", tmp_path / name)
        found.add(kind_of(read_header(tmp_path / name)))
    assert [kind.what for kind in found] == ["a Jina text encoder 128 wide instead of 1024"]


def test_a_pair_that_fits_and_two_that_do_not():
    gemma, jina = source(gemma_of(2560, 34)), source(JINA_SHAPES)
    check_pair(source(NEWBIE), gemma, jina)
    narrow = source(gemma_of(2304, 34))
    with pytest.raises(CheckpointError, match=r"makes text features 2304 wide, but .* takes 2560 from Gemma"):
        check_pair(source(NEWBIE), narrow, jina)
    with pytest.raises(CheckpointError, match=r"makes text features 768 wide, but .* takes 1024 from Jina"):
        check_pair(source(NEWBIE), gemma, source(JINA_SHAPES | {"model.emb_ln.weight": (768,)}))


def stack(head: str, layers: int, *ends: str) -> dict:
    return {f"{head}{i}.{end}": (1,) for i in range(layers) for end in ends}


@pytest.mark.parametrize("prefix", ["", "language_model.model."])
def test_what_a_missing_shard_takes_away(prefix):
    ends = ("post_feedforward_layernorm.weight", "mlp.up_proj.weight")
    whole = stack(f"{prefix}layers.", 12, *ends) | {f"{prefix}embed_tokens.weight": (1,), f"{prefix}norm.weight": (1,)}
    others = {"vision_tower.layers.0.a.weight": (1,), f"{prefix}layers.0.mlp.up_proj.weight_scale": (1,)}
    check_whole(source(whole | others, "f"), GEMMA)
    for lost, more in (
        (f"{prefix}norm.weight", ""),
        (f"{prefix}layers.11.mlp.up_proj.weight", ""),  # cut within a layer
        (f"{prefix}layers.7.", " and 1 more"),
    ):
        rest = {name: shape for name, shape in whole.items() if not name.startswith(lost)}
        with pytest.raises(CheckpointError, match=rf"^f lacks the tensor {lost}\S*{more}: download it again"):
            check_whole(source(rest, "f"), GEMMA)


def test_a_layer_with_a_number_of_nonsense_takes_no_time():
    shapes = {"layers.0.post_feedforward_layernorm.weight": (1,), f"layers.{'9' * 5000}.a.weight": (1,)}
    with pytest.raises(CheckpointError, match="lacks the tensor"):
        check_whole(source(shapes, "f"), GEMMA)


def test_precision():
    header = Header({}, {"a": (8, 8), "b": (8,), "a_scale": ()}, {"a": "F8_E4M3", "b": "BF16", "a_scale": "F32"})
    assert precision_of(header) == "F8_E4M3"
    scaled = Header({}, {"a.weight": (8, 8), "a.weight_scale": ()}, {"a.weight": "F8_E4M3", "a.weight_scale": "F32"})
    assert precision_of(scaled) == "F8_E4M3, scaled"
