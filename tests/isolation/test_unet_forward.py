"""One forward of the host's own UNet, shaped like SD1.5 and SDXL: what is cut at which resolution, and what is not."""

from __future__ import annotations

import math
from contextlib import nullcontext
from functools import partial

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import comfy.patcher_extension
import random_sd
import torch
from newbie_pack.isolation.carrier import PROGRESS, Pass
from newbie_pack.isolation.unet import IsolatedUNet
from plans import make_plan, weights_of

LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
CHUNK = 77
OWNER = (0,) * CHUNK + (1,) * CHUNK + (2,) * 2 * CHUNK  # the second one's tags fill two chunks
REGIONS = ((LEFT,), (RIGHT,))
PLAN = make_plan(OWNER, REGIONS)
WEIGHT = tuple(1.5 if i % 10 == 3 else 1.0 for i in range(len(OWNER)))
KINDS = ("SD15", "SDXL")
SIZES = [(16, 24), (17, 23), (9, 30)]  # of the latent


@pytest.fixture(scope="module")
def networks():
    return {kind: random_sd.model(kind).model.diffusion_model for kind in KINDS}


@pytest.fixture(params=KINDS)
def network(request, networks):
    return networks[request.param]


def crossings(network):
    """The cross-attentions, in the order of the forward."""
    return [module for name, module in network.named_modules() if name.endswith(".attn2")]


def inputs(network, height=16, width=24, batch=1, length=308, seed=0):
    """-> x, context, y (SDXL's pooled vector and sizes; None for SD1.5)."""
    generator = torch.Generator().manual_seed(seed)
    width_of_text = crossings(network)[0].to_k.in_features
    context = torch.randn(1, length, width_of_text, generator=generator).expand(batch, -1, -1)
    x = torch.randn(batch, 4, height, width, generator=generator)
    y = None
    if network.num_classes is not None:
        y = torch.randn(1, network.label_emb[0][0].in_features, generator=generator).expand(batch, -1)
    return x, context, y


def with_other_second_character(context, owner=OWNER, seed=1):
    changed = context.clone()
    theirs = torch.tensor(owner) == 2
    changed[:, theirs] = torch.randn(changed[:, theirs].shape, generator=torch.Generator().manual_seed(seed))
    return changed


def forward(network, x, context, y, plan=None, **options):
    """-> the model's output, and of every cross-attention (image [B, N, D], output [B, N, D], rows, columns)."""
    isolated = nullcontext(options) if plan is None else IsolatedUNet(plan).isolated(Pass(network, x, context, options))
    seen = []

    def note(_module, args, kwargs, out):
        seen.append((args[0].clone(), out.clone(), *kwargs["transformer_options"]["activations_shape"][-2:]))

    handles = [module.register_forward_hook(note, with_kwargs=True) for module in crossings(network)]
    try:
        with torch.no_grad(), isolated as within:
            timesteps = torch.full((x.shape[0],), 500.0)
            out = network(x, timesteps, context=context, y=y, transformer_options=within)
    finally:
        for handle in handles:
            handle.remove()
    return out, seen


def covers(rectangles, n, rows, columns):
    y, x = divmod(n, columns)
    return any(
        min((x + 1) / columns, right) > max(x / columns, left) and min((y + 1) / rows, bottom) > max(y / rows, top)
        for left, top, right, bottom in rectangles
    )


def reference(module, image, context, plan, rows, columns):
    """One cross-attention in float64, the rules stated token by token."""

    def heads(tokens, layer):
        return (tokens.double() @ layer.weight.double().T).unflatten(2, (module.heads, -1)).transpose(1, 2)

    q, k, v = heads(image, module.to_q), heads(context, module.to_k), heads(context, module.to_v)
    everyone = [True] * (rows * columns)
    reached = [everyone, *([covers(r, n, rows, columns) for n in range(rows * columns)] for r in plan.regions)]
    added = torch.tensor([[0.0 if yes else -math.inf for yes in reached[owner]] for owner in plan.owners]).double().T
    if weights_of(plan):
        added = added + torch.tensor([math.log(w) for w in weights_of(plan)]).double()
    out = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + added).softmax(-1) @ v
    layer = module.to_out[0]
    return out.transpose(1, 2).flatten(2) @ layer.weight.double().T + layer.bias.double()


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("weight", [(), WEIGHT])
def test_every_resolution_matches_the_reference(network, height, width, weight):
    plan = make_plan(OWNER, REGIONS, weight=weight)
    x, context, y = inputs(network, height, width, batch=2)
    _, seen = forward(network, x, context, y, plan)
    assert len(seen) == len(crossings(network))
    resolutions = {(rows, columns) for _, _, rows, columns in seen}
    assert len(resolutions) == (4 if y is None else 2)  # all of SD1.5's, all but the first of SDXL's
    for module, (image, out, rows, columns) in zip(crossings(network), seen, strict=True):
        expected = reference(module, image, context, plan, rows, columns)
        assert ((out.double() - expected).norm() / expected.norm()).item() <= 1e-5


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_second_character_does_not_leave_its_region(network, height, width):
    """Bit for bit, behind the first cross-attention; later the image mixes with itself."""
    x, context, y = inputs(network, height, width)
    _, seen = forward(network, x, context, y, PLAN)
    _, seen_2 = forward(network, x, with_other_second_character(context), y, PLAN)
    (image, out, rows, columns), (image_2, out_2, _, _) = seen[0], seen_2[0]
    assert torch.equal(image, image_2)
    out, out_2 = (o.unflatten(1, (rows, columns)) for o in (out, out_2))
    touched = columns // 2  # the first column that the right half touches
    assert torch.equal(out[:, :, :touched], out_2[:, :, :touched])
    assert (out[:, :, touched:] != out_2[:, :, touched:]).any(-1).all()


