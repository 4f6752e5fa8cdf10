"""A LoRA for this model -> the same under names, and with the alpha, that the host's LoraLoader reads. No torch.

The authors' trainer saves PEFT's names, base_model.model.layers.0.attention.qkv.lora_A.weight, and alpha elsewhere; its
LoKr has LyCORIS' names and alpha beside each layer. The host ignores such names.
Sources: save_lora_model in train_newbie_lora.py of github.com/NewBieAI-Lab/NewbieLoraTrainer; model_lora_keys_unet in
the host's comfy/lora.py, the names that comfy/weight_adapter looks for, what PEFT, LyCORIS and kohya's scripts save.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import identify
from .checkpoint import CheckpointError, read_header, read_json
from .identify import Header

# Names of a LoRA's tensors: which the host reads, and what it calls the others. The host (ComfyUI 0.30.0) reads every
# layer after diffusion_model. and lora_unet_, some after transformer., lycoris_ and nothing (feed_forward, but not
# attention.qkv), and none after base_model.model., with a line in its log for each.

PREFIXES = {  # what stands before the layer's name -> what stands there for the host
    "diffusion_model.": "diffusion_model.",
    "lora_unet_": "lora_unet_",
    "base_model.model.": "diffusion_model.",  # PEFT: the trainer's LoRA
    "unet.base_model.model.": "diffusion_model.",
    "transformer.": "diffusion_model.",
    "model.diffusion_model.": "diffusion_model.",
    "lycoris_": "lora_unet_",  # LyCORIS: the trainer's LoKr
    "": "diffusion_model.",
}
PAIRS = {  # the two matrices of plain LoRA, down -> up
    "lora_A.weight": "lora_B.weight",
    "lora_A.default.weight": "lora_B.default.weight",
    "lora_down.weight": "lora_up.weight",
    "lora.down.weight": "lora.up.weight",
}
ENDS = "|".join(
    [re.escape(end) for pair in PAIRS.items() for end in pair]
    + [r"alpha|dora_scale|lokr_\w+|hada_\w+|oft_blocks|rescale|diff|diff_b|w_norm|b_norm"]
)
LAYERS = "|".join(
    (
        r"(?:layers|noise_refiner|context_refiner)\.\d+\."
        r"(?:attention\.(?:qkv|out|q_norm|k_norm)|feed_forward\.w[123]|(?:attention|ffn)_norm[12]|adaLN_modulation\.1)",
        r"x_embedder|t_embedder\.mlp\.[02]|(?:cap_embedder|clip_text_pooled_proj)\.[01]|time_text_embed\.1",
        r"final_layer\.(?:linear|adaLN_modulation\.1)",
    )
)
# What torch.compile, DistributedDataParallel, FSDP and activation checkpointing put anywhere into a name.
WRAPPER = re.compile(r"(?<![A-Za-z0-9])(?:_orig_mod|module|_fsdp_wrapped_module|_checkpoint_wrapped_module)[._]")
APART = re.compile(r"attention[._]to_[qkv]")  # as Z-Image's LoRAs have them


@dataclass(frozen=True)
class Name:
    """A tensor's name in its parts; end: after the layer's name and a dot."""

    prefix: str
    layer: str
    end: str
    wrapped: bool = False  # by torch.compile or DataParallel, whose own names the host does not know

    @property
    def stem(self) -> str:
        return PREFIXES[self.prefix] + self.layer

    @property
    def hosts(self) -> str:
        return f"{self.stem}.{self.end}"

    @property
    def known(self) -> bool:
        """Whether the host reads it as it is."""
        return not self.wrapped and PREFIXES[self.prefix] == self.prefix

    @property
    def convertible(self) -> bool:
        """PEFT's own LoKr and LoHa scale in a way that the host does not."""
        return self.end.startswith("lora_") or "base_model" not in self.prefix


def pattern(prefixes: Iterable[str], layers: str) -> re.Pattern[str]:
    return re.compile(f"({'|'.join(map(re.escape, prefixes))})({layers})\\.({ENDS})")


PATTERNS = (
    pattern((prefix for prefix in PREFIXES if not prefix.endswith("_")), LAYERS),
    pattern((prefix for prefix in PREFIXES if prefix.endswith("_")), LAYERS.replace(r"\.", "_")),
)


def parse(name: str) -> Name | None:
    """None for what is not a part of a LoRA for this model."""
    bare = WRAPPER.sub("", name)
    found = next((match for form in PATTERNS if (match := form.fullmatch(bare))), None)
    return Name(*found.groups(), wrapped=bare != name) if found is not None else None


# Alpha for every layer of a LoRA that carries none itself, as the host takes it: it applies alpha / rank.
# The authors' trainer has written it into the file's metadata (lora_alpha) and, before and after, left it to PEFT's
# adapter_config.json beside the file. PEFT's scale is alpha / rank, with use_rslora alpha / sqrt(rank).
# Source: LoraConfig of github.com/huggingface/peft.

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


# The conversion


