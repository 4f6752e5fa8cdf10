"""The picture's size, chosen by the model that draws it."""

from __future__ import annotations

from typing import Any

import torch
from comfy.model_management import intermediate_device, intermediate_dtype
from comfy_api.latest import io

from .common import CATEGORY, PIXELS, SIZES, checked

CUSTOM = "custom"
CHANNELS = 16  # the host gives an empty latent as many as the model at hand has


def side(name: str) -> io.Int.Input:
    return io.Int.Input(name, default=1024, min=16, max=16384, step=16, tooltip="In pixels, a multiple of 16.")


class NewBieSize(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NewBieSize",
            display_name="NewBie Size (latent)",
            category=CATEGORY,
            description="The picture's size, as an empty latent: choose one that your model was trained on.",
            search_aliases=["size", "empty latent", "latent image", "resolution", "aspect ratio", "width", "height"],
            inputs=[
                io.DynamicCombo.Input(
                    "size",
                    options=[
                        *(io.DynamicCombo.Option(name, []) for name in SIZES),
                        io.DynamicCombo.Option(CUSTOM, [side("width"), side("height")]),
                    ],
                    tooltip="Width x height in pixels, by model. custom: any other size.",
                ),
                io.Int.Input("batch_size", default=1, min=1, max=4096, tooltip="How many pictures to draw at once."),
            ],
            outputs=[io.Latent.Output(tooltip="For Encode Characters and for the sampler.")],
        )

    @classmethod
    @checked
    def execute(cls, size: dict[str, Any], batch_size: int) -> io.NodeOutput:
        width, height = SIZES.get(size["size"]) or (size["width"], size["height"])
        shape = (batch_size, CHANNELS, height // PIXELS, width // PIXELS)
        samples = torch.zeros(shape, device=intermediate_device(), dtype=intermediate_dtype())
        return io.NodeOutput({"samples": samples, "downscale_ratio_spacial": PIXELS})
