"""torch.compile by the host's own node: isolated passes are what they are uncompiled, whatever ran before them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import comfy.sample
import torch
from comfy_api.torch_helpers import set_torch_compile_wrapper
from comfy_extras.nodes_torch_compile import skip_torch_compile_dict
from newbie_pack.isolation.carrier import conditioning
from newbie_pack.isolation.nextdit import IsolatedNextDiT
from plans import make_plan

LEFT, RIGHT, TOP, BOTTOM = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 1.0)
OWNER = (0,) * 3 + (1,) * 8 + (2,) * 9 + (0,) * 4
BESIDE = make_plan(OWNER, ((LEFT,), (RIGHT,)))
ABOVE = make_plan(OWNER, ((TOP,), (BOTTOM,)))


class Counting:
    """A backend that compiles nothing: the traced graph runs as it is."""

    def __init__(self):
        self.graphs = 0

    def __call__(self, graph, _inputs):
        self.graphs += 1
        return graph.forward


def compiled(model, backend, keys):
    """As TorchCompileModel does it, which has only backends that need a compiler."""
    clone = model.clone(disable_dynamic=True)
    set_torch_compile_wrapper(clone, backend=backend, options={"guard_filter_fn": skip_torch_compile_dict}, keys=keys)
    return clone


def entry(plan, seed=0):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(1, len(OWNER), 48, generator=generator)
    values = {"pooled_output": torch.randn(1, 32, generator=generator)}
    return [[features, values]] if plan is None else conditioning(features, values, IsolatedNextDiT(plan))


def latents(model, positive, negative):
    empty = torch.zeros(1, 16, 10, 12)
    noise = comfy.sample.prepare_noise(empty, 3)
    return comfy.sample.sample(model, noise, 1, 4.0, "euler", "simple", positive, negative, empty, seed=3)


@pytest.fixture(autouse=True)
def nothing_compiled_before():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.parametrize("keys", [["diffusion_model"], ["diffusion_model.layers.0", "diffusion_model.layers.1"]])
def test_plans_and_plain_prompts_of_one_shape_take_turns(mini, keys):
    """The node's guards leave the options out, so what was traced for one prompt would be run for the next."""
    model, backend = mini[0], Counting()
    fast = compiled(model, backend, keys)
    negative = entry(None, seed=1)
    drawn = []
    for plan in (BESIDE, None, ABOVE):
        positive = entry(plan)
        drawn.append(latents(fast, positive, negative))
        torch.testing.assert_close(drawn[-1], latents(model, positive, negative), rtol=1e-4, atol=1e-4)
    assert backend.graphs  # the plain passes really are compiled
    assert all((one - other).abs().max() > 1e-2 for one, other in pairwise(drawn))


def test_an_older_torch_says_so(mini, monkeypatch):
    monkeypatch.delattr(torch.compiler, "set_stance")
    model = compiled(mini[0], "eager", None)
    with pytest.raises(RuntimeError, match=r"need PyTorch 2\.6 or newer with torch\.compile: remove the node"):
        latents(model, entry(BESIDE), entry(None, seed=1))
