"""The built-in mini: NewBie's architecture at a size that the host can't detect, built from the host's classes.

Every file carries its configuration as JSON in the metadata key "newbie.config". Devices, offloading and precision are
the host's: what is made here is what the host's own loaders make, with the configuration given instead of guessed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.supported_models
import comfy.utils
import torch
from comfy.latent_formats import Flux
from comfy.model_patcher import ModelPatcher
from comfy.sd import CLIP, VAE
from comfy.sd1_clip import SDClipModel
from comfy.supported_models_base import ClipTarget
from comfy.text_encoders.jina_clip_2 import JinaClip2TextModel
from comfy.text_encoders.llama import Gemma3_4B, Gemma3_4B_Config, Llama2_
from comfy.text_encoders.lumina2 import Gemma3_4BModel
from comfy.text_encoders.newbie import NewBieTEModel, NewBieTokenizer

from .checkpoint import CheckpointError, check_complete, read_header
from .identify import Header
from .state_dict import StateDict

WEIGHTS = Path(__file__).resolve().parent.parent / "mini" / "weights"
ISOLATION = "newbie.isolation"  # metadata key of the diffusion model: the isolation it was trained for

# Least squares from latents to colours in -1..1 on drawn pictures; tests/lab/test_previews.py refits them.
FACTORS = (
    (0.022, 0.003, -0.070),
    (-0.018, 0.035, -0.045),
    (-0.089, 0.007, -0.117),
    (-0.176, -0.187, -0.294),
    (0.107, -0.089, 0.020),
    (0.002, -0.150, -0.053),
    (0.142, 0.097, 0.083),
    (0.106, 0.115, -0.120),
    (0.052, 0.229, 0.183),
    (-0.003, -0.007, 0.086),
    (-0.187, -0.117, -0.221),
    (-0.047, -0.097, -0.087),
    (-0.141, -0.006, 0.062),
    (-0.162, -0.006, -0.211),
    (0.009, -0.084, -0.079),
    (-0.082, 0.016, -0.107),
)
BIAS = (0.164, 0.172, 0.167)


def config_of(path: Path, header: Header) -> dict[str, Any]:
    """The configuration that the file's metadata states. Raises CheckpointError."""
    try:
        return json.loads(header.metadata["newbie.config"])
    except (KeyError, ValueError) as problem:
        raise CheckpointError(f"{path} has no newbie.config: it is not one of the mini's files.") from problem


def read(name: str) -> tuple[Path, Header, StateDict]:
    path = WEIGHTS / f"{name}.safetensors"
    header = read_header(path)
    return path, header, comfy.utils.load_torch_file(str(path), safe_load=True)


class MiniLatents(Flux):
    """Scaled as FLUX's, with colours of their own for the host's quick previews."""

    def __init__(self) -> None:
        super().__init__()
        self.latent_rgb_factors = [list(row) for row in FACTORS]
        self.latent_rgb_factors_bias = list(BIAS)
        self.taesd_decoder_name = None  # FLUX's tiny decoder reads other latents


# The host's NewBie pair with two configurations of our own; all else, such as special tokens, masks and the layer that
# features come from, is what the host's classes say.


@dataclass
class GemmaConfig(Gemma3_4B_Config):
    """The host's own, with the heads' width made a setting."""

    head_dim: int = Gemma3_4B_Config.head_dim


class Gemma(Gemma3_4B):
    def __init__(self, config_dict: dict[str, Any], dtype: torch.dtype, device: torch.device, operations: Any) -> None:
        torch.nn.Module.__init__(self)  # the parent's own __init__ would build it with the 4B one's heads
        config = GemmaConfig(**config_dict)
        self.num_layers = config.num_hidden_layers
        self.model = Llama2_(config, device=device, dtype=dtype, ops=operations)
        self.dtype = dtype


