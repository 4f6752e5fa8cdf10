"""Stage 5: the picture."""

from __future__ import annotations

from typing import Any

from comfy.sd import VAE
from comfy_api.latest import io

from ..sampling.decode import decode
from .common import CATEGORY, checked


class NewBieDecode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NewBieDecode",
            display_name="NewBie Decode",
            category=CATEGORY,
            description="Turns the latent into a picture, in tiles when memory is short.",
            search_aliases=["vae decode", "latent to image"],
            inputs=[
                io.Latent.Input("samples", tooltip="The latent from NewBie Sample."),
                io.Vae.Input("vae", tooltip="The VAE, from NewBie Loader."),
            ],
            outputs=[io.Image.Output()],
        )

    @classmethod
    @checked
    def execute(cls, samples: dict[str, Any], vae: VAE) -> io.NodeOutput:
        return io.NodeOutput(decode(vae, samples["samples"]))
