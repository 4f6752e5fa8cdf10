"""Whether CONDITIONING, LATENT and MODEL belong together, told before the first step: they may come from anywhere."""

from __future__ import annotations

from typing import Any

from comfy.model_patcher import ModelPatcher
from comfy.model_sampling import CONST
from torch import Tensor


def check_fit(model: ModelPatcher, entries: list[tuple[Tensor, dict[str, Any]]]) -> None:
    """Raises ValueError if an entry lacks features that a Lumina-like model takes, or has them of another width.

    Other models state no such width, and are left alone.
    """
    takes = model.model.model_config.unet_config
    for features, values in entries:
        pooled = values.get("pooled_output")
        if pooled is None and takes.get("clip_text_dim") is not None:
            raise ValueError(
                "The text was encoded for another model (it has no vector from Jina): use the text encoders of the "
                "model's own release, in NewBie Loader or in DualCLIPLoader with the type newbie."
            )
        for name, gives, key in (("Gemma", features, "cap_feat_dim"), ("Jina", pooled, "clip_text_dim")):
            wanted = takes.get(key)
            if wanted is not None and gives is not None and gives.shape[-1] != wanted:
                raise ValueError(
                    f"The text features are {gives.shape[-1]} wide, but this model takes {wanted} from {name}: "
                    "use the text encoders of the model's own release, in NewBie Loader, or in DualCLIPLoader with the "
                    "type newbie."
                )


def check_flow(model: ModelPatcher) -> None:
    """Raises ValueError for a model that was not trained on rectified flow, as SD1.5 and SDXL were not."""
    if not isinstance(model.get_model_object("model_sampling"), CONST):
        raise ValueError(
            "NewBie Sample works only with rectified-flow models such as NewBie and Lumina 2: use KSampler, or NewBie "
            "Guider with SamplerCustomAdvanced."
        )


def check_latent(model: ModelPatcher, image: Tensor) -> None:
    """Raises ValueError if the model can't draw on this latent; an empty one has been made to fit before."""
    latent_format = model.get_model_object("latent_format")
    wanted, dimensions = latent_format.latent_channels, 2 + latent_format.latent_dimensions
    if image.is_nested or image.ndim != dimensions or image.shape[1] != wanted:
        shape = "has several parts" if image.is_nested else f"is {' x '.join(map(str, image.shape))}"
        raise ValueError(
            f"The latent {shape}, but this model draws images of {wanted} channels: use NewBie Size, or encode "
            "the picture with the model's own VAE."
        )
    if not image.isfinite().all():
        raise ValueError(
            "The latent contains NaN or infinity: the node that made it failed without an error. Check its settings."
        )


def check_batch_index(image: Tensor, batch_index: list[int] | None) -> None:
    """Raises ValueError where there is not one index a picture."""
    if batch_index is not None and len(batch_index) != len(image):
        raise ValueError(
            f"The latent holds {len(image)} images but {len(batch_index)} batch indices (batch_index): remove the node "
            "that changed only one."
        )


def check_drawn(samples: Tensor) -> None:
    """Raises RuntimeError for what would be decoded to a black picture."""
    if not samples.isfinite().all():
        raise RuntimeError(
            "Sampling produced NaN or infinity, which would give a black picture: choose another precision (bf16 "
            "rather than "
            "fp16), a lower guidance, or another sampler."
        )
