"""LoRA files -> what each adds to every layer, as parts that can be split by token (lora_layers.py).

The host's own readers tell what a file's tensors are (comfy.lora.load_lora, comfy.weight_adapter). Which model it is
for shows when it meets one: until then its layers go by a name without prefix and dots, the same whoever wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Any

import comfy.lora
import comfy.lora_convert
import comfy.utils
import folder_paths
import torch
from comfy.weight_adapter import LoHaAdapter, LoKrAdapter, LoRAAdapter, WeightAdapterBase
from torch import Tensor

from ..model_loader.lora import alphas
from ..sentences import log
from .lora_layers import Adapter, Decomposed, Hadamard, Kronecker, Other, Pair, Product, Whole

PREFIXES = re.compile(
    r"(model\.diffusion_model\.|diffusion_model\.|lora_unet_|unet\.base_model\.model\.|base_model\.model\.|unet\."
    r"|transformer\.|lycoris_)"
)
WHOLE_MODEL = "it can't be split between characters: use it with LoraLoader, for the whole picture"


Layers = dict[str, Pair | Other]


def layer_name(name: str) -> str:
    """diffusion_model.layers.0.attention.qkv, lora_unet_layers_0_attention_qkv ... -> layers_0_attention_qkv"""
    return PREFIXES.sub("", name, count=1).replace(".", "_") if PREFIXES.match(name) else name.replace(".", "_")


def find(name: str) -> str:
    """What the host's list calls a LoRA that is written with or without folder and ending. Raises ValueError."""
    known = folder_paths.get_filename_list("loras")
    wanted = name.strip().replace("\\", "/")
    ways = {one: PurePosixPath(one.replace("\\", "/")) for one in known}
    for same in (
        lambda path: str(path) == wanted,
        lambda path: str(path.with_suffix("")) == wanted,
        lambda path: path.name == wanted or path.stem == wanted,
        lambda path: path.stem.casefold() == PurePosixPath(wanted).name.removesuffix(path.suffix).casefold(),
    ):
        found = [one for one, path in ways.items() if same(path)]
        if len(found) == 1:
            return found[0]
        if found:
            raise ValueError(f"{len(found)} LoRAs are called {name} ({', '.join(found)}): write the folder, too.")
    near = get_close_matches(wanted, [str(path.with_suffix("")) for path in ways.values()], 3)
    hint = f"did you mean {' or '.join(near)}?" if near else "put the file into ComfyUI's folder models/loras."
    raise ValueError(f"There is no LoRA called {name}: {hint}")


def read(name: str) -> Layers:
    """name: in the host's list. Raises ValueError, one sentence."""
    path = folder_paths.get_full_path_or_raise("loras", name)
    if not path.casefold().endswith(".safetensors"):
        raise ValueError(f"{name} is not a safetensors file; other formats can contain code. Convert it.")
    tensors, metadata = comfy.utils.load_torch_file(path, safe_load=True, return_metadata=True)
    found = with_alphas(name, Path(path), metadata or {}, found_in(comfy.lora_convert.convert_lora(tensors)))
    if not found:
        raise ValueError(f"{name} contains no LoRA that ComfyUI can read: choose another file.")
    return {layer_name(stem): split(name, stem, one) for stem, one in found.items()}


