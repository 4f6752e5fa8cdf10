"""What sampling starts from: a size, chosen by the model that draws it, and seeds."""

from __future__ import annotations

from typing import Any

import torch
from comfy.model_management import intermediate_device, intermediate_dtype
from comfy_api.latest import io

from .common import CATEGORY, PIXELS, SIZES, checked

CUSTOM = "custom"
SEEDS = 2**64
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


class NewBieSeeds(io.ComfyNode):
    """The host runs whatever is behind a list once for each, so that every picture is the one drawn alone."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NewBieSeeds",
            display_name="NewBie Seeds",
            category=CATEGORY,
            description="Several seeds for one seed input: the nodes after it run once for each seed.",
            search_aliases=["seed list", "contact sheet", "several seeds", "variations"],
            inputs=[
                io.Int.Input(
                    "seed", default=0, min=0, max=SEEDS - 1, control_after_generate=True,
                    tooltip="The first seed; each further one is 1 higher.",
                ),
                io.Int.Input("count", default=4, min=1, max=100, tooltip="How many pictures. 1 is neutral."),
            ],
            outputs=[io.Int.Output("seeds", is_output_list=True)],
        )

    @classmethod
    @checked
    def execute(cls, seed: int, count: int) -> io.NodeOutput:
        return io.NodeOutput([(seed + i) % SEEDS for i in range(count)])
