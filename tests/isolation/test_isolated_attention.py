"""Both ways of computing the bias against a dense float64 reference that states the rules anew (bias_reference.py)."""

from __future__ import annotations

import math
import random
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import torch
import torch.nn.functional as F
from bias_reference import added, random_plan
from comfy.ldm.modules.attention import attention_pytorch, attention_split, attention_sub_quad
from newbie_pack.isolation import fused, nextdit
from newbie_pack.isolation.bias import bias_of
from newbie_pack.isolation.fused import FusedBias
from newbie_pack.isolation.nextdit import IsolatedNextDiT
from newbie_pack.isolation.plan import WHOLE, coverage, joint_rules
from newbie_pack.xml_prompt.reading.fields import MAX_CHARACTERS
from plans import changed, make_plan, weights_of
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

LEFT, RIGHT, MIDDLE = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0), (0.4, 0.25, 0.6, 0.75)
OWNER = (0, 0, 1, 1, 1, 2, 2, 2, 0)


def reference(q, k, v, plan, rows, columns):
    table = [[added(plan, i, j, rows, columns) for j in range(k.shape[2])] for i in range(q.shape[2])]
    return attend(q.double(), k.double(), v.double(), torch.tensor(table, dtype=torch.float64))


def attend(q, k, v, bias):
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    return ((scores + bias).softmax(-1) @ v).transpose(1, 2).flatten(2)


def qkv(length, seed=0, heads=3, width=16, dtype=torch.float32, batch=2):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(batch, heads, length, width, generator=generator).to(dtype) for _ in range(3))


def relative_error(out, expected):
    return ((out.double() - expected).norm() / expected.norm()).item()


def override_of(plan, rows, columns, refiners=2, inner=None, places=(WHOLE,)):
    return IsolatedNextDiT(plan).override(plan, rows, columns, torch.device("cpu"), refiners, inner, places)


def through_dense(plan, q, k, v, rows, columns, places=(WHOLE,)):
    override = override_of(plan, rows, columns, 2, places=places)
    return override(attention_pytorch, q, k, v, q.shape[1], None, skip_reshape=True)


def through_fused(plan, q, k, v, rows, columns, places=(WHOLE,)):
    """As FusedBias.attend, with whatever kernel the CPU has."""
    if plan.neutral:
        return attention_pytorch(q, k, v, q.shape[1], None, skip_reshape=True)
    wide = FusedBias(bias_of(plan, rows, columns, places), q).wide(q, k)
    return F.scaled_dot_product_attention(*wide, v, scale=q.shape[-1] ** -0.5).transpose(1, 2).flatten(2)


@pytest.mark.parametrize("way", [through_dense, through_fused])
@pytest.mark.parametrize("seed", range(36))
def test_random_plans_match_the_reference(way, seed):
    """float32: 1e-5 of the output's norm; bf16: 1e-2 (its own rounding is 4e-3).

    Every head's width with every batch thrice, and captions of lengths that kernels like and of others.
    """
    rows, columns = random.Random(seed).choice(((4, 6), (5, 3), (3, 7)))
    width, batch, caption = (64, 96, 120, 128)[seed % 4], seed % 3 + 1, (23, 8, 17, 40, 1, 30, 24)[seed % 7]
    plan = random_plan(seed, caption)
    q, k, v = qkv(caption + rows * columns, seed, 2, width, batch=batch)
    assert relative_error(way(plan, q, k, v, rows, columns), reference(q, k, v, plan, rows, columns)) <= 1e-5
    q, k, v = (tensor.bfloat16() for tensor in (q, k, v))
    assert relative_error(way(plan, q, k, v, rows, columns), reference(q, k, v, plan, rows, columns)) <= 1e-2


@pytest.mark.parametrize("way", [through_dense, through_fused])
@pytest.mark.parametrize("seed", range(12))
def test_tiles_match_the_reference_of_the_whole_picture(way, seed):
    """Two tiles of 4 x 6 tokens in a batch, out of a picture of 9 x 13, each against its own part of the reference."""
    rows, columns, corners = 9, 13, ((random.Random(seed).randint(0, 5), seed % 8), (5, 7))
    plan = random_plan(seed, 23)
    places = [(left / columns, top / rows, (left + 6) / columns, (top + 4) / rows) for top, left in corners]
    q, k, v = qkv(23 + 24, seed, 2, 64)
    out = way(plan, q, k, v, 4, 6, places)
    for i, (top, left) in enumerate(corners):
        cells = [23 + y * columns + x for y in range(top, top + 4) for x in range(left, left + 6)]
        tokens = [*range(23), *cells]
        table = torch.tensor(
            [[added(plan, a, b, rows, columns) for b in tokens] for a in tokens], dtype=torch.float64
        )
        one = (tensor[i : i + 1].double() for tensor in (q, k, v))
        assert relative_error(out[i : i + 1], attend(*one, table)) <= 1e-5


