"""What the loader's inputs need: the right model, whole, with its tokenizer, and parts that fit each other.

The loader asks before it loads anything, and `./run models check` asks the same. Headers and tokenizers alone are read.
Standard library.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain, islice

from . import tokenizer
from .checkpoint import CheckpointError, Source, check_complete, unreadable
from .identify import DIFFUSION, GEMMA, JINA, JINA_QKV, PARTS, VAE, FileKind, Shapes, kind_of, prefix_before

USUAL = {
    DIFFUSION: "NewBie-Image-Exp0.1-bf16.safetensors",
    GEMMA: "gemma_3_4b_it_bf16.safetensors",
    JINA: "jina_clip_v2_bf16.safetensors",
    VAE: "ae.safetensors",
}
FIRST = {  # the tensor whose prefix the others of the part have
    DIFFUSION: ("cap_embedder.1.weight",),
    GEMMA: ("layers.0.post_feedforward_layernorm.weight",),
    JINA: JINA_QKV,
    VAE: ("decoder.conv_in.weight",),
}
STACKS = {  # blocks of like layers
    DIFFUSION: ("noise_refiner", "context_refiner", "layers"),
    GEMMA: ("layers",),
    JINA: ("encoder.layers",),
    VAE: (),
}
BESIDE_LAYERS = {  # some of the other tensors, but for the end of their names, ".weight"
    DIFFUSION: (
        *("x_embedder", "t_embedder.mlp.0", "t_embedder.mlp.2", "cap_embedder.0", "clip_text_pooled_proj.0"),
        *("time_text_embed.1", "final_layer.linear", "final_layer.adaLN_modulation.1"),
    ),
    GEMMA: ("embed_tokens", "norm"),
    JINA: ("emb_ln",),
    VAE: ("encoder.conv_in", "encoder.conv_out", "decoder.conv_out"),
}
ENCODERS = {  # their tokenizers; (the diffusion model's tensor, the encoder's, its axis) whose widths must be the same
    GEMMA: (tokenizer.gemma, "Gemma", ("cap_embedder.1.weight", "embed_tokens.weight", 1)),
    JINA: (tokenizer.jina, "Jina", ("clip_text_pooled_proj.1.weight", "emb_ln.weight", 0)),
}
MANY = 10_000  # missing tensors are counted so far: a nonsensical header may ask for millions
SHARD = re.compile(r"-[0-9]+-of-([0-9]+)")  # at the end of a shard's name, as the libraries that save them call it


def require(found: Source, part: str) -> None:
    """Raises CheckpointError if it is not this part, whole, with its tokenizer."""
    try:
        check_kind(found, part)
        check_whole(found, part)
    except CheckpointError as problem:
        raise CheckpointError(shards_missing(found) or str(problem)) from problem
    if part in ENCODERS and "spiece_model" not in found.header.shapes:
        check_tokenizer(found, part)


def wanted(parts: Iterable[str]) -> str:
    """What belongs in the place of a file that can't be read, one of these parts; "" where there are none."""
    parts = list(parts)
    if not parts:
        return ""
    what, usual = " or ".join(PARTS[part].what for part in parts), " or ".join(USUAL[part] for part in parts)
    return f"{what} for models/{PARTS[parts[0]].folder} (such as {usual})"


def check_kind(found: Source, part: str) -> None:
    """Raises CheckpointError unless the source is what this input of the loader takes."""
    kind, need = kind_of(found.header), PARTS[part]
    if kind is None:
        first = next(iter(found.header.shapes), "none")
        what = f"is not a model that the loader knows (its first tensor is {first}); {need.what} is needed"
    elif kind.part == part:
        return
    elif kind.meant == part:
        raise CheckpointError(not_in_this_form(found, kind))
    else:
        place = f" (for the input {kind.part})" if kind.part else ""
        what = f"is {kind.what}{place}, not {need.what}"
    raise CheckpointError(
        f"{found.where} {what}: put the right file, such as {USUAL[part]}, into models/{need.folder} and choose it."
    )


def not_in_this_form(found: Source, kind: FileKind) -> str:
    return f"{found.where} is {kind.what}, which ComfyUI can't load: use {USUAL[kind.meant]} instead."


def check_whole(found: Source, part: str) -> None:
    """Raises CheckpointError if the header lacks tensors that every model of this part has.

    It sees what a missing shard takes away: some layers or a part of one, or what stands before and after them.
    """
    shapes = Shapes(found.header.shapes)
    if not shapes.has(*FIRST[part]):  # a tiny VAE
        return
    before = prefix_before(shapes.shapes, *FIRST[part])
    beside = (f"{before}{name}.weight" for name in BESIDE_LAYERS[part])
    stacks = (shapes.whole_stack(f"{before}{stack}.") for stack in STACKS[part])
    lacks = (name for name in chain(beside, *stacks) if name not in shapes.shapes)
    check_complete(found.where, set(islice(lacks, MANY)), set(), "download it again")


def check_pair(model: Source, gemma: Source, jina: Source) -> None:
    """Raises CheckpointError if the diffusion model was trained with encoders of other widths."""
    for part, encoder in ((GEMMA, gemma), (JINA, jina)):
        _, name, (key, own, axis) = ENCODERS[part]
        takes, gives = Shapes(model.header.shapes).shape(key), Shapes(encoder.header.shapes).shape(own)
        if takes is None or gives is None:
            where, lost = (encoder.where, own) if takes else (model.where, key)
            raise CheckpointError(f"{where} lacks the tensor {lost}: download it again.")
        if takes[1] != gives[axis]:
            raise CheckpointError(
                f"{encoder.where} makes text features {gives[axis]} wide, but {model.where} takes {takes[1]} from "
                f"{name}: choose files of the same release."
            )


def check_tokenizer(found: Source, part: str) -> None:
    if not found.tokenizer:
        raise CheckpointError(
            f"{found.where} contains no tokenizer (the tensor spiece_model): use the file repackaged for ComfyUI, such "
            f"as {USUAL[part]}, or the authors' folder."
        )
    try:
        ENCODERS[part][0](found.tokenizer)
    except OSError as problem:
        raise unreadable(found.tokenizer[0], problem) from problem


def shards_missing(found: Source) -> str:
    """Why a source is not what is needed, where its files' names tell that there are more of them; otherwise empty."""
    ends = [SHARD.search(path.stem) for path in found.paths]
    of = next((int(end[1]) for end in ends if end), 0)
    if of <= len(found.paths):
        return ""
    if found.where in found.paths:
        return (
            f"{found.where} is one of the {of} parts of a model: use the model in one file, or put the whole release "
            "into models/diffusers."
        )
    return (
        f"{found.where} has only {len(found.paths)} of its {of} parts, and no index: download the whole folder again."
    )