def with_alphas(name: str, path: Path, metadata: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Plain LoRAs without an alpha get the one that is stated elsewhere. Raises ValueError, one sentence."""
    without = {stem: one for stem, one in found.items() if isinstance(one, LoRAAdapter) and one.weights[2] is None}
    stated = alphas(path, metadata, {stem: one.weights[1].shape[0] for stem, one in without.items()})
    if stated:
        log.info(
            "NewBie: the alpha of %s comes from its metadata or the adapter_config.json beside it; ComfyUI's "
            "LoraLoader does not read it, and applies this LoRA at another strength.", name
        )
    scaled = {}
    for stem, alpha in stated.items():
        up, down, _, *rest = without[stem].weights
        scaled[stem] = LoRAAdapter(without[stem].loaded_keys, (up, down, alpha, *rest))
    return {**found, **scaled}


def found_in(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The host's adapters and patches by the layers' names in the file: everything before a dot may be one."""
    stems = {stem for name in tensors for stem in accumulate(name.split("."), "{}.{}".format)}
    stems |= {name[: name.index("_lora.")] for name in tensors if "_lora." in name}
    return comfy.lora.load_lora(dict(tensors), {stem: stem for stem in sorted(stems)}, log_missing=False)


def split(name: str, stem: str, found: Any) -> Pair | Other:
    """Raises ValueError for what can't be split by token, or is not a function of the layer's input alone."""
    if isinstance(found, LoRAAdapter) and found.weights[5] is None:
        up, down, alpha, mid, magnitude, _ = found.weights
        pair = Pair(full_kernel(down, mid).flatten(1), up.flatten(1), 1.0 if alpha is None else alpha / down.shape[0])
        if magnitude is None:
            return pair
        return decomposed(name, stem, Product({"down": pair.down, "up": pair.up}), pair.scale, magnitude, len(up))
    if isinstance(found, LoHaAdapter) and found.weights[5] is None:
        w1a, w1b, alpha, w2a, w2b, _, _, magnitude = found.weights
        part: Adapter = Hadamard({"w1a": w1a, "w1b": w1b, "w2a": w2a, "w2b": w2b})
        return other(name, stem, part, 1.0 if alpha is None else alpha / w1b.shape[0], magnitude, len(w1a))
    if isinstance(found, LoHaAdapter):  # a convolution's, in Tucker's form
        return other(name, stem, Whole({"weight": difference(found)}), 1.0, found.weights[7], found.weights[0].shape[1])
    if isinstance(found, LoKrAdapter):
        first, second, scale = kronecker_factors(found)
        part = Kronecker({"w1": first, "w2": second})
        return other(name, stem, part, scale, found.weights[8], len(first) * len(second))
    if isinstance(found, tuple) and found[0] == "diff" and found[1][0].ndim > 1:
        weight = found[1][0]
        return Other(Whole({"weight": weight.flatten(1)}), 1.0, len(weight))
    kind = found.name.upper() if isinstance(found, WeightAdapterBase) else "weights of another kind"
    raise ValueError(f"{name} has {kind} for {stem}, and {WHOLE_MODEL}.")


def full_kernel(down: Tensor, mid: Tensor | None) -> Tensor:
    """down [rank, in], or in Tucker's form with mid [rank, rank, h, w], as one convolution [rank, in, h, w]."""
    return down if mid is None else torch.einsum("pqhw,qi->pihw", mid.float(), down.flatten(1).float()).to(down)


def difference(found: WeightAdapterBase) -> Tensor:
    """[out, in * h * w] as the host makes it, its scale within, its magnitude not."""
    tucker, w1a, w1b = found.weights[5], found.weights[0], found.weights[1]
    shape = (w1a.shape[1], w1b.shape[1], *tucker.shape[2:])
    weights = (*found.weights[:7], None)
    made = type(found)(found.loaded_keys, weights)
    return made.calculate_weight(torch.zeros(shape), "", 1.0, 1.0, None, lambda a: a).flatten(1).to(w1a)


def kronecker_factors(found: LoKrAdapter) -> tuple[Tensor, Tensor, float]:
    """w1 [a, b], w2 [c, d ...] and the scale, which counts only where one of them is a product."""
    w1, w2, alpha, w1a, w1b, w2a, w2b, tucker, _ = found.weights
    rank = None
    if w1 is None:
        w1, rank = (w1a.float() @ w1b.float()).to(w1a), w1b.shape[0]
    if w2 is None:
        rank = w2b.shape[0]
        made = torch.einsum("ijkl,jr,ip->prkl", tucker, w2b, w2a) if tucker is not None else w2a.float() @ w2b.float()
        w2 = made.to(w2a)
    return w1, w2, 1.0 if alpha is None or rank is None else alpha / rank


def other(name: str, stem: str, part: Adapter, scale: float, magnitude: Tensor | None, outputs: int) -> Other:
    if magnitude is None:
        return Other(part, scale, outputs)
    return decomposed(name, stem, part, scale, magnitude, outputs)


def decomposed(name: str, stem: str, part: Adapter, scale: float, magnitude: Tensor, outputs: int) -> Other:
    """Raises ValueError for magnitudes of the inputs: their W (m * x) is no function of W x."""
    if magnitude.shape[0] != outputs:
        raise ValueError(f"{name} states the magnitude (DoRA) of every input of {stem}, and {WHOLE_MODEL}.")
    return Other(Decomposed(part, scale, magnitude.flatten()), 1.0, outputs)
