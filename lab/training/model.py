"""The mini's networks for training: the host's architectures and key names, with what training needs besides.

The host's classes run the mini (model_loader/mini.py). Training wants three things that they don't offer: captions of
different length in one batch, attention rules of every sample's own, and pieces fused for the gradient too. So these
are lean twins whose state dict loads into the host's classes unchanged; tests/lab holds the two against each other.
Sources: comfy/ldm/lumina/model.py, text_encoders/llama.py, text_encoders/jina_clip_2.py and taesd/taesd.py in comfy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import config


def additive(rules: Tensor, dtype: torch.dtype) -> Tensor:
    """Boolean rules -> an attention bias of 0 and -inf; a row that allows nothing (padding) allows everything.

    Rules that are a bias already stay as they are.
    """
    if rules.is_floating_point():
        return rules.to(dtype)
    rules = rules | ~rules.any(-1, keepdim=True)
    return torch.zeros(rules.shape, device=rules.device, dtype=dtype).masked_fill_(~rules, float("-inf"))


def fused(piece: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """One kernel instead of a dozen where a GPU trains: what lies between the matrices takes most of the time there.

    Compiled for any batch and length (the first two dimensions of what has at least three), but for each width.
    """
    compiled = torch.compile(piece)

    @wraps(piece)
    def run(x: Tensor, *more: Tensor | float) -> Tensor:
        if not (x.is_cuda and torch.is_grad_enabled()):
            return piece(x, *more)
        for tensor in (x, *more):
            if isinstance(tensor, Tensor) and tensor.ndim > 2:
                for dimension in (0, 1):
                    if tensor.shape[dimension] > 1:
                        torch._dynamo.maybe_mark_dynamic(tensor, dimension)
        with torch._dynamo.config.patch(recompile_limit=32):  # widths, types and dimensions: about a dozen
            return compiled(x, *more)

    return run


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return F.rms_norm(x.float(), x.shape[-1:], weight.float(), eps)


@fused
def normed(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x [B, N, D] / rms(x) * weight, in float32."""
    return rms_norm(x, weight, eps).to(x.dtype)


@fused
def normed_to_scale(x: Tensor, weight: Tensor, eps: float, scale: Tensor) -> Tensor:
    """x [B, N, D], scale [B, 1, D]."""
    return (rms_norm(x, weight, eps) * (1 + scale)).to(x.dtype)


@fused
def add_normed(x: Tensor, y: Tensor, weight: Tensor, eps: float, gate: Tensor) -> Tensor:
    """x and y [B, N, D], gate [B, 1, D]."""
    return (x + gate.tanh() * rms_norm(y, weight, eps)).to(x.dtype)


@fused
def normed_and_turned(x: Tensor, weight: Tensor, eps: float, cos: Tensor, sin: Tensor) -> Tensor:
    """x [B, N, H, D], whose neighbouring pairs turn by cos, sin [B, N, 1, D/2]."""
    a, b = rms_norm(x, weight, eps).unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2).to(x.dtype)


@fused
def swished(x: Tensor, y: Tensor) -> Tensor:
    return F.silu(x) * y


class RMSNorm(nn.Module):
    """Gemma stores its weights less one (offset 1)."""

    def __init__(self, width: int, eps: float, offset: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((width,), 1.0 - offset))
        self.eps, self.offset = eps, offset

    def forward(self, x: Tensor) -> Tensor:
        return normed(x, self.weight + self.offset, self.eps)


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """q [B, N, H, D], k and v [B, N, KV, D], bias [B, 1, N, N] -> [B, N, H * D]."""
    repeat = q.shape[2] // k.shape[2]
    k, v = (x.repeat_interleave(repeat, 2) for x in (k, v))
    out = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=bias)
    return out.transpose(1, 2).flatten(2)


# ---------------------------------------------------------------------------------------------------- NextDiT


def axis_rotations(positions: Tensor, axes: list[int], theta: float) -> tuple[Tensor, Tensor]:
    """positions [B, N, 3] -> cos, sin [B, N, 1, D/2], each axis with its own share of the head's dimensions."""
    angles = []
    for axis, width in enumerate(axes):
        frequency = theta ** -(torch.arange(0, width, 2, device=positions.device, dtype=torch.float32) / width)
        angles.append(positions[..., axis, None].float() * frequency)
    angle = torch.cat(angles, -1)[:, :, None]
    return angle.cos(), angle.sin()