def test_every_part_of_a_plan_matters_to_the_reference():
    """The comparison above could fail: leaving out any part of a plan is far outside its tolerance."""
    plan = make_plan(OWNER, ((LEFT,), (MIDDLE,)), strength=0.8, soft_edge=0.3, weight=(1, 1, 2, 1, 1, 0.5, 1, 1, 3),
                named=("girl", "boy", *[""] * 7), genders=("girl", "boy"), gender_strength=0.9, apart=0.9)
    q, k, v = qkv(len(OWNER) + 24)
    whole = reference(q, k, v, plan, 4, 6)
    neutral = {"strength": 0.0, "soft_edge": 0.0, "weight": (), "gender_strength": 0.0, "apart": 0.0}
    for part, value in neutral.items():
        without = changed(plan, **{part: value})
        assert relative_error(reference(q, k, v, without, 4, 6), whole) > 1e-2, part


def test_hard_boxes_are_the_exact_rules():
    plan = make_plan(OWNER, ((LEFT, MIDDLE), (RIGHT,)))
    bias = bias_of(plan, 4, 6).matrix(torch.float32)[0, 0]
    covers = torch.stack([coverage(region, 4, 6) > 0 for region in plan.regions])[None]
    rule = joint_rules(torch.tensor([OWNER]), covers)[0]
    assert torch.equal(bias == 0, rule)
    assert (bias[~rule] == torch.finfo(torch.float32).min / 2).all()


@pytest.mark.parametrize("apart", [0.5, 0.9, 1.0])
def test_places_of_two_characters_alone_are_kept_apart(apart):
    """Overlaps, the background and what is one's own stay open; so do caption tokens."""
    plan = make_plan(OWNER, ((LEFT,), ((0.4, 0.0, 0.8, 1.0),)), strength=0.0, apart=apart)
    bias = bias_of(plan, 1, 10).matrix(torch.float32)[0, 0]
    first, both, second, nobody = range(4), [4], range(5, 8), range(8, 10)
    expected = torch.zeros(10, 10)
    for q, k in ((first, second), (second, first)):
        expected[torch.tensor(q)[:, None], torch.tensor(k)] = (
            math.log(1 - apart) if apart < 1 else torch.finfo(torch.float32).min / 2
        )
    assert not expected[both].any() and not expected[nobody].any()
    torch.testing.assert_close(bias[9:, 9:], expected)
    assert not bias[:9].any() and not bias[:, :9].any()


@pytest.mark.parametrize("function", [attention_pytorch, attention_sub_quad, attention_split])
@pytest.mark.parametrize(
    ("rows", "columns", "regions"),
    [(4, 6, ((LEFT,), (RIGHT,))), (5, 3, ((LEFT, MIDDLE), (RIGHT, MIDDLE))), (3, 7, ((MIDDLE,), (MIDDLE,)))],
)
def test_joint_layers_match_the_reference(function, rows, columns, regions):
    plan = make_plan(OWNER, regions)
    override = override_of(plan, rows, columns, 2)
    q, k, v = qkv(len(OWNER) + rows * columns)
    out = override(function, q, k, v, 3, None, skip_reshape=True)
    assert relative_error(out, reference(q, k, v, plan, rows, columns)) <= 1e-5


def test_a_weight_of_two_counts_a_token_twice():
    """The picture sees a caption with the token doubled; the caption itself reads as before."""
    once, twice = make_plan((0, 0, 0), (), weight=(1.0, 2.0, 1.0)), make_plan((0, 0, 0, 0), ())
    q, k, v = qkv(3 + 4)
    doubled = [0, 1, 1, 2, *range(3, 7)]
    weighted = override_of(once, 2, 2, 0)(attention_pytorch, q, k, v, 3, skip_reshape=True)
    repeated = override_of(twice, 2, 2, 0)(
        attention_pytorch, q[:, :, doubled], k[:, :, doubled], v[:, :, doubled], 3, skip_reshape=True
    )
    torch.testing.assert_close(weighted[:, 3:], repeated[:, 4:], rtol=1e-5, atol=1e-6)
    plain = attention_pytorch(q, k, v, 3, None, skip_reshape=True)
    torch.testing.assert_close(weighted[:, :3], plain[:, :3], rtol=1e-5, atol=1e-6)


