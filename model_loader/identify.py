"""What a file is, told by its tensors' names and shapes, and what to say when it is not the file that is needed.

A file's name says nothing: people rename them, and two models' files are both called model.safetensors. Names of
tensors are found behind any prefix (model.diffusion_model., transformer., module. ...).
Sources of the shapes: comfy/model_detection.py and detect_te_model in comfy/sd.py (ComfyUI 0.30.0).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .checkpoint import CheckpointError, Header

DIFFUSION, GEMMA, JINA, VAE = "diffusion_model", "gemma", "jina", "vae"  # the loader node's inputs

LORAS = "loras"
NUMBER = re.compile("[0-9]{1,3}")  # of a layer
NEWBIE_WIDTH = 2304  # the only width whose heads the host knows
GEMMA_4B = (2560, 34)  # width, layers
JINA_CLIP_2 = (1024, 24)
GEMMA_SIZES = {1152: "1B", 2560: "4B", 3840: "12B", 5376: "27B"}  # by width
CLIP_SIZES = {768: "CLIP-L", 1024: "CLIP-H", 1280: "CLIP-G"}

QKV = "encoder.layers.0.mixer.Wqkv"
JINA_QKV = (f"{QKV}.weight", f"{QKV}.parametrizations.weight.original")
QUANTISED = (  # (parts of tensors' names, how that is called), of forms that are other loaders' and not the host's
    ((".quant_state.bitsandbytes__", ".weight.absmax"), "to 4 bits by bitsandbytes"),
    ((".SCB",), "to 8 bits by bitsandbytes"),
    ((".wscales",), "to 4 bits for Nunchaku (SVDQuant)"),
    ((".qweight",), "to a few bits by GPTQ or AWQ"),
    (("token_embd.weight", "blk.0.attn_norm."), "for llama.cpp (GGUF)"),
)
LORA_MARKS = (".lora_A", ".lora_B", ".lora_down", ".lora_up", ".lokr_", ".hada_", ".dora_scale", ".alpha")


@dataclass(frozen=True)
class Kind:
    """what: as a sentence says it; folder: of models/, where it belongs; part: the loader's input that takes it.

    meant: the input that would take it in another form.
    """

    what: str
    folder: str
    part: str = ""
    meant: str = ""


@dataclass(frozen=True)
class Need:
    """What one input of the loader takes: what, from which folder of models/, and the usual file."""

    what: str
    folder: str
    usual: str


NEEDS = {
    DIFFUSION: Need("a NewBie diffusion model", "diffusion_models", "NewBie-Image-Exp0.1-bf16.safetensors"),
    GEMMA: Need("the Gemma 3 4B text encoder", "text_encoders", "gemma_3_4b_it_bf16.safetensors"),
    JINA: Need("the Jina CLIP v2 text encoder", "text_encoders", "jina_clip_v2_bf16.safetensors"),
    VAE: Need("FLUX's 16-channel VAE", "vae", "ae.safetensors"),
}

# What check_whole looks at: the tensor whose prefix the others have; blocks of like layers; some of the tensors beside.
FIRST = {
    DIFFUSION: ("cap_embedder.1.weight",),
    GEMMA: ("layers.0.post_feedforward_layernorm.weight",),
    JINA: JINA_QKV,
    VAE: ("decoder.conv_in.weight",),
}
STACKS = {
    DIFFUSION: ("noise_refiner", "context_refiner", "layers"),
    GEMMA: ("layers",),
    JINA: ("encoder.layers",),
    VAE: (),
}
BESIDE_LAYERS = {
    DIFFUSION: (
        *("x_embedder.weight", "t_embedder.mlp.0.weight", "t_embedder.mlp.2.weight", "cap_embedder.0.weight"),
        *("clip_text_pooled_proj.0.weight", "time_text_embed.1.weight"),
        *("final_layer.linear.weight", "final_layer.adaLN_modulation.1.weight"),
    ),
    GEMMA: ("embed_tokens.weight", "norm.weight"),
    JINA: ("emb_ln.weight", "emb_ln.bias"),
    VAE: ("encoder.conv_in.weight", "encoder.conv_out.weight", "decoder.conv_out.weight"),
}


class Tensors:
    """A header's shapes, found by the end of their names."""

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self.shapes = shapes

    def name(self, *ends: str) -> str | None:
        """The first tensor with one of these names, behind any prefix; an unprefixed one before others."""
        for end in ends:
            if end in self.shapes:
                return end
            found = next((name for name in self.shapes if name.endswith(f".{end}")), None)
            if found is not None:
                return found
        return None

    def shape(self, *ends: str) -> tuple[int, ...] | None:
        name = self.name(*ends)
        return None if name is None else self.shapes[name]

    def has(self, *ends: str) -> bool:
        return self.name(*ends) is not None

    def within(self, part: str) -> bool:
        return any(part in name for name in self.shapes)

    def layers(self, end: str) -> int:
        """How many layers there are beside the one in which layers.0.`end` is."""
        name = self.name(f"layers.0.{end}")
        if name is None:
            return 0
        head = name.removesuffix(f"0.{end}")
        return len({other[len(head) :].split(".")[0] for other in self.shapes if other.startswith(head)})

    def whole_stack(self, head: str) -> set[str]:
        """The weights of layers `head`0. to the last: in every layer, all that any of them has."""
        found = [name[len(head) :].split(".", 1) for name in self.shapes if name.startswith(head)]
        numbered = [(int(pair[0]), pair[1]) for pair in found if len(pair) == 2 and NUMBER.fullmatch(pair[0])]
        ends = {end for _, end in numbered if end.endswith((".weight", ".bias", ".original"))}
        last = max((number for number, _ in numbered), default=-1)
        return {f"{head}{number}.{end}" for number in range(last + 1) for end in ends}