class JointAttention(nn.Module):
    def __init__(self, c: dict[str, Any]) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.width = c["n_heads"], c["n_kv_heads"], c["dim"] // c["n_heads"]
        self.qkv = nn.Linear(c["dim"], (self.heads + 2 * self.kv_heads) * self.width, bias=False)
        self.out = nn.Linear(c["dim"], c["dim"], bias=False)
        eps = torch.finfo(torch.float32).eps
        self.q_norm, self.k_norm = RMSNorm(self.width, eps), RMSNorm(self.width, eps)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, bias: Tensor | None) -> Tensor:
        heads = self.qkv(x).unflatten(-1, (-1, self.width))  # [B, N, H + 2 KV, D]
        q, k, v = heads.split([self.heads, self.kv_heads, self.kv_heads], 2)
        q = normed_and_turned(q, self.q_norm.weight, self.q_norm.eps, cos, sin)
        k = normed_and_turned(k, self.k_norm.weight, self.k_norm.eps, cos, sin)
        return self.out(attend(q, k, v, bias))


class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w1, self.w3 = nn.Linear(width, hidden, bias=False), nn.Linear(width, hidden, bias=False)
        self.w2 = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(swished(self.w1(x), self.w3(x)))


class JointBlock(nn.Module):
    def __init__(self, c: dict[str, Any], modulated: bool) -> None:
        super().__init__()
        width, eps = c["dim"], c["norm_eps"]
        hidden = -(-int(c["ffn_dim_multiplier"] * width) // c["multiple_of"]) * c["multiple_of"]
        self.attention, self.feed_forward = JointAttention(c), FeedForward(width, hidden)
        self.attention_norm1, self.attention_norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.ffn_norm1, self.ffn_norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.modulated = modulated
        if modulated:
            self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 4 * width))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, bias: Tensor | None, t: Tensor | None = None) -> Tensor:
        if not self.modulated:
            x = x + self.attention_norm2(self.attention(self.attention_norm1(x), cos, sin, bias))
            return x + self.ffn_norm2(self.feed_forward(self.ffn_norm1(x)))
        scale_a, gate_a, scale_f, gate_f = self.adaLN_modulation(t).unsqueeze(1).chunk(4, -1)  # [B, 1, D] each
        before, after = self.attention_norm1, self.attention_norm2
        attended = self.attention(normed_to_scale(x, before.weight, before.eps, scale_a), cos, sin, bias)
        x = add_normed(x, attended, after.weight, after.eps, gate_a)
        before, after = self.ffn_norm1, self.ffn_norm2
        fed = self.feed_forward(normed_to_scale(x, before.weight, before.eps, scale_f))
        return add_normed(x, fed, after.weight, after.eps, gate_f)


class TimestepEmbedder(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        frequency = torch.exp(-math.log(10000) * torch.arange(128, device=t.device, dtype=torch.float32) / 128)
        angle = t[:, None].float() * frequency
        return self.mlp(torch.cat([angle.cos(), angle.sin()], -1))


class FinalLayer(nn.Module):
    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, out)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, width))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        normed = F.layer_norm(x.float(), x.shape[-1:], eps=1e-6).to(x.dtype)
        return self.linear(normed * (1 + self.adaLN_modulation(t).unsqueeze(1)))


