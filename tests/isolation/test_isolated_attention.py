"""The override against a dense float64 reference that states the rules anew, token by token."""

from __future__ import annotations

import math

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import torch
from comfy.ldm.modules.attention import attention_pytorch, attention_sub_quad
from newbie_pack.isolation.attention import IsolatedAttention, bias, progress
from newbie_pack.isolation.plan import Plan

LEFT, RIGHT, MIDDLE = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0), (0.4, 0.25, 0.6, 0.75)
OWNER = (0, 0, 1, 1, 1, 2, 2, 2, 0)


def inside(rectangles, n, rows, columns):
    """Does token n's cell share an area with a rectangle?"""
    y, x = divmod(n, columns)
    return any(
        min((x + 1) / columns, right) > max(x / columns, left) and min((y + 1) / rows, bottom) > max(y / rows, top)
        for left, top, right, bottom in rectangles
    )


def allowed(plan, q, k, rows, columns):
    caption = len(plan.owner)
    if q < caption and k < caption:
        return plan.owner[k] in (0, plan.owner[q])
    if q >= caption and k >= caption:
        return True
    text, image = (k, q) if k < caption else (q, k)
    owner = plan.owner[text]
    return owner == 0 or inside(plan.regions[owner - 1], image - caption, rows, columns)


def reference(q, k, v, plan, rows, columns):
    scores = q.double() @ k.double().transpose(-1, -2) / math.sqrt(q.shape[-1])
    for i in range(q.shape[2]):
        for j in range(k.shape[2]):
            if not allowed(plan, i, j, rows, columns):
                scores[:, :, i, j] = -math.inf
            elif plan.weight and i >= len(plan.owner) > j:
                scores[:, :, i, j] += math.log(plan.weight[j])
    out = scores.softmax(-1) @ v.double()
    return out.transpose(1, 2).flatten(2)


def qkv(length, seed=0, heads=3, width=16):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(2, heads, length, width, generator=generator) for _ in range(3))