def kind_of(header: Header) -> Kind | None:
    """What the file is; None for one that is not known here."""
    tensors = Tensors(header.shapes)
    for look in (quantised, lora, checkpoint, diffusion_model, text_encoder, vae):
        try:
            found = look(tensors)
        except (IndexError, ValueError):  # a tensor of a known name has fewer or more dimensions than any model's
            continue
        if found is not None:
            return found
    return None


def quantised(tensors: Tensors) -> Kind | None:
    """A form that the host does not read. Its matrices have other shapes than the model's, so names must do."""
    how = next((how for marks, how in QUANTISED if any(tensors.within(mark) for mark in marks)), None)
    if how is None:
        return None
    if tensors.within("clip_text_pooled_proj.") and tensors.within("cap_embedder."):
        meant = DIFFUSION
    else:
        encoder = text_encoder(tensors)
        meant = encoder.part if encoder else ""
    what, folder = (NEEDS[meant].what, NEEDS[meant].folder) if meant else ("a model", "diffusion_models")
    return Kind(f"{what} quantised {how}", folder, meant=meant)


def lora(tensors: Tensors) -> Kind | None:
    marked = sum(any(mark in name for mark in LORA_MARKS) for name in tensors.shapes)
    if tensors.has(*JINA_QKV) or marked * 2 < len(tensors.shapes) or not marked:  # Jina carries its adapters along
        return None
    return Kind("a LoRA", LORAS)


def checkpoint(tensors: Tensors) -> Kind | None:
    """A file with a diffusion model and its text encoder and VAE in one."""
    first = "decoder.conv_in.weight"
    name = tensors.name(f"first_stage_model.{first}", f"vae.{first}")
    if name is None or all(other.startswith(name.removesuffix(first)) for other in tensors.shapes):
        return None  # a VAE alone keeps its prefix where a script took it out of a checkpoint
    if tensors.has("conditioner.embedders.1.model.ln_final.weight"):
        return Kind("an SDXL checkpoint", "checkpoints")
    if tensors.has("model.diffusion_model.input_blocks.0.0.weight"):
        return Kind("an SD 1.5 or 2 checkpoint", "checkpoints")
    model = diffusion_model(tensors)
    return Kind(f"a checkpoint with {model.what if model else 'a diffusion model'} and more in it", "checkpoints")


