"""torch.compile by the host's own node: isolated passes are compiled too, and what they are without it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import comfy.sample
import torch
import torch.nn.functional as F
from comfy_api.torch_helpers import set_torch_compile_wrapper
from comfy_extras.nodes_easycache import EasyCacheNode, LazyCacheNode
from comfy_extras.nodes_torch_compile import skip_torch_compile_dict
from newbie_pack.isolation import fused, nextdit
from newbie_pack.isolation.carrier import conditioning
from newbie_pack.isolation.fused import FusedBias
from newbie_pack.isolation.nextdit import IsolatedNextDiT
from plans import changed, make_plan

LEFT, RIGHT, TOP, BOTTOM = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 1.0)
OWNER = (0,) * 3 + (1,) * 8 + (2,) * 9 + (0,) * 4
BESIDE = make_plan(OWNER, ((LEFT,), (RIGHT,)))
ABOVE = make_plan(OWNER, ((TOP,), (BOTTOM,)))


class Counting:
    """A backend that compiles nothing: the traced graph runs as it is."""

    def __init__(self):
        self.graphs = self.runs = 0

    def __call__(self, graph, _inputs):
        self.graphs += 1

        def run(*inputs):
            self.runs += 1
            return graph.forward(*inputs)

        return run


def compiled(model, backend, keys):
    """As TorchCompileModel does it, which has only backends that need a compiler."""
    clone = model.clone(disable_dynamic=True)
    set_torch_compile_wrapper(clone, backend=backend, options={"guard_filter_fn": skip_torch_compile_dict}, keys=keys)
    return clone


def entry(plan, seed=0):
    generator = torch.Generator().manual_seed(seed)
    tokens = len(OWNER) if plan is None else len(plan.tokens)
    features = torch.randn(1, tokens, 48, generator=generator)
    values = {"pooled_output": torch.randn(1, 32, generator=generator)}
    return [[features, values]] if plan is None else conditioning(features, values, IsolatedNextDiT(plan))


def latents(model, positive, negative, steps=2):
    empty = torch.zeros(1, 16, 10, 12)
    noise = comfy.sample.prepare_noise(empty, 3)
    return comfy.sample.sample(model, noise, steps, 4.0, "euler", "simple", positive, negative, empty, seed=3)


@pytest.fixture(autouse=True)
def nothing_compiled_before():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


WHOLE, SOME = ["diffusion_model"], ["diffusion_model.layers.0", "diffusion_model.context_refiner.1"]


@pytest.mark.parametrize("keys", [WHOLE, SOME])
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
    assert all((one - other).abs().max() > 1e-2 for one, other in pairwise(drawn))


def people(count):
    """As many tokens for any number of characters."""
    owner = tuple(token % (count + 1) for token in range(len(OWNER)))
    regions = tuple(((place / count, 0.0, (place + 1) / count, 1.0),) for place in range(count))
    return make_plan(owner, regions, weight=(1.0, 1.3) * (len(OWNER) // 2))


def test_every_isolated_pass_runs_in_one_graph(mini):
    """Whatever the prompt of as many tokens, and however many characters it has; plain passes have one of their own."""
    model, backend = mini[0], Counting()
    fast = compiled(model, backend, WHOLE)
    negative = entry(None, seed=1)
    for number, plan in enumerate((BESIDE, ABOVE, people(3), people(8), people(1))):
        before = backend.runs
        latents(fast, entry(plan, seed=number), negative, steps=3)
        assert backend.runs - before == 2 * 3
    assert backend.graphs == 2


def test_layers_that_are_compiled_one_by_one_share_theirs(mini):
    model, backend = mini[0], Counting()
    keys = blocks(model)
    fast = compiled(model, backend, keys)
    for plan in (BESIDE, people(3), people(8)):
        before = backend.runs
        latents(fast, entry(plan), entry(None, seed=1), steps=2)
        assert backend.runs - before == 2 * 2 * len(keys)
    assert backend.graphs == 5  # a refiner's and a joint layer, isolated and not; the picture's refiner never is


def ignores_overrides(attention):
    """As another pack's attention does that calls its kernel by itself."""
    forward = attention.forward

    def alone(*args, transformer_options, **kwargs):
        return forward(*args, transformer_options={}, **kwargs)

    return alone


