"""Whether CONDITIONING and MODEL belong together, told before the first step: loaders may have been chosen apart."""

from __future__ import annotations

from typing import Any

from comfy.model_patcher import ModelPatcher
from torch import Tensor


def check_fit(model: ModelPatcher, entries: list[tuple[Tensor, dict[str, Any]]]) -> None:
    """Raises ValueError if a Lumina-like model takes text features of another width than an entry has.

    Other models state no such width, and are left alone.
    """
    takes = model.model.model_config.unet_config
    for features, values in entries:
        pooled = values.get("pooled_output")
        for name, gives, key in (("Gemma", features, "cap_feat_dim"), ("Jina", pooled, "clip_text_dim")):
            wanted = takes.get(key)
            if wanted is not None and gives is not None and gives.shape[-1] != wanted:
                raise ValueError(
                    f"The text features are {gives.shape[-1]} wide, but this model takes {wanted} from {name}: "
                    "use the text encoders of the model's own release, in NewBie Loader or in DualCLIPLoader."
                )
