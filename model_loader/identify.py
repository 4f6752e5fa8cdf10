"""What a file is, told by its tensors' names and shapes.

A file's name says nothing: people rename them, and two models' files are both called model.safetensors. Names of
tensors are found behind any prefix (model.diffusion_model., transformer., module. ...).
Sources of the shapes: comfy/model_detection.py and detect_te_model in comfy/sd.py (ComfyUI 0.30.0).
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

DIFFUSION, GEMMA, JINA, VAE = "diffusion_model", "gemma", "jina", "vae"  # the loader node's inputs

LORAS = "loras"
NUMBER = re.compile("[0-9]{1,3}")  # of a layer
NEWBIE_WIDTH = 2304  # the only width whose heads the host knows
GEMMA_4B = (2560, 34)  # width, layers
JINA_CLIP_2 = (1024, 24)
GEMMA_SIZES = {1152: "1B", 2560: "4B", 3840: "12B", 5376: "27B"}  # by width
CLIP_SIZES = {768: "CLIP-L", 1024: "CLIP-H", 1280: "CLIP-G"}
VAE_USES = {4: " of SD 1.5 or SDXL", 32: " of FLUX.2"}  # by channels

QKV = "encoder.layers.0.mixer.Wqkv"
JINA_QKV = (f"{QKV}.weight", f"{QKV}.parametrizations.weight.original")
QUANTISED = (  # (parts of tensors' names, how that is called), of forms that are other loaders' and not the host's
    ((".quant_state.bitsandbytes__", ".weight.absmax"), "to 4 bits by bitsandbytes"),
    ((".SCB",), "to 8 bits by bitsandbytes"),
    ((".wscales",), "to 4 bits for Nunchaku (SVDQuant)"),
    ((".qweight",), "to a few bits by GPTQ or AWQ"),
    (("token_embd.weight", "blk.0.attn_norm."), "for llama.cpp (GGUF)"),
)
LORA_MARK = re.compile(r"\.(?:lora[._](?:A|B|down|up)|lokr_|hada_|oft_blocks|dora_scale|alpha|diff(?:_b)?$)")


@dataclass(frozen=True)
class Header:
    """metadata: the file's own words; shapes and dtypes (F32, BF16 ...): every tensor's, by name; size: in bytes."""

    metadata: dict[str, str]
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str] = field(default_factory=dict)
    size: int = 0


@dataclass(frozen=True)
class FileKind:
    """what: as a sentence says it; folder: of models/, where it belongs; part: the loader's input that takes it.

    meant: the input that would take it in another form.
    """

    what: str
    folder: str
    part: str = ""
    meant: str = ""


PARTS = {  # what the loader's inputs take
    part: FileKind(what, folder, part)
    for part, what, folder in (
        (DIFFUSION, "a NewBie diffusion model", "diffusion_models"),
        (GEMMA, "the Gemma 3 4B text encoder", "text_encoders"),
        (JINA, "the Jina CLIP v2 text encoder", "text_encoders"),
        (VAE, "FLUX's 16-channel VAE", "vae"),
    )
}


# Models that one tensor gives away, the first that fits.
OTHER_MODELS = {
    "time_caption_embed.caption_embedder.1.weight": "a diffusion model in the diffusers format (such as Lumina 2's)",
    "label_emb.0.0.weight": "an SDXL diffusion model (UNet)",
    "input_blocks.0.0.weight": "an SD 1.5 or 2 diffusion model (UNet)",
    "double_blocks.0.img_attn.qkv.weight": "a FLUX or Hunyuan diffusion model",
    "single_transformer_blocks.0.attn.to_q.weight": "a FLUX or Hunyuan diffusion model",
    "joint_blocks.0.x_block.attn.qkv.weight": "an SD3 diffusion model",
}
OTHER_ENCODERS = {
    "encoder.block.0.layer.0.SelfAttention.k.weight": "a T5 text encoder",
    "encoder.layer.0.attention.self.query.weight": "a BERT or XLM-RoBERTa text encoder",
    "layers.0.post_attention_layernorm.weight": "a Qwen, Llama or Mistral text encoder",
}


class Shapes:
    """A header's shapes, found by the end of their names: by two parts of a name or more."""

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self.shapes = shapes
        self.text = "\n".join(shapes)
        self.by_end: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for name in shapes:
            self.by_end[tuple(name.rsplit(".", 2)[-2:])].append(name)

    def name(self, *ends: str) -> str | None:
        """The first tensor with one of these names, behind any prefix; an unprefixed one before others."""
        for end in ends:
            if end in self.shapes:
                return end
            alike = self.by_end.get(tuple(end.rsplit(".", 2)[-2:]), ())
            found = next((name for name in alike if name.endswith(f".{end}")), None)
            if found is not None:
                return found
        return None

    def shape(self, *ends: str) -> tuple[int, ...] | None:
        name = self.name(*ends)
        return None if name is None else self.shapes[name]

    def has(self, *ends: str) -> bool:
        return self.name(*ends) is not None

    def within(self, part: str) -> bool:
        return part in self.text

    def layers(self, end: str) -> int:
        """How many layers there are beside the one in which layers.0.`end` is."""
        name = self.name(f"layers.0.{end}")
        if name is None:
            return 0
        head = name.removesuffix(f"0.{end}")
        return len({other[len(head) :].split(".", 1)[0] for other in self.shapes if other.startswith(head)})

    def whole_stack(self, head: str) -> Iterator[str]:
        """The weights of layers `head`0. to the last: in every layer, all that any of them has."""
        found = [name[len(head) :].split(".", 1) for name in self.shapes if name.startswith(head)]
        numbered = [(int(pair[0]), pair[1]) for pair in found if len(pair) == 2 and NUMBER.fullmatch(pair[0])]
        ends = {end for _, end in numbered if end.endswith((".weight", ".bias", ".original"))}
        last = max((number for number, _ in numbered), default=-1)
        return (f"{head}{number}.{end}" for number in range(last + 1) for end in ends)


