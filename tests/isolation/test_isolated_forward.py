"""One forward of the host's own NextDiT (random weights) under a plan: what is cut, and what stays bit for bit."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import comfy.patcher_extension
import torch
from newbie_pack.isolation.carrier import Pass, conditioning
from newbie_pack.isolation.nextdit import IsolatedNextDiT
from plans import make_plan

LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
OWNER = (0,) * 3 + (1,) * 8 + (2,) * 9 + (0,) * 4
PLAN = make_plan(OWNER, ((LEFT,), (RIGHT,)))


@pytest.fixture
def network(mini):
    return mini[0].model.diffusion_model


def inputs(height=10, width=12, batch=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, 16, height, width, generator=generator)
    context = torch.randn(1, len(OWNER), 48, generator=generator).expand(batch, -1, -1)
    pooled = torch.randn(1, 32, generator=generator).expand(batch, -1)
    return x, context, pooled


def with_other_second_character(context, seed=1):
    changed = context.clone()
    theirs = torch.tensor(OWNER) == 2
    changed[:, theirs] = torch.randn(changed[:, theirs].shape, generator=torch.Generator().manual_seed(seed))
    return changed


def forward(network, x, context, pooled, plan=None, **options):
    """-> the model's output, the refined caption, the first joint layer's output."""
    one = Pass(network, x, context, options)
    isolated = nullcontext(options) if plan is None else IsolatedNextDiT(plan).isolated(one)
    seen = {}
    handles = [
        module.register_forward_hook(lambda _module, _args, out, name=name: seen.__setitem__(name, out.clone()))
        for name, module in (("refined", network.context_refiner[-1]), ("joint", network.layers[0]))
    ]
    try:
        with torch.no_grad(), isolated as within:
            timesteps = torch.full((x.shape[0],), 0.7)
            out = network(
                x, timesteps, context, context.shape[1], transformer_options=within, clip_text_pooled=pooled
            )
    finally:
        for handle in handles:
            handle.remove()
    return out, seen["refined"], seen["joint"]


@pytest.mark.parametrize(("height", "width"), [(10, 12), (9, 13), (16, 8)])
def test_strict_cuts_the_second_character_off_from_the_first(network, height, width):
    """Exact: in the refiner, and in the first joint layer outside the second one's box (later layers mix the image)."""
    x, context, pooled = inputs(height, width)
    _, refined, joint = forward(network, x, context, pooled, PLAN)
    _, refined_2, joint_2 = forward(network, x, with_other_second_character(context), pooled, PLAN)
    owner = torch.tensor(OWNER)
    assert torch.equal(refined[:, owner != 2], refined_2[:, owner != 2])
    assert not torch.equal(refined[:, owner == 2], refined_2[:, owner == 2])
    assert torch.equal(joint[:, : len(OWNER)][:, owner != 2], joint_2[:, : len(OWNER)][:, owner != 2])
    rows, columns = -(-height // 2), -(-width // 2)
    image, image_2 = (j[:, len(OWNER) :].unflatten(1, (rows, columns)) for j in (joint, joint_2))
    touched = columns // 2  # the first column that the right half touches
    assert torch.equal(image[:, :, :touched], image_2[:, :, :touched])
    assert (image[:, :, touched:] != image_2[:, :, touched:]).flatten(3).any(-1).all()


def test_a_character_in_two_places_one_of_them_painted(network):
    """Each cell of the 5 x 6 image tokens is its own or isn't."""
    painted = torch.zeros(5, 6)
    painted[3:, 4:] = 1
    own = painted > 0
    own[:2, :2] = True
    plan = make_plan(OWNER, ((LEFT,), ((0.0, 0.0, 2 / 6, 2 / 5), painted)))
    x, context, pooled = inputs()
    _, _, joint = forward(network, x, context, pooled, plan)
    _, _, joint_2 = forward(network, x, with_other_second_character(context), pooled, plan)
    changed = (joint != joint_2)[:, len(OWNER) :].any(-1).unflatten(1, (5, 6))[0]
    assert torch.equal(changed, own)


@pytest.mark.parametrize(("gender", "hidden_on"), [("boy", "left"), ("girl", "right"), ("", "nowhere")])
def test_a_word_of_another_gender_reaches_nobodys_place_but_its_own(network, gender, hidden_on):
    """Exact in the first joint layer; the word changes behind the refiner, in which all of the text reads it."""
    word = 4
    named = tuple(gender if token == word else "" for token in range(len(OWNER)))
    plan = make_plan(OWNER, ((LEFT,), (RIGHT,)), strength=0.0, weight=(1.5,) * len(OWNER), named=named,
                genders=("girl", "boy"), gender_strength=1.0)
    x, context, pooled = inputs()
    _, _, joint = forward(network, x, context, pooled, plan)

    def another_word(_module, _args, refined):
        return torch.cat([refined[:, :word], refined[:, word : word + 1] + 1, refined[:, word + 1 :]], 1)

    handle = network.context_refiner[-1].register_forward_hook(another_word)
    try:
        _, _, joint_2 = forward(network, x, context, pooled, plan)
    finally:
        handle.remove()
    changed = (joint != joint_2)[:, len(OWNER) :].any(-1).unflatten(1, (5, 6))[0]
    left, right = changed[:, :3], changed[:, 3:]
    assert left.all() if hidden_on != "left" else not left.any()
    assert right.all() if hidden_on != "right" else not right.any()


def test_without_a_plan_the_second_character_reaches_everything(network):
    """The proof above could fail."""
    x, context, pooled = inputs()
    _, refined, joint = forward(network, x, context, pooled)
    _, refined_2, joint_2 = forward(network, x, with_other_second_character(context), pooled)
    assert (refined != refined_2).any(-1).all()
    assert (joint != joint_2).any(-1).all()


@pytest.mark.parametrize(
    "plan",
    [
        make_plan((0,) * len(OWNER), ((LEFT,), (RIGHT,))),  # nobody owns anything
        make_plan(OWNER, ((LEFT,), (RIGHT,)), end=0.0),  # isolation is over
    ],
)
def test_a_neutral_plan_is_the_host_bit_for_bit(network, plan):
    x, context, pooled = inputs()
    for ours, hosts in zip(
        forward(network, x, context, pooled, plan), forward(network, x, context, pooled), strict=True
    ):
        assert torch.equal(ours, hosts)


@pytest.mark.parametrize("apart", [0.0, 1.0])
def test_apart_the_left_half_of_the_picture_does_not_see_the_right(network, apart):
    """Exact in the first joint layer; the noise refiner before it mixes the picture, so it is changed behind that."""
    x, context, pooled = inputs()
    plan = make_plan(OWNER, ((LEFT,), (RIGHT,)), apart=apart)

    def another_right_half(_module, _args, out):
        return torch.cat([out.unflatten(1, (5, 6))[:, :, :3], out.unflatten(1, (5, 6))[:, :, 3:] + 1], 2).flatten(1, 2)

    _, _, joint = forward(network, x, context, pooled, plan)
    handle = network.noise_refiner[-1].register_forward_hook(another_right_half)
    try:
        _, _, joint_2 = forward(network, x, context, pooled, plan)
    finally:
        handle.remove()
    changed = (joint != joint_2)[:, len(OWNER) :].any(-1).unflatten(1, (5, 6))[0]
    assert changed[:, 3:].all() and changed[:, :3].any() == (apart == 0)


def test_weights_outlast_the_isolation(network):
    """After `until` everyone reads everything, but weights hold: as in a plan that has nothing else."""
    x, context, pooled = inputs()
    weight = (*[1.0] * (len(OWNER) - 1), 3.0)
    over = make_plan(OWNER, ((LEFT,), (RIGHT,)), end=0.0, weight=weight)
    out, refined, joint = forward(network, x, context, pooled, over)
    hosts, hosts_refined, hosts_joint = forward(network, x, context, pooled)
    assert torch.equal(refined, hosts_refined)
    caption = len(OWNER)
    torch.testing.assert_close(joint[:, :caption], hosts_joint[:, :caption], rtol=1e-4, atol=1e-5)
    assert (joint[:, caption:] != hosts_joint[:, caption:]).any(-1).all()
    assert torch.equal(out, forward(network, x, context, pooled, make_plan((0,) * caption, (), weight=weight))[0])


def test_a_batch_is_isolated_like_each_of_its_pictures(network):
    x, context, pooled = inputs(batch=3)
    out, _, _ = forward(network, x, context, pooled, PLAN)
    for i in range(3):
        alone, _, _ = forward(network, x[i : i + 1], context[:1], pooled[:1], PLAN)
        torch.testing.assert_close(out[i : i + 1], alone, rtol=1e-4, atol=1e-5)


def test_as_many_caption_tokens_as_image_tokens(network):
    """24 of each: the context refiner is isolated, the noise refiner is not."""
    x, context, pooled = inputs(8, 12)
    assert len(OWNER) == 24
    _, refined, joint = forward(network, x, context, pooled, PLAN)
    _, refined_2, joint_2 = forward(network, x, with_other_second_character(context), pooled, PLAN)
    owner = torch.tensor(OWNER)
    assert torch.equal(refined[:, owner != 2], refined_2[:, owner != 2])
    _, _, free = forward(network, x, context, pooled, make_plan(OWNER, ((LEFT,), (RIGHT,)), refiner=False))
    assert not torch.equal(joint, free)
    assert torch.equal(joint[:, 24:].unflatten(1, (4, 6))[:, :, :3], joint_2[:, 24:].unflatten(1, (4, 6))[:, :, :3])


def test_a_caption_of_another_length_is_refused(network):
    x, context, pooled = inputs()
    with pytest.raises(ValueError, match="24 tokens, but the model received 23"):
        forward(network, x, context[:, :-1], pooled, PLAN)


def test_text_features_of_another_width_are_refused(network):
    x, context, pooled = inputs()
    with pytest.raises(ValueError, match="The text features are 40 wide, but this model takes 48"):
        forward(network, x, context[:, :, :40], pooled, PLAN)


def test_an_attention_that_cannot_be_reached_is_said(network):
    """Another node that puts its own override into the innermost options must not make isolation vanish silently."""
    x, context, pooled = inputs()
    options: dict = {}

    def thief(executor, *args, **kwargs):
        own = {"optimized_attention_override": lambda func, *a, **k: func(*a, **k)}
        return executor(*args, **{**kwargs, "transformer_options": {**kwargs["transformer_options"], **own}})

    kind = comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL
    comfy.patcher_extension.add_wrapper_with_key(kind, "thief", thief, options)
    with pytest.raises(RuntimeError, match="did not reach"):
        forward(network, x, context, pooled, PLAN, **options)


@pytest.mark.parametrize("kind", ["layers", "context_refiner"])
@pytest.mark.parametrize("which", [0, -1])
def test_one_layer_that_is_not_reached_is_said(network, kind, which, monkeypatch):
    """All joint layers and all refiners are counted: a node that computes one of them itself is enough."""
    attention = getattr(network, kind)[which].attention
    own = attention.forward

    def without_options(*args, transformer_options=None, **kwargs):
        return own(*args, transformer_options={}, **kwargs)

    x, context, pooled = inputs()
    monkeypatch.setattr(attention, "forward", without_options)
    with pytest.raises(RuntimeError, match="did not reach"):
        forward(network, x, context, pooled, PLAN)
    monkeypatch.undo()
    forward(network, x, context, pooled, PLAN)  # nothing is left of it
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_a_refiner_that_the_mode_leaves_open_may_be_replaced(network, monkeypatch):
    attention = network.context_refiner[0].attention
    own = attention.forward
    monkeypatch.setattr(
        attention, "forward", lambda *args, transformer_options=None, **kwargs: own(*args, **kwargs)
    )
    x, context, pooled = inputs()
    forward(network, x, context, pooled, make_plan(OWNER, ((LEFT,), (RIGHT,)), refiner=False))


def test_a_forward_whose_layers_never_ran_was_skipped(network):
    """As EasyCache does it, in a wrapper around the model's own forward."""
    options: dict = {}
    kind = comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL
    comfy.patcher_extension.add_wrapper_with_key(kind, "cache", lambda executor, x, *_a, **_k: x, options)
    x, context, pooled = inputs()
    with IsolatedNextDiT(PLAN).isolated(Pass(network, x, context, options)) as within:
        out = network(x, torch.full((1,), 0.7), context, 24, transformer_options=within, clip_text_pooled=pooled)
    assert torch.equal(out, x)


def test_the_callers_options_are_left_alone(network):
    x, context, pooled = inputs()
    options: dict = {"sigmas": torch.tensor([0.7])}
    forward(network, x, context, pooled, PLAN, **options)
    assert "optimized_attention_override" not in options


def test_isolation_rides_in_the_conditioning_through_the_hosts_sampler(mini):
    """An unpatched MODEL, the host's own sampler: the positive entry is isolated, the negative one is not."""
    import comfy.sample

    model = mini[0]
    network = model.model.diffusion_model
    x, context, pooled = inputs()
    seen: list[torch.Tensor] = []
    handle = network.layers[0].register_forward_hook(lambda _module, _args, out: seen.append(out.clone()))

    def first_layer(features, negative):
        seen.clear()
        entry = conditioning(features, {"pooled_output": pooled}, IsolatedNextDiT(PLAN))
        noise = comfy.sample.prepare_noise(x, 3)
        comfy.sample.sample(model, noise, 1, 4.0, "euler", "simple", entry, negative, torch.zeros_like(x), seed=3)
        isolated = [out for out in seen if out.shape[1] == len(OWNER) + 30]
        others = [out for out in seen if out.shape[1] != len(OWNER) + 30]
        assert len(isolated) == len(others) == 1
        return isolated[0][:, len(OWNER) :].unflatten(1, (5, 6)), others[0]

    try:
        negative = [[context[:, :5], {"pooled_output": pooled}]]
        image, other = first_layer(context, negative)
        image_2, other_2 = first_layer(with_other_second_character(context), negative)
    finally:
        handle.remove()
    assert torch.equal(image[:, :, :3], image_2[:, :, :3])
    assert not torch.equal(image[:, :, 3:], image_2[:, :, 3:])
    assert torch.equal(other, other_2)