@dataclass(frozen=True)
class Converted:
    """layers: how many it changes; written: whether a new file was needed; scaled: whether every alpha is known."""

    layers: int
    written: bool
    scaled: bool


def passed_over(header: Header) -> bool:
    """Whether it is a LoRA for this model with names that the host does not read."""
    names = parsed(header)
    return any(not own.known for own in names.values()) and not misfit(header, names)


def convert(path: Path, target: Path) -> Converted:
    """Writes a new file unless the host reads this one as it is. Raises CheckpointError, OSError."""
    header = read_header(path)
    names = named(path, header)
    ranks = ranks_of(path, header, names)
    found = alphas(path, header.metadata, ranks)
    done = Converted(
        layers=len({own.stem for own in names.values()}),
        written=any(not own.known for own in names.values()) or any(found[layer] != ranks[layer] for layer in found),
        scaled=found.keys() == ranks.keys(),
    )
    if done.written:
        check_target(target)
        write(path, target, names, found)
    return done


def parsed(header: Header) -> dict[str, Name]:
    """The names of a LoRA for this model, in their parts."""
    return {name: own for name in header.shapes if (own := parse(name))}


def misfit(header: Header, names: Mapping[str, Name]) -> str:
    """What tells that it is another model's, though some names may be the same; "" where nothing does."""
    for name, shape in header.shapes.items():
        own = names.get(name)
        if APART.search(name):
            return f"{name} targets separate q, k or v matrices; NewBie fuses them into one"
        if own is not None and own.layer.endswith("qkv") and own.end in PAIRS and shape[1:] != (identify.NEWBIE_WIDTH,):
            return f"{name} does not have {identify.NEWBIE_WIDTH} columns"
    return ""


def named(path: Path, header: Header) -> dict[str, Name]:
    """Every tensor's name in its parts. Raises CheckpointError if there are others."""
    names = parsed(header)
    why = misfit(header, names)
    if why or not names:
        raise CheckpointError(f"{path} is not a LoRA for NewBie: {why or 'none of its tensors has the name of one'}.")
    strange = next((name for name in header.shapes if name not in names or not names[name].convertible), None)
    if strange is not None:
        other = " NewBie Character LoRA takes it as it is." if "lora_magnitude_vector" in strange else ""
        raise CheckpointError(
            f"{path} has {strange}, which ComfyUI's LoraLoader can't read for NewBie and converting would lose.{other}"
        )
    ((most, count),) = Counter(own.hosts for own in names.values()).most_common(1)
    if count > 1:
        raise CheckpointError(f"{path} has {most} under two names: it is unclear which of them counts.")
    return names


def ranks_of(path: Path, header: Header, names: Mapping[str, Name]) -> dict[str, int]:
    """Of plain LoRA's layers without an alpha, by the host's names. Raises CheckpointError if a matrix is missing."""
    shapes = {own.hosts: header.shapes[name] for name, own in names.items()}
    ranks: dict[str, int] = {}
    for stem in dict.fromkeys(own.stem for own in names.values()):
        for down, up in PAIRS.items():
            one, other = shapes.get(f"{stem}.{down}"), shapes.get(f"{stem}.{up}")
            if one is None and other is None:
                continue
            if one is None or other is None or len(one) < 2 or len(other) < 2 or not one[0] == other[1] > 0:
                raise CheckpointError(f"{path} is damaged: {stem} lacks {down} or {up}, or their shapes don't match.")
            if f"{stem}.alpha" not in shapes:
                ranks[stem] = one[0]
    return ranks


def check_target(target: Path) -> None:
    """Raises CheckpointError."""
    if target.suffix.lower() != ".safetensors":
        raise CheckpointError(f"{target} must end in .safetensors.")
    if not target.absolute().parent.is_dir():
        raise CheckpointError(f"The folder {target.absolute().parent} does not exist: make it, or choose another.")
    if target.exists():
        raise CheckpointError(f"{target} already exists: choose another name.")


def write(path: Path, target: Path, names: Mapping[str, Name], found: Mapping[str, float]) -> None:
    """The same bytes behind a new header, and the alphas after them. Leaves no half of a file. Raises OSError."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        entries: dict[str, Any] = json.loads(file.read(length))
        metadata = entries.pop("__metadata__", {})
        renamed = {names[name].hosts: entry for name, entry in entries.items()}
        end = max(entry["data_offsets"][1] for entry in renamed.values())
        for i, layer in enumerate(found):
            offsets = [end + 4 * i, end + 4 * i + 4]
            renamed[f"{layer}.alpha"] = {"dtype": "F32", "shape": [], "data_offsets": offsets}
        text = json.dumps({"__metadata__": metadata, **renamed}).encode()
        text += b" " * (-len(text) % 8)
        with target.open("xb") as out:
            try:
                out.write(struct.pack("<Q", len(text)) + text)
                shutil.copyfileobj(file, out)
                out.write(struct.pack(f"<{len(found)}f", *found.values()))
            except BaseException:
                out.close()
                target.unlink()
                raise