class OurGemma(SDClipModel):
    """Comes between the host's encoder and its base class, and puts our Gemma in the place of the 4B one."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "model_class": Gemma})


class GemmaEncoder(Gemma3_4BModel, OurGemma):
    pass


class TextEncoders(NewBieTEModel):
    def __init__(
        self,
        gemma: dict[str, Any],
        jina: dict[str, Any],
        device: torch.device,
        dtype: torch.dtype,
        model_options: dict[str, Any],
    ) -> None:
        torch.nn.Module.__init__(self)  # the parent's own __init__ would build the 4B encoder

        def sized(name: str, config: dict[str, Any]) -> dict[str, Any]:  # how the host lets a model's config be changed
            options = {**model_options, "model_name": name, f"{name}_model_config": config}
            return {"device": device, "dtype": dtype, "model_options": options}

        self.gemma = GemmaEncoder(**sized("gemma", gemma))
        self.jina = JinaClip2TextModel(**sized("jina", jina))
        self.dtypes = {dtype}


# Each is also how the host makes a copy of the model for another device or use, hence disable_dynamic.


def load_clip(disable_dynamic: bool = False) -> CLIP:
    gemma_path, gemma_header, gemma = read("gemma")
    jina_path, jina_header, jina = read("jina")
    target = ClipTarget(NewBieTokenizer, TextEncoders)
    target.params = {"gemma": config_of(gemma_path, gemma_header), "jina": config_of(jina_path, jina_header)}
    tokenizers = {"gemma_spiece_model": gemma.pop("spiece_model"), "jina_spiece_model": jina.pop("spiece_model")}
    clip = CLIP(
        target,
        tokenizer_data=tokenizers,
        parameters=sum(comfy.utils.calculate_parameters(tensors) for tensors in (gemma, jina)),
        state_dict=[gemma, jina],
        model_options={"dtype": torch.float32},  # in bfloat16 the host rounds Gemma's norm weights: 1 % of a caption
        disable_dynamic=disable_dynamic,
    )
    model = clip.cond_stage_model
    check_complete(gemma_path, set(model.gemma.transformer.state_dict()), set(gemma_header.shapes))
    check_complete(jina_path, set(model.jina.transformer.state_dict()), set(jina_header.shapes))
    clip.patcher.cached_patcher_init = (load_clip_patcher, ())
    return clip


def load_clip_patcher(disable_dynamic: bool = False) -> ModelPatcher:
    return load_clip(disable_dynamic).patcher


def load_model(dtype: torch.dtype | None = None, disable_dynamic: bool = False) -> ModelPatcher:
    """The steps of the host's load_diffusion_model_state_dict, with the configuration stated."""
    path, header, tensors = read("diffusion_model")
    management = comfy.model_management
    config = comfy.supported_models.Lumina2(config_of(path, header))
    config.latent_format = MiniLatents()
    load_device, offload_device = management.get_torch_device(), management.unet_offload_device()
    supported = list(config.supported_inference_dtypes)
    if dtype is None:
        parameters, weights = comfy.utils.calculate_parameters(tensors), comfy.utils.weight_dtype(tensors)
        dtype = management.unet_dtype(model_params=parameters, supported_dtypes=supported, weight_dtype=weights)
    config.set_inference_dtype(dtype, management.unet_manual_cast(dtype, load_device, supported))
    model = config.get_model(tensors, "")
    check_complete(path, set(model.diffusion_model.state_dict()), set(header.shapes))
    patcher_class = comfy.model_patcher.ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher
    patcher = patcher_class(model, load_device=load_device, offload_device=offload_device)
    if not management.is_device_cpu(offload_device):
        model.to(offload_device)
    model.load_model_weights(tensors, "", assign=patcher.is_dynamic())
    patcher.cached_patcher_init = (load_model, (dtype,))
    return patcher


def load_vae() -> VAE:
    path, header, tensors = read("vae")
    vae = VAE(sd=tensors, metadata=header.metadata)
    vae.throw_exception_if_invalid()
    check_complete(path, set(vae.first_stage_model.state_dict()), set(header.shapes))
    vae.patcher.cached_patcher_init = (load_vae_patcher, ())
    return vae


def load_vae_patcher(disable_dynamic: bool = False) -> ModelPatcher:
    return load_vae().patcher


def load(dtype: torch.dtype | None = None) -> tuple[ModelPatcher, CLIP, VAE, str]:
    """-> MODEL, CLIP, VAE and the isolation that the model was trained for. dtype None: the host's choice."""
    isolation = read_header(WEIGHTS / "diffusion_model.safetensors").metadata.get(ISOLATION, "gentle")
    return load_model(dtype), load_clip(), load_vae(), isolation
