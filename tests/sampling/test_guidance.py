"""Guidance for a part of the schedule, and its bound, against the host's own nodes."""

from __future__ import annotations

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import torch
from comfy_extras.nodes_lumina2 import RenormCFG
from comfy_extras.nodes_model_advanced import ModelSamplingAuraFlow
from newbie_pack.sampling.guidance import bounded, check_interval
from newbie_pack.sampling.sample import sample

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
    with pytest.raises(ValueError, match="leave no part of the schedule: choose a start"):
        check_interval(start, end)
    with pytest.raises(ValueError, match="leave no part"):
        sample(model, *prompts, EMPTY, **SETTINGS, guidance_start=start, guidance_end=end)


def test_the_bound_is_the_hosts_renormcfg(model, prompts):
    (bound,) = RenormCFG.execute(model, 100.0, 1.0).result
    hosts = sample(bound, *prompts, EMPTY, **SETTINGS)["samples"]
    free = sample(model, *prompts, EMPTY, **SETTINGS)["samples"]
    assert not torch.allclose(hosts, free, **CLOSE)  # it does bound something here
    torch.testing.assert_close(sample(model, *prompts, EMPTY, **SETTINGS, renorm=1.0)["samples"], hosts, **CLOSE)
    torch.testing.assert_close(sample(model, *prompts, EMPTY, **SETTINGS, renorm=50.0)["samples"], free, **CLOSE)


def test_the_hosts_cfg_trunc_guides_the_late_steps_and_saves_nothing(model, prompts, passes):
    """Why the interval is not built on it. Three steps of the simple schedule: sigma 1, 0.92 and 0.75."""
    (trunc,) = RenormCFG.execute(model, 0.95, 0.0).result
    theirs = sample(trunc, *prompts, EMPTY, **SETTINGS)["samples"]
    assert len(passes) == 6
    torch.testing.assert_close(theirs, stock_stages(model, prompts, [(1.0, 1), (7.5, 3)]), **CLOSE)


def test_each_picture_of_a_batch_has_its_own_bound():
    conditional = torch.ones(2, 1, 2, 2)
    guided = torch.stack([3 * torch.ones(1, 2, 2), 0.5 * torch.ones(1, 2, 2)])
    out = bounded(1.5)({"denoised": guided, "cond_denoised": conditional})
    assert torch.equal(out[0], torch.full((1, 2, 2), 1.5))
    assert torch.equal(out[1], guided[1])


def test_the_model_stays_as_it_was(model, prompts):
    before = sample(model, *prompts, EMPTY, **SETTINGS)["samples"]
    sample(model, *prompts, EMPTY, **SETTINGS, renorm=1.0, guidance_end=0.4)
    assert torch.equal(sample(model, *prompts, EMPTY, **SETTINGS)["samples"], before)