@pytest.mark.parametrize("keys", [WHOLE, SOME])
@pytest.mark.parametrize("layers", ["layers", "context_refiner"])
def test_isolation_that_a_layer_drops_is_told(mini, monkeypatch, keys, layers):
    attention = getattr(mini[0].model.diffusion_model, layers)[1].attention
    monkeypatch.setattr(attention, "forward", ignores_overrides(attention))
    fast = compiled(mini[0], Counting(), keys)
    with pytest.raises(RuntimeError, match="did not reach the model's attention"):
        latents(fast, entry(BESIDE), entry(None, seed=1))


def blocks(model):
    network = model.model.diffusion_model
    lists = ("layers", "context_refiner", "noise_refiner")
    return [f"diffusion_model.{name}.{i}" for name in lists for i in range(len(getattr(network, name)))]


def of_length(length, count):
    owner = tuple(token % (count + 1) for token in range(length))
    return make_plan(owner, people(count).regions, weight=((1.0, 1.3) * length)[:length])


@pytest.mark.parametrize("codes", [False, True], ids=["masks", "codes"])
@pytest.mark.parametrize(("keys", "graphs"), [(WHOLE, 2), (None, 5)], ids=["whole", "blocks"])
def test_no_other_length_of_prompt_makes_another_graph(mini, keys, graphs, codes, request):
    """Where layers are compiled one by one: a refiner's and a joint layer, isolated and not, and the picture's refiner.

    30 is as many as image tokens, where the caption's calls come first; 24, 32, 48 are as wide as something else is.
    """
    if codes:
        request.getfixturevalue("kernel")
    model, backend = mini[0], Counting()
    fast = compiled(model, backend, keys or blocks(model))
    for number, length in enumerate((24, 31, 30, 48, 32, 55)):
        positive = entry(of_length(length, number + 1), seed=number)
        drawn = latents(fast, positive, entry(None, seed=1))
        torch.testing.assert_close(drawn, latents(model, positive, entry(None, seed=1)), rtol=1e-4, atol=1e-4)
    assert backend.graphs == graphs


@pytest.mark.parametrize("keys", [WHOLE, SOME])
def test_silhouettes_are_seen_in_the_same_graph(mini, keys):
    """In the last of ten steps alone."""
    found, backend = [], Counting()
    for model in (mini[0], compiled(mini[0], backend, keys)):
        positive = entry(BESIDE)
        latents(model, positive, entry(None, seed=1), steps=10)
        silhouettes = positive[0][1]["model_conds"]["newbie_isolation"].cond.silhouettes
        found.append((silhouettes.total, silhouettes.count))
    (eager, steps), (traced, again) = found
    assert steps == again == 1
    torch.testing.assert_close(traced, eager, rtol=1e-4, atol=1e-4)
    assert eager.abs().max() > 0.01
    assert backend.graphs <= 4


@pytest.mark.parametrize("keys", [WHOLE, SOME])
def test_what_can_not_be_traced_runs_as_it_is_written(mini, monkeypatch, caplog, keys):
    """A pack's forward that dynamo breaks at: isolated all the same, and it is said once."""
    model, backend = mini[0], Counting()
    layer = model.model.diffusion_model.layers[0]
    forward = layer.forward

    def with_break(*args, **kwargs):
        torch._dynamo.graph_break()
        return forward(*args, **kwargs)

    monkeypatch.setattr(layer, "forward", with_break)
    positive = entry(BESIDE)
    with caplog.at_level("INFO"):
        drawn = latents(compiled(model, backend, keys), positive, entry(None, seed=1), steps=3)
    torch.testing.assert_close(drawn, latents(model, positive, entry(None, seed=1), steps=3), rtol=1e-4, atol=1e-4)
    assert caplog.text.count("in one piece") == 1