def relative_error(out, expected):
    return ((out.double() - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("function", [attention_pytorch, attention_sub_quad])
@pytest.mark.parametrize(
    ("rows", "columns", "regions"),
    [(4, 6, ((LEFT,), (RIGHT,))), (5, 3, ((LEFT, MIDDLE), (RIGHT, MIDDLE))), (3, 7, ((MIDDLE,), (MIDDLE,)))],
)
def test_joint_layers_match_the_reference(function, rows, columns, regions):
    plan = Plan(OWNER, regions)
    override = IsolatedAttention(plan, rows, columns, torch.device("cpu"), 2)
    q, k, v = qkv(len(OWNER) + rows * columns)
    out = override(function, q, k, v, 3, None, skip_reshape=True)
    assert relative_error(out, reference(q, k, v, plan, rows, columns)) <= 1e-5


@pytest.mark.parametrize("regions", [((LEFT,), (RIGHT,)), ((MIDDLE,), (LEFT, MIDDLE)), ()])
def test_weights_match_the_reference(regions):
    owner = OWNER if regions else (0,) * len(OWNER)
    plan = Plan(owner, regions, weight=(1, 1, 1.3, 0.5, 2, 1, 0.01, 10, 1.1))
    override = IsolatedAttention(plan, 4, 6, torch.device("cpu"), 2)
    q, k, v = qkv(len(OWNER) + 24)
    out = override(attention_pytorch, q, k, v, 3, None, skip_reshape=True)
    expected = reference(q, k, v, plan, 4, 6)
    assert relative_error(out, expected) <= 1e-5
    assert relative_error(reference(q, k, v, Plan(owner, regions), 4, 6), expected) > 1e-2


def test_a_weight_of_two_counts_a_token_twice():
    """The picture sees a caption with the token doubled; the caption itself reads as before."""
    once, twice = Plan((0, 0, 0), (), weight=(1.0, 2.0, 1.0)), Plan((0, 0, 0, 0), ())
    q, k, v = qkv(3 + 4)
    doubled = [0, 1, 1, 2, *range(3, 7)]
    weighted = IsolatedAttention(once, 2, 2, torch.device("cpu"), 0)(attention_pytorch, q, k, v, 3, skip_reshape=True)
    repeated = IsolatedAttention(twice, 2, 2, torch.device("cpu"), 0)(
        attention_pytorch, q[:, :, doubled], k[:, :, doubled], v[:, :, doubled], 3, skip_reshape=True
    )
    torch.testing.assert_close(weighted[:, 3:], repeated[:, 4:], rtol=1e-5, atol=1e-6)
    plain = attention_pytorch(q, k, v, 3, None, skip_reshape=True)
    torch.testing.assert_close(weighted[:, :3], plain[:, :3], rtol=1e-5, atol=1e-6)


def test_context_refiner_matches_the_reference():
    plan = Plan(OWNER, ((LEFT,), (RIGHT,)))
    override = IsolatedAttention(plan, 4, 6, torch.device("cpu"), 2)
    q, k, v = qkv(len(OWNER))
    out = override(attention_pytorch, q, k, v, 3, None, skip_reshape=True)
    assert relative_error(out, reference(q, k, v, plan, 4, 6)) <= 1e-5


def test_a_free_refiner_and_the_noise_refiner_are_the_hosts_own():
    override = IsolatedAttention(
        Plan(OWNER, ((LEFT,), (RIGHT,)), refiner=False), 4, 6, torch.device("cpu"), 2
    )
    for length in (len(OWNER), 24):
        q, k, v = qkv(length)
        out = override(attention_pytorch, q, k, v, 3, None, skip_reshape=True)
        assert torch.equal(out, attention_pytorch(q, k, v, 3, None, skip_reshape=True))


def test_equal_lengths_are_told_apart_by_their_order():
    """9 caption tokens, 9 image tokens: two context refiner calls, two noise refiner calls, then the joint layers."""
    plan = Plan(OWNER, ((LEFT,), (RIGHT,)))
    override = IsolatedAttention(plan, 3, 3, torch.device("cpu"), 2)
    assert [override.rule_of(n) for n in (9, 9, 9, 9, 18, 18)] == ["caption", "caption", None, None, "joint", "joint"]


def test_an_override_that_was_there_before_is_still_asked():
    seen = []

    def inner(func, q, k, v, heads, mask=None, **kwargs):
        seen.append(mask is not None)
        return func(q, k, v, heads, mask, **kwargs)

    override = IsolatedAttention(Plan(OWNER, ((LEFT,), (RIGHT,))), 4, 6, torch.device("cpu"), 2, inner)
    for length in (len(OWNER), 24, len(OWNER) + 24):
        override(attention_pytorch, *qkv(length), 3, None, skip_reshape=True)
    assert seen == [True, False, True]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_cut_is_exact_in_every_dtype(dtype):
    """The largest scores a dtype can have don't shine through: a cut value changes nothing, not one bit."""
    rule = torch.tensor([[[True, False], [True, True]]])
    q = torch.full((1, 1, 2, 8), 20.0, dtype=dtype)
    k = q.clone()
    k[:, :, 0] = -20.0
    v = torch.ones(1, 1, 2, 8, dtype=dtype)
    other = v.clone()
    other[:, :, 1] = 1000.0
    first, second = (attention_pytorch(q, k, value, 1, bias(rule, dtype), skip_reshape=True) for value in (v, other))
    assert torch.equal(first[:, 0], second[:, 0])
    assert not torch.equal(first[:, 1], second[:, 1])


def test_nothing_to_cut_is_no_bias_at_all():
    assert bias(torch.ones(1, 3, 3, dtype=torch.bool), torch.float32) is None


def test_progress_counts_the_steps_behind():
    sigmas = torch.tensor([1.0, 0.75, 0.5, 0.25, 0.0])
    at = [progress({"sample_sigmas": sigmas, "sigmas": sigma[None]}) for sigma in sigmas[:-1]]
    assert at == [0.0, 0.25, 0.5, 0.75]
    assert progress({"sample_sigmas": sigmas, "sigmas": torch.tensor([0.6])}) == 0.5  # inside the second step
    assert progress({}) == 0.0
