"""A picture in a batch and alone, from another picture, under a mask, and drawn again larger."""

from __future__ import annotations

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import torch
from comfy_extras.nodes_model_advanced import ModelSamplingAuraFlow
from newbie_pack.sampling.sample import sample
from newbie_pack.sampling.samplers import LAST, WITH_ETA, brownian, gaussian, picture_seed

import nodes

# float32, a batch's matrix products summed in another order, and three guided steps that make more of the difference
CLOSE = {"rtol": 2e-3, "atol": 2e-3}
KEPT = {"rtol": 0, "atol": 2e-6}  # what the model's latent format rounds on the way in and out

KINDS = ("euler_ancestral", "dpmpp_2m_sde", "seeds_2")  # noise step by step, along a path, several times a step


def empty(batch=1):
    return {"samples": torch.zeros(batch, 16, 6, 8)}


def given(batch=1, height=6, width=8):
    return torch.randn(batch, 16, height, width, generator=torch.Generator().manual_seed(0))


def run(model, prompts, latent, **settings):
    return sample(model, *prompts, latent, **{"seed": 5, "steps": 3, "eta": 0.3, **settings})["samples"]


@pytest.mark.parametrize("sampler", KINDS)
def test_a_picture_of_a_batch_is_the_one_drawn_alone(model, prompts, sampler):
    batch = run(model, prompts, empty(3), sampler=sampler)
    (third,) = nodes.LatentFromBatch().frombatch(empty(3), 2, 1)
    assert third["batch_index"] == [2]
    torch.testing.assert_close(run(model, prompts, third, sampler=sampler), batch[2:], **CLOSE)
    torch.testing.assert_close(run(model, prompts, empty(), sampler=sampler), batch[:1], **CLOSE)
    assert not torch.allclose(batch[0], batch[2], atol=0.1)


@pytest.mark.parametrize("sampler", WITH_ETA)
def test_a_batch_of_one_at_eta_1_is_the_hosts_bit_for_bit(model, prompts, sampler):
    (shifted,) = ModelSamplingAuraFlow().patch_aura(model, 6.0)
    (hosts,) = nodes.common_ksampler(shifted, 5, 3, 7.5, sampler, "simple", *prompts, empty())
    assert torch.equal(run(model, prompts, empty(), sampler=sampler, eta=1.0), hosts["samples"])


def test_every_picture_has_its_own_stream_and_the_first_one_the_seeds():
    assert picture_seed(7, 0) == 7
    seeds = {picture_seed(seed, index) for seed in range(100) for index in range(100)}
    assert len(seeds) == 100 * 100
    assert picture_seed(2**64 - 1, 0) == LAST  # the host adds one
    x, sigma = torch.zeros(2, 16, 4, 4), torch.tensor(0.5)
    for noise in (gaussian(x, [LAST, 3]), brownian(x, torch.tensor([1.0, 0.5, 0.1, 0.0]), [LAST, 3])):
        drawn = noise(sigma, sigma / 5)
        assert drawn.shape == x.shape and not torch.equal(drawn[0], drawn[1])
    alone = gaussian(x[1:], [3])(sigma, sigma)
    assert torch.equal(gaussian(x, [LAST, 3])(sigma, sigma)[1:], alone)


@pytest.mark.parametrize("sampler", KINDS)
def test_a_single_step_draws_no_noise(model, prompts, sampler):
    assert torch.equal(
        run(model, prompts, empty(), sampler=sampler, steps=1, s_noise=2.0),
        run(model, prompts, empty(), sampler=sampler, steps=1),
    )


@pytest.mark.parametrize("sampler", KINDS)
def test_s_noise_reaches_the_samplers_with_eta(model, prompts, sampler):
    plain = run(model, prompts, empty(), sampler=sampler)
    assert torch.equal(plain, run(model, prompts, empty(), sampler=sampler, s_noise=1.0))
    assert not torch.equal(plain, run(model, prompts, empty(), sampler=sampler, s_noise=0.9))
    none = run(model, prompts, empty(), sampler=sampler, eta=0.0)
    assert torch.equal(none, run(model, prompts, empty(), sampler=sampler, eta=0.0, s_noise=0.9))


def test_a_picture_is_changed_the_less_the_lower_denoise(model, prompts):
    start = given()
    away = [
        (run(model, prompts, {"samples": start}, denoise=denoise, steps=6, guidance=1.0) - start).norm().item()
        for denoise in (0.1, 0.5, 1.0)
    ]
    assert away == sorted(away) and away[0] < 0.5 * away[2]
    torch.testing.assert_close(run(model, prompts, {"samples": start}, denoise=0.0), start, **KEPT)


@pytest.mark.parametrize("sampler", ["euler_ancestral", "dpmpp_2m_sde", "res_multistep"])
def test_a_mask_leaves_what_it_covers_and_draws_the_rest(model, prompts, sampler):
    start, mask = given(2), torch.zeros(2, 1, 48, 64)
    mask[..., 32:] = 1.0
    latent = {"samples": start, "noise_mask": mask}
    out = run(model, prompts, latent, sampler=sampler, eta=0.0 if sampler == "res_multistep" else 0.3)
    torch.testing.assert_close(out[..., :4], start[..., :4], **KEPT)
    assert (out[..., 4:] - start[..., 4:]).abs().mean() > 0.1


def test_a_second_pass_at_one_and_a_half_times_the_size_begins_with_the_first(model, prompts):
    first = run(model, prompts, empty(2))
    (larger,) = nodes.LatentUpscaleBy().upscale({"samples": first}, "bilinear", 1.5)
    assert larger["samples"].shape == (2, 16, 9, 12)
    away = [
        (run(model, prompts, larger, denoise=denoise, steps=6, guidance=1.0) - larger["samples"]).norm().item()
        for denoise in (0.1, 1.0)
    ]
    assert 0 < away[0] < 0.7 * away[1]


def test_the_latents_other_entries_stay(model, prompts):
    mask = torch.ones(1, 1, 48, 64)
    out = sample(model, *prompts, {**empty(), "noise_mask": mask, "batch_index": [4]}, seed=0, steps=1)
    assert out["batch_index"] == [4] and out["noise_mask"] is mask
