"""Names of a LoRA's tensors for this model: which ComfyUI's LoraLoader reads, and what it calls the others.

The host (ComfyUI 0.30.0) reads every layer after diffusion_model. and lora_unet_, some after transformer., lycoris_ and
nothing (feed_forward, but not attention.qkv), and none after base_model.model., with a line in its log for each.
Sources: model_lora_keys_unet in the host's comfy/lora.py, the names that comfy/weight_adapter looks for, and what the
authors' trainer, PEFT, LyCORIS and kohya's scripts save.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

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
