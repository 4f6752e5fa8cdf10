"""Full-size models through the host's own loaders: looked at first, their tensors called as the host calls them.

Either form of the release: split files in models/diffusion_models, text_encoders and vae, or the authors' folder in
models/diffusers. Memory, offloading, LoRA and quantized weights are the host's.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import comfy.diffusers_convert
import comfy.model_detection
import comfy.sd
import comfy.utils
import folder_paths
import torch
from comfy.model_patcher import ModelPatcher
from comfy.sd import CLIP
from safetensors import SafetensorError

from . import checkpoint, requirements, state_dict, tokenizer
from .checkpoint import CheckpointError, Source, check_complete
from .identify import DIFFUSION, GEMMA, JINA, PARTS, VAE, prefix_before
from .mini import ISOLATION
from .requirements import USUAL
from .state_dict import StateDict

NONE = "none"
OLD_MARK = "scaled_fp8"
UNPACKED = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")  # one number in each place
MISMATCH = re.compile(r"size mismatch for (\S+): .* shape torch\.Size\((.*?)\) .* torch\.Size\((.*?)\)")
DIFFUSERS_VAE = "decoder.up_blocks.0.resnets.0.norm1.weight"


def find(part: str, name: str, release: Path | None = None) -> Source:
    """What the user chose for one input, looked at; with "none", that part of the release. Raises CheckpointError."""
    need = PARTS[part]
    if name == NONE and release is not None:
        found = checkpoint.of_folder(release, part)
    elif name == NONE:
        raise CheckpointError(
            f"No {part} is chosen: put {need.what}, such as {USUAL[part]}, into models/{need.folder} and choose it."
        )
    else:
        path = folder_paths.get_full_path(need.folder, name)
        if path is None:
            raise CheckpointError(f"{name} is not in models/{need.folder}: put the file there, or choose another one.")
        found = checkpoint.of_file(Path(path), requirements.wanted([part]))
    requirements.require(found, part)
    return found


def read(found: Source) -> StateDict:
    """All tensors; quantized layers marked as the host marks them: before their names change, as the marks go by them.

    The older mark, one tensor called scaled_fp8 for the whole file, may have the layers' prefix or none.
    """
    tensors: StateDict = {}
    for path in found.paths:
        try:
            own, metadata = comfy.utils.load_torch_file(str(path), safe_load=True, return_metadata=True)
        except (SafetensorError, ValueError) as problem:
            raise CheckpointError(f"{path} is damaged: download it again.") from problem
        tensors |= comfy.utils.convert_old_quants(own, metadata=metadata)[0] if is_marked(metadata) else own
    for mark in [name for name in tensors if name == OLD_MARK or name.endswith(f".{OLD_MARK}")]:
        tensors = comfy.utils.convert_old_quants(tensors, mark.removesuffix(OLD_MARK), metadata={})[0]
    return tensors


def is_marked(metadata: dict[str, str] | None) -> bool:
    """Whether the file's metadata, not a tensor, says which layers are quantized: by their names before ours."""
    return "_quantization_metadata" in (metadata or {})


@contextlib.contextmanager
def named_in(*files: tuple[str, Source, set[str]]) -> Iterator[None]:
    """What the host says of a tensor of another shape, with the file's name: CheckpointError instead of RuntimeError.

    files: (part, file, its tensors' names). A host whose memory management is dynamic says nothing of it here.
    """
    try:
        yield
    except RuntimeError as problem:
        told = MISMATCH.search(str(problem))
        for part, found, present in files:
            if told is not None and told[1] in present:
                raise another(found, *told.groups(), part) from problem
        raise


def another(found: Source, name: str, shape: str | list[int], wanted: str | list[int], part: str) -> CheckpointError:
    return CheckpointError(
        f"{name} in {found.where} has the shape {shape} instead of {wanted}: the file belongs to another model; choose "
        f"one such as {USUAL[part]}."
    )


# Each is also how the host makes a copy of the model for another device, hence disable_dynamic.


def load_model(found: Source, dtype: torch.dtype | None, disable_dynamic: bool = False) -> ModelPatcher:
    tensors = state_dict.diffusion_model(read(found), found.where)
    present = set(tensors)
    options = {"dtype": dtype} if dtype else {}
    with named_in((DIFFUSION, found, present)):
        model = comfy.sd.load_diffusion_model_state_dict(tensors, options, disable_dynamic=disable_dynamic)
    if model is None:
        raise CheckpointError(f"{found.where} is a diffusion model that this ComfyUI can't load: update ComfyUI.")
    check_filled(found, model.model.diffusion_model, present)
    model.cached_patcher_init = (load_model, (found, dtype))
    return model


