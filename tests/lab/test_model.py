"""The training twins against the host's own classes: the same weights, the same numbers, in float32 on the CPU."""

from __future__ import annotations

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import comfy.ops
import comfy.patcher_extension
import torch
from comfy.ldm.lumina.model import NextDiT
from comfy.taesd.taesd import TAESD
from comfy.text_encoders.jina_clip_2 import XLMRobertaModel
from newbie_pack.isolation.carrier import Pass
from newbie_pack.isolation.nextdit import IsolatedNextDiT
from newbie_pack.isolation.plan import caption_rules, coverage, joint_rules
from newbie_pack.lab.training import config
from newbie_pack.model_loader.mini import Gemma
from plans import make_plan

CPU, OPERATIONS = torch.device("cpu"), comfy.ops.disable_weight_init
SIZES = ((20, 20), (8, 12), (12, 8))  # latent height, width
LENGTH = 24
OWNER = (0,) * 3 + (1,) * 8 + (2,) * 9 + (0,) * 4
LEFT, RIGHT = (0.0, 0.0, 0.55, 1.0), (0.4, 0.1, 1.0, 1.0)


def difference(ours: torch.Tensor, hosts: torch.Tensor) -> float:
    """The norm of the difference, relative to the host's."""
    assert ours.shape == hosts.shape
    return ((ours - hosts).norm() / hosts.norm()).item()


@pytest.fixture(scope="module")
def host_diffusion(networks):
    host = NextDiT(**config.DIFFUSION, device=CPU, dtype=torch.float32, operations=OPERATIONS)
    host.load_state_dict(networks.diffusion.state_dict(), strict=True)
    return host.requires_grad_(False).eval()


def diffusion_inputs(height: int, width: int, batch: int = 2) -> tuple[torch.Tensor, ...]:
    """x, sigma, caption, pooled"""
    generator = torch.Generator().manual_seed(height * width)
    shapes = ((batch, 16, height, width), (batch, LENGTH, 192), (batch, 128))
    x, caption, pooled = (torch.randn(shape, generator=generator) for shape in shapes)
    return x, torch.tensor([0.9, 0.25])[:batch], caption, pooled


def twin(networks, inputs, owner, covers):
    x, sigma, caption, pooled = inputs
    length = torch.full((len(x),), LENGTH)
    owner = torch.tensor([owner] * len(x))
    covers = covers[None].expand(len(x), -1, -1)
    ruled = caption_rules(owner), joint_rules(owner, covers)
    return networks.diffusion(x, sigma, caption, length, pooled, *ruled)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_diffusion_model_without_isolation(networks, host_diffusion, height, width):
    inputs = x, sigma, caption, pooled = diffusion_inputs(height, width)
    hosts = host_diffusion(x, sigma, caption, LENGTH, transformer_options={}, clip_text_pooled=pooled)
    nobody = torch.zeros(1, height * width // 4, dtype=torch.bool)
    assert difference(twin(networks, inputs, (0,) * LENGTH, nobody), hosts) <= 1e-5


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_diffusion_model_isolated_as_the_pack_isolates_the_hosts(networks, host_diffusion, height, width):
    inputs = x, sigma, caption, pooled = diffusion_inputs(height, width)
    plan = make_plan(OWNER, ((LEFT,), (RIGHT,)))
    with IsolatedNextDiT(plan).isolated(Pass(host_diffusion, x, caption, {})) as options:
        hosts = host_diffusion(x, sigma, caption, LENGTH, transformer_options=options, clip_text_pooled=pooled)
    covers = torch.stack([coverage([box], height // 2, width // 2) > 0 for box in (LEFT, RIGHT)])
    isolated = twin(networks, inputs, OWNER, covers)
    assert difference(isolated, hosts) <= 1e-5
    assert difference(twin(networks, inputs, (0,) * LENGTH, covers), isolated) > 1e-3  # isolation matters here


def test_gemma(networks):
    host = Gemma(config.GEMMA, torch.float32, CPU, OPERATIONS)
    host.load_state_dict(networks.gemma.state_dict(), strict=True)
    ids = torch.randint(0, config.VOCABULARY, (2, 90), generator=torch.Generator().manual_seed(3))
    causal = torch.ones(2, 90, 90, dtype=torch.bool).tril()
    features, logits = networks.gemma(ids, torch.arange(90).expand(2, -1), causal)
    with torch.no_grad():
        embedded = host.model.embed_tokens(ids, out_dtype=torch.float32)
        last, penultimate = host.model(
            None, embeds=embedded, intermediate_output=-2, final_layer_norm_intermediate=False
        )
    assert difference(features, penultimate) <= 1e-5
    assert difference(logits, last @ host.model.embed_tokens.weight.detach().T) <= 1e-5


@pytest.mark.parametrize("length", [2, 7, 120])
def test_jina_pooled(networks, length):
    host = XLMRobertaModel(config.JINA, torch.float32, CPU, OPERATIONS).eval()
    host.load_state_dict(networks.jina.state_dict(), strict=True)
    ids = torch.randint(3, config.VOCABULARY, (1, length), generator=torch.Generator().manual_seed(length))
    with torch.no_grad():
        _, _, pooled = host(ids, attention_mask=torch.ones(1, length))
    assert difference(networks.jina(ids, torch.tensor([length])), pooled) <= 1e-5


def test_autoencoder(autoencoder):
    host = TAESD(latent_channels=16).requires_grad_(False)
    missing, unexpected = host.load_state_dict(autoencoder.state_dict(), strict=False)
    assert sorted(missing) == ["vae_scale", "vae_shift"] and not unexpected
    picture = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(4))
    latent = autoencoder.taesd_encoder(picture)
    assert difference(latent, host.taesd_encoder(picture)) <= 1e-5
    assert difference(autoencoder.taesd_decoder(latent), host.taesd_decoder(latent)) <= 1e-5
