"""The cross-attention override against a dense float64 reference that states the rules anew (bias_reference.py)."""

from __future__ import annotations

import math

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import torch
from bias_reference import added, random_plan
from comfy.ldm.modules.attention import attention_basic, attention_pytorch, attention_split, attention_sub_quad
from newbie_pack.isolation.unet import IsolatedUNet
from plans import changed, make_plan

LEFT, RIGHT, MIDDLE = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0), (0.4, 0.25, 0.6, 0.75)
OWNER = (0, 0, 1, 1, 1, 2, 2, 2, 0)
HEADS = 3


def override_of(plan, inner=None):
    return IsolatedUNet(plan).override(plan, torch.device("cpu"), inner)


def reference(q, k, v, plan, rows, columns):
    """q [B, N, H*D], k and v [B, L, H*D] -> [B, N, H*D] in float64."""
    q, k, v = (t.double().unflatten(2, (HEADS, -1)).transpose(1, 2) for t in (q, k, v))
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    caption = len(plan.owners)
    image = range(caption, caption + rows * columns)
    table = [[added(plan, n, token, rows, columns) for token in range(caption)] for n in image]
    return ((scores + torch.tensor(table, dtype=torch.float64)).softmax(-1) @ v).transpose(1, 2).flatten(2)


def qkv(image, caption=9, seed=0, width=16, batch=2):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(batch, n, HEADS * width, generator=generator) for n in (image, caption, caption))


def cross(override, function, q, k, v, rows, columns, **options):
    """As the host's transformer block does it: the patch first, then the attention."""
    override.note(q, k, None, {})
    options = {"transformer_options": {"activations_shape": [len(q), 32, rows, columns], **options}}
    return override(function, q, k, v, HEADS, attn_precision=None, **options)


def relative_error(out, expected):
    return ((out.double() - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("function", [attention_basic, attention_pytorch, attention_split, attention_sub_quad])
@pytest.mark.parametrize("weight", [(), (1, 1, 1.3, 0.5, 2, 1, 0.01, 10, 1.1)])
@pytest.mark.parametrize(
    ("rows", "columns", "regions"),
    [
        (4, 6, ((LEFT,), (RIGHT,))),
        (5, 3, ((LEFT, MIDDLE), (RIGHT, MIDDLE))),
        (3, 7, ((MIDDLE,), (MIDDLE,))),
        (1, 1, ((LEFT,), (RIGHT,))),
    ],
)
def test_cross_attention_matches_the_reference(function, weight, rows, columns, regions):
    plan = make_plan(OWNER, regions, weight=weight)
    q, k, v = qkv(rows * columns)
    out = cross(override_of(plan), function, q, k, v, rows, columns)
    assert relative_error(out, reference(q, k, v, plan, rows, columns)) <= 1e-5


@pytest.mark.parametrize("function", [attention_basic, attention_pytorch, attention_split, attention_sub_quad])
@pytest.mark.parametrize(
    "parts",
    [
        {"soft_edge": 0.3},
        {"strength": 0.7},
        {"strength": 0.7, "soft_edge": 0.2, "gender_strength": 0.5},
        {"gender_strength": 1.0},
        {"strength": 0.0, "gender_strength": 0.9},
    ],
    ids=lambda parts: ", ".join(parts),
)
@pytest.mark.parametrize(("people", "rows", "columns"), [(2, 4, 6), (8, 5, 3), (8, 7, 9)])
def test_everything_a_plan_can_have_matches_the_reference(function, parts, people, rows, columns):
    """Each part matters: without it the reference is far outside the tolerance."""
    neutral = {"strength": 1.0, "soft_edge": 0.0, "gender_strength": 0.0}
    plan = changed(random_plan(3, 29, people), **{**neutral, **parts})
    q, k, v = qkv(rows * columns, 29)
    expected = reference(q, k, v, plan, rows, columns)
    assert relative_error(cross(override_of(plan), function, q, k, v, rows, columns), expected) <= 1e-5
    for part in parts:
        without = changed(plan, **{part: neutral[part]})
        assert relative_error(reference(q, k, v, without, rows, columns), expected) > 1e-2, part


@pytest.mark.parametrize("function", [attention_basic, attention_pytorch, attention_split, attention_sub_quad])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_it_matches_in_half_precision(function, dtype):
    plan = make_plan(OWNER, ((LEFT,), (RIGHT,)), weight=(1, 1, 1.3, 0.5, 2, 1, 0.01, 10, 1.1))
    q, k, v = (t.to(dtype) for t in qkv(24))
    out = cross(override_of(plan), function, q, k, v, 4, 6)
    assert out.dtype == dtype
    assert relative_error(out, reference(q, k, v, plan, 4, 6)) <= 1e-2


def test_one_override_serves_every_resolution():
    plan = make_plan(OWNER, ((LEFT,), (RIGHT,)))
    override = override_of(plan)
    for rows, columns in ((8, 10), (4, 5), (2, 3), (4, 5), (8, 10)):
        q, k, v = qkv(rows * columns)
        out = cross(override, attention_pytorch, q, k, v, rows, columns)
        assert relative_error(out, reference(q, k, v, plan, rows, columns)) <= 1e-5


def test_the_images_own_attention_is_left_alone_even_at_the_captions_length():
    override = override_of(make_plan(OWNER, ((LEFT,), (RIGHT,))))
    q, k, v = qkv(len(OWNER))
    override.note(q, q, None, {})
    out = override(attention_pytorch, q, k, v, HEADS, transformer_options={"activations_shape": [2, 32, 3, 3]})
    assert torch.equal(out, attention_pytorch(q, k, v, HEADS))
    assert not torch.equal(out, cross(override, attention_pytorch, q, k, v, 3, 3))


def test_a_weight_of_two_counts_a_token_twice():
    plan = make_plan((0, 0, 0), (), weight=(1.0, 2.0, 1.0))
    q, k, v = qkv(4, 3)
    weighted = cross(override_of(plan), attention_pytorch, q, k, v, 2, 2)
    doubled = [0, 1, 1, 2]
    repeated = attention_pytorch(q, k[:, doubled], v[:, doubled], HEADS)
    torch.testing.assert_close(weighted, repeated, rtol=1e-5, atol=1e-6)


def test_an_override_that_was_there_before_is_still_asked():
    seen = []

    def inner(func, q, k, v, heads, mask=None, **kwargs):
        seen.append(mask is not None)
        return func(q, k, v, heads, mask, **kwargs)

    override = override_of(make_plan(OWNER, ((LEFT,), (RIGHT,))), inner)
    q, k, v = qkv(24)
    cross(override, attention_pytorch, q, k, v, 4, 6)
    override.note(q, q, None, {})
    override(attention_pytorch, q, q, q, HEADS)
    assert seen == [True, False]


@pytest.mark.parametrize(("image", "caption"), [(23, 9), (24, 10)])
def test_changed_lengths_are_refused(image, caption):
    q, k, v = qkv(image, caption)
    override = override_of(make_plan(OWNER, ((LEFT,), (RIGHT,))))
    with pytest.raises(ValueError, match="a model patch changed them to"):
        cross(override, attention_pytorch, q, k, v, 4, 6)
