"""An interval begins and ends between two steps, whatever the sampler does within one."""

from __future__ import annotations

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import comfy.extra_samplers.uni_pc
import comfy.samplers
import torch
from comfy.k_diffusion import sampling as hosts
from newbie_pack.isolation import carrier
from newbie_pack.isolation.encode import encode
from newbie_pack.isolation.plan import Options
from newbie_pack.sampling.guidance import guider_for
from newbie_pack.sampling.sample import sample, schedule
from newbie_pack.sampling.samplers import SAMPLERS, WITH_ETA
from newbie_pack.sampling.steps import Steps, progress, rehearse
from newbie_pack.xml_prompt import Box, parse

import nodes

EMPTY = torch.zeros(1, 16, 6, 8)
STEPS = 5
OWN_STEPS = ("dpm_fast", "dpm_adaptive")  # they lay out their own, which the schedule doesn't know
FOR_PICTURES_THAT_MOVE = ("ar_video",)
SCHEDULED = [n for n in comfy.samplers.SAMPLER_NAMES if n not in OWN_STEPS + FOR_PICTURES_THAT_MOVE]


@pytest.fixture
def calls(monkeypatch):
    """(step, guided) of every call of the model. The step is the sampler's own loop variable."""
    made, step = [], [None]

    def counted(count, disable=None):
        around = step[0]  # a rehearsal is within the first step
        for step[0] in range(count):
            yield step[0]
        step[0] = around

    for module in (hosts, comfy.extra_samplers.uni_pc):
        monkeypatch.setattr(module, "trange", counted)
    predict = comfy.samplers.CFGGuider.predict_noise

    def noted(self, *args, **kwargs):
        made.append((step[0], self.cfg > 1))
        return predict(self, *args, **kwargs)

    monkeypatch.setattr(comfy.samplers.CFGGuider, "predict_noise", noted)
    return made


def run(model, prompts, name, start, end, steps=STEPS):
    guider = guider_for(model, *prompts, 7.5, start, end, 0.0)
    noise = torch.randn(1, 16, 6, 8, generator=torch.Generator().manual_seed(0))
    sigmas = schedule(model, name, "simple", steps, 1.0)
    return guider.sample(noise, EMPTY, comfy.samplers.sampler_object(name), sigmas, seed=5)


@pytest.mark.parametrize("name", SCHEDULED)
@pytest.mark.parametrize(("start", "end", "first", "last"), [(0.0, 0.2, 0, 0), (0.2, 0.6, 1, 2)])
def test_every_sampler_of_the_host_is_guided_in_whole_steps(model, prompts, calls, name, start, end, first, last):
    run(model, prompts, name, start, end)
    assert {step for step, _ in calls} == set(range(STEPS))
    assert [guided for _, guided in calls] == [first <= step <= last for step, _ in calls]


@pytest.mark.parametrize("name", OWN_STEPS)
def test_a_sampler_with_steps_of_its_own_changes_once_and_between_them(model, prompts, monkeypatch, name):
    made = []
    predict = comfy.samplers.CFGGuider.predict_noise
    monkeypatch.setattr(
        comfy.samplers.CFGGuider,
        "predict_noise",
        lambda self, x, timestep, *rest, **kw: made.append((float(timestep.max()), self.cfg > 1))
        or predict(self, x, timestep, *rest, **kw),
    )
    begun = []
    step = "dpm_solver_3_step" if name == "dpm_fast" else "dpm_solver_2_step"  # called once in the middle of each
    real = getattr(hosts.DPMSolver, step)
    monkeypatch.setattr(
        hosts.DPMSolver, step, lambda self, *args, **kw: begun.append(len(made) - 1) or real(self, *args, **kw)
    )
    run(model, prompts, name, 0.0, 0.5, steps=9)
    guided = [one for _, one in made]
    assert guided[0] and not guided[-1] and sorted(guided, reverse=True) == guided
    if name == "dpm_adaptive":
        assert guided.index(False) in begun


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_rehearsal_draws_no_numbers_and_leaves_the_picture_as_it_is(model, prompts, name):
    """At guidance 1 inside and outside of the interval, only the rehearsal is left of it."""
    settings = {"seed": 5, "steps": 3, "sampler": name, "eta": 0.3 if name in WITH_ETA else 0.0, "guidance": 1.0}
    torch.manual_seed(1)
    before = torch.get_rng_state()
    parts = sample(model, *prompts, {"samples": EMPTY}, **settings, guidance_end=0.5)["samples"]
    whole = sample(model, *prompts, {"samples": EMPTY}, **settings, guidance_end=1.0)["samples"]
    assert torch.equal(parts, whole)
    rehearse(comfy.samplers.sampler_object(name), guider_for(model, *prompts, 1.0, 0.0, 0.5, 0.0), torch.ones(2), 1, 5)
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), before)


