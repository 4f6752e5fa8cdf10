"""Isolation among the host's own nodes: between the encode and the sampler, around the model, and in every sampler.

The proof is the same everywhere: other words for the second character leave the image tokens outside its box bit for
bit what they were in the first joint layer of the first step, and change those inside.
"""

from __future__ import annotations

import copy
import gc
import logging
import math
import weakref

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import folder_paths
import random_sd
import torch
from comfy import model_management as management
from comfy.controlnet import ControlBase
from comfy.model_management import InterruptProcessingException
from comfy.patcher_extension import CallbacksMP
from comfy.samplers import CFGGuider
from comfy_extras import nodes_custom_sampler as custom
from comfy_extras.nodes_model_advanced import ModelSamplingAuraFlow
from conditionings import plan_of
from newbie_pack.isolation import carrier
from newbie_pack.isolation.carrier import conditioning as carrying
from newbie_pack.isolation.encode import encode, encode_plain
from newbie_pack.isolation.nextdit import IsolatedNextDiT
from newbie_pack.isolation.plan import Options
from newbie_pack.isolation.unet import IsolatedUNet
from newbie_pack.sampling.sample import sample
from newbie_pack.xml_prompt import Box, parse
from plans import changed
from safetensors.torch import save_file

import nodes as stock

XML = "<character_1><n>{}</n></character_1><character_2><n>{}</n></character_2><general_tags>{}</general_tags>"
BOXES = (Box(0, 0, 500, 1000), Box(500, 0, 1000, 1000))
HEIGHT, WIDTH = 10, 12  # of the latent: 5 x 6 image tokens, of which the right three columns are the second one's


def encoded(clip, first="miku", second="kaito", background="night_sky"):
    return encode(clip, parse(XML.format(first, second, background)), BOXES, "strict")


def owner_of(conditioning):
    return torch.tensor(plan_of(conditioning).owners)


def with_other_second_character(conditioning):
    """Its own tokens' features replaced, as other words of the same length would."""
    ((features, values),) = conditioning
    changed, theirs = features.clone(), owner_of(conditioning) == 2
    changed[:, theirs] = torch.randn(changed[:, theirs].shape, generator=torch.Generator().manual_seed(1))
    return [[changed, values]]


@pytest.fixture
def model(mini):
    return mini[0]


@pytest.fixture
def clip(mini):
    return mini[1]


@pytest.fixture
def positive(clip):
    return encoded(clip)


@pytest.fixture
def negative(clip):
    return encode_plain(clip, "bad")


def latent(batch=1, height=HEIGHT, width=WIDTH, seed=None):
    shape = (batch, 16, height, width)
    empty = torch.zeros(shape)
    return {"samples": empty if seed is None else torch.randn(shape, generator=torch.Generator().manual_seed(seed))}


def ksampler(model, positive, negative, latent, denoise=1.0, steps=2):
    return stock.KSampler().sample(model, 3, steps, 4.0, "euler", "simple", positive, negative, latent, denoise)[0]


@pytest.fixture
def first_layer(model):
    """Runs something that samples -> all outputs [B, T, D] of the first joint layer, in their order."""
    seen: list[torch.Tensor] = []
    handle = model.model.diffusion_model.layers[0].register_forward_hook(lambda _m, _a, out: seen.append(out.clone()))

    def outputs(run):
        seen.clear()
        run()
        return list(seen)

    yield outputs
    handle.remove()