def diffusion_model(tensors: Tensors) -> Kind | None:
    folder = "diffusion_models"
    caption = tensors.shape("cap_embedder.1.weight")
    if caption is not None and tensors.has("noise_refiner.0.attention_norm1.weight"):
        if tensors.has("clip_text_pooled_proj.1.weight"):
            if caption[0] != NEWBIE_WIDTH:
                return Kind(f"a NewBie diffusion model {caption[0]} wide instead of {NEWBIE_WIDTH}", folder)
            return Kind(NEEDS[DIFFUSION].what, folder, DIFFUSION)
        if caption[0] == 3840:
            return Kind("a Z-Image diffusion model", folder)
        return Kind("a Lumina 2 diffusion model (it has no place for Jina's vector)", folder)
    if tensors.has("time_caption_embed.caption_embedder.1.weight"):
        return Kind("a diffusion model by the diffusers library's names (such as Lumina 2's)", folder)
    if tensors.has("input_blocks.0.0.weight"):
        sdxl = tensors.has("label_emb.0.0.weight")
        return Kind(f"an {'SDXL' if sdxl else 'SD 1.5 or 2'} diffusion model (UNet)", folder)
    if tensors.has("double_blocks.0.img_attn.qkv.weight", "single_transformer_blocks.0.attn.to_q.weight"):
        return Kind("a FLUX or Hunyuan diffusion model", folder)
    if tensors.has("joint_blocks.0.x_block.attn.qkv.weight"):
        return Kind("an SD3 diffusion model", folder)
    if tensors.within("controlnet_") or tensors.within("control_model."):
        return Kind("a ControlNet", "controlnet")
    return None


def text_encoder(tensors: Tensors) -> Kind | None:
    folder = "text_encoders"
    if tensors.has(*JINA_QKV):
        return jina(tensors)
    if tensors.has("layers.0.post_feedforward_layernorm.weight"):
        return gemma(tensors)
    if tensors.has("encoder.block.0.layer.0.SelfAttention.k.weight"):
        return Kind("a T5 text encoder", folder)
    clip = tensors.shape("text_model.encoder.layers.0.layer_norm1.weight", "transformer.resblocks.0.ln_1.weight")
    if clip is not None:
        return Kind(f"a {CLIP_SIZES.get(clip[0], 'CLIP')} text encoder", folder)
    if tensors.has("vision_model.encoder.layers.0.layer_norm1.weight"):
        return Kind("a CLIP vision encoder", "clip_vision")
    if tensors.has("encoder.layer.0.attention.self.query.weight"):
        return Kind("a BERT or XLM-RoBERTa text encoder", folder)
    if tensors.has("layers.0.post_attention_layernorm.weight"):
        return Kind("a Qwen, Llama or Mistral text encoder", folder)
    return None


def jina(tensors: Tensors) -> Kind:
    """jina-embeddings-v3 is of the same size, and carries five adapters along instead of one."""
    other, folder = "a Jina text encoder", "text_encoders"
    width, layers = JINA_CLIP_2
    norm = tensors.shape("emb_ln.weight") or (width,)  # check_whole tells that it is missing
    found = max(tensors.layers(end.partition(".0.")[2]) for end in JINA_QKV)
    adapters = tensors.shape(f"{QKV}.parametrizations.weight.0.lora_A") or (1,)
    if norm[0] != width:
        return Kind(f"{other} {norm[0]} wide instead of {width}", folder)
    if found != layers:
        return Kind(f"{other} with {found} layers instead of {layers}", folder)
    if adapters[0] != 1:
        return Kind(f"{other} with {adapters[0]} adapters instead of 1 (such as jina-embeddings-v3)", folder)
    return Kind(NEEDS[JINA].what, folder, JINA)


def gemma(tensors: Tensors) -> Kind:
    folder = "text_encoders"
    (width,) = tensors.shape("layers.0.input_layernorm.weight") or (0,)
    layers = tensors.layers("post_feedforward_layernorm.weight")
    if not tensors.has("layers.0.self_attn.q_norm.weight"):
        return Kind(f"a Gemma 2 text encoder{' (2B)' if width == 2304 else ''}", folder)
    if (width, layers) == GEMMA_4B:
        return Kind(NEEDS[GEMMA].what, folder, GEMMA)
    size = GEMMA_SIZES.get(width, "")
    if size == "4B":  # Gemma 4 is as wide
        return Kind(f"a Gemma text encoder with {layers} layers instead of {GEMMA_4B[1]}", folder)
    return Kind(f"a Gemma 3 text encoder of another size ({size or f'{width} wide'})", folder)


def vae(tensors: Tensors) -> Kind | None:
    folder = "vae"
    tiny = tensors.shape("taesd_decoder.1.weight")
    if tiny is not None:
        return Kind(f"a tiny {tiny[1]}-channel VAE", folder, VAE if tiny[1] == 16 else "")
    if len(tensors.shape("decoder.conv1.weight") or ()) == 5:  # Wan's
        return Kind("a video VAE", folder)
    first = tensors.shape("decoder.conv_in.weight")
    if first is None:
        return None
    if len(first) != 4:
        return Kind("a video VAE", folder)
    if first[1] == 16:
        return Kind(NEEDS[VAE].what, folder, VAE)  # SD3's has the very same shapes
    known = {4: " of SD 1.5 or SDXL", 32: " of FLUX.2"}
    return Kind(f"a {first[1]}-channel VAE{known.get(first[1], '')}", folder)