class NextDiT(nn.Module):
    """The diffusion model: noisy latent, sigma, caption features and pooled text -> velocity (noise - data)."""

    def __init__(self, c: dict[str, Any] = config.DIFFUSION) -> None:
        super().__init__()
        self.config = c
        width, patch, text = c["dim"], c["patch_size"] ** 2 * c["in_channels"], c["clip_text_dim"]
        self.x_embedder = nn.Linear(patch, width)
        self.noise_refiner = nn.ModuleList(JointBlock(c, True) for _ in range(c["n_refiner_layers"]))
        self.context_refiner = nn.ModuleList(JointBlock(c, False) for _ in range(c["n_refiner_layers"]))
        self.t_embedder = TimestepEmbedder(width)
        caption = c["cap_feat_dim"]
        self.cap_embedder = nn.Sequential(RMSNorm(caption, c["norm_eps"]), nn.Linear(caption, width))
        self.clip_text_pooled_proj = nn.Sequential(RMSNorm(text, c["norm_eps"]), nn.Linear(text, text))
        self.time_text_embed = nn.Sequential(nn.SiLU(), nn.Linear(width + text, width))
        self.layers = nn.ModuleList(JointBlock(c, True) for _ in range(c["n_layers"]))
        self.final_layer = FinalLayer(width, patch)

    def initialise(self) -> None:
        """Xavier everywhere; modulation and output begin at zero, so that every block begins as the identity."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for block in [*self.noise_refiner, *self.layers]:
            nn.init.zeros_(block.adaLN_modulation[1].weight)
        for linear in (self.final_layer.linear, self.final_layer.adaLN_modulation[1]):
            nn.init.zeros_(linear.weight)
        for linear in (self.t_embedder.mlp[0], self.t_embedder.mlp[2]):
            nn.init.normal_(linear.weight, std=0.02)

    def forward(
        self,
        x: Tensor,
        sigma: Tensor,
        caption: Tensor,
        caption_length: Tensor,
        pooled: Tensor,
        caption_rules: Tensor,
        joint_rules: Tensor | Sequence[Tensor],
    ) -> Tensor:
        """x [B, 16, h, w]; sigma [B]; caption [B, L, C] padded on the right; pooled [B, P].

        caption_rules [B, L, L] and joint_rules [B, L+N, L+N] (of all joint layers, or one for each) say what each token
        may attend to (isolation.plan), or are what is added to its logits.
        """
        c, patch = self.config, self.config["patch_size"]
        batch, channels, height, width = x.shape
        rows, columns, length = height // patch, width // patch, caption.shape[1]
        t = self.t_embedder(1 - sigma)
        t = self.time_text_embed(torch.cat([t, self.clip_text_pooled_proj(pooled)], -1))

        caption_position = torch.zeros(batch, length, 3, device=x.device)
        caption_position[..., 0] = torch.arange(length, device=x.device) + 1.0
        image_position = torch.zeros(batch, rows * columns, 3, device=x.device)
        image_position[..., 0] = (caption_length + 1)[:, None].float()  # the host counts real tokens, not padding
        image_position[..., 1] = torch.arange(rows, device=x.device).repeat_interleave(columns)
        image_position[..., 2] = torch.arange(columns, device=x.device).repeat(rows)
        caption_turn = axis_rotations(caption_position, c["axes_dims"], c["rope_theta"])
        image_turn = axis_rotations(image_position, c["axes_dims"], c["rope_theta"])

        caption = self.cap_embedder(caption)
        bias = additive(caption_rules[:, None], caption.dtype)
        for block in self.context_refiner:
            caption = block(caption, *caption_turn, bias)
        x = x.view(batch, channels, rows, patch, columns, patch).permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
        x = self.x_embedder(x).to(caption.dtype)  # [B, N, dim]
        for block in self.noise_refiner:
            x = block(x, *image_turn, None, t)
        x = torch.cat([caption, x], 1)
        turn = [torch.cat(pair, 1) for pair in zip(caption_turn, image_turn, strict=True)]
        if isinstance(joint_rules, Tensor):
            joint_rules = [additive(joint_rules, x.dtype)] * len(self.layers)
        for block, rules in zip(self.layers, joint_rules, strict=True):
            x = block(x, *turn, additive(rules[:, None], x.dtype), t)
        x = self.final_layer(x[:, length:], t)
        x = x.view(batch, rows, columns, patch, patch, channels).permute(0, 5, 1, 3, 2, 4)
        return -x.reshape(batch, channels, height, width)


# ---------------------------------------------------------------------------------------------------- text encoders


def half_rotations(positions: Tensor, width: int, theta: float) -> tuple[Tensor, Tensor]:
    """positions [B, N] -> cos, sin [B, N, 1, width/2]."""
    frequency = theta ** -(torch.arange(0, width, 2, device=positions.device, dtype=torch.float32) / width)
    angle = (positions.float()[..., None] * frequency)[:, :, None]
    return angle.cos(), angle.sin()


def rotate_halves(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x [B, N, H, D]: rotates dimension i with dimension i + D/2."""
    a, b = x.float().chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(x.dtype)


