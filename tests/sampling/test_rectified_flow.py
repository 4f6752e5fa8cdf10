"""Which of the host's samplers have eta in a form for rectified flow: measured on a flow whose answer is known."""

from __future__ import annotations

import inspect
from types import SimpleNamespace

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import comfy.model_sampling
import comfy.samplers
import torch
from comfy.k_diffusion import sampling as hosts
from newbie_pack.sampling.samplers import NOISELESS, WITH_ETA, WITHOUT_ETA

SPREAD = 0.5  # the data's standard deviation
STEPS = 400
# At eta 1 the steps' own error is below 4 percent after 400 of them, with what 8,192 numbers say of a deviation (0.8
# percent); the older forms are 8 to 42 percent off, and no better with more steps.
TOLERANCE = 0.06 * SPREAD
SAME_SOLVER = "_gpu"  # as the sampler without it, with its noise drawn on the GPU
OWN_STEPS = ("dpm_fast", "dpm_adaptive")  # they take no schedule, and reckon in the older form


class Flow(comfy.model_sampling.ModelSamplingDiscreteFlow, comfy.model_sampling.CONST):
    pass


def denoiser(flow):
    """The best prediction for data from N(0, SPREAD^2), as the host's samplers call a model."""

    def predict(x, sigma, model_options, **_):
        t = sigma.view(-1, 1, 1, 1)
        data = (1 - t) * SPREAD**2 / ((1 - t) ** 2 * SPREAD**2 + t**2) * x
        for function in model_options.get("sampler_post_cfg_function", []):
            data = function({"denoised": data, "cond_denoised": data, "uncond_denoised": data})
        return data

    patcher = SimpleNamespace(get_model_object=lambda name: flow, model_sampling=flow)

    class Model:
        inner_model = SimpleNamespace(inner_model=patcher, model_patcher=patcher)
        __call__ = staticmethod(predict)

    return Model()


@pytest.fixture(scope="module")
def flow():
    made = Flow()
    made.set_parameters(shift=6.0, multiplier=1.0)
    return made


def with_eta():
    names = [
        name
        for name in comfy.samplers.KSAMPLER_NAMES
        if "eta" in inspect.signature(getattr(hosts, f"sample_{name}")).parameters and name not in OWN_STEPS
    ]
    assert len(names) > len(WITH_ETA)
    return names


@pytest.mark.parametrize("name", with_eta())
def test_the_list_holds_exactly_the_hosts_samplers_that_keep_to_the_flow(flow, name):
    sigmas = comfy.samplers.calculate_sigmas(flow, "simple", STEPS)
    noise = torch.randn(2, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    extra = {"seed": 1, "model_options": {}}
    out = getattr(hosts, f"sample_{name}")(denoiser(flow), noise, sigmas, extra_args=extra, disable=True, eta=1.0)
    keeps = abs(out.std().item() - SPREAD) < TOLERANCE
    assert keeps == (name.removesuffix(SAME_SOLVER) in WITH_ETA)


def test_nothing_without_eta_is_said_to_have_it():
    for name in WITHOUT_ETA:
        function = getattr(hosts, f"sample_{name}", None)  # uni_pc is elsewhere in the host
        assert function is None or "eta" not in inspect.signature(function).parameters
    assert set(NOISELESS) <= set(WITH_ETA) and set(NOISELESS.values()) <= set(WITHOUT_ETA)
    assert not set(WITH_ETA) & set(WITHOUT_ETA)
