"""Small SD1.5-, SD2- and SDXL-shaped models and text encoders with random weights, through the host's own classes.

The shapes are the originals' in everything but width and depth: resolutions, which of them have transformer blocks,
several blocks in one, linear or convolutional projections, one or two encoders, the pooled vector and sizes of SDXL.
"""

from __future__ import annotations

import torch

COMMON = {
    "use_checkpoint": False,
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "use_spatial_transformer": True,
    "legacy": False,
    "use_temporal_attention": False,
    "use_temporal_resblock": False,
    "dtype": torch.float32,
    "model_channels": 32,
    "transformer_depth_middle": 1,
}
UNETS = {
    "SD15": COMMON
    | {
        "adm_in_channels": None,
        "num_res_blocks": [1, 1, 1, 1],
        "channel_mult": [1, 1, 2, 2],
        "transformer_depth": [1, 1, 1, 0],
        "transformer_depth_output": [1, 1, 1, 1, 1, 1, 0, 0],
        "use_linear_in_transformer": False,
        "context_dim": 32,
    },
    "SDXL": COMMON
    | {
        "num_classes": "sequential",
        "adm_in_channels": 40 + 6 * 256,  # the pooled vector of CLIP-G, and six numbers about the picture's size
        "num_res_blocks": [1, 1, 1],
        "channel_mult": [1, 2, 2],
        "transformer_depth": [0, 1, 2],
        "transformer_depth_output": [0, 0, 1, 1, 2, 2],
        "use_linear_in_transformer": True,
        "context_dim": 32 + 40,
    },
}
UNETS["SD20"] = UNETS["SD15"] | {"use_linear_in_transformer": True, "context_dim": 40}
CLIP_L = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
CLIP_G = {"hidden_size": 40, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 2}


def randomise(module: torch.nn.Module, seed: int) -> None:
    """Matrices like a trained model's in scale; norms near one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            noise = torch.randn(tensor.shape, generator=generator)
            if tensor.ndim >= 2:
                tensor.copy_(noise if "embedding" in name else noise / tensor[0].numel() ** 0.5)
            elif tensor.ndim == 1:
                tensor.copy_(0.1 * noise + ("weight" in name))


def model(kind: str, seed: int = 0):
    """-> the host's ModelPatcher. kind: a key of UNETS."""
    import comfy.model_patcher
    import comfy.supported_models

    extra = {"num_heads": 2} if kind == "SD15" else {"num_head_channels": 16}
    config = getattr(comfy.supported_models, kind)(UNETS[kind])
    config.unet_config.update(extra)
    sign = {"output_blocks.11.1.transformer_blocks.0.norm1.bias": torch.tensor([0.0, 1.0])}
    network = config.get_model(sign if kind == "SD20" else {}, device=torch.device("cpu"))  # of v-prediction
    randomise(network.diffusion_model, seed)
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(network, load_device=cpu, offload_device=cpu)


def clip(kind: str, seed: int = 1):
    """-> the host's CLIP with its own tokenizers. kind: a key of UNETS."""
    import comfy.sd
    import comfy.supported_models

    target = getattr(comfy.supported_models, kind)(UNETS[kind]).clip_target()
    sizes = {"clip_l": CLIP_L, "clip_g": CLIP_G, "clip_h": CLIP_G}
    options = {f"{name}_model_config": size for name, size in sizes.items()}
    made = comfy.sd.CLIP(target, model_options={**options, "dtype": torch.float32})
    randomise(made.cond_stage_model, seed)
    return made
