"""Writes the weights as the host's classes read them, in bfloat16, with what the loader needs in the metadata."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from . import config, tokens
from .generate import Networks
from .judge import Judge
from .model import Autoencoder


def save(path: Path, weights: dict[str, Tensor], metadata: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)

    def stored(weight: Tensor) -> Tensor:  # single constants stay as exact as they were
        return (weight.bfloat16() if weight.is_floating_point() and weight.ndim else weight).contiguous().cpu()

    tensors = {name: stored(weight) for name, weight in weights.items()}
    save_file(tensors, path, metadata={"format": "pt", "modelspec.title": "NewBie mini", **metadata})


def export_autoencoder(folder: Path, network: Autoencoder) -> None:
    constants = {"vae_scale": torch.tensor(config.VAE_SCALE), "vae_shift": torch.tensor(config.VAE_SHIFT)}
    save(folder / "vae.safetensors", network.state_dict() | constants, {})


def export_judge(folder: Path, judge: Judge) -> None:
    save(folder / "judge.safetensors", judge.state_dict(), {})


def export_networks(folder: Path, networks: Networks) -> None:
    trained = "whole prompts jointly, and isolated with boxes stated"
    training = {"newbie.isolation": "strict", "newbie.training": trained}
    save(folder / "diffusion_model.safetensors", networks.diffusion.state_dict(),
         {"newbie.config": json.dumps(config.DIFFUSION), **training})
    for name, network, settings in (("gemma", networks.gemma, config.GEMMA), ("jina", networks.jina, config.JINA)):
        vocabulary = torch.tensor(list((tokens.FOLDER / f"{name}.model").read_bytes()), dtype=torch.uint8)
        save(folder / f"{name}.safetensors", network.state_dict() | {"spiece_model": vocabulary},
             {"newbie.config": json.dumps(settings), **training})