@pytest.fixture
def check_isolated(first_layer):
    """run: samples a positive conditioning. The first forward of its length is the isolated one of the first step."""

    def check(run, positive, other=None, rows=HEIGHT // 2, columns=WIDTH // 2, batch=1):
        caption = positive[0][0].shape[1]
        images = []
        for conditioning in (positive, other or with_other_second_character(positive)):
            seen = first_layer(lambda conditioning=conditioning: run(conditioning))
            ours = [out[:, caption:] for out in seen if out.shape[1] == caption + rows * columns]
            images.append(ours[0].unflatten(1, (rows, columns)))
        first, second = images
        assert first.shape[0] == batch
        assert torch.equal(first[:, :, : columns // 2], second[:, :, : columns // 2])
        assert (first[:, :, columns // 2 :] != second[:, :, columns // 2 :]).any(-1).all()

    return check


# --- other words of as many tokens -----------------------------------------------------------------------------------


@pytest.mark.parametrize("other", ["gum", "xyz"])
@pytest.mark.parametrize("changed", [1, 2])
def test_other_words_of_one_character_change_nothing_of_the_other(clip, model, negative, first_layer, changed, other):
    """From the text on, exactly: caption tokens, and image tokens outside the one's box, in the first joint layer.

    Of as many tokens, because the model counts positions: a longer text moves all that follows it, the picture too.
    With the pooled vector of the shared text alone, because it goes to every token.
    """
    closed = Options(pooled="closed")
    names = {1: "miku", 2: "kaito"} | {changed: "qqq"}

    def drawn(word):
        scene = parse(XML.format(*(names | {changed: word}).values(), "night_sky"))
        made = encode(clip, scene, BOXES, "strict", closed)
        length = made[0][0].shape[1]
        (joint, *_) = (
            out for out in first_layer(lambda: ksampler(model, made, negative, latent()))
            if out.shape[1] == length + HEIGHT // 2 * (WIDTH // 2)
        )
        return owner_of(made), joint[:, :length], joint[:, length:].unflatten(1, (HEIGHT // 2, WIDTH // 2))

    (owner, caption, image), (owner_2, caption_2, image_2) = drawn("qqq"), drawn(other)
    assert torch.equal(owner, owner_2)
    assert torch.equal(caption[:, owner != changed], caption_2[:, owner != changed])
    assert (caption[:, owner == changed] != caption_2[:, owner == changed]).any()
    half = WIDTH // 4
    theirs, own = (slice(half), slice(half, None)) if changed == 2 else (slice(half, None), slice(half))
    assert torch.equal(image[:, :, theirs], image_2[:, :, theirs])
    assert (image[:, :, own] != image_2[:, :, own]).any(-1).all()


# --- samplers and what goes into them --------------------------------------------------------------------------------


def test_ksampler(check_isolated, model, positive, negative):
    check_isolated(lambda c: ksampler(model, c, negative, latent()), positive)


@pytest.mark.parametrize(
    "sampler",
    ["heun", "res_multistep", "dpmpp_2m", "dpmpp_2m_sde", "uni_pc", "lcm", "euler_cfg_pp", "gradient_estimation"],
)
def test_any_sampler(check_isolated, model, positive, negative, sampler):
    def run(conditioning):
        stock.KSampler().sample(model, 3, 2, 4.0, sampler, "simple", conditioning, negative, latent(), 1.0)

    check_isolated(run, positive)


def test_from_a_later_step_on(check_isolated, model, clip, negative):
    """Isolation that starts at the half leaves the first step free, which is the one that the check looks at."""
    late = encode(clip, parse(XML.format("miku", "kaito", "night_sky")), BOXES, "strict", Options(start=0.5))
    with pytest.raises(AssertionError):
        check_isolated(lambda c: ksampler(model, c, negative, latent()), late)
    check_isolated(lambda c: ksampler(model, c, negative, latent(), steps=1), encoded(clip))  # and this one passes


def test_the_check_could_fail(check_isolated, model, positive, negative):
    """The same features without what rides along are not isolated."""
    plain = [[[one[0][0], {"pooled_output": one[0][1]["pooled_output"]}]] for one in (
        positive, with_other_second_character(positive))]
    with pytest.raises(AssertionError):
        check_isolated(lambda c: ksampler(model, c, negative, latent()), *plain)


def test_as_the_negative(check_isolated, model, positive, clip):
    short = encode_plain(clip, "good")
    check_isolated(lambda c: ksampler(model, short, c, latent()), positive)


def test_samplercustomadvanced(check_isolated, model, positive, negative):
    def run(conditioning):
        (guider,) = custom.CFGGuider.execute(model, conditioning, negative, 4.0).result
        (sampler,) = custom.KSamplerSelect.execute("euler_ancestral").result
        (sigmas,) = custom.BasicScheduler.execute(model, "simple", 2, 1.0).result
        (noise,) = custom.RandomNoise.execute(3).result
        custom.SamplerCustomAdvanced.execute(noise, guider, sampler, sigmas, latent())

    check_isolated(run, positive)


def test_newbie_sample(check_isolated, model, positive, negative):
    check_isolated(lambda c: sample(model, c, negative, latent(), seed=3, steps=2), positive)


def test_a_batch_of_three(check_isolated, model, positive, negative):
    check_isolated(lambda c: ksampler(model, c, negative, latent(batch=3)), positive, batch=3)


def test_image_to_image(check_isolated, model, positive, negative):
    check_isolated(lambda c: ksampler(model, c, negative, latent(seed=5), denoise=0.6, steps=3), positive)


def test_a_second_pass_at_one_and_a_half(check_isolated, model, positive, negative):
    first = ksampler(model, positive, negative, latent(height=8, width=8))
    (larger,) = stock.LatentUpscaleBy().upscale(first, "bilinear", 1.5)
    assert larger["samples"].shape[2:] == (12, 12)
    check_isolated(lambda c: ksampler(model, c, negative, larger, denoise=0.5), positive, rows=6, columns=6)


def test_inpainting(check_isolated, model, positive, negative):
    """Isolated while it paints; what the mask protects stays."""
    mask = torch.zeros(1, 8 * HEIGHT, 8 * WIDTH)
    mask[:, :, 4 * WIDTH :] = 1
    given = latent(seed=5)
    (masked,) = stock.SetLatentNoiseMask().set_mask(given, mask)
    check_isolated(lambda c: ksampler(model, c, negative, masked), positive)
    out = ksampler(model, positive, negative, masked)["samples"]
    half = WIDTH // 2
    torch.testing.assert_close(out[..., : half - 1], given["samples"][..., : half - 1], rtol=1e-4, atol=1e-4)
    assert (out[..., half + 1 :] - given["samples"][..., half + 1 :]).abs().mean() > 0.1


NOTHING_OF_A_PLAN = {
    "nobody owns anything": lambda plan: changed(plan, owner=(0,) * len(plan.owners)),
    "everyone open, and one place": lambda plan: changed(plan, regions=plan.regions[:1], strength=0.0, apart=0.9),
    "strength 0": lambda plan: changed(plan, strength=0.0),
    "over before the first step": lambda plan: changed(plan, end=0.0),
    "begins after the last": lambda plan: changed(plan, start=1.0),
    "every layer open": lambda plan: changed(plan, joint=False, refiner=False),
}


@pytest.mark.parametrize("kind", ["NewBie", "SD15"])
def test_a_plan_without_effect_is_the_hosts_picture_bit_for_bit(request, kind):
    """The whole way: the entry's control, the wrappers, every step; and the same entry under its own plan is not."""
    if kind == "NewBie":
        (model, clip, *_), forward, empty = request.getfixturevalue("mini"), IsolatedNextDiT, latent(batch=2)
    else:
        model, clip, forward = random_sd.model(kind), random_sd.clip(kind), IsolatedUNet
        empty = {"samples": torch.zeros(1, 4, 8, 16)}
    ((features, values),), unwanted = encoded(clip), encode_plain(clip, "bad")
    bare = {key: value for key, value in values.items() if key not in ("control", "model_conds")}
    plan, reached = values["control"].isolation.forward.plan, []

    class Watched(forward):
        def isolated(self, *args, **kwargs):
            reached.append(self.plan)
            return super().isolated(*args, **kwargs)

    def picture(entry):
        return ksampler(model, entry, unwanted, empty)["samples"]

    hosts = picture([[features, bare]])
    for name, of in NOTHING_OF_A_PLAN.items():
        reached.clear()
        assert torch.equal(picture(carrying(features, bare, Watched(of(plan)))), hosts), name
        assert reached == [of(plan)] * 2, name
    assert not torch.equal(picture(carrying(features, bare, Watched(plan))), hosts)


# --- around the model ------------------------------------------------------------------------------------------------


def test_model_sampling(check_isolated, model, positive, negative):
    (shifted,) = ModelSamplingAuraFlow().patch_aura(model, 6.0)
    check_isolated(lambda c: ksampler(shifted, c, negative, latent()), positive)


def test_a_lora_on_both(check_isolated, model, clip, negative, tmp_path, monkeypatch):
    """It changes model and text encoder; strict stays what it is."""
    generator = torch.Generator().manual_seed(9)

    def rank_2(rows, columns):
        return torch.randn(rows, 2, generator=generator) / 2, torch.randn(2, columns, generator=generator) / 4

    tensors = {}
    weight = model.model.diffusion_model.layers[0].attention.qkv.weight
    text = clip.cond_stage_model.gemma.transformer.model.layers[0].self_attn.q_proj.weight
    for key, shape in (
        ("diffusion_model.layers.0.attention.qkv", weight.shape),
        ("text_encoders.gemma.transformer.model.layers.0.self_attn.q_proj", text.shape),
    ):
        tensors[f"{key}.lora_B.weight"], tensors[f"{key}.lora_A.weight"] = rank_2(*shape)
    save_file(tensors, tmp_path / "tiny.safetensors")
    known = folder_paths.folder_names_and_paths
    monkeypatch.setitem(known, "loras", ([str(tmp_path)], known["loras"][1]))
    changed_model, changed_clip = stock.LoraLoader().load_lora(model, clip, "tiny.safetensors", 1.0, 1.0)
    assert len(changed_model.patches) == len(changed_clip.patcher.patches) == 1
    ours, plain = encoded(changed_clip), encoded(clip)
    assert not torch.equal(ours[0][0], plain[0][0])
    check_isolated(lambda c: ksampler(changed_model, c, negative, latent()), ours)
    with_lora, without = (ksampler(m, ours, negative, latent())["samples"] for m in (changed_model, model))
    assert not torch.equal(with_lora, without)


def test_the_model_stays_in_the_hosts_dynamic_memory(model, positive, negative, monkeypatch):
    """For entries with hooks the host takes another copy. That needs a GPU: its question is stood in for."""
    monkeypatch.setattr(model, "is_dynamic", lambda: True)
    monkeypatch.setattr(model, "get_non_dynamic_delegate", lambda: pytest.fail("another copy"), raising=False)
    guider = CFGGuider(model)
    guider.set_conds(positive, negative)
    assert guider.model_patcher is model


# --- between encode and sampler --------------------------------------------------------------------------------------


def test_two_encodes_combined_are_both_isolated(check_isolated, model, clip, positive, negative):
    """As many tokens in each, so only what rides along keeps them apart: as the first of two and as the second."""
    another = with_other_second_character(encoded(clip, background="red dress"))
    combine = stock.ConditioningCombine().combine
    assert positive[0][0].shape != another[0][0].shape
    check_isolated(lambda c: ksampler(model, combine(c, another)[0], negative, latent()), positive)
    check_isolated(lambda c: ksampler(model, combine(another, c)[0], negative, latent()), positive)


def test_combined_twins_keep_their_own_plans(first_layer, model, clip, positive, negative):
    """Same text, other boxes: what each does alone is what it does in the combination."""
    moved = encode(clip, parse(XML.format("miku", "kaito", "night_sky")), BOXES[::-1], "strict")
    moved[0][0], moved[0][1]["pooled_output"] = positive[0][0], positive[0][1]["pooled_output"]

    def first_of(conditioning):
        seen = first_layer(lambda: ksampler(model, conditioning, negative, latent(), steps=1))
        return [out for out in seen if out.shape[1] == positive[0][0].shape[1] + 30]

    (alone,), (moved_alone,) = first_of(positive), first_of(moved)
    assert not torch.equal(alone, moved_alone)
    (combined,) = stock.ConditioningCombine().combine(positive, moved)
    both = first_of(combined)
    assert len(both) == 2
    assert all(any(torch.equal(one, out) for out in both) for one in (alone, moved_alone))


class Passing(ControlBase):
    """A ControlNet without a model: what any of them does with the one before it."""

    def __init__(self, called):
        super().__init__()
        self.called = called

    def copy(self):
        return Passing(self.called)

    def get_control(self, x_noisy, t, cond, batched_number, transformer_options):
        self.called.append(1)
        return self.previous_controlnet.get_control(x_noisy, t, cond, batched_number, transformer_options)


@pytest.mark.parametrize("advanced", [True, False])
def test_with_a_controlnet_behind_it(check_isolated, model, positive, negative, advanced):
    """The older node hands the positive's ControlNet, and what is chained behind it, to the negative too."""
    called, hint = [], torch.zeros(1, 80, 96, 3)

    def applied(conditioning):
        if not advanced:
            return stock.ControlNetApply().apply_controlnet(conditioning, Passing(called), hint, 1.0)[0]
        apply = stock.ControlNetApplyAdvanced().apply_controlnet
        return apply(conditioning, [], Passing(called), hint, 1.0, 0.0, 1.0)[0]

    plain, isolated = (ksampler(model, c, negative, latent())["samples"] for c in (positive, applied(positive)))
    assert called and torch.equal(plain, isolated)
    other = applied(with_other_second_character(positive))
    check_isolated(lambda c: ksampler(model, c, negative, latent()), applied(positive), other)


def test_a_controlnet_before_it_is_asked_and_a_second_device_has_its_own(positive):
    control = positive[0][1]["control"]
    control.set_previous_controlnet(asked := Passing([]))
    asked.get_control = lambda *_: {"middle": []}
    assert control.get_control(torch.zeros(1, 16, 8, 8), None, {}, 1, {}) == {"middle": []}
    clone = control.deepclone_multigpu(torch.device("meta"), autoregister=True)
    assert control.get_instance_for_device(torch.device("meta")) is clone is not control
    control.cleanup()  # visits clones and predecessors, each once


def test_without_its_control_it_is_refused_and_never_dropped(model, positive, negative):
    ((features, values),) = positive
    dropped = [[features, {key: value for key, value in values.items() if key != "control"}]]
    with pytest.raises(ValueError, match="isolation of the characters was dropped: a node between"):
        ksampler(model, dropped, negative, latent())


def test_nothing_of_it_stays_in_the_model(model, positive, negative):
    before = ksampler(model, negative, negative, latent())["samples"]
    ksampler(model, positive, negative, latent())
    assert not any(callbacks for callbacks in model.callbacks.values())
    assert torch.equal(ksampler(model, negative, negative, latent())["samples"], before)


def test_a_pass_waits_for_nothing_that_its_step_or_an_earlier_one_knows(model, clip, negative, monkeypatch):
    """How far the run is, is asked once a step, before its passes; the bias is made once and stays where it is used."""
    asked, made = [], []
    far, real = carrier.progress, carrier.bias_of
    monkeypatch.setattr(carrier, "progress", lambda *arguments: asked.append(arguments) or far(*arguments))
    monkeypatch.setattr(carrier, "bias_of", lambda *arguments: made.append(arguments) or real(*arguments))
    early = encode(clip, parse(XML.format("miku", "kaito", "night_sky")), BOXES, "strict", Options(end=0.5))
    ksampler(model, early, negative, latent(), steps=4)
    forward = early[0][1]["control"].isolation.forward
    assert len(asked) == 4
    assert len(made) == len(forward.kept) == 1
    assert {key[-1] for key in forward.kept} == {bias.query.device for bias in forward.kept.values()}


def test_an_interrupted_run_leaves_nothing_of_the_model_in_the_prompt(model, positive, negative, monkeypatch):
    """The host tells controls of the end of a run only where it comes to one."""
    clone = model.clone()

    def interrupt(*_args, **_kwargs):
        raise InterruptProcessingException

    monkeypatch.setattr(CFGGuider, "predict_noise", interrupt)
    with pytest.raises(InterruptProcessingException):
        ksampler(clone, positive, negative, latent())
    assert clone.callbacks[CallbacksMP.ON_PREPARE_STATE]  # it had begun
    again = copy.deepcopy(positive)
    assert again[0][1]["control"].isolation.forward is positive[0][1]["control"].isolation.forward
    monkeypatch.undo()
    watched = weakref.ref(clone)
    del clone
    management.free_memory(1e30, management.get_torch_device())
    gc.collect()
    assert watched() is None
    ksampler(model, positive, negative, latent())
    assert not any(callbacks for callbacks in model.callbacks.values())


def test_a_mask_and_an_area_keep_it(check_isolated, model, positive, negative):
    mask = torch.zeros(1, 8 * HEIGHT, 8 * WIDTH)
    mask[:, :40] = 1
    (masked,) = stock.ConditioningSetMask().append(positive, mask, "default", 1.0)
    check_isolated(lambda c: ksampler(model, c, negative, latent()), masked)


@pytest.mark.parametrize("kind", ["area", "percentage", "mask bounds"])
def test_in_an_area_the_boxes_are_fractions_of_it(check_isolated, model, positive, negative, kind):
    """The left 8 x 8 of the latent's 10 x 12: the area is drawn like a picture of its own."""
    if kind == "area":
        (placed,) = stock.ConditioningSetArea().append(positive, 64, 64, 0, 0, 1.0)
    elif kind == "percentage":
        (placed,) = stock.ConditioningSetAreaPercentage().append(positive, 8 / WIDTH, 8 / HEIGHT, 0, 0, 1.0)
    else:
        mask = torch.zeros(1, HEIGHT, WIDTH)
        mask[:, :8, :8] = 1
        (placed,) = stock.ConditioningSetMask().append(positive, mask, "mask bounds", 1.0)
    check_isolated(lambda c: ksampler(model, c, negative, latent()), placed, rows=4, columns=4)


def test_beside_an_area_every_text_has_its_own_plan(check_isolated, model, clip, positive):
    """The host gives the negative a twin in the positive's area, with the positive's control: it obeys its own plan."""
    negative = encoded(clip, background="red dress, white coat")
    assert negative[0][0].shape != positive[0][0].shape
    (placed,) = stock.ConditioningSetArea().append(positive, 64, 64, 0, 0, 1.0)
    check_isolated(lambda c: ksampler(model, c, negative, latent()), placed, rows=4, columns=4)
    check_isolated(lambda c: ksampler(model, placed, c, latent()), negative, rows=4, columns=4)
    check_isolated(lambda c: ksampler(model, placed, c, latent()), negative)


def test_beside_a_plain_area_an_isolated_text_keeps_its_plan(check_isolated, model, clip, positive):
    """There the host makes the area's twin from the plain entry, which carries nothing, and the isolated text."""
    (placed,) = stock.ConditioningSetArea().append(encode_plain(clip, "bad"), 64, 64, 0, 0, 1.0)
    check_isolated(lambda c: ksampler(model, c, placed, latent()), positive, rows=4, columns=4)
    check_isolated(lambda c: ksampler(model, c, placed, latent()), positive)


@pytest.mark.parametrize("kind", ["SD15", "SDXL"])
def test_areas_and_combinations_in_a_unet(kind):
    """Every text reaches the first cross-attention under its own plan: the texts differ in length, and so do plans."""
    unet, text = random_sd.model(kind), random_sd.clip(kind)
    reached = []
    first = next(m for name, m in unet.model.diffusion_model.named_modules() if name.endswith(".attn2"))
    handle = first.register_forward_hook(lambda _m, _a, kwargs, _o: reached.append(
        (kwargs["context"].shape[1], math.prod(kwargs["transformer_options"]["activations_shape"][-2:]))
    ), with_kwargs=True)
    one = encode(text, parse("<character_1><n>miku</n></character_1>"), BOXES[:1], "strict")
    two = encoded(text)
    negative = encode(text, parse("bad"), (), "strict")  # a single chunk
    assert negative[0][0].shape[1] < one[0][0].shape[1] < two[0][0].shape[1]
    (placed,) = stock.ConditioningSetArea().append(one, 64, 64, 0, 0, 1.0)
    (both,) = stock.ConditioningCombine().combine(placed, two)
    empty = {"samples": torch.zeros(1, 4, 16, 24)}
    try:
        ksampler(unet, both, encoded(text, background="sky"), empty, steps=1)
        ksampler(unet, both, negative, empty, steps=1)
    finally:
        handle.remove()
    whole, area = max(size for _, size in reached), min(size for _, size in reached)
    lengths = one[0][0].shape[1], two[0][0].shape[1]
    assert {(lengths[0], area), (lengths[1], whole), (lengths[1], area)} <= set(reached)


def test_in_a_part_of_the_schedule(first_layer, check_isolated, model, clip, positive, negative):
    """The isolated prompt for the first half, a plain one for the second."""
    until, since = stock.ConditioningSetTimestepRange().set_range, encode_plain(clip, "1girl, hat")
    (early,), (late,) = until(positive, 0.0, 0.5), until(since, 0.5, 1.0)
    check_isolated(lambda c: ksampler(model, c + late, negative, latent(), steps=4), early)
    seen = first_layer(lambda: ksampler(model, early + late, negative, latent(), steps=4))
    ours = sum(out.shape[1] == positive[0][0].shape[1] + 30 for out in seen)
    plain = sum(out.shape[1] == since[0][0].shape[1] + 30 for out in seen)
    assert 0 < ours < 4 and ours + plain >= 4


def average(first, second, strength=0.5):
    return stock.ConditioningAverage().addWeighted(first, second, strength)[0]


def concatenated(first, second):
    return stock.ConditioningConcat().concat(first, second)[0]


def test_an_average_of_prompts_whose_tokens_match_is_isolated(check_isolated, model, positive, negative):
    """The same words in the same places: whichever prompt's second character changes."""
    other = with_other_second_character(positive)
    plan_of_first = average(positive, positive)
    check_isolated(lambda c: ksampler(model, c, negative, latent()), plan_of_first, average(other, positive))
    check_isolated(lambda c: ksampler(model, c, negative, latent()), plan_of_first, average(positive, other))


def test_an_average_says_what_it_means(model, clip, positive, negative, caplog):
    longer = encoded(clip, first="hatsune_miku_(vocaloid)")
    assert longer[0][0].shape != positive[0][0].shape
    with caplog.at_level(logging.WARNING):
        for said, conditioning in (
            (False, positive),
            (False, average(positive, longer, 1.0)),
            (False, stock.ConditioningMultiply().multiply(positive, 0.5)[0]),
            (False, stock.ConditioningZeroOut().zero_out(positive)[0]),
            (True, average(positive, longer)),
            (True, average(longer, positive)),
            (True, [*average(positive, longer), *positive]),  # both entries bring the same isolation along
            (True, [*positive, *average(positive, longer)]),
        ):
            caplog.clear()
            ksampler(model, conditioning, negative, latent(), steps=2)
            told = [record for record in caplog.records if "averaged" in record.getMessage()]
            assert len(told) == said, told


def test_a_longer_text_is_refused_in_a_sentence(model, clip, positive, negative):
    joined = concatenated(positive, encode_plain(clip, "hat"))
    with pytest.raises(ValueError, match="remove the node that joins prompts after Encode Characters"):
        ksampler(model, joined, negative, latent())


@pytest.mark.parametrize("join", [average, concatenated])
def test_the_host_drops_what_rides_along_with_a_second_input(model, clip, positive, negative, caplog, join):
    """A fact about the host: nothing is left that could say a word, so the README says it."""
    plain = encode_plain(clip, "1girl, hat")
    ((_, extras),) = join(plain, positive)
    assert extras.keys() == plain[0][1].keys()
    assert positive[0][1].keys() - extras.keys() >= {"control", "model_conds"}
    assert join(positive, plain)[0][1].keys() >= {"control", "model_conds"}
    with caplog.at_level(logging.INFO):
        ksampler(model, join(plain, positive), negative, latent(), steps=1)
    assert "isolat" not in caplog.text
