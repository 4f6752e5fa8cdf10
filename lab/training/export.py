"""The weight files: bfloat16, as the host's classes read them, with what the loader needs in the metadata."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..judging.judge import Judge
from . import config, tokens
from .generate import Networks
from .model import Autoencoder
from .world import PLAIN, WIDE, World


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
    save(folder / "judge.safetensors", judge.state_dict(), {"newbie.training": judge.world.training})


def export_networks(folder: Path, networks: Networks, world: World = PLAIN) -> None:
    training = {"newbie.isolation": world.isolation, "newbie.training": world.training}
    for name, network in (("diffusion_model", networks.diffusion), ("gemma", networks.gemma), ("jina", networks.jina)):
        weights = network.state_dict()
        if name != "diffusion_model":
            vocabulary = (tokens.FOLDER / f"{name}.model").read_bytes()
            weights["spiece_model"] = torch.tensor(list(vocabulary), dtype=torch.uint8)
        save(folder / f"{name}.safetensors", weights, {"newbie.config": json.dumps(network.config), **training})


def read_weights(path: Path) -> dict[str, Tensor]:
    """The weights of one file in float32, without the vocabulary."""
    return {name: weight.float() for name, weight in load_file(path).items() if name != "spiece_model"}


def training_of(folder: Path, name: str = "diffusion_model", key: str = "newbie.training") -> str:
    """What a file's metadata say of its training."""
    with safe_open(folder / f"{name}.safetensors", "pt") as file:
        return file.metadata().get(key, "")


def read_networks(folder: Path) -> Networks:
    """Diffusion model and text encoders, with the sizes that the files state."""
    names = ("diffusion_model", "gemma", "jina")
    sizes = []
    for name in names:
        with safe_open(folder / f"{name}.safetensors", "pt") as file:
            sizes.append(json.loads(file.metadata()["newbie.config"]))
    networks = Networks(*sizes)
    for name, network in zip(names, (networks.diffusion, networks.gemma, networks.jina), strict=True):
        network.load_state_dict(read_weights(folder / f"{name}.safetensors"))
    return networks


def read_autoencoder(folder: Path) -> Autoencoder:
    autoencoder = Autoencoder()
    weights = read_weights(folder / "vae.safetensors")
    autoencoder.load_state_dict({name: weight for name, weight in weights.items() if name.startswith("taesd")})
    return autoencoder


def begun_judge(folder: Path | None, world: World) -> Judge:
    """A new judge that has of the one in the folder whatever fits: all but the last layers, where values were added."""
    judge = Judge(world)
    if folder is not None and (folder / "judge.safetensors").is_file():
        new, old = judge.state_dict(), read_weights(folder / "judge.safetensors")
        fitting = {name: old[name] for name, weight in new.items() if name in old and old[name].shape == weight.shape}
        judge.load_state_dict(new | fitting)
    return judge


def world_of(folder: Path, name: str = "diffusion_model") -> World:
    """Whose pictures a file's weights know."""
    return WIDE if training_of(folder, name) == WIDE.training else PLAIN


def read_judge(folder: Path) -> Judge:
    judge = Judge(world_of(folder, "judge"))
    judge.load_state_dict(read_weights(folder / "judge.safetensors"))
    return judge.requires_grad_(False).eval()
