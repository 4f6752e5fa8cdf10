"""Scene -> CONDITIONING in each mode, with the real text encoders (random weights)."""

from __future__ import annotations

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import torch
from comfy.patcher_extension import WrappersMP
from newbie_pack.isolation import modes
from newbie_pack.isolation.encode import encode, encode_plain
from newbie_pack.xml_prompt import layout, parse, render_xml, text_of

TWO = (
    "<character_1><n>miku</n></character_1><character_2><n>kaito</n>{}</character_2>"
    "<general_tags><background>night_sky</background></general_tags>"
)
SCENE = parse(TWO.format("<appearance>blue hair</appearance>"))
OTHER = parse(TWO.format("<appearance>red hair, short_hair</appearance>"))


@pytest.fixture
def clip(mini):
    return mini[1]


def entry(conditioning):
    assert len(conditioning) == 1
    return conditioning[0]


def plan_of(conditioning):
    (hook,) = entry(conditioning)[1]["hooks"].hooks
    (wrapper,) = hook.transformers_dict["wrappers"][WrappersMP.DIFFUSION_MODEL]["newbie_isolation"]
    return wrapper.args[0]


def owned(conditioning, owner):
    return entry(conditioning)[0][:, torch.tensor(plan_of(conditioning).owner) == owner]


def test_strict_reads_every_character_alone(clip):
    first, second = (encode(clip, scene, layout(scene), "strict") for scene in (SCENE, OTHER))
    assert torch.equal(owned(first, 1), owned(second, 1))
    assert torch.equal(owned(first, 0), owned(second, 0))  # the tags after the characters have not read them either
    assert owned(first, 2).shape[1] != owned(second, 2).shape[1]


def test_joint_encoding_does_not(clip):
    """The proof above could fail: here the general tags have read the characters."""
    first, second = (encode(clip, scene, layout(scene), "gentle") for scene in (SCENE, OTHER))
    assert not torch.equal(owned(first, 0), owned(second, 0))


def test_strict_segments_stand_behind_the_shared_prefix(clip):
    """[start | system | character_1 | character_2 | general], each read behind [start | system] alone."""
    scene = parse(f"You draw. <Prompt Start>{TWO.format('')}")
    assert scene.system
    boxes = layout(scene)
    segments = render_xml(scene, boxes)
    assert [segment.owner for segment in segments] == [0, 1, 2, 0]
    start = clip.tokenize("", disable_weights=True)["gemma"][0]
    gemma = [clip.tokenize(segment.text, disable_weights=True)["gemma"][0][1:] for segment in segments]
    jina = clip.tokenize(text_of(segments), disable_weights=True)["jina"]
    head = [*start, *gemma[0]]
    expected = [clip.encode_from_tokens({"gemma": [head], "jina": jina})]
    for own in gemma[1:]:
        expected.append(clip.encode_from_tokens({"gemma": [head + own], "jina": jina})[:, len(head) :])
    conditioning = encode(clip, scene, boxes, "strict")
    assert torch.equal(entry(conditioning)[0], torch.cat(expected, 1))
    counts = [len(head), len(gemma[1]), len(gemma[2]), len(gemma[3])]
    assert plan_of(conditioning).owner == tuple(
        owner for owner, count in zip((0, 1, 2, 0), counts, strict=True) for _ in range(count)
    )


def test_gentle_is_one_joint_encode(clip):
    boxes = layout(SCENE)
    segments = render_xml(SCENE, boxes)
    pieces = [clip.tokenize(segment.text, disable_weights=True)["gemma"][0] for segment in segments]
    tokens = {
        "gemma": [pieces[0][:1] + [token for piece in pieces for token in piece[1:]]],
        "jina": clip.tokenize(text_of(segments), disable_weights=True)["jina"],
    }
    conditioning = encode(clip, SCENE, boxes, "gentle")
    assert torch.equal(entry(conditioning)[0], clip.encode_from_tokens(tokens))
    plan = plan_of(conditioning)
    assert (plan.refiner, plan.until) == (False, 0.5)
    assert len(plan.owner) == entry(conditioning)[0].shape[1]