# --- what is said ----------------------------------------------------------------------------------------------------


def expected(parts: Iterable[str]) -> str:
    """What belongs into the place of a file that can't be read, one of these parts; "" where there are none."""
    needs = [NEEDS[part] for part in parts]
    if not needs:
        return ""
    what, usual = (" or ".join(words) for words in zip(*((need.what, need.usual) for need in needs), strict=True))
    return f"{what} for models/{needs[0].folder} (such as {usual})"


def expect(path: Path, header: Header, part: str) -> None:
    """Raises CheckpointError unless the file is what this input of the loader takes."""
    kind, need = kind_of(header), NEEDS[part]
    if kind is not None and kind.part == part:
        return
    if kind is not None and kind.meant == part:
        raise CheckpointError(not_in_this_form(path, kind))
    what = (
        kind.what if kind else f"no file that is known here (its first tensor is {next(iter(header.shapes), 'none')})"
    )
    if kind is not None and kind.part:
        what += f", which belongs into the input {kind.part},"
    raise CheckpointError(
        f"{path} is {what} and not {need.what}: put that one, such as {need.usual}, into models/{need.folder} "
        "and choose it here."
    )


def not_in_this_form(path: Path, kind: Kind) -> str:
    return f"{path} is {kind.what}, which ComfyUI's own loading does not read: use {NEEDS[kind.meant].usual} instead."


def check_whole(path: Path, header: Header, part: str) -> None:
    """Raises CheckpointError if the header lacks tensors that every model of this part has.

    It sees what a missing shard takes away: some layers or a part of one, or what stands before and after them.
    """
    tensors = Tensors(header.shapes)
    first = tensors.name(*FIRST[part])
    if first is None:  # a tiny VAE
        return
    before = prefix(header, part)
    expected = {before + name for name in BESIDE_LAYERS[part]}
    for stack in STACKS[part]:
        expected |= tensors.whole_stack(f"{before}{stack}.")
    lacks = sorted(expected - set(header.shapes))
    if lacks:
        more = f" and {len(lacks) - 1} more" if len(lacks) > 1 else ""
        raise CheckpointError(f"{path} lacks the tensor {lacks[0]}{more}: download it again.")


def check_pair(model: tuple[Path, Header], gemma: tuple[Path, Header], jina: tuple[Path, Header]) -> None:
    """Raises CheckpointError if the diffusion model was trained with encoders of other widths."""
    shapes = Tensors(model[1].shapes)
    wanted = {
        "Gemma": (gemma, "cap_embedder.1.weight", ("embed_tokens.weight",), 1),
        "Jina": (jina, "clip_text_pooled_proj.1.weight", ("emb_ln.weight",), 0),
    }
    for name, ((path, header), key, ends, axis) in wanted.items():
        takes, gives = shapes.shape(key), Tensors(header.shapes).shape(*ends)
        if takes is None or gives is None:
            raise CheckpointError(f"{path if takes else model[0]} lacks the tensor {ends[0] if takes else key}.")
        if takes[1] != gives[axis]:
            raise CheckpointError(
                f"{path} gives text features {gives[axis]} wide, but {model[0]} takes {takes[1]} from {name}: "
                "choose the files of one release."
            )


def prefix(header: Header, part: str) -> str:
    """What stands before the names of the part's tensors; "" for a tiny VAE, whose own names begin otherwise."""
    first = Tensors(header.shapes).name(*FIRST[part]) or ""
    return next((first.removesuffix(end) for end in FIRST[part] if first.endswith(end)), "")


def precisions(headers: Iterable[Header]) -> str:
    """The precision in which most weights are kept, e.g. "BF16"; with scales of its own: "F8_E4M3, scaled"."""
    counts: dict[str, int] = {}
    scaled = False
    for header in headers:
        for name, dtype in header.dtypes.items():
            size = 1
            for length in header.shapes[name]:
                size *= length
            if dtype != "U8":  # the tokenizer, and marks
                counts[dtype] = counts.get(dtype, 0) + size
            scaled = scaled or name.endswith((".weight_scale", ".scale_weight"))
    return max(counts, key=lambda dtype: counts[dtype], default="") + (", scaled" if scaled else "")
