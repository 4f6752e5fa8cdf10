"""Sampling through the host: eta, shift, masks and seeds, with the random-weight mini."""

from __future__ import annotations

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import comfy.sample
import comfy.sampler_helpers
import comfy.samplers
import torch
from comfy_extras.nodes_model_advanced import ModelSamplingAuraFlow, ModelSamplingSD3
from newbie_pack.sampling.sample import sample, with_shift
from newbie_pack.sampling.samplers import NOISELESS, SAMPLERS, WITH_ETA, WITHOUT_ETA

import nodes


def empty(height=6, width=8, batch=1):
    return {"samples": torch.zeros(batch, 16, height, width), "downscale_ratio_spacial": 8}


def run(model, prompts, latent=None, **settings):
    """Guided to the end, as the host's own nodes do."""
    out = sample(model, *prompts, latent or empty(), **{"seed": 5, "steps": 3, "guidance_end": 1.0, **settings})
    return out["samples"]


def stock(model, prompts, latent, seed, steps, cfg, sampler, shift=6.0, denoise=1.0):
    (shifted,) = ModelSamplingAuraFlow().patch_aura(model, shift)
    (out,) = nodes.common_ksampler(shifted, seed, steps, cfg, sampler, "simple", *prompts, latent, denoise=denoise)
    return out["samples"]


@pytest.mark.parametrize("sampler", WITHOUT_ETA)
def test_without_eta_it_is_the_hosts_ksampler_bit_for_bit(model, prompts, sampler):
    ours = run(model, prompts, sampler=sampler, eta=0.0)
    assert torch.equal(ours, stock(model, prompts, empty(), 5, 3, 7.5, sampler))


@pytest.mark.parametrize(("ancestral", "twin"), NOISELESS.items())
def test_without_noise_an_ancestral_sampler_is_its_twin_bit_for_bit(model, prompts, ancestral, twin):
    assert torch.equal(
        run(model, prompts, sampler=ancestral, eta=0.0), stock(model, prompts, empty(), 5, 3, 7.5, twin)
    )


@pytest.mark.parametrize("sampler", WITH_ETA)
def test_eta_reaches_the_samplers_that_have_it(model, prompts, sampler):
    none, some, more = (run(model, prompts, sampler=sampler, eta=eta, steps=4) for eta in (0.0, 0.3, 0.6))
    assert not torch.equal(none, some)
    assert not torch.equal(some, more)


@pytest.mark.parametrize("sampler", WITHOUT_ETA)
def test_eta_is_refused_where_it_would_be_ignored(model, prompts, sampler):
    with pytest.raises(ValueError, match=rf"{sampler} adds no noise and can't use eta 0\.3: set eta to 0"):
        run(model, prompts, sampler=sampler, eta=0.3)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_on_offer_runs(model, prompts, sampler):
    assert run(model, prompts, sampler=sampler, eta=0.0).isfinite().all()


def test_shift_and_guidance_matter_and_the_model_stays_as_it_was(model, prompts):
    before = model.get_model_object("model_sampling").shift
    plain = run(model, prompts)
    assert not torch.equal(plain, run(model, prompts, shift=3.0))
    assert not torch.equal(plain, run(model, prompts, guidance=4.0))
    assert model.get_model_object("model_sampling").shift == before


@pytest.mark.parametrize(("shift", "renorm", "same"), [(6.0, 0.0, True), (6.0, 1.0, True), (3.0, 0.0, False)])
def test_a_model_that_has_the_shift_is_the_one_that_samples(model, prompts, monkeypatch, shift, renorm, same):
    """Not a clone, which the host would load anew in every run."""
    ran = []
    prepare = comfy.sampler_helpers.prepare_sampling
    monkeypatch.setattr(comfy.sampler_helpers, "prepare_sampling",
                        lambda patcher, *rest, **kw: ran.append(patcher) or prepare(patcher, *rest, **kw))
    run(model, prompts, shift=shift, renorm=renorm)
    assert [patcher is model for patcher in ran] == [same]


def test_a_shift_counted_otherwise_is_replaced(model):
    """ModelSamplingSD3 gives the model times up to 1000."""
    (other,) = ModelSamplingSD3().patch(model, 6.0)
    again = with_shift(other, 6.0)
    assert again is not other and again.get_model_object("model_sampling").multiplier == 1.0


def test_a_model_keeps_the_times_that_it_was_made_for(model, monkeypatch):
    """SD3's go up to 1000, whatever the shift."""
    monkeypatch.setattr(model.model.model_sampling, "multiplier", 1000)
    shifted = with_shift(model, 3.0).get_model_object("model_sampling")
    assert (shifted.shift, shifted.multiplier) == (3.0, 1000)


def test_the_same_seed_gives_the_same_latent(model, prompts):
    assert torch.equal(run(model, prompts), run(model, prompts))
    assert not torch.equal(run(model, prompts), run(model, prompts, seed=6))


@pytest.mark.parametrize("denoise", [0.5, 0.0])
def test_denoise_is_the_hosts(model, prompts, denoise):
    given = {"samples": torch.randn(1, 16, 6, 8, generator=torch.Generator().manual_seed(0))}
    ours = run(model, prompts, given, eta=0.0, denoise=denoise)
    assert torch.equal(ours, stock(model, prompts, given, 5, 3, 7.5, "euler", denoise=denoise))


def test_an_empty_latent_of_another_model_is_given_the_right_channels(model, prompts):
    out = sample(model, *prompts, {"samples": torch.zeros(1, 4, 6, 8)}, seed=0, steps=1)
    assert out["samples"].shape == (1, 16, 6, 8)
    assert "downscale_ratio_spacial" not in sample(model, *prompts, empty(), seed=0, steps=1)


def test_interrupting_stops_within_a_step_and_the_next_run_works(model, prompts, monkeypatch):
    import comfy.model_management as management

    comfy_steps = []
    original = comfy.samplers.CFGGuider.outer_predict_noise

    def counted(self, *args, **kwargs):
        comfy_steps.append(1)
        if len(comfy_steps) == 2:
            management.interrupt_current_processing()
        return original(self, *args, **kwargs)

    monkeypatch.setattr(comfy.samplers.CFGGuider, "outer_predict_noise", counted)
    with pytest.raises(management.InterruptProcessingException):
        run(model, prompts, steps=20)
    assert len(comfy_steps) < 5
    assert run(model, prompts).isfinite().all()
