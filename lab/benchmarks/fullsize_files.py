"""Makes files for fullsize: exactly the full model's names, shapes and dtypes, with random weights.

    ./run bench fullsize_files DIR                       split files, in DIR/diffusion_models and so on
    ./run bench fullsize_files DIR --form folder         the authors' folder, in DIR/diffusers
    ./run bench fullsize_files DIR --precision fp8_scaled    or fp8, or bf16
    ./run bench fullsize_files DIR --scale tiny          the same names at a size for tests (small_host.py)

The names are those of the host's own classes. The tokenizers have the mini's 1,280 pieces, the prompt language's tags
whole among them, so a prompt has fewer tokens than with the real ones: that of fullsize with two characters 70, where
Gemma 3's own makes 127, and with four (--people 4) as many as that. The vision towers in the authors' folder
are left out but for one tensor each: nothing reads them.
Sources: comfy/model_detection.py for width 2304; models/model.py and the trainer's conversion script of
github.com/NewBieAI-Lab for the folder; config.json of jinaai/jina-clip-v2 for its adapters.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...model_loader import tokenizer
from .host import ROOT, add_host

POOL = (1 << 22) + 15  # numbers drawn; odd, so that no two rows of a matrix are alike
HEADER = 1 << 18  # bytes kept for a file's header, which the format fills up with spaces
FP8_MAX = 448.0
BLOCKS = ("layers.", "noise_refiner.", "context_refiner.", "model.layers.")
SAFETENSORS = {torch.bfloat16: "BF16", torch.float32: "F32", torch.uint8: "U8", torch.float8_e4m3fn: "F8_E4M3"}
PRECISIONS = ("bf16", "fp8", "fp8_scaled")
ADAPTER_RANK = 4  # of Jina CLIP v2's text model


@dataclass(frozen=True)
class Sizes:
    """Keyword arguments of the host's classes, and the width of the VAE's decoder."""

    diffusion: dict[str, Any]
    gemma: dict[str, Any]
    jina: dict[str, Any]
    vae_decoder: int
    shard: int  # bytes of one file of the folder's text encoder


FULL = Sizes(
    diffusion={
        "image_model": "lumina2",
        "patch_size": 2,
        "in_channels": 16,
        "dim": 2304,
        "cap_feat_dim": 2560,
        "n_layers": 36,
        "qk_norm": True,
        "n_heads": 24,
        "n_kv_heads": 8,
        "axes_dims": [32, 32, 32],
        "axes_lens": [300, 512, 512],
        "rope_theta": 10000.0,
        "ffn_dim_multiplier": 4.0,
        "clip_text_dim": 1024,
    },
    gemma={},
    jina={},
    vae_decoder=128,
    shard=5_000_000_000,
)
TINY = Sizes(
    diffusion=FULL.diffusion
    | {
        "dim": 64,
        "n_layers": 2,
        "n_heads": 2,
        "n_kv_heads": 1,
        "axes_dims": [8, 12, 12],
        "multiple_of": 32,
        "ffn_dim_multiplier": 1.75,
        "cap_feat_dim": 48,
        "clip_text_dim": 32,
    },
    gemma={
        "vocab_size": 1280,
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 7,  # the sixth is the first that looks further than the window
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
    },
    jina={
        "vocab_size": 1800,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    },
    vae_decoder=32,
    shard=170_000,
)
SCALES = {"full": FULL, "tiny": TINY}

Shapes = dict[str, tuple[int, ...]]


# --- names and shapes, from the host's classes -----------------------------------------------------------------------


def shapes_of(module: torch.nn.Module) -> Shapes:
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def diffusion_shapes(sizes: Sizes) -> Shapes:
    import comfy.ops
    from comfy.ldm.lumina.model import NextDiT

    return shapes_of(NextDiT(**sizes.diffusion, device="meta", dtype=torch.bfloat16, operations=comfy.ops.manual_cast))


def gemma_shapes(sizes: Sizes) -> Shapes:
    import comfy.ops
    from comfy.text_encoders.llama import Llama2_

    from .small_host import gemma_config

    config = gemma_config(sizes.gemma)
    module = Llama2_(config, device="meta", dtype=torch.bfloat16, ops=comfy.ops.manual_cast)
    return {f"model.{name}": shape for name, shape in shapes_of(module).items()}


def jina_shapes(sizes: Sizes) -> Shapes:
    import comfy.ops
    from comfy.text_encoders.jina_clip_2 import XLMRobertaModel

    with torch.device("meta"):
        module = XLMRobertaModel(dict(sizes.jina), torch.bfloat16, "meta", comfy.ops.manual_cast)
    return shapes_of(module)


def vae_shapes(sizes: Sizes) -> Shapes:
    """FLUX's autoencoder: the host's SD one with 16 channels and without the convolutions around the latent."""
    from comfy.ldm.modules.diffusionmodules.model import Decoder, Encoder

    common = {"double_z": True, "z_channels": 16, "resolution": 256, "in_channels": 3, "out_ch": 3, "dropout": 0.0}
    common |= {"ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": []}
    with torch.device("meta"):
        halves = {"encoder": Encoder(ch=128, **common), "decoder": Decoder(ch=sizes.vae_decoder, **common)}
    return {f"{half}.{name}": shape for half, module in halves.items() for name, shape in shapes_of(module).items()}


# --- random weights --------------------------------------------------------------------------------------------------


class Weights:
    """Values for a name and a shape, the same whenever they are asked for."""

    def __init__(self, seed: int) -> None:
        self.pool = torch.randn(POOL, generator=torch.Generator().manual_seed(seed)).bfloat16()

    def value(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Matrices like a trained model's in scale; norms near one (near zero where Gemma adds one); bfloat16."""
        count = math.prod(shape)
        start = zlib.crc32(name.encode()) % POOL
        parts = [self.pool[start : start + count], *[self.pool] * ((start + count) // POOL)]
        noise = torch.cat(parts)[:count].reshape(shape)
        if len(shape) >= 2:
            return noise * math.prod(shape[1:]) ** -0.5
        centre = (
            1.0 if ("norm" in name and "layernorm" not in name) or name.endswith(("_ln.weight", ".0.weight")) else 0.0
        )
        return centre * name.endswith(".weight") + 0.1 * noise

    def tensors(self, shapes: Shapes) -> Iterator[tuple[str, Tensor]]:
        for name, shape in shapes.items():
            yield name, self.value(name, shape)


def quantized(tensors: Iterable[tuple[str, Tensor]], precision: str) -> Iterator[tuple[str, Tensor]]:
    """fp8: the blocks' matrices as they are; fp8_scaled: with the host's per-layer marks and scales."""
    mark = torch.tensor(list(json.dumps({"format": "float8_e4m3fn"}).encode()), dtype=torch.uint8)
    for name, value in tensors:
        if precision == "bf16" or value.ndim != 2 or not name.startswith(BLOCKS):
            yield name, value
        elif precision == "fp8":
            yield name, value.to(torch.float8_e4m3fn)
        else:
            scale = value.abs().amax().float() / FP8_MAX
            layer = name.removesuffix(".weight")
            yield name, (value.float() / scale).to(torch.float8_e4m3fn)
            yield f"{layer}.weight_scale", scale
            yield f"{layer}.comfy_quant", mark


def write(path: Path, tensors: Iterable[tuple[str, Tensor]], metadata: dict[str, str] | None = None) -> None:
    """A safetensors file, tensor by tensor: never more than one in memory. The header is written last, in its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    entries: dict[str, Any] = {"__metadata__": {"format": "pt", **(metadata or {})}}
    end = 0
    with path.open("wb") as file:
        file.seek(8 + HEADER)
        for name, value in tensors:
            data = value.contiguous().reshape(-1).view(torch.uint8).numpy()
            entries[name] = {
                "dtype": SAFETENSORS[value.dtype],
                "shape": list(value.shape),
                "data_offsets": [end, end + data.nbytes],
            }
            file.write(memoryview(data))
            end += data.nbytes
        file.seek(0)
        file.write(struct.pack("<Q", HEADER) + json.dumps(entries).encode().ljust(HEADER))


# --- tokenizers ------------------------------------------------------------------------------------------------------


def gemma_tokenizer() -> bytes:
    return (ROOT / "lab" / "training" / "vocabulary" / "gemma.model").read_bytes()


def jina_tokenizer() -> bytes:
    """A Unigram tokenizer.json with XLM-RoBERTa's first ids: the mini's words, and every letter of ASCII."""
    import sentencepiece

    vocabulary = ROOT / "lab" / "training" / "vocabulary" / "jina.model"
    mini = sentencepiece.SentencePieceProcessor(model_proto=vocabulary.read_bytes())
    words = [mini.id_to_piece(i) for i in range(4, mini.get_piece_size()) if not mini.is_byte(i)]
    letters = ["▁", *map(chr, range(33, 127))]
    first = ["<s>", "<pad>", "</s>", "<unk>"]
    plain = sorted({*words, *letters, *(f"▁{word}" for word in words if "▁" not in word)})
    scores = {piece: -12.0 if len(piece) == 1 else -8.0 - 0.001 * i for i, piece in enumerate(plain)}
    vocabulary = [[piece, scores.get(piece, 0.0)] for piece in [*first, *plain, "<mask>"]]
    special = [{"id": i, "content": piece, "special": True} for i, (piece, _) in enumerate(vocabulary)]
    chosen = [token for token in special if token["content"] in (*first, "<mask>")]
    model = {"type": "Unigram", "unk_id": 3, "vocab": vocabulary}
    return json.dumps({"version": "1.0", "added_tokens": chosen, "normalizer": None, "model": model}).encode()


def as_tensor(data: bytes) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


# --- split files -----------------------------------------------------------------------------------------------------


def write_split(folder: Path, sizes: Sizes, weights: Weights, precision: str) -> None:
    """The four files of the ComfyUI repackaging, by their names there; the VAE in float32."""
    diffusion = quantized(weights.tensors(diffusion_shapes(sizes)), precision)
    write(folder / "diffusion_models" / f"NewBie-Image-Exp0.1-{precision}.safetensors", diffusion)
    model = ("spiece_model", as_tensor(gemma_tokenizer()))
    gemma = quantized(weights.tensors(gemma_shapes(sizes)), precision)
    write(folder / "text_encoders" / f"gemma_3_4b_it_{precision}.safetensors", chain(gemma, model))
    model = ("spiece_model", as_tensor(tokenizer.from_json(jina_tokenizer())))
    jina = ((name, merged(weights, name, shape)) for name, shape in jina_shapes(sizes).items())
    write(folder / "text_encoders" / "jina_clip_v2_bf16.safetensors", chain(jina, model))
    vae = ((name, value.float()) for name, value in weights.tensors(vae_shapes(sizes)))  # as FLUX's own is kept
    write(folder / "vae" / "ae.safetensors", vae)


def chain(tensors: Iterable[tuple[str, Tensor]], last: tuple[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    yield from tensors
    yield last


def is_adapted(name: str, shape: tuple[int, ...]) -> bool:
    return len(shape) == 2


def adapter(weights: Weights, name: str, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """A and B of one task, [1, ...]: of a linear layer B A has the weight's shape, of an embedding A B."""
    rows, columns = shape
    a, b = ((rows, ADAPTER_RANK), (ADAPTER_RANK, columns))
    if "embeddings" not in name:
        a, b = b, a
    return weights.value(f"{name}.A", a)[None], weights.value(f"{name}.B", b)[None]


def merged(weights: Weights, name: str, shape: tuple[int, ...]) -> Tensor:
    value = weights.value(name, shape)
    if not is_adapted(name, shape):
        return value
    a, b = (side[0].float() for side in adapter(weights, name, shape))
    return (value.float() + (a @ b if "embeddings" in name else b @ a)).bfloat16()


# --- the authors' folder ---------------------------------------------------------------------------------------------


def write_folder(folder: Path, sizes: Sizes, weights: Weights, precision: str) -> None:
    """NewBie-image-Exp0.1 as its authors publish it; the text encoder in shards with an index."""
    release = folder / "diffusers" / "NewBie-image-Exp0.1"
    shapes = diffusion_shapes(sizes)
    extra = {"norm_final.weight": (sizes.diffusion["dim"],)}  # in the authors' model, and used by nothing
    tensors = quantized(weights.tensors(shapes | extra), precision)
    write(release / "transformer" / "diffusion_pytorch_model.safetensors", tensors)
    write_json(
        release / "transformer" / "config.json",
        sizes.diffusion | {"_class_name": "NextDiT_3B_GQA_patch2_Adaln_Refiner_WHIT_CLIP", "clip_img_dim": 1024},
    )
    write_gemma(release / "text_encoder", sizes, weights)
    write_jina(release / "clip_model", sizes, weights)
    vae = ((diffusers_name(name), squeezed(name, value)) for name, value in weights.tensors(vae_shapes(sizes)))
    write(release / "vae" / "diffusion_pytorch_model.safetensors", vae)
    write_json(release / "vae" / "config.json", {"_class_name": "AutoencoderKL", "latent_channels": 16})
    write_json(release / "model_index.json", {"_class_name": "NewbiePipeline"})


def write_gemma(folder: Path, sizes: Sizes, weights: Weights) -> None:
    shapes = gemma_shapes(sizes)
    groups: list[list[str]] = [[]]
    size = 0
    for name, shape in shapes.items():
        size += 2 * math.prod(shape)
        if size > sizes.shard and groups[-1]:
            groups.append([])
            size = 2 * math.prod(shape)
        groups[-1].append(name)
    index = {}
    for number, group in enumerate(groups, 1):
        file = f"model-{number:05}-of-{len(groups):05}.safetensors"
        own = ((f"language_model.{name}", weights.value(name, shapes[name])) for name in group)
        if number == 1:
            vision = "vision_tower.vision_model.encoder.layers.0.layer_norm1.weight"
            own = chain(own, (vision, weights.value(vision, (8,))))
            index[vision] = file
        write(folder / file, own)
        index |= {f"language_model.{name}": file for name in group}
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": index})
    write_json(folder / "config.json", {"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3"})
    (folder / "tokenizer.model").write_bytes(gemma_tokenizer())


def write_jina(folder: Path, sizes: Sizes, weights: Weights) -> None:
    def tensors() -> Iterator[tuple[str, Tensor]]:
        yield "logit_scale", weights.value("logit_scale", (1,))[0]
        yield "vision_model.cls_token", weights.value("vision_model.cls_token", (1, 1, 8))
        for name, shape in jina_shapes(sizes).items():
            own = name.replace("model.", "text_model.transformer.roberta.", 1)
            if not is_adapted(name, shape):
                yield own, weights.value(name, shape)
                continue
            stem = own.removesuffix(".weight") + ".parametrizations.weight"
            a, b = adapter(weights, name, shape)
            yield from (
                (f"{stem}.original", weights.value(name, shape)),
                (f"{stem}.0.lora_A", a),
                (f"{stem}.0.lora_B", b),
            )

    write(folder / "jina-clip-v2.safetensors", tensors())
    extra = {"lora_adaptations": ["retrieval.query"], "lora_rank": ADAPTER_RANK, "lora_alpha": ADAPTER_RANK}
    text = {"default_lora_task": "retrieval.query", "hf_model_config_kwargs": extra}
    write_json(folder / "config.json", {"model_type": "jina_clip", "text_config": text})
    (folder / "tokenizer.json").write_bytes(jina_tokenizer())


def write_json(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1), "utf-8")


DIFFUSERS = (  # (the host's name of an autoencoder's tensor, diffusers' AutoencoderKL)
    (r"\.down\.(\d)\.block\.(\d)\.", lambda m: f".down_blocks.{m[1]}.resnets.{m[2]}."),
    (r"\.down\.(\d)\.downsample\.", lambda m: f".down_blocks.{m[1]}.downsamplers.0."),
    (r"\.up\.(\d)\.block\.(\d)\.", lambda m: f".up_blocks.{3 - int(m[1])}.resnets.{m[2]}."),
    (r"\.up\.(\d)\.upsample\.", lambda m: f".up_blocks.{3 - int(m[1])}.upsamplers.0."),
    (r"\.mid\.block_(\d)\.", lambda m: f".mid_block.resnets.{int(m[1]) - 1}."),
    (r"\.mid\.attn_1\.([qkv])\.", lambda m: f".mid_block.attentions.0.to_{m[1]}."),
    (r"\.mid\.attn_1\.proj_out\.", lambda m: ".mid_block.attentions.0.to_out.0."),
    (r"\.mid\.attn_1\.norm\.", lambda m: ".mid_block.attentions.0.group_norm."),
    (r"\.nin_shortcut\.", lambda m: ".conv_shortcut."),
    (r"\.norm_out\.", lambda m: ".conv_norm_out."),
)


def diffusers_name(name: str) -> str:
    for pattern, new in DIFFUSERS:
        name = re.sub(pattern, new, name)
    return name


def squeezed(name: str, value: Tensor) -> Tensor:
    """diffusers keeps the attention's projections as matrices, the host as 1 x 1 convolutions."""
    return value[:, :, 0, 0] if re.search(r"attn_1\.(q|k|v|proj_out)\.weight", name) else value


FORMS = {"split": write_split, "folder": write_folder}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./run bench fullsize_files", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the models folder to write into")
    parser.add_argument("--form", choices=[*FORMS, "both"], default="split")
    parser.add_argument("--precision", choices=PRECISIONS, default="bf16")
    parser.add_argument("--scale", choices=list(SCALES), default="full")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    add_host()
    weights = Weights(options.seed)
    for form in FORMS if options.form == "both" else (options.form,):
        FORMS[form](options.folder, SCALES[options.scale], weights, options.precision)
    for path in sorted(options.folder.rglob("*.safetensors")):
        print(f"{path.stat().st_size / 1e9:8.3f} GB  {path.relative_to(options.folder)}")
    return 0