def test_without_a_plan_the_second_character_reaches_everything(network):
    """The proof above could fail."""
    x, context, y = inputs(network)
    (_, out, _, _), (_, out_2, _, _) = (
        forward(network, x, text, y)[1][0] for text in (context, with_other_second_character(context))
    )
    assert (out != out_2).any(-1).all()


@pytest.mark.parametrize("plan", [make_plan((0,) * len(OWNER), REGIONS), make_plan(OWNER, REGIONS, end=0.0)])
def test_a_neutral_plan_is_the_host_bit_for_bit(network, plan):
    x, context, y = inputs(network)
    assert torch.equal(forward(network, x, context, y, plan)[0], forward(network, x, context, y)[0])


def test_weights_outlast_the_isolation(network):
    x, context, y = inputs(network)
    out, _ = forward(network, x, context, y, make_plan(OWNER, REGIONS, end=0.0, weight=WEIGHT))
    assert torch.equal(out, forward(network, x, context, y, make_plan((0,) * len(OWNER), (), weight=WEIGHT))[0])
    assert not torch.equal(out, forward(network, x, context, y)[0])


def test_until_releases_by_the_share_of_steps(network):
    x, context, y = inputs(network)
    half = make_plan(OWNER, REGIONS, end=0.5)
    strict, free = forward(network, x, context, y, PLAN)[0], forward(network, x, context, y)[0]
    for behind, expected in ((0.0, strict), (0.25, strict), (0.5, free), (0.75, free)):
        out, _ = forward(network, x, context, y, half, **{PROGRESS: behind})
        assert torch.equal(out, expected)


def test_a_batch_is_isolated_like_each_of_its_pictures(network):
    x, context, y = inputs(network, batch=3)
    out, _ = forward(network, x, context, y, PLAN)
    for i in range(3):
        alone, _ = forward(network, x[i : i + 1], context[:1], None if y is None else y[:1], PLAN)
        torch.testing.assert_close(out[i : i + 1], alone, rtol=1e-4, atol=1e-4)


def test_as_many_tokens_of_text_as_of_the_image(networks):
    """80 of each at the first resolution: its own attention stays free, its cross-attention is isolated."""
    network, owner = networks["SD15"], (0,) * 30 + (1,) * 20 + (2,) * 30
    x, context, y = inputs(network, 8, 10, length=80)
    for context_2 in (context, with_other_second_character(context, owner)):
        _, seen = forward(network, x, context_2, y, make_plan(owner, REGIONS))
        image, out, rows, columns = seen[0]
        assert rows * columns == len(owner)
        expected = reference(crossings(network)[0], image, context_2, make_plan(owner, REGIONS), rows, columns)
        assert ((out.double() - expected).norm() / expected.norm()).item() <= 1e-5
        free = forward(network, x, context_2, y)[1][0]
        assert torch.equal(image, free[0])  # what the image's own attention made
        assert not torch.equal(out, free[1])


def test_patches_of_other_nodes_still_act(network):
    x, context, y = inputs(network)
    seen = []

    def patch(name, image, text, value, _options):
        seen.append((name, text is image))
        return image, text, value

    patches = {name: [partial(patch, name)] for name in ("attn1_patch", "attn2_patch")}
    out, _ = forward(network, x, context, y, PLAN, patches=patches)
    assert torch.equal(out, forward(network, x, context, y, PLAN)[0])
    assert len(seen) == 2 * len(crossings(network)) and set(seen) == {("attn1_patch", True), ("attn2_patch", False)}


def test_a_caption_of_another_length_is_refused(network):
    x, context, y = inputs(network)
    with pytest.raises(ValueError, match="308 tokens, but the model received 307"):
        forward(network, x, context[:, :-1], y, PLAN)


def test_a_patch_that_changes_the_text_is_refused(network):
    x, context, y = inputs(network)
    patches = {"attn2_patch": [lambda image, text, value, _: (image, text[:, 1:], value[:, 1:])]}
    with pytest.raises(ValueError, match=r"expected 308 text and \d+ image tokens, but a model patch changed"):
        forward(network, x, context, y, PLAN, patches=patches)


@pytest.mark.parametrize("where", ["replaced", "stolen"])
def test_a_cross_attention_that_cannot_be_reached_is_said(network, where):
    """Another node that computes the attention itself must not make isolation vanish silently, not in one block."""
    x, context, y = inputs(network)
    options: dict = {}

    def thief(executor, *args, **kwargs):
        own = {"optimized_attention_override": lambda func, *a, **k: func(*a, **k)}
        return executor(*args[:5], {**args[5], **own}, **kwargs)

    if where == "stolen":
        kind = comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL
        comfy.patcher_extension.add_wrapper_with_key(kind, "thief", thief, options)
    else:
        options["patches_replace"] = {"attn2": {("middle", 0, 0): lambda q, k, v, _: q}}
    with pytest.raises(RuntimeError, match="did not reach"):
        forward(network, x, context, y, PLAN, **options)


def test_another_model_is_refused_in_a_sentence(mini):
    x, context = torch.zeros(1, 16, 8, 8), torch.zeros(1, len(OWNER), 48)
    isolated = IsolatedUNet(PLAN).isolated(Pass(mini[0].model.diffusion_model, x, context, {}))
    with pytest.raises(ValueError, match=r"encoded for SD1\.5, SD2 or SDXL, but the model is a NextDiT"), isolated:
        pass


def test_the_callers_options_are_left_alone(network):
    x, context, y = inputs(network)
    patches: dict = {"attn2_patch": []}
    options = {"patches": patches}
    forward(network, x, context, y, PLAN, **options)
    assert "optimized_attention_override" not in options and patches == {"attn2_patch": []}