@pytest.mark.parametrize("keys", [WHOLE, SOME])
def test_what_can_not_be_compiled_runs_as_it_is_written(mini, caplog, keys):
    """A compiler that is missing or gives up at the isolated graphs, which alone look at what they show."""

    def backend(graph, _inputs):
        if "newbie" in str(graph.graph):
            raise RuntimeError("no compiler")
        return graph.forward

    model, positive = mini[0], entry(BESIDE)
    with caplog.at_level("INFO"):
        drawn = latents(compiled(model, backend, keys), positive, entry(None, seed=1), steps=3)
    torch.testing.assert_close(drawn, latents(model, positive, entry(None, seed=1), steps=3), rtol=1e-4, atol=1e-4)
    assert caplog.text.count("in one piece") == 1


@pytest.fixture
def kernel(monkeypatch):
    """The processor's attention in the place of a GPU's kernel for codes."""

    def attention(q, k, v, scale):
        return F.scaled_dot_product_attention(q, k, v, scale=scale)

    def attend(self, q, k, v):
        return attention(*self.wide(q, k), v, self.width**-0.5).transpose(1, 2).flatten(2)

    monkeypatch.setattr(nextdit, "may_have_kernel", lambda q: True)
    monkeypatch.setattr(fused, "cudnn", attention)
    monkeypatch.setattr(FusedBias, "attend", attend)


@pytest.mark.parametrize("keys", [WHOLE, SOME])
def test_codes_of_one_width_serve_any_number_of_characters(mini, kernel, keys):
    model, backend = mini[0], Counting()
    fast = compiled(model, backend, keys)
    for number, plan in enumerate((people(1), BESIDE, people(8))):
        positive = entry(plan, seed=number)
        drawn = latents(fast, positive, entry(None, seed=9))
        forward = positive[0][1]["model_conds"]["newbie_isolation"].cond.forward
        assert forward.kernel.works
        torch.testing.assert_close(drawn, latents(model, positive, entry(None, seed=9)), rtol=1e-4, atol=1e-4)
    assert backend.graphs == (2 if keys == WHOLE else 4)


def test_a_real_compiler_draws_what_is_drawn_without_it(mini, kernel):
    """One layer alone, which takes half a minute."""
    model = mini[0]
    fast = compiled(model, "inductor", ["diffusion_model.layers.1"])
    positive, negative = entry(people(3)), entry(None, seed=1)
    drawn = latents(fast, positive, negative)
    torch.testing.assert_close(drawn, latents(model, positive, negative), rtol=1e-3, atol=1e-3)


def test_where_isolation_is_over_the_plain_graph_runs(mini):
    model, backend = mini[0], Counting()
    fast = compiled(model, backend, WHOLE)
    plan = changed(BESIDE, end=0.5)
    latents(fast, entry(plan), entry(None, seed=1), steps=4)
    assert (backend.graphs, backend.runs) == (2, 2 * 4 - 1)  # the last step's is looked at, uncompiled


@pytest.mark.parametrize("node", [EasyCacheNode, LazyCacheNode])
@pytest.mark.parametrize("keys", [WHOLE, SOME])
def test_a_cache_on_a_compiled_model_draws_what_it_draws_on_a_plain_one(mini, node, keys):
    """Its wrapper decides in the middle of the network by what it has seen, which no graph holds."""
    positive, negative = entry(BESIDE), entry(None, seed=1)
    drawn = []
    for model in (mini[0], compiled(mini[0], Counting(), keys)):
        (cached,) = node.execute(model, 100.0, 0.0, 1.0, False).result
        drawn.append(latents(cached, positive, negative, steps=6))
    torch.testing.assert_close(drawn[1], drawn[0], rtol=1e-4, atol=1e-4)


def test_an_older_torch_says_so(mini, monkeypatch):
    monkeypatch.delattr(torch.compiler, "set_stance")
    model = compiled(mini[0], "eager", None)
    with pytest.raises(RuntimeError, match=r"need PyTorch 2\.6 or newer with torch\.compile: remove the node"):
        latents(model, entry(BESIDE), entry(None, seed=1))