class GemmaAttention(nn.Module):
    def __init__(self, c: dict[str, Any]) -> None:
        super().__init__()
        width, head = c["hidden_size"], c["head_dim"]
        self.q_proj = nn.Linear(width, c["num_attention_heads"] * head, bias=False)
        self.k_proj = nn.Linear(width, c["num_key_value_heads"] * head, bias=False)
        self.v_proj = nn.Linear(width, c["num_key_value_heads"] * head, bias=False)
        self.o_proj = nn.Linear(c["num_attention_heads"] * head, width, bias=False)
        self.q_norm, self.k_norm = RMSNorm(head, 1e-6, 1.0), RMSNorm(head, 1e-6, 1.0)
        self.head = head

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, bias: Tensor) -> Tensor:
        q, k, v = (p(x).unflatten(-1, (-1, self.head)) for p in (self.q_proj, self.k_proj, self.v_proj))
        q, k = rotate_halves(self.q_norm(q), cos, sin), rotate_halves(self.k_norm(k), cos, sin)
        return self.o_proj(attend(q, k, v, bias))


class GemmaMLP(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_proj, self.up_proj = nn.Linear(width, hidden, bias=False), nn.Linear(width, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.gelu(self.gate_proj(x), approximate="tanh") * self.up_proj(x))


class GemmaBlock(nn.Module):
    def __init__(self, c: dict[str, Any]) -> None:
        super().__init__()
        width = c["hidden_size"]
        self.self_attn, self.mlp = GemmaAttention(c), GemmaMLP(width, c["intermediate_size"])
        self.input_layernorm, self.post_attention_layernorm = RMSNorm(width, 1e-6, 1.0), RMSNorm(width, 1e-6, 1.0)
        self.pre_feedforward_layernorm = RMSNorm(width, 1e-6, 1.0)
        self.post_feedforward_layernorm = RMSNorm(width, 1e-6, 1.0)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, bias: Tensor) -> Tensor:
        x = x + self.post_attention_layernorm(self.self_attn(self.input_layernorm(x), cos, sin, bias))
        return x + self.post_feedforward_layernorm(self.mlp(self.pre_feedforward_layernorm(x)))


class GemmaDecoder(nn.Module):
    def __init__(self, c: dict[str, Any]) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.layers = nn.ModuleList(GemmaBlock(c) for _ in range(c["num_hidden_layers"]))
        self.norm = RMSNorm(c["hidden_size"], 1e-6, 1.0)


class Gemma(nn.Module):
    """The token encoder: a small Gemma 3 whose layers are all local ones (rope theta 10000, window never reached)."""

    def __init__(self, c: dict[str, Any] = config.GEMMA) -> None:
        super().__init__()
        self.config = c
        self.model = GemmaDecoder(c)

    def initialise(self) -> None:
        nn.init.normal_(self.model.embed_tokens.weight, std=self.config["hidden_size"] ** -0.5)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)

    def forward(self, ids: Tensor, positions: Tensor, rules: Tensor) -> tuple[Tensor, Tensor]:
        """ids, positions [B, L], rules [B, L, L] -> the last but one hidden states [B, L, D], and the last's logits."""
        model, scale = self.model, self.config["hidden_size"] ** 0.5
        cos, sin = half_rotations(positions, self.config["head_dim"], 10000.0)
        x = model.embed_tokens(ids) * scale
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        bias = additive(rules[:, None], x.dtype)
        for block in model.layers[:-1]:
            x = block(x, cos, sin, bias)
        last = model.norm(model.layers[-1](x, cos, sin, bias))
        return x, F.linear(last, model.embed_tokens.weight)


class JinaAttention(nn.Module):
    def __init__(self, c: dict[str, Any]) -> None:
        super().__init__()
        width = c["hidden_size"]
        self.head = width // c["num_attention_heads"]
        self.Wqkv, self.out_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, bias: Tensor) -> Tensor:
        q, k, v = self.Wqkv(x).unflatten(-1, (3, -1, self.head)).unbind(2)
        return self.out_proj(attend(rotate_halves(q, cos, sin), rotate_halves(k, cos, sin), v, bias))