def prefix_before(names: Collection[str], *ends: str) -> str:
    """What stands before one of these names, e.g. "model.diffusion_model."; "" if none is there, or one by itself."""
    for end in ends:
        if end in names:
            return ""
        for name in names:
            if name.endswith(f".{end}"):
                return name.removesuffix(end)
    return ""


def kind_of(header: Header) -> FileKind | None:
    """What the file is; None where that is unknown."""
    shapes = Shapes(header.shapes)
    for look in (quantised, lora, checkpoint, diffusion_model, text_encoder, vae):
        try:
            found = look(shapes)
        except (IndexError, ValueError):  # a tensor of a known name has fewer or more dimensions than any model's
            continue
        if found is not None:
            return found
    return None


def other(shapes: Shapes, models: Mapping[str, str], folder: str) -> FileKind | None:
    return next((FileKind(what, folder) for name, what in models.items() if shapes.has(name)), None)


def quantised(shapes: Shapes) -> FileKind | None:
    """A form that the host does not read. Its matrices have other shapes than the model's, so names must do."""
    how = next((how for marks, how in QUANTISED if any(map(shapes.within, marks))), None)
    if how is None:
        return None
    if shapes.within("clip_text_pooled_proj.") and shapes.within("cap_embedder."):
        own = PARTS[DIFFUSION]
    else:
        encoder = text_encoder(shapes)
        own = encoder if encoder is not None and encoder.part else FileKind("a model", "diffusion_models")
    return FileKind(f"{own.what} quantised {how}", own.folder, meant=own.part)


def lora(shapes: Shapes) -> FileKind | None:
    marked = sum(LORA_MARK.search(name) is not None for name in shapes.shapes)
    if shapes.has(*JINA_QKV) or marked * 2 < len(shapes.shapes) or not marked:  # Jina carries its adapters along
        return None
    return FileKind("a LoRA", LORAS)


def checkpoint(shapes: Shapes) -> FileKind | None:
    """A file with a diffusion model and its text encoder and VAE in one."""
    first = "decoder.conv_in.weight"
    name = shapes.name(f"first_stage_model.{first}", f"vae.{first}")
    if name is None or all(other.startswith(name.removesuffix(first)) for other in shapes.shapes):
        return None  # a VAE alone keeps its prefix where a script took it out of a checkpoint
    if shapes.has("conditioner.embedders.1.model.ln_final.weight"):
        what = "an SDXL checkpoint"
    elif shapes.has("model.diffusion_model.input_blocks.0.0.weight"):
        what = "an SD 1.5 or 2 checkpoint"
    else:
        model = diffusion_model(shapes)
        what = f"a checkpoint with {model.what if model else 'a diffusion model'} and more in it"
    return FileKind(what, "checkpoints")