@pytest.mark.parametrize("mode", ["strict", "gentle"])
def test_every_box_is_in_the_text_and_the_plan(clip, mode):
    boxes = layout(SCENE)
    plan = plan_of(encode(clip, SCENE, boxes, mode))
    for box, (first, *_) in zip(boxes, plan.regions, strict=True):
        assert first == (box.left / 1000, box.top / 1000, box.right / 1000, box.bottom / 1000)
    moved = tuple(reversed(boxes))
    assert not torch.equal(
        entry(encode(clip, SCENE, boxes, mode))[0], entry(encode(clip, SCENE, moved, mode))[0]
    )


@pytest.mark.parametrize("mode", ["strict", "gentle"])
def test_the_pooled_vector_is_of_the_whole_prompt_with_parentheses_as_text(clip, mode):
    scene = parse("<character_1><n>hatsune_miku_(vocaloid)</n></character_1><character_2><n>kaito</n></character_2>")
    boxes = layout(scene)
    tokens = clip.tokenize(text_of(render_xml(scene, boxes)), disable_weights=True)
    pooled = clip.encode_from_tokens(tokens, return_dict=True)["pooled_output"]
    assert torch.equal(entry(encode(clip, scene, boxes, mode))[1]["pooled_output"], pooled)


@pytest.mark.parametrize("mode", ["strict", "gentle"])
def test_no_attention_mask_travels(clip, mode):
    assert "attention_mask" not in entry(encode(clip, SCENE, layout(SCENE), mode))[1]


def test_off_is_the_hosts_own_node(clip):
    import nodes

    conditioning = encode(clip, SCENE, layout(SCENE), "off")
    (stock,) = nodes.CLIPTextEncode().encode(clip, text_of(render_xml(SCENE)))
    ours, hosts = entry(conditioning), entry(stock)
    assert torch.equal(ours[0], hosts[0])
    assert ours[1].keys() == hosts[1].keys()
    assert torch.equal(ours[1]["pooled_output"], hosts[1]["pooled_output"])
    assert "hooks" not in ours[1]


def test_a_scene_without_characters_is_encoded_plainly(clip):
    scene = parse("<general_tags><background>night_sky</background></general_tags>")
    ours, plain = encode(clip, scene, (), "strict"), encode_plain(clip, text_of(render_xml(scene)))
    assert torch.equal(entry(ours)[0], entry(plain)[0])
    assert "hooks" not in entry(ours)[1]


def test_auto_follows_the_checkpoint_through_clones(clip):
    copy = clip.clone()
    try:
        modes.declare(clip, "strict")
        assert modes.resolve(copy.clone(), "auto") == "strict"
        modes.declare(clip, "gentle")
        assert modes.resolve(copy, "auto") == "gentle"
        assert modes.resolve(copy, "off") == "off"
    finally:
        modes.declare(clip, "strict")


def test_a_clip_that_says_nothing_is_treated_gently():
    class Clip:
        cond_stage_model = torch.nn.Module()

    assert modes.resolve(Clip(), "auto") == "gentle"


def test_another_models_clip_is_refused_in_a_sentence():
    class Clip:
        cond_stage_model = torch.nn.Module()

        def tokenize(self, text, **_):
            return {"l": [[(0, 1.0)]]}

    with pytest.raises(ValueError, match="Gemma and Jina"):
        encode(Clip(), SCENE, layout(SCENE), "strict")


def test_hooks_that_the_clip_brought_are_kept(clip):
    import comfy.hooks

    theirs = comfy.hooks.HookGroup()
    theirs.add(comfy.hooks.WeightHook())
    copy = clip.clone()
    copy.apply_hooks_to_conds = theirs
    hooks = entry(encode(copy, SCENE, layout(SCENE), "strict"))[1]["hooks"]
    assert {hook.hook_type for hook in hooks.hooks} == {
        comfy.hooks.EnumHookType.Weight,
        comfy.hooks.EnumHookType.TransformerOptions,
    }