def test_context_refiner_matches_the_reference():
    plan = make_plan(OWNER, ((LEFT,), (RIGHT,)))
    override = override_of(plan, 4, 6, 2)
    q, k, v = qkv(len(OWNER))
    out = override(attention_pytorch, q, k, v, 3, None, skip_reshape=True)
    assert relative_error(out, reference(q, k, v, plan, 4, 6)) <= 1e-5


def test_a_free_refiner_and_the_noise_refiner_are_the_hosts_own():
    override = override_of(make_plan(OWNER, ((LEFT,), (RIGHT,)), refiner=False), 4, 6, 2)
    for length in (len(OWNER), 24):
        q, k, v = qkv(length)
        out = override(attention_pytorch, q, k, v, 3, None, skip_reshape=True)
        assert torch.equal(out, attention_pytorch(q, k, v, 3, None, skip_reshape=True))


def test_equal_lengths_are_told_apart_by_their_order():
    """9 caption tokens, 9 image tokens: two context refiner calls, two noise refiner calls, then the joint layers."""
    plan = make_plan(OWNER, ((LEFT,), (RIGHT,)))
    override = override_of(plan, 3, 3, 2)
    assert [override.layer_of(n) for n in (9, 9, 9, 9, 18, 18)] == ["caption", "caption", None, None, "joint", "joint"]