def told(name, sigmas, model, prompts):
    """What is told of every call without knowing the sampler, and what is right."""
    guider = guider_for(model, *prompts, 1.0, 0.0, 0.5, 0.0)
    guider.inner_model = model.model
    known = rehearse(comfy.samplers.sampler_object(name), guider, sigmas, 1, 5)
    options = {"sample_sigmas": sigmas}
    return [progress(options, torch.tensor([sigma])) for sigma, _ in known], [behind for _, behind in known]


@pytest.mark.parametrize("name", ["euler", "dpm_2", "dpmpp_sde", "seeds_3", "res_multistep", "heun", "exp_heun_2_x0"])
def test_under_another_guider_the_noise_tells_the_step(model, prompts, name):
    sigmas = schedule(model, name, "simple", 8, 1.0)
    seen, right = told(name, sigmas, model, prompts)
    unknown = 1 if "heun" in name else 0  # whether calls come in pairs shows at the second pair
    assert seen[1 + unknown :] == pytest.approx(right[1 + unknown :])
    assert seen[0] == 0.0


def test_a_sampler_that_cannot_be_rehearsed_is_told_by_the_noise(model, prompts, monkeypatch):
    class Own(comfy.samplers.KSAMPLER):
        def sample(self, model_wrap, sigmas, *rest, **kw):
            if rest[2].shape[-1] == 1:
                raise RuntimeError("a picture is wanted")
            return super().sample(model_wrap, sigmas, *rest, **kw)

    strengths = []
    predict = comfy.samplers.CFGGuider.predict_noise
    monkeypatch.setattr(
        comfy.samplers.CFGGuider,
        "predict_noise",
        lambda self, *args, **kw: strengths.append(self.cfg) or predict(self, *args, **kw),
    )
    guider = guider_for(model, *prompts, 7.5, 0.0, 0.5, 0.0)
    sigmas = schedule(model, "euler", "simple", 4, 1.0)
    guider.sample(torch.randn(1, 16, 6, 8), EMPTY, Own(hosts.sample_euler), sigmas, seed=5)
    assert strengths == [7.5, 7.5, 1.0, 1.0] and guider.cfg == 7.5


def test_the_same_question_twice_is_one_call():
    """As when a model runs on two devices at once, and each asks."""
    sigmas = torch.tensor([1.0, 0.75, 0.5, 0.25, 0.0])
    steps = Steps(sigmas)
    asked = [sigma[None] for sigma in sigmas[:-1]]
    assert [steps.call(one) for one in asked for _ in range(2)] == [0.0, 0.0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75]
    assert progress({}, asked[0]) == 0.0


@pytest.mark.parametrize("name", SAMPLERS)
def test_isolation_ends_between_two_steps(mini, calls, monkeypatch, name):
    """guidance goes on to the end, so that nothing but isolation changes."""
    model, clip, _, _ = mini
    boxes = (Box(0, 0, 500, 1000), Box(500, 0, 1000, 1000))
    scene = parse("<character_1><n>miku</n></character_1><character_2><n>kaito</n></character_2>")
    isolated = encode(clip, scene, boxes, "strict", Options(start=0.2, end=0.6))
    plain = clip.encode_from_tokens_scheduled(clip.tokenize(""))
    on = []
    real = carrier.IsolatedForward.now

    def now(self, options):
        plan = real(self, options)
        on.append((calls[-1][0], plan is self.plan))
        return plan

    monkeypatch.setattr(carrier.IsolatedForward, "now", now)
    run(model, (isolated, plain), name, 0.0, 1.0)
    assert {step for step, _ in on} == set(range(STEPS))
    assert [isolating for _, isolating in on] == [1 <= step <= 2 for step, _ in on]


def test_isolation_goes_by_the_guiders_steps(model, prompts, monkeypatch):
    """heun's last call of the first step is at the noise of the second."""
    heard = []
    apply = comfy.samplers.calc_cond_batch

    def noted(inner, conds, x, timestep, options):
        heard.append(progress(options["transformer_options"], timestep))
        return apply(inner, conds, x, timestep, options)

    monkeypatch.setattr(comfy.samplers, "calc_cond_batch", noted)
    run(model, prompts, "heun", 0.0, 1.0, steps=4)
    assert heard == [0.0, 0.0, 0.25, 0.25, 0.5, 0.5, 0.75]
    heard.clear()

    nodes.common_ksampler(model, 5, 4, 1.0, "euler", "simple", *prompts, {"samples": EMPTY})
    assert heard == [0.0, 0.25, 0.5, 0.75]
