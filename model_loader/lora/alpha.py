"""Alpha for every layer of a LoRA that carries none itself, as the host takes it: it applies alpha / rank.

The authors' trainer has written it into the file's metadata (lora_alpha) and, before and after, left it to PEFT's
adapter_config.json beside the file. PEFT's scale is alpha / rank, with use_rslora alpha / sqrt(rank).
Source: LoraConfig of github.com/huggingface/peft.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..checkpoint import CheckpointError, read_json

CONFIG = "adapter_config.json"
ANOTHER = "if it belongs to another LoRA, remove it or put the right one there"
PLAIN_STARTS = (True, False, None, "gaussian", "eva", "orthogonal")  # the others change the model's weights beforehand


def alphas(path: Path, metadata: Mapping[str, Any], ranks: Mapping[str, int]) -> dict[str, float]:
    """{} where none is known; the host takes such layers at scale 1. Raises CheckpointError.

    ranks: of the layers without an alpha of their own, by the names that the host knows.
    """
    if not ranks:
        return {}
    said = number(path, "lora_alpha", metadata["lora_alpha"]) if "lora_alpha" in metadata else None
    beside = path.with_name(CONFIG)
    config = read_json(beside)
    if "lora_alpha" not in config:
        return {} if said is None else dict.fromkeys(ranks, said)
    check_plain(beside, config)
    alpha = number(beside, "lora_alpha", config["lora_alpha"])
    if said is not None and said != alpha:
        raise CheckpointError(f"{path} says lora_alpha {said:g}, but {beside} says {alpha:g}: {ANOTHER}.")
    for layer, rank in ranks.items():
        expected = of_layer(beside, config, "rank_pattern", layer, number(beside, "r", config.get("r", rank)))
        if expected != rank:
            raise CheckpointError(f"{beside} says rank {expected:g} for {layer}, but {path} has {rank}: {ANOTHER}.")
    stable = config.get("use_rslora", False)
    return {
        layer: of_layer(beside, config, "alpha_pattern", layer, alpha) * (math.sqrt(rank) if stable else 1)
        for layer, rank in ranks.items()
    }


def check_plain(beside: Path, config: Mapping[str, Any]) -> None:
    """Raises CheckpointError where the LoRA can't be applied from alpha and rank alone."""
    if config.get("peft_type", "LORA") != "LORA":
        raise CheckpointError(f"{beside} says peft_type {config['peft_type']!r}, but the LoRA is plain: {ANOTHER}.")
    if not isinstance(config.get("use_rslora", False), bool):
        raise CheckpointError(f"{beside} says use_rslora {config['use_rslora']!r}: it must be true or false.")
    start = config.get("init_lora_weights", True)
    if start not in PLAIN_STARTS:
        raise CheckpointError(
            f"{beside} says init_lora_weights {start!r}: such a LoRA fits weights that were changed before training; "
            "save it again with PEFT's path_initial_model_for_weight_conversion."
        )


def of_layer(beside: Path, config: Mapping[str, Any], key: str, layer: str, usual: float) -> float:
    """The value of the first pattern that fits, as in PEFT, or the usual one."""
    patterns = config.get(key, {})
    odd = not isinstance(patterns, dict) or next((one for one in patterns if not re.fullmatch(r"[\w.]+", one)), None)
    if odd:
        what = "is not an object" if odd is True else f"names {odd!r}, which is not a plain layer name"
        raise CheckpointError(f"In {beside}, {key} {what}: write out the layers' names.")
    fitting = (value for name, value in patterns.items() if layer.endswith(f".{name}"))
    return number(beside, key, next(fitting, usual))


def number(path: Path, key: str, value: Any) -> float:
    """Metadata has numbers as text. Raises CheckpointError."""
    try:
        result = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        result = math.nan
    if not 0 < result < 1e30:
        raise CheckpointError(f"{path} says {key} {value!r}: it must be a number above 0 and below 1e30.")
    return result