def test_an_override_that_was_there_before_is_still_asked():
    seen = []

    def inner(func, q, k, v, heads, mask=None, **kwargs):
        seen.append(mask is not None)
        return func(q, k, v, heads, mask, **kwargs)

    override = override_of(make_plan(OWNER, ((LEFT,), (RIGHT,))), 4, 6, 2, inner)
    for length in (len(OWNER), 24, len(OWNER) + 24):
        override(attention_pytorch, *qkv(length), 3, None, skip_reshape=True)
    assert seen == [True, False, True]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_cut_is_exact_in_every_dtype(dtype):
    """The largest scores a dtype can have don't shine through: a cut value changes nothing, not one bit."""
    plan = make_plan((0, 1), ((LEFT,),))  # shared text must not read the character's
    q = torch.full((1, 1, 3, 8), 20.0, dtype=dtype)
    k = q.clone()
    k[:, :, 0] = k[:, :, 2] = -20.0
    v = torch.ones(1, 1, 3, 8, dtype=dtype)
    other = v.clone()
    other[:, :, 1] = 1000.0
    bias = bias_of(plan, 1, 1).matrix(dtype)
    first, second = (attention_pytorch(q, k, value, 1, bias, skip_reshape=True) for value in (v, other))
    assert torch.equal(first[:, 0], second[:, 0])
    assert not torch.equal(first[:, 1], second[:, 1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_fused_cut_is_exact_in_every_dtype(dtype):
    """For scores up to 1,000: beyond any that normalised queries and keys have."""
    q, k, v = qkv(len(OWNER) + 24, width=96, dtype=dtype)
    q, k = 30 * q / q.norm(dim=-1, keepdim=True) * 96**0.25, 30 * k / k.norm(dim=-1, keepdim=True) * 96**0.25
    plan, other = make_plan(OWNER, ((LEFT,), (RIGHT,))), v.clone()
    theirs = torch.tensor(OWNER) == 2
    other[:, :, : len(OWNER)][:, :, theirs] += 100
    first, second = (through_fused(plan, q, k, value, 4, 6) for value in (v, other))
    readers = ~theirs
    assert torch.equal(first[:, : len(OWNER)][:, readers], second[:, : len(OWNER)][:, readers])
    image, image_2 = (out[:, len(OWNER) :].unflatten(1, (4, 6)) for out in (first, second))
    assert torch.equal(image[:, :, :3], image_2[:, :, :3]) and not torch.equal(image, image_2)


def on_this_processor(self, q, k, v):
    """FusedBias.attend with whatever kernel the CPU has."""
    wide = self.wide(q, k)
    return F.scaled_dot_product_attention(*wide, v, scale=self.width**-0.5).transpose(1, 2).flatten(2)


def wrong(self, q, k, v):
    return on_this_processor(self, q, k, v).roll(1, 1)


def not_a_number(self, q, k, v):
    return on_this_processor(self, q, k, v) * math.nan


@pytest.mark.parametrize(
    ("attend", "works"), [(on_this_processor, True), (wrong, False), (not_a_number, False), (None, False)]
)
def test_a_kernel_is_used_where_there_is_one_that_is_right(monkeypatch, caplog, attend, works):
    """None: the real one, for a GPU, which the CPU has not."""
    monkeypatch.setattr(nextdit, "may_have_kernel", lambda q: True)
    if attend is not None:
        monkeypatch.setattr(FusedBias, "attend", attend)
    plan = make_plan(OWNER, ((LEFT,), (RIGHT,)), weight=(1, 1, 2, 1, 1, 0.5, 1, 1, 3))
    wrapper, asked = IsolatedNextDiT(plan), []
    q, k, v = qkv(len(OWNER) + 24, width=96, dtype=torch.bfloat16)

    def hosts(*args, **kwargs):
        asked.append(args)
        return attention_pytorch(*args, **kwargs)

    with caplog.at_level("INFO"):
        for _ in range(2):  # two forwards: what was found out in the first holds in the second
            override = wrapper.override(plan, 4, 6, torch.device("cpu"), 2)
            for _ in range(2):
                out = override(hosts, q, k, v, 3, None, skip_reshape=True)
                assert relative_error(out, reference(q, k, v, plan, 4, 6)) <= 1e-2
    assert wrapper.kernel.works is works
    assert len(asked) == (0 if works else 4)
    assert caplog.text.count("dense mask") == (0 if works else 1)


@pytest.fixture
def kernel_of_128(monkeypatch):
    """A device whose kernel refuses greater widths, as PyTorch does it."""

    def narrow(query, *rest, **options):
        if query.shape[-1] > 128:
            raise RuntimeError("No available kernel. Aborting execution.")
        return F.scaled_dot_product_attention(query, *rest, **options)

    monkeypatch.setattr(nextdit, "may_have_kernel", lambda q: True)
    monkeypatch.setattr(fused, "sdpa_kernel", lambda _: nullcontext())
    monkeypatch.setattr(fused, "F", SimpleNamespace(scaled_dot_product_attention=narrow))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("people", "width"), [(8, 128), (16, 144), (MAX_CHARACTERS, 240)])
def test_more_characters_than_the_kernel_is_wide_have_a_dense_mask(kernel_of_128, caplog, people, width, seed):
    """Beside NewBie's heads, which are 96 wide. More than 8 characters are kept apart as exactly as fewer."""
    tokens = 2 * people + 5
    plan = random_plan(seed, tokens, people)
    owner = *range(people + 1), *plan.owners[people + 1 :]
    plan = changed(plan, owner=owner, weight=(1.0, 2.0) * people + (0.5,) * 5, apart=0.0)
    wrapper, asked = IsolatedNextDiT(plan), []

    def hosts(*args, **kwargs):
        asked.append(args)
        return attention_pytorch(*args, **kwargs)

    q, k, v = qkv(tokens + 24, seed, 2, 96)
    expected = reference(q, k, v, plan, 4, 6)
    with caplog.at_level("INFO"):
        for _ in range(2):  # forwards of two layers
            override = wrapper.override(plan, 4, 6, torch.device("cpu"), 2)
            for _ in range(2):
                assert relative_error(override(hosts, q, k, v, 2, None, skip_reshape=True), expected) <= 1e-5
    said = [record.getMessage() for record in caplog.records if "dense mask" in record.getMessage()]
    if width <= 128:
        assert wrapper.kernel.works is True and not asked and not said
    else:
        assert wrapper.kernel.works is False and len(asked) == 4
        assert said == [
            "NewBie: isolation uses a dense mask, which takes longer, because no kernel for width "
            f"{width} in torch.float32."
        ]
    assert relative_error(through_fused(plan, q, k, v, 4, 6), expected) <= 1e-5  # where a kernel does take them
    q, k, v = (tensor[:, :, :tokens] for tensor in (q, k, v))
    refined = wrapper.override(plan, 4, 6, torch.device("cpu"), 2)(hosts, q, k, v, 2, None, skip_reshape=True)
    assert relative_error(refined, reference(q, k, v, plan, 4, 6)) <= 1e-5


class Largest(TorchDispatchMode):
    """The most elements that a tensor made under it has in its last two dimensions; attention counts as one step."""

    def __init__(self):
        super().__init__()
        self.largest, self.attending = 0, False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if not self.attending:
            sizes = [math.prod(one.shape[-2:]) for one in tree_leaves(out) if isinstance(one, torch.Tensor)]
            self.largest = max(self.largest, *sizes, 0)
        return out

    def attention(self, compute):
        def one_step(*args, **kwargs):
            self.attending = True
            out = compute(*args, **kwargs)
            self.attending = False
            return out

        return one_step


@pytest.mark.parametrize("has_kernel", [True, False])
def test_with_a_kernel_nothing_is_as_large_as_all_tokens_by_all_tokens(monkeypatch, has_kernel):
    """From the plan to the last layer, the check of the kernel included; a dense mask is what is saved."""
    watch = Largest()
    kernel = SimpleNamespace(scaled_dot_product_attention=watch.attention(F.scaled_dot_product_attention))
    monkeypatch.setattr(nextdit, "may_have_kernel", lambda q: has_kernel)
    monkeypatch.setattr(fused, "sdpa_kernel", lambda _: nullcontext())
    monkeypatch.setattr(fused, "F", kernel)
    rows, columns, heads = 24, 20, 2
    plan = random_plan(4, 40, 8)
    assert plan.masks_genders and weights_of(plan)
    wrapper, tokens = IsolatedNextDiT(plan), 40 + rows * columns
    hosts = watch.attention(attention_pytorch)
    lengths = (40, rows * columns, tokens, tokens)
    layers = [qkv(length, heads=heads, width=96, dtype=torch.bfloat16) for length in lengths]
    with watch:
        for _ in range(2):
            override = wrapper.override(plan, rows, columns, torch.device("cpu"), 1)
            for q, k, v in layers:
                override(hosts, q, k, v, heads, None, skip_reshape=True)
    assert wrapper.kernel.works is (True if has_kernel else None)
    assert (watch.largest < tokens**2) is has_kernel
    assert watch.largest > tokens * 96  # it saw something


@pytest.mark.parametrize(("rows", "columns"), [(4, 6), (5, 3)])
def test_a_mask_covers_by_its_mean(rows, columns):
    mask = torch.zeros(40, 30)
    mask[:10, :15] = 1
    covered = coverage((mask,), rows, columns)
    assert covered.shape == (rows * columns,)
    assert covered.mean().item() == pytest.approx(mask.mean().item(), abs=1e-6)
    assert covered[0] == 1 and covered[-1] == 0
    hard = make_plan(OWNER, (((0.0, 0.0, 0.5, 0.25),), (RIGHT,)))
    soft = changed(hard, regions=((mask,), (RIGHT,)))
    biases = [bias_of(plan, 4, 6).matrix(torch.float32) for plan in (hard, soft)]
    assert torch.equal(*biases)  # 24 cells, and the mask's edge lies on the edges of some


def test_eight_characters_fit_the_widths_that_kernels_take():
    """NewBie's heads are 96 wide; cuDNN before Hopper takes 128."""
    plan = make_plan(tuple(range(9)), ((LEFT,),) * 8, weight=(2.0,) * 9, named=("girl", "boy", "other") * 3,
                genders=("girl", "boy") * 4, gender_strength=1.0, apart=0.9)
    query, key = bias_of(plan, 4, 6).scaled(96, torch.bfloat16)
    assert query.shape == key.shape == (1, 9 + 24, 32)
    assert query.isfinite().all() and key.isfinite().all()


@pytest.mark.parametrize(
    "plan",
    [
        make_plan((0,) * 9, ((LEFT,), (RIGHT,))),
        make_plan(OWNER, ((LEFT,), (RIGHT,)), strength=0.0),
        make_plan(OWNER, ((LEFT,), (RIGHT,)), joint=False, refiner=False, apart=0.9),
        make_plan((0,) * 9, ((LEFT,),), apart=0.9),
        make_plan(OWNER, ((LEFT,), (RIGHT,))).released(),
        make_plan((0,) * 9, ((LEFT,), (RIGHT,)), named=("girl",) * 9, genders=("girl", "boy"), gender_strength=0.0),
    ],
)
def test_neutral_plans_know_it(plan):
    assert plan.neutral
    assert not changed(plan, weight=(2.0,) * 9).neutral


def test_a_layer_that_is_computed_again_keeps_its_mask():
    """As training with gradient checkpoints does. Only where caption and image are equally long does order decide."""
    again = nextdit.IsolatedAttention({}, 7, 20, 2, nextdit.Kernel())
    assert [again.layer_of(length) for length in (7, 7, 20, 27, 7)] == ["caption", "caption", None, "joint", "caption"]
    alike = nextdit.IsolatedAttention({}, 7, 7, 2, nextdit.Kernel())
    assert [alike.layer_of(length) for length in (7, 7, 7, 14)] == ["caption", "caption", None, "joint"]