class JinaMLP(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class JinaBlock(nn.Module):
    def __init__(self, c: dict[str, Any]) -> None:
        super().__init__()
        width = c["hidden_size"]
        self.mixer, self.mlp = JinaAttention(c), JinaMLP(width, c["intermediate_size"])
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-5), nn.LayerNorm(width, eps=1e-5)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, bias: Tensor) -> Tensor:
        x = self.norm1(self.mixer(x, cos, sin, bias) + x)
        return self.norm2(self.mlp(x) + x)


class JinaEmbeddings(nn.Module):
    def __init__(self, c: dict[str, Any]) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.token_type_embeddings = nn.Embedding(1, c["hidden_size"])


class JinaEncoder(nn.Module):
    def __init__(self, c: dict[str, Any]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(JinaBlock(c) for _ in range(c["num_hidden_layers"]))


class JinaModel(nn.Module):
    def __init__(self, c: dict[str, Any]) -> None:
        super().__init__()
        self.embeddings = JinaEmbeddings(c)
        self.emb_ln = nn.LayerNorm(c["hidden_size"], eps=1e-5)
        self.encoder = JinaEncoder(c)


class Jina(nn.Module):
    """The pooled encoder: XLM-RoBERTa with rotary positions (base 20000), mean over the real tokens."""

    def __init__(self, c: dict[str, Any] = config.JINA) -> None:
        super().__init__()
        self.config = c
        self.model = JinaModel(c)

    def initialise(self) -> None:
        nn.init.normal_(self.model.embeddings.word_embeddings.weight, std=0.5)
        nn.init.zeros_(self.model.embeddings.token_type_embeddings.weight)

    def forward(self, ids: Tensor, length: Tensor) -> Tensor:
        """ids [B, L] padded on the right, length [B] -> [B, P]."""
        model = self.model
        positions = torch.arange(ids.shape[1], device=ids.device)[None].expand_as(ids)
        real = positions < length[:, None]  # [B, L]
        cos, sin = half_rotations(positions, self.config["hidden_size"] // self.config["num_attention_heads"], 20000.0)
        x = model.emb_ln(model.embeddings.word_embeddings(ids) + model.embeddings.token_type_embeddings.weight[0])
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        bias = additive(real[:, None, None, :].expand(-1, 1, ids.shape[1], -1), x.dtype)
        for block in model.encoder.layers:
            x = block(x, cos, sin, bias)
        return (x.float() * real[..., None]).sum(1) / length[:, None]


# ---------------------------------------------------------------------------------------------------- autoencoder


def convolution(inputs: int, outputs: int, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=bias)


class Clamp(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / 3) * 3


class ConvBlock(nn.Module):
    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            convolution(width, width), nn.ReLU(), convolution(width, width), nn.ReLU(), convolution(width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x) + x)


class Encoder(nn.Sequential):
    """TAESD's encoder: image [B, 3, H, W] in 0..1 -> latent [B, 16, H/8, W/8]."""

    def __init__(self, channels: int = 16) -> None:
        def down() -> list[nn.Module]:
            return [convolution(64, 64, 2, False), ConvBlock(), ConvBlock(), ConvBlock()]

        super().__init__(convolution(3, 64), ConvBlock(), *down(), *down(), *down(), convolution(64, channels))


class Decoder(nn.Sequential):
    """TAESD's decoder: latent [B, 16, h, w] -> image [B, 3, 8h, 8w], about 0..1."""

    def __init__(self, channels: int = 16) -> None:
        def up() -> list[nn.Module]:
            return [ConvBlock(), ConvBlock(), ConvBlock(), nn.Upsample(scale_factor=2), convolution(64, 64, 1, False)]

        super().__init__(
            Clamp(), convolution(channels, 64), nn.ReLU(), *up(), *up(), *up(), ConvBlock(), convolution(64, 3)
        )


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.taesd_encoder, self.taesd_decoder = Encoder(), Decoder()

    def initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, ConvBlock):
                module.conv[4].weight.data *= 0.25  # every block begins near the identity
        for last in (self.taesd_encoder[-1], self.taesd_decoder[-1]):
            last.weight.data *= 0.2
        nn.init.constant_(self.taesd_decoder[-1].bias, 0.5)
