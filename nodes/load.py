"""Stage 1: the model."""

from __future__ import annotations

import folder_paths
import torch
from comfy_api.latest import io

from ..isolation.plan import declare
from ..model_loader import full, mini
from ..model_loader.checkpoint import releases
from .common import CATEGORY, checked

MINI = "NewBie mini (built in)"
CHOOSE_NONE = "Choose none for the mini, or to use the one in a release folder."
PRECISIONS = {
    "default": None,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp32": torch.float32,
    "fp8_e4m3fn": torch.float8_e4m3fn,
}


def files(folder: str) -> list[str]:
    return [full.NONE, *folder_paths.get_filename_list(folder)]


class NewBieLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NewBieLoader",
            display_name="NewBie Loader",
            category=CATEGORY,
            description="Loads a NewBie model with its text encoders and VAE. The small built-in model needs no files.",
            search_aliases=["newbie model", "load newbie", "newbie checkpoint", "mini"],
            inputs=[
                io.Combo.Input(
                    "diffusion_model",
                    options=[
                        MINI,
                        *releases(folder_paths.get_folder_paths("diffusers")),
                        *folder_paths.get_filename_list("diffusion_models"),
                    ],
                    default=MINI,
                    tooltip="The built-in mini draws small demonstration pictures. For the full model, put its file "
                    "into models/diffusion_models, or its authors' release folder into models/diffusers.",
                ),
                io.Combo.Input(
                    "gemma", options=files("text_encoders"), default=full.NONE,
                    tooltip=f"Gemma 3 4B text encoder, from models/text_encoders. {CHOOSE_NONE}",
                ),
                io.Combo.Input(
                    "jina", options=files("text_encoders"), default=full.NONE,
                    tooltip=f"Jina CLIP v2 text encoder, from models/text_encoders. {CHOOSE_NONE}",
                ),
                io.Combo.Input(
                    "vae", options=files("vae"), default=full.NONE,
                    tooltip=f"FLUX's VAE (ae.safetensors), from models/vae. {CHOOSE_NONE}",
                ),
                io.Combo.Input(
                    "precision", options=list(PRECISIONS), default="default", advanced=True,
                    tooltip="Precision of the diffusion model's weights in memory; default leaves it to ComfyUI.",
                ),
            ],
            outputs=[io.Model.Output(), io.Clip.Output(), io.Vae.Output()],
        )

    @classmethod
    @checked
    def execute(cls, diffusion_model: str, gemma: str, jina: str, vae: str, precision: str) -> io.NodeOutput:
        dtype = PRECISIONS[precision]
        if diffusion_model == MINI:
            model, clip, decoder, isolation = mini.load(dtype)
        else:
            model, clip, decoder, isolation = full.load(diffusion_model, gemma, jina, vae, dtype)
        declare(clip, isolation)
        return io.NodeOutput(model, clip, decoder)
