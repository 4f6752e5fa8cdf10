"""The mini's sizes: the keyword arguments of the host's own classes, written into the files' metadata."""

from __future__ import annotations

from typing import Any

VOCABULARY = 1280

DIFFUSION: dict[str, Any] = {  # comfy.ldm.lumina.model.NextDiT
    "image_model": "lumina2",
    "patch_size": 2,
    "in_channels": 16,
    "dim": 256,
    "n_layers": 8,
    "n_refiner_layers": 2,
    "n_heads": 4,
    "n_kv_heads": 2,
    "multiple_of": 32,
    "ffn_dim_multiplier": 1.75,
    "norm_eps": 1e-5,
    "qk_norm": True,
    "cap_feat_dim": 192,
    "axes_dims": [16, 24, 24],
    "axes_lens": [1024, 512, 512],
    "rope_theta": 10000.0,
    "clip_text_dim": 128,
}
GEMMA: dict[str, Any] = {  # comfy.text_encoders.llama.Gemma3_4B_Config
    "vocab_size": VOCABULARY,
    "hidden_size": 192,
    "intermediate_size": 384,
    "num_hidden_layers": 4,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "head_dim": 64,
}
JINA: dict[str, Any] = {  # comfy.text_encoders.jina_clip_2.XLMRobertaConfig
    "vocab_size": VOCABULARY,
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 384,
}
VAE_SCALE, VAE_SHIFT = 0.3611, 0.1159  # comfy.latent_formats.Flux: the model works on the autoencoder's own latent
