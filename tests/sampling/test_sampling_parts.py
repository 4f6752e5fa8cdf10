"""NewBie Guider and NewBie Sampler in the host's SamplerCustomAdvanced: the very latents of NewBie Sample."""

from __future__ import annotations

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import torch
from comfy_extras.nodes_custom_sampler import BasicScheduler, RandomNoise, SamplerCustomAdvanced
from comfy_extras.nodes_model_advanced import ModelSamplingAuraFlow
from newbie_pack.nodes.guider import NewBieGuider
from newbie_pack.nodes.sample import NewBieSample
from newbie_pack.nodes.sampler import NewBieSampler
from newbie_pack.nodes.start import NewBieSeeds

GUIDANCE = {"guidance": 7.5, "guidance_start": 0.0, "guidance_end": 1.0, "renorm": 0.0}
NOISE = {"sampler": "euler_ancestral", "eta": 0.3, "s_noise": 1.0}


def latent(batch=1):
    return {"samples": torch.zeros(batch, 16, 6, 8), "downscale_ratio_spacial": 8}


def whole(model, prompts, given, **settings):
    common = {"seed": 5, "steps": 3, "shift": 4.0, "scheduler": "simple", "denoise": 1.0}
    said = {**common, **GUIDANCE, **NOISE, **settings}
    return NewBieSample.execute(model, *prompts, given, **said).result[0]["samples"]


def parts(model, prompts, given, **settings):
    """The graph that the help page of NewBie Guider describes."""
    said = {**GUIDANCE, **NOISE, **settings}
    (shifted,) = ModelSamplingAuraFlow().patch_aura(model, 4.0)
    (guider,) = NewBieGuider.execute(shifted, *prompts, **{key: said[key] for key in GUIDANCE}).result
    (sampler,) = NewBieSampler.execute(**{key: said[key] for key in NOISE}).result
    (sigmas,) = BasicScheduler.execute(shifted, "simple", 3, 1.0).result
    (noise,) = RandomNoise.execute(5).result
    return SamplerCustomAdvanced.execute(noise, guider, sampler, sigmas, given).result[0]["samples"]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"guidance_start": 0.1, "guidance_end": 0.4},
        {"renorm": 1.0},
        {"eta": 1.0, "s_noise": 0.9},
        {"sampler": "dpmpp_2m_sde"},
        {"sampler": "res_multistep", "eta": 0.0},
    ],
    ids=str,
)
def test_in_parts_and_whole_are_bit_for_bit_the_same(model, prompts, settings):
    given = whole(model, prompts, latent(2), **settings)
    assert torch.equal(parts(model, prompts, latent(2), **settings), given)
    if settings:  # and every setting reached both
        assert not torch.equal(given, whole(model, prompts, latent(2)))


def test_the_guiders_model_is_left_as_it_was(model, prompts):
    options = dict(model.model_options)
    NewBieGuider.execute(model, *prompts, **{**GUIDANCE, "renorm": 1.0})
    assert model.model_options == options


def test_what_would_be_ignored_is_said_before_anything_runs():
    assert "set eta to 0" in NewBieSampler.validate_inputs("res_multistep", 0.3)
    assert "sampler is 'nope': choose one of" in NewBieSampler.validate_inputs("nope", 0.3)
    assert NewBieSampler.validate_inputs("euler_ancestral", 0.3) is True
    assert NewBieSampler.validate_inputs(None, 0.3) is True  # linked


def test_seeds_follow_one_by_one_and_begin_again_after_the_last():
    (output,) = NewBieSeeds.GET_SCHEMA().outputs
    assert output.is_output_list  # so that the host runs what is behind once for each
    assert NewBieSeeds.execute(7, 3).result == ([7, 8, 9],)
    assert NewBieSeeds.execute(2**64 - 1, 2).result == ([2**64 - 1, 0],)
