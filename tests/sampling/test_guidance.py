"""Guidance for a part of the schedule, and its bound, against the host's own nodes."""

from __future__ import annotations

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import torch
from comfy.samplers import sampler_object
from comfy_extras.nodes_lumina2 import RenormCFG
from comfy_extras.nodes_model_advanced import ModelSamplingAuraFlow
from newbie_pack.sampling.guidance import bounded, guider_for
from newbie_pack.sampling.sample import sample
from newbie_pack.sampling.steps import check_interval

import nodes

EMPTY = {"samples": torch.zeros(1, 16, 6, 8)}
SETTINGS = {"seed": 5, "steps": 3, "eta": 0.0}
CLOSE = {"rtol": 1e-4, "atol": 1e-4}  # float32, and the way through the latent format and back between two samplings


@pytest.fixture
def passes(model):
    """Counts the diffusion model's forwards; the two prompts differ in length, so each takes its own."""
    counted = []
    hook = model.model.diffusion_model.register_forward_hook(lambda *_: counted.append(1))
    yield counted
    hook.remove()


def stock_stages(model, prompts, stages):
    """The host's advanced sampler, stage after stage: [(guidance, until step)]."""
    (shifted,) = ModelSamplingAuraFlow().patch_aura(model, 6.0)
    latent, begin = EMPTY, 0
    for guidance, end in stages:
        (latent,) = nodes.common_ksampler(
            shifted, 5, 3, guidance, "euler", "simple", *prompts, latent, disable_noise=begin > 0, start_step=begin,
            last_step=end, force_full_denoise=end == 3,
        )
        begin = end
    return latent["samples"]


@pytest.mark.parametrize(
    ("interval", "stages", "count"),
    [
        ({"guidance_end": 0.4}, [(7.5, 2), (1.0, 3)], 5),  # the second of three steps begins at a third
        ({"guidance_start": 0.2}, [(1.0, 1), (7.5, 3)], 5),
        ({"guidance_start": 0.2, "guidance_end": 0.4}, [(1.0, 1), (7.5, 2), (1.0, 3)], 4),
        ({}, [(7.5, 3)], 6),
    ],
)
def test_outside_the_interval_is_no_guidance_and_half_the_work(model, prompts, passes, interval, stages, count):
    ours = sample(model, *prompts, EMPTY, **SETTINGS, **interval)["samples"]
    assert len(passes) == count
    torch.testing.assert_close(ours, stock_stages(model, prompts, stages), **CLOSE)


@pytest.mark.parametrize(("start", "end"), [(0.5, 0.5), (0.8, 0.2), (-0.1, 1), (0, 1.1), (1, 1)])
def test_an_interval_that_holds_nothing_is_refused(model, prompts, start, end):
    with pytest.raises(ValueError, match="leave no steps between them: choose a start"):
        check_interval(start, end)
    with pytest.raises(ValueError, match="leave no steps"):
        sample(model, *prompts, EMPTY, **SETTINGS, guidance_start=start, guidance_end=end)


def velocity_bound(x, sigma, conditional, unconditional, guidance, renorm):
    """forward_with_cfg of Lumina-Image-2.0's models/model.py, in float64, on what the host hands over; -> denoised."""
    x, conditional, unconditional = (one.double() for one in (x, conditional, unconditional))
    sigma = sigma.double().view(-1, 1, 1, 1)
    own, other = (x - conditional) / sigma, (x - unconditional) / sigma
    velocity = other + guidance * (own - other)
    limit = renorm * own.flatten(1).norm(dim=1)
    norm = velocity.flatten(1).norm(dim=1)
    return x - sigma * velocity * (limit / norm).clamp(max=1).view(-1, 1, 1, 1)


def test_the_bound_is_the_authors(model, prompts):
    """In every step of a real run, on every picture of a batch by itself."""
    steps = []

    def watch(arguments):
        steps.append({**arguments, "denoised": arguments["denoised"].clone()})
        return arguments["denoised"]

    guider = guider_for(model, *prompts, 7.5, 0.0, 1.0, 1.0)
    guider.model_options["sampler_post_cfg_function"].append(watch)  # behind the bound
    assert not model.model_options.get("sampler_post_cfg_function")
    noise = torch.randn(2, 16, 6, 8, generator=torch.Generator().manual_seed(1))
    guider.sample(noise, torch.zeros_like(noise), sampler_object("euler"), torch.tensor([1.0, 0.9, 0.6, 0.0]), seed=1)
    assert len(steps) == 3
    for step in steps:
        ends = step["cond_denoised"], step["uncond_denoised"]
        expected = velocity_bound(step["input"], step["sigma"], *ends, step["cond_scale"], 1.0)
        torch.testing.assert_close(step["denoised"].double(), expected, rtol=1e-5, atol=1e-5)
        free = ends[1] + step["cond_scale"] * (ends[0] - ends[1])
        assert not torch.allclose(step["denoised"], free, rtol=1e-3)  # it does bound something here


def test_a_wide_bound_is_none_and_without_guidance_there_is_none(model, prompts):
    for settings in ({"renorm": 50.0}, {"renorm": 0.5, "guidance": 1.0}):
        free = sample(model, *prompts, EMPTY, **SETTINGS, **{**settings, "renorm": 0.0})["samples"]
        torch.testing.assert_close(sample(model, *prompts, EMPTY, **SETTINGS, **settings)["samples"], free, **CLOSE)


def test_the_hosts_cfg_trunc_guides_the_late_steps_and_saves_nothing(model, prompts, passes):
    """Why the interval is not built on it. Three steps of the simple schedule: sigma 1, 0.92 and 0.75."""
    (trunc,) = RenormCFG.execute(model, 0.95, 0.0).result
    theirs = sample(trunc, *prompts, EMPTY, **SETTINGS)["samples"]
    assert len(passes) == 6
    torch.testing.assert_close(theirs, stock_stages(model, prompts, [(1.0, 1), (7.5, 3)]), **CLOSE)


def test_each_picture_of_a_batch_has_its_own_bound():
    x, conditional = torch.zeros(2, 1, 2, 2), torch.ones(2, 1, 2, 2)
    guided = torch.stack([3 * torch.ones(1, 2, 2), 0.5 * torch.ones(1, 2, 2)])
    out = bounded(1.5)({"input": x, "denoised": guided, "cond_denoised": conditional, "cond_scale": 7.5})
    assert torch.equal(out[0], torch.full((1, 2, 2), 1.5))
    assert torch.equal(out[1], guided[1])


@pytest.mark.parametrize(("scheduler", "denoise"), [("simple", 1.0), ("simple", 0.3), ("simple", 0.1), ("karras", 1.0)])
def test_the_interval_is_a_part_of_the_steps_that_are_run(model, prompts, passes, scheduler, denoise):
    """Four steps until a half: two of them guided, however little noise they take away."""
    picture = {"samples": torch.randn(1, 16, 6, 8, generator=torch.Generator().manual_seed(0))}
    settings = {"seed": 5, "steps": 4, "eta": 0.0, "scheduler": scheduler, "denoise": denoise, "guidance_end": 0.5}
    sample(model, *prompts, picture, **settings)
    assert len(passes) == 2 * 2 + 2


def test_the_model_stays_as_it_was(model, prompts):
    before = sample(model, *prompts, EMPTY, **SETTINGS)["samples"]
    sample(model, *prompts, EMPTY, **SETTINGS, renorm=1.0, guidance_end=0.4)
    assert torch.equal(sample(model, *prompts, EMPTY, **SETTINGS)["samples"], before)
