"""Latent -> IMAGE through the host's VAE, in tiles where memory is short."""

from __future__ import annotations

import logging

import comfy.model_management
from comfy.sd import VAE
from torch import Tensor


def out_of_memory(problem: Exception) -> bool:
    """The host's own test, and the message by which the CPU's allocator says it."""
    return comfy.model_management.is_oom(problem) or "not enough memory" in str(problem)


def decode(vae: VAE, samples: Tensor) -> Tensor:
    """samples [B, C, h, w] -> [B, 8h, 8w, 3] in 0..1. Raises ValueError if latent and VAE don't belong together."""
    if samples.shape[1] != vae.latent_channels:
        raise ValueError(
            f"The latent has {samples.shape[1]} channels, but this VAE decodes {vae.latent_channels}: "
            "use the VAE that belongs to the model, NewBie Loader's own or FLUX's ae.safetensors."
        )
    tiled = False
    try:
        images = vae.decode(samples)
    except Exception as problem:
        if not out_of_memory(problem):
            raise
        tiled = True  # retried outside this block, so that the failed attempt's tensors are free by then
    if tiled:
        logging.warning("NewBie: not enough memory to decode the picture at once; decoding it in tiles.")
        images = vae.decode_tiled(samples)
    return images.reshape(-1, *images.shape[-3:])
