"""Latent -> IMAGE through the host's VAE: whole where it fits, in tiles where it doesn't."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, NoReturn

import comfy.model_management
import torch
from comfy.sd import VAE
from torch import Tensor

from ..sentences import log

TILES = (192, 128, 96, 80, 64, 48, 32)  # sides in latent pixels; the largest that fits is the closest to the whole
CLOSE = 80  # from this side on within 2/255 of the whole, also where FLUX's autoencoder has random weights
OVERLAP = 4  # a tile's side is so many overlaps
SCALE = 8  # picture pixels a latent pixel, of the autoencoders that belong to the model
GB = 1024**3


@dataclass(frozen=True)
class Memory:
    """Bytes, by the host's estimate: for one picture, for one tile of each side, and free."""

    picture: float
    tiles: dict[int, float]
    free: float


@dataclass(frozen=True)
class Way:
    """tile: side in latent pixels, None for whole pictures. at_once: pictures of a batch together."""

    tile: int | None
    at_once: int
    why: str

    def __str__(self) -> str:
        if self.tile is not None:
            doubt = "" if self.tile >= CLOSE else "; with tiles this small, tones may differ between them"
            return f"in tiles of {self.tile * SCALE} pixels, {self.why}{doubt}"
        return f"whole, {self.at_once} at a time, {self.why}"


def out_of_memory(problem: Exception) -> bool:
    """The host's own test, and the message by which the CPU's allocator says it."""
    return comfy.model_management.is_oom(problem) or "not enough memory" in str(problem)


def check_fits(vae: VAE, samples: Tensor) -> None:
    """Raises ValueError if latent and VAE don't belong together, or not to this model."""
    belongs = "use the model's own VAE, from NewBie Loader or FLUX's ae.safetensors."
    if getattr(vae, "first_stage_model", None) is None:
        raise ValueError(f"No VAE is connected (some checkpoints have none): {belongs}")
    if samples.is_nested or samples.ndim != 4:
        kind = "latent of several parts" if samples.is_nested else f"{samples.ndim}-dimensional latent"
        raise ValueError(
            f"This is a {kind} (video or audio); NewBie Decode takes image latents: connect the LATENT of NewBie "
            "Sample, or decode this one with VAE Decode."
        )
    if vae.latent_dim != 2 or vae.upscale_ratio != SCALE:
        raise ValueError(f"This VAE does not decode to {SCALE} times the latent's size: {belongs}")
    if samples.shape[1] != vae.latent_channels:
        raise ValueError(
            f"The latent has {samples.shape[1]} channels, but this VAE decodes {vae.latent_channels}: {belongs}"
        )
    if not samples.isfinite().all():
        raise ValueError(
            "The latent contains NaN or infinity: the node that made it failed without an error. Check its settings."
        )


def check_pictures(images: Tensor) -> None:
    """Raises RuntimeError for what would be saved as black."""
    if not images.isfinite().all():
        raise RuntimeError(
            "The VAE returned NaN or infinity, which would give a black picture: start ComfyUI with --fp32-vae, or use "
            "another VAE."
        )


def memory_of(vae: VAE, shape: tuple[int, ...]) -> Memory:
    """What the host says, where memory is short when it has made room as for its own decode.

    shape: the latent's [B, C, h, w].
    """

    def needed(height: int, width: int) -> float:
        return vae.memory_used_decode((1, shape[1], height, width), vae.vae_dtype)

    picture = needed(*shape[2:])
    free = vae.patcher.get_free_memory(vae.device)
    if free < shape[0] * picture + vae.patcher.model_size():
        comfy.model_management.load_models_gpu(
            [vae.patcher], memory_required=picture, force_full_load=vae.disable_offload
        )
        free = vae.patcher.get_free_memory(vae.device)
    return Memory(picture, {side: needed(side, side) for side in TILES}, free)


def tiles_for(shape: tuple[int, ...]) -> list[int]:
    """Sides that cut a picture of this latent shape at all; the smallest one always, as the last resort."""
    return [side for side in TILES if side * side < shape[2] * shape[3]] or [TILES[-1]]


def way_for(memory: Memory, shape: tuple[int, ...]) -> Way:
    why = f"because one picture needs about {memory.picture / GB:.1f} GB and {memory.free / GB:.1f} GB are free"
    if memory.picture <= memory.free:
        return Way(None, min(shape[0], int(memory.free // memory.picture)), why)
    sides = tiles_for(shape)
    return Way(next((side for side in sides if memory.tiles[side] <= memory.free), sides[-1]), 1, why)


def smaller(done: Way, shape: tuple[int, ...]) -> Way | None:
    """What to try after this one ran out of memory all the same."""
    sides = [side for side in tiles_for(shape) if done.tile is None or side < done.tile]
    return Way(sides[0], 1, "because there was not enough memory") if sides else None


def whole(vae: VAE, samples: Tensor) -> Tensor:
    """The host's decode without its answer to a full GPU: tiles of 512 pixels, where larger ones may fit."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise torch.OutOfMemoryError("not enough memory for the whole picture")

    single = copy.copy(vae)
    single.decode_tiled_ = refuse
    return single.decode(samples)


def attempt(vae: VAE, samples: Tensor, chosen: Way) -> Tensor | None:
    """None where memory ran out: so that the failed attempt's tensors, which its exception holds, are free by then."""
    try:
        if chosen.tile is None:
            return whole(vae, samples)
        return vae.decode_tiled(samples, tile_x=chosen.tile, tile_y=chosen.tile, overlap=chosen.tile // OVERLAP)
    except Exception as problem:
        if not out_of_memory(problem):
            raise
        return None


def decode(vae: VAE, samples: Tensor) -> Tensor:
    """samples [B, C, h, w] -> [B, 8h, 8w, 3] in 0..1.

    Raises ValueError if latent and VAE don't belong together, RuntimeError if not even the smallest tile fits.
    """
    check_fits(vae, samples)
    shape = tuple(samples.shape)
    chosen: Way | None = way_for(memory_of(vae, shape), shape)
    while chosen is not None:
        log.info("NewBie Decode: %s.", chosen)
        images = attempt(vae, samples, chosen)
        if images is not None:
            check_pictures(images)
            return images
        comfy.model_management.soft_empty_cache()
        chosen = smaller(chosen, shape)
    raise RuntimeError(
        "There is too little memory to decode even a small tile of the picture: close other programs, or draw a "
        "smaller picture."
    )