def diffusion_model(shapes: Shapes) -> FileKind | None:
    caption = shapes.shape("cap_embedder.1.weight")
    if caption is not None and shapes.has("noise_refiner.0.attention_norm1.weight"):
        what = "a Lumina 2 diffusion model (it has no place for Jina's vector)"
        if shapes.has("clip_text_pooled_proj.1.weight"):
            if caption[0] == NEWBIE_WIDTH:
                return PARTS[DIFFUSION]
            what = f"a NewBie diffusion model {caption[0]} wide instead of {NEWBIE_WIDTH}"
        elif caption[0] == 3840:
            what = "a Z-Image diffusion model"
        return FileKind(what, "diffusion_models")
    control = shapes.within("controlnet_") or shapes.within("control_model.")
    known = other(shapes, OTHER_MODELS, "diffusion_models")
    return known or (FileKind("a ControlNet", "controlnet") if control else None)


def text_encoder(shapes: Shapes) -> FileKind | None:
    if shapes.has(*JINA_QKV):
        return jina(shapes)
    if shapes.has("layers.0.post_feedforward_layernorm.weight"):
        return gemma(shapes)
    clip = shapes.shape("text_model.encoder.layers.0.layer_norm1.weight", "transformer.resblocks.0.ln_1.weight")
    if clip is not None:
        return FileKind(f"a {CLIP_SIZES.get(clip[0], 'CLIP')} text encoder", "text_encoders")
    if shapes.has("vision_model.encoder.layers.0.layer_norm1.weight"):
        return FileKind("a CLIP vision encoder", "clip_vision")
    return other(shapes, OTHER_ENCODERS, "text_encoders")


def jina(shapes: Shapes) -> FileKind:
    """jina-embeddings-v3 is of the same size, and carries five adapters along instead of one."""
    width, layers = JINA_CLIP_2
    norm = shapes.shape("emb_ln.weight") or (width,)  # check_whole tells that it is missing
    found = max(shapes.layers(end.partition(".0.")[2]) for end in JINA_QKV)
    adapters = shapes.shape(f"{QKV}.parametrizations.weight.0.lora_A") or (1,)
    if norm[0] != width:
        differs = f"{norm[0]} wide instead of {width}"
    elif found != layers:
        differs = f"with {found} layers instead of {layers}"
    elif adapters[0] != 1:
        differs = f"with {adapters[0]} adapters instead of 1 (such as jina-embeddings-v3)"
    else:
        return PARTS[JINA]
    return FileKind(f"a Jina text encoder {differs}", "text_encoders")


def gemma(shapes: Shapes) -> FileKind:
    (width,) = shapes.shape("layers.0.input_layernorm.weight") or (0,)
    layers = shapes.layers("post_feedforward_layernorm.weight")
    size = GEMMA_SIZES.get(width, f"{width} wide")
    if not shapes.has("layers.0.self_attn.q_norm.weight"):
        what = f"a Gemma 2 text encoder{' (2B)' if width == 2304 else ''}"
    elif (width, layers) == GEMMA_4B:
        return PARTS[GEMMA]
    elif size == "4B":  # Gemma 4 is as wide
        what = f"a Gemma text encoder with {layers} layers instead of {GEMMA_4B[1]}"
    else:
        what = f"a Gemma 3 text encoder of another size ({size})"
    return FileKind(what, "text_encoders")


def vae(shapes: Shapes) -> FileKind | None:
    tiny = shapes.shape("taesd_decoder.1.weight")
    if tiny is not None:
        return FileKind(f"a tiny {tiny[1]}-channel VAE", "vae", VAE if tiny[1] == 16 else "")
    wan, first = shapes.shape("decoder.conv1.weight") or (), shapes.shape("decoder.conv_in.weight")
    if len(wan) != 5 and first is None:
        return None
    if first is None or len(wan) == 5 or len(first) != 4:
        return FileKind("a video VAE", "vae")
    if first[1] == 16:
        return PARTS[VAE]  # SD3's has the very same shapes
    return FileKind(f"a {first[1]}-channel VAE{VAE_USES.get(first[1], '')}", "vae")


def precision_of(header: Header) -> str:
    """The precision in which most weights are kept, e.g. "BF16"; with scales of its own: "F8_E4M3, scaled"."""
    counts: Counter[str] = Counter()
    for name, dtype in header.dtypes.items():
        if dtype != "U8":  # the tokenizer, and marks
            counts[dtype] += math.prod(header.shapes[name])
    scaled = any(name.endswith((".weight_scale", ".scale_weight")) for name in header.dtypes)
    return max(counts, key=counts.__getitem__, default="") + (", scaled" if scaled else "")
