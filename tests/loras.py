"""Random LoRAs of a network's layers, and a folder of them as the host's list."""

from __future__ import annotations

import copy
from contextlib import contextmanager

import torch


def lora_for(network, prefix, rank=4, seed=0, only=lambda name: True):
    """Random tensors for every linear and convolutional layer of these names."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d) and only(name):
            out, into = module.weight.shape[:2]
            kernel = module.weight.shape[2:]
            down = torch.randn(rank, into, *kernel, generator=generator)
            tensors[f"{prefix}{name}.lora_A.weight"] = down * down[0].numel() ** -0.5
            up = torch.randn(out, rank, *(1,) * len(kernel), generator=generator)
            tensors[f"{prefix}{name}.lora_B.weight"] = up * 0.3
    return tensors


@contextmanager
def listed(path):
    """The folder's files as the host's LoRAs."""
    import folder_paths

    before = copy.deepcopy(folder_paths.folder_names_and_paths["loras"])
    folder_paths.folder_names_and_paths["loras"] = ([str(path)], {".safetensors"})
    folder_paths.filename_list_cache.pop("loras", None)
    yield path
    folder_paths.folder_names_and_paths["loras"] = before
    folder_paths.filename_list_cache.pop("loras", None)


def listed_anew():
    """After a file was added."""
    import folder_paths

    folder_paths.filename_list_cache.pop("loras", None)
