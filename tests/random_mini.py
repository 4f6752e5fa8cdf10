"""Writes the built-in model's four files with random weights and tiny tokenizers: the right shapes, no meaning."""

from __future__ import annotations

import io
import json
from pathlib import Path

import sentencepiece
import torch
from safetensors.torch import save_file

LINES = [
    "<character_1>\n<n>miku</n>\n<position>left, center_y</position>\n<pose>standing, facing_right</pose>\n",
    "</character_1>\n",
    "<character_2>\n<n>kaito</n>\n<appearance>blue hair, short_hair</appearance>\n<bbox>[25, 100, 475, 950]</bbox>\n",
    "<general_tags>\n<interaction>handshake</interaction>\n<background>night_sky</background>\n</general_tags>\n",
    "<clothing>red dress, white coat</clothing> 0 1 2 3 4 5 6 7 8 9 (vocaloid) :1.4 You are an assistant",
]
DIFFUSION = {
    "image_model": "lumina2",
    "patch_size": 2,
    "in_channels": 16,
    "dim": 64,
    "n_layers": 2,
    "n_refiner_layers": 2,
    "n_heads": 2,
    "n_kv_heads": 1,
    "multiple_of": 32,
    "ffn_dim_multiplier": 1.75,
    "norm_eps": 1e-5,
    "qk_norm": True,
    "cap_feat_dim": 48,
    "axes_dims": [8, 12, 12],
    "axes_lens": [1024, 512, 512],
    "rope_theta": 10000.0,
    "clip_text_dim": 32,
}
GEMMA = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "head_dim": 16,
}
JINA = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def tokenizer(pad: int, eos: int, bos: int) -> tuple[torch.Tensor, int]:
    """A SentencePiece model as uint8, and the size of its vocabulary."""
    proto = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES * 20),
        model_writer=proto,
        vocab_size=320,
        hard_vocab_limit=False,
        byte_fallback=True,
        add_dummy_prefix=False,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        pad_id=pad,
        eos_id=eos,
        bos_id=bos,
        unk_id=3,
        minloglevel=2,
    )
    data = proto.getvalue()
    size = sentencepiece.SentencePieceProcessor(model_proto=data).get_piece_size()
    return torch.frombuffer(bytearray(data), dtype=torch.uint8), size


def randomise(module: torch.nn.Module, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Matrices like a trained model's in scale; norms near one (near zero where the host adds one)."""
    state = {}
    for name, tensor in module.state_dict().items():
        noise = torch.randn(tensor.shape, generator=generator)
        if tensor.ndim >= 2:
            value = noise / tensor[0].numel() ** 0.5
        else:
            value = 1 + 0.1 * noise if "norm" in name or ".0.weight" in name else 0.1 * noise
        state[name] = value.to(torch.bfloat16).contiguous()
    return state


def write(folder: Path, diffusion: dict = DIFFUSION, gemma: dict = GEMMA, jina: dict = JINA, seed: int = 0) -> Path:
    """All four files, as the loader expects them. Needs the host on the path."""
    import comfy.ops
    from comfy.ldm.lumina.model import NextDiT
    from comfy.taesd.taesd import TAESD
    from comfy.text_encoders.jina_clip_2 import XLMRobertaModel
    from newbie_pack.model_loader.mini import Gemma

    ops, cpu = comfy.ops.disable_weight_init, torch.device("cpu")
    generator = torch.Generator().manual_seed(seed)
    gemma_pieces, gemma_size = tokenizer(pad=0, eos=1, bos=2)
    jina_pieces, jina_size = tokenizer(pad=1, eos=2, bos=0)
    gemma, jina = {"vocab_size": gemma_size, **gemma}, {"vocab_size": jina_size, **jina}
    files = {
        "diffusion_model": (
            randomise(NextDiT(**diffusion, device=cpu, dtype=torch.float32, operations=ops), generator),
            {"newbie.config": json.dumps(diffusion), "newbie.isolation": "strict"},
        ),
        "gemma": (
            randomise(Gemma(gemma, torch.float32, cpu, ops), generator) | {"spiece_model": gemma_pieces},
            {"newbie.config": json.dumps(gemma)},
        ),
        "jina": (
            randomise(XLMRobertaModel(jina, torch.float32, cpu, ops), generator) | {"spiece_model": jina_pieces},
            {"newbie.config": json.dumps(jina)},
        ),
        "vae": (randomise(TAESD(latent_channels=16), generator), {}),
    }
    files["vae"][0].update(vae_scale=torch.tensor(0.3611), vae_shift=torch.tensor(0.1159))
    folder.mkdir(parents=True, exist_ok=True)
    for name, (tensors, metadata) in files.items():
        save_file(tensors, folder / f"{name}.safetensors", metadata)
    return folder