def load_clip(gemma: Source, jina: Source, disable_dynamic: bool = False) -> CLIP:
    both = [state_dict.gemma(read(gemma)), state_dict.jina(read(jina), jina.config, jina.where)]
    for found, tensors, convert in ((gemma, both[0], tokenizer.gemma), (jina, both[1], tokenizer.jina)):
        if "spiece_model" in tensors:
            tokenizer.check_inside(tensors["spiece_model"].numpy().tobytes(), found is gemma, found.where)
        else:
            tensors["spiece_model"] = torch.frombuffer(bytearray(convert(found.tokenizer)), dtype=torch.uint8)
    present = [set(tensors) for tensors in both]
    with named_in((GEMMA, gemma, present[0]), (JINA, jina, present[1])):
        clip = comfy.sd.load_text_encoder_state_dicts(
            both,
            embedding_directory=folder_paths.get_folder_paths("embeddings"),
            clip_type=comfy.sd.CLIPType.NEWBIE,
            disable_dynamic=disable_dynamic,
        )
    check_filled(gemma, clip.cond_stage_model.gemma.transformer, present[0])
    check_filled(jina, clip.cond_stage_model.jina.transformer, present[1])
    clip.patcher.cached_patcher_init = (load_clip_patcher, (gemma, jina))
    return clip


def load_clip_patcher(gemma: Source, jina: Source, disable_dynamic: bool = False) -> ModelPatcher:
    return load_clip(gemma, jina, disable_dynamic).patcher


def load_vae(found: Source) -> comfy.sd.VAE:
    tensors = read(found)
    tensors = state_dict.without_prefix(tensors, prefix_before(tensors, "decoder.conv_in.weight"))
    if DIFFUSERS_VAE in tensors:
        tensors = comfy.diffusers_convert.convert_vae_state_dict(tensors)
    with named_in((VAE, found, set(tensors))):
        vae = comfy.sd.VAE(sd=tensors, metadata=found.header.metadata)
    vae.throw_exception_if_invalid()
    check_filled(found, vae.first_stage_model, set(tensors))
    vae.patcher.cached_patcher_init = (load_vae_patcher, (found,))
    return vae


def load_vae_patcher(found: Source, disable_dynamic: bool = False) -> ModelPatcher:
    return load_vae(found).patcher


def check_filled(found: Source, module: torch.nn.Module, present: set[str]) -> None:
    """Raises CheckpointError if the model's weights are not all in the file."""
    expected = {name for name in module.state_dict() if name.endswith((".weight", ".bias"))}
    check_complete(found.where, expected, present)


def load(
    diffusion_model: str, gemma: str, jina: str, vae: str, dtype: torch.dtype | None
) -> tuple[ModelPatcher, CLIP, comfy.sd.VAE, str]:
    """What the loader's inputs say -> MODEL, CLIP, VAE, isolation. Everything is looked at before anything is loaded.

    diffusion_model: a file's name, or a release's; the release's own parts are used where the others are "none".
    Raises CheckpointError.
    """
    release = checkpoint.releases(folder_paths.get_folder_paths("diffusers")).get(diffusion_model)
    own = NONE if release else diffusion_model
    chosen: dict[str, Any] = {DIFFUSION: own, GEMMA: gemma, JINA: jina, VAE: vae}
    found = {part: find(part, name, release) for part, name in chosen.items()}
    model, encoders = found[DIFFUSION], (found[GEMMA], found[JINA])
    requirements.check_pair(model, *encoders)
    check_attention(model)
    if state_dict.is_adapted(found[JINA].header.shapes):
        state_dict.default_adapter(found[JINA].config, found[JINA].where)
    clip = load_clip(*encoders)
    decoder = load_vae(found[VAE])
    return load_model(model, dtype), clip, decoder, model.header.metadata.get(ISOLATION, "gentle")


def check_attention(found: Source) -> None:
    """Raises CheckpointError if queries, keys and values are not as many as the host's model has heads for.

    The host says it without the file's name, or, where its memory management is dynamic, only when a picture is drawn.
    """
    shapes = found.header.shapes.items()
    blank = {  # a packed weight's shape is not its layer's
        name: torch.empty(shape, device="meta") for name, shape in shapes if found.header.dtypes[name] in UNPACKED
    }
    tensors = state_dict.diffusion_model(blank, found.where)
    model = comfy.model_detection.detect_unet_config(tensors, "") or {}
    if not {"dim", "n_heads", "n_kv_heads"} <= model.keys():
        return
    width = model["dim"]
    expected = [(model["n_heads"] + 2 * model["n_kv_heads"]) * width // model["n_heads"], width]
    for name, value in tensors.items():
        if name.endswith(".attention.qkv.weight") and list(value.shape) != expected:
            raise another(found, name, list(value.shape), expected, DIFFUSION)
