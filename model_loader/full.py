"""Full-size checkpoints through the host's own loaders, with a look at the files first."""

from __future__ import annotations

from pathlib import Path

import comfy.sd
import comfy.utils
import folder_paths
import torch
from comfy.model_patcher import ModelPatcher
from comfy.sd import CLIP, VAE

from .checkpoint import CheckpointError, Header, read_header
from .mini import ISOLATION

NONE = "none"


def find(folder: str, name: str, what: str) -> tuple[Path, Header]:
    """The file that the user chose in one of the host's model folders. Raises CheckpointError."""
    if name == NONE:
        raise CheckpointError(f"No {what} is chosen: put its .safetensors file into models/{folder} and choose it.")
    path = folder_paths.get_full_path(folder, name)
    if path is None:
        raise CheckpointError(f"{name} is not in models/{folder}: put the file there, or choose another {what}.")
    return Path(path), read_header(Path(path))


def expect(path: Path, header: Header, key: str, what: str) -> None:
    if not any(name.endswith(key) for name in header.shapes):
        raise CheckpointError(f"{path} is not {what} (it has no tensor {key}): choose another file.")


def load_model(name: str, dtype: torch.dtype | None) -> tuple[ModelPatcher, str]:
    """-> MODEL and the isolation that its metadata asks for."""
    path, header = find("diffusion_models", name, "diffusion model")
    expect(path, header, "clip_text_pooled_proj.1.weight", "a NewBie diffusion model")
    model = comfy.sd.load_diffusion_model(str(path), model_options={"dtype": dtype} if dtype else {})
    return model, header.metadata.get(ISOLATION, "gentle")


def load_clip(gemma: str, jina: str) -> CLIP:
    gemma_path, gemma_header = find("text_encoders", gemma, "Gemma text encoder")
    jina_path, jina_header = find("text_encoders", jina, "Jina text encoder")
    expect(gemma_path, gemma_header, "model.layers.0.self_attn.q_norm.weight", "the Gemma 3 text encoder")
    expect(jina_path, jina_header, "model.encoder.layers.0.mixer.Wqkv.weight", "the Jina CLIP v2 text encoder")
    for path, header in ((gemma_path, gemma_header), (jina_path, jina_header)):
        expect(path, header, "spiece_model", "a text encoder with its tokenizer inside")
    return comfy.sd.load_clip(
        [str(gemma_path), str(jina_path)],
        embedding_directory=folder_paths.get_folder_paths("embeddings"),
        clip_type=comfy.sd.CLIPType.NEWBIE,
    )


def load_vae(name: str) -> VAE:
    path, _ = find("vae", name, "VAE")
    tensors, metadata = comfy.utils.load_torch_file(str(path), return_metadata=True)
    vae = VAE(sd=tensors, metadata=metadata)
    vae.throw_exception_if_invalid()
    return vae


def load(
    diffusion_model: str, gemma: str, jina: str, vae: str, dtype: torch.dtype | None
) -> tuple[ModelPatcher, CLIP, VAE, str]:
    """File names as the host's folders list them -> MODEL, CLIP, VAE, isolation. Raises CheckpointError."""
    clip = load_clip(gemma, jina)  # the small mistakes first: the diffusion model takes longest
    decoder = load_vae(vae)
    model, isolation = load_model(diffusion_model, dtype)
    return model, clip, decoder, isolation
