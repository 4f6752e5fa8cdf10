"""Scene -> CONDITIONING in each mode, with the real text encoders (random weights)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import torch
from conditionings import entry, owned, plan_of, with_hooks
from newbie_pack.isolation import gemma_text
from newbie_pack.isolation.encode import encode, encode_negative, encode_plain, segments_of
from newbie_pack.isolation.gemma_text import SPACE, token_bytes, token_weights, tokens_of
from newbie_pack.isolation.plan import Options, declare, resolve
from newbie_pack.xml_prompt import (
    Segment,
    WeightedSpan,
    layout,
    parse,
    render_json,
    render_negatives,
    render_xml,
    text_of,
)
from plans import genders_named, weights_of

TWO = (
    "<character_1><n>miku</n></character_1><character_2><n>kaito</n>{}</character_2>"
    "<general_tags><background>night_sky</background></general_tags>"
)
SCENE = parse(TWO.format("<appearance>blue hair</appearance>"))
OTHER = parse(TWO.format("<appearance>red hair, short_hair</appearance>"))


@pytest.fixture
def clip(mini):
    return mini[1]


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
    whole = torch.cat(expected, 1)
    torch.testing.assert_close(entry(conditioning)[0], whole, rtol=1e-4, atol=1e-4)  # the prefix in a longer product
    assert torch.equal(entry(conditioning)[0][:, len(head) :], whole[:, len(head) :])
    counts = [len(head), len(gemma[1]), len(gemma[2]), len(gemma[3])]
    assert plan_of(conditioning).owners == tuple(
        owner for owner, count in zip((0, 1, 2, 0), counts, strict=True) for _ in range(count)
    )


def test_gentle_is_one_joint_encode(clip):
    boxes = layout(SCENE)
    segments = render_json(SCENE, boxes)
    tokens = clip.tokenize(text_of(segments), disable_weights=True)
    conditioning = encode(clip, SCENE, boxes, "gentle")
    assert torch.equal(entry(conditioning)[0], clip.encode_from_tokens(tokens))
    plan = plan_of(conditioning)
    assert (plan.refiner, plan.joint, plan.options.end) == (False, True, 1.0)
    pieces = token_bytes(clip, [token for token, _ in tokens["gemma"][0][1:]])
    for owner in (0, 1, 2):
        own = [p for p, its in zip(pieces, plan.owners[1:], strict=True) if its == owner]
        text = "".join(b"".join(own).decode().replace(SPACE, "").split())
        parts = ["".join(segment.text.split()) for segment in segments if segment.owner == owner]
        assert all(letters[1:-1] in text for letters in parts)  # a token across two segments is one of theirs
        assert len(text) <= sum(map(len, parts)) + 2 * len(parts)


def test_what_no_token_tells_is_read_apart(clip, monkeypatch):
    """Where the text encoder rewrites a text, whose its tokens are is known from the segments alone."""

    def rewritten(*_):
        raise ValueError

    monkeypatch.setattr(gemma_text, "token_owners", rewritten)
    segments = render_json(SCENE, layout(SCENE))
    lengths = [len(ids_of(clip, segment.text)) for segment in segments]
    owners = [segment.owner for segment, length in zip(segments, lengths, strict=True) for _ in range(length)]
    assert plan_of(encode(clip, SCENE, layout(SCENE), "gentle")).owners == (0, *owners)


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
    tokens = clip.tokenize(text_of(segments_of(scene, boxes, mode == "strict")), disable_weights=True)
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
    assert "control" not in ours[1]


def test_a_scene_without_characters_is_encoded_plainly(clip):
    scene = parse("<general_tags><background>night_sky</background></general_tags>")
    ours, plain = encode(clip, scene, (), "strict"), encode_plain(clip, text_of(render_xml(scene)))
    assert torch.equal(entry(ours)[0], entry(plain)[0])
    assert "control" not in entry(ours)[1]


def test_auto_follows_the_checkpoint_through_clones(clip):
    copy = clip.clone()
    try:
        declare(clip, "strict")
        assert resolve(copy.clone(), "auto") == "strict"
        declare(clip, "gentle")
        assert resolve(copy, "auto") == "gentle"
        assert resolve(copy, "off") == "off"
    finally:
        declare(clip, "strict")


def test_a_clip_that_says_nothing_is_treated_gently():
    class Clip:
        cond_stage_model = torch.nn.Module()

    assert resolve(Clip(), "auto") == "gentle"


def test_another_models_clip_is_refused_in_a_sentence():
    class Clip:
        cond_stage_model, use_clip_schedule = torch.nn.Module(), False

        def tokenize(self, text, **_):
            return {"qwen3_4b": [[(0, 1.0)]]}

    with pytest.raises(ValueError, match=r"This CLIP \(qwen3_4b\) can.t encode isolated .*set the mode to off"):
        encode(Clip(), SCENE, layout(SCENE), "strict")


def test_hooks_that_the_clip_brought_are_kept(clip):
    copy, theirs = with_hooks(clip)
    values = entry(encode(copy, SCENE, layout(SCENE), "strict"))[1]
    assert values["hooks"].hooks == theirs.hooks and "control" in values


def ids_of(clip, text):
    return [token for token, _ in tokens_of(clip, text)["gemma"][0][1:]]


def weighted_text(conditioning, clip, segments, mode):
    """The text of the tokens whose weight is not 1, and their weights."""
    plan = plan_of(conditioning)
    texts = [text_of(segments)] if mode == "gentle" else [segment.text for segment in segments]
    pieces = token_bytes(clip, [token for text in texts for token in ids_of(clip, text)])
    found = [(piece, w) for piece, w in zip(pieces, weights_of(plan)[1:], strict=True) if w != 1]
    return b"".join(piece for piece, _ in found).decode(), {w for _, w in found}


@pytest.mark.parametrize("mode", ["strict", "gentle"])
def test_a_weight_belongs_to_the_tokens_of_its_tag(clip, mode):
    plain = parse(TWO.format("<appearance>red hair, short_hair</appearance>"))
    heavy = parse(TWO.format("<appearance>red hair, (short_hair:1.5)</appearance>"))
    first, second = (encode(clip, scene, layout(scene), mode) for scene in (plain, heavy))
    assert torch.equal(entry(first)[0], entry(second)[0])  # the same text for the encoders
    assert set(weights_of(plan_of(first))) == {1.0}
    words, weights = weighted_text(second, clip, segments_of(heavy, layout(heavy), mode == "strict"), mode)
    assert words.strip(f" <>,{SPACE}") == "short_hair" and weights == {1.5}
    assert {plan_of(second).owners[i] for i, w in enumerate(weights_of(plan_of(second))) if w != 1} == {2}


@pytest.mark.parametrize("mode", ["auto", "strict", "gentle"])
def test_a_scene_without_characters_keeps_its_weights(clip, mode):
    scene = parse("(night_sky:0.7), stars")
    conditioning = encode(clip, scene, (), mode)
    words, weights = weighted_text(conditioning, clip, render_xml(scene), mode)
    assert words.strip(f" <>,{SPACE}") == "night_sky" and weights == {0.7}


@pytest.mark.parametrize(
    "text", ["1girl, (a_b:1.2), c", "夜空, (星 星:2)", "(>_<:1.3)", "(hatsune_miku_(vocaloid):1.1)"]
)
def test_tokens_are_found_in_the_text(clip, text):
    (segment,) = render_xml(parse(text))
    ids = ids_of(clip, segment.text)
    pieces = token_bytes(clip, ids)
    assert b"".join(pieces).decode().replace(SPACE, " ") == segment.text
    (span,) = segment.weighted
    weights = token_weights(clip, segment, ids)
    before = next(i for i, w in enumerate(weights) if w != 1)
    after = len(weights) - next(i for i, w in enumerate(reversed(weights)) if w != 1)
    assert set(weights[before:after]) == {span.weight}  # one run of tokens
    run = b"".join(pieces[before:after]).decode().replace(SPACE, " ")
    assert segment.text[span.start : span.end] in run
    inner = b"".join(pieces[before + 1 : after - 1]).decode(errors="ignore").replace(SPACE, " ")
    assert inner in segment.text[span.start : span.end]  # no token more than the tag reaches into


@pytest.mark.parametrize(("word", "sentence"), [("<image_soft_token>", "special word"), ("embedding:x", "normalises")])
def test_weights_that_cannot_be_placed_are_said(clip, word, sentence):
    segment = Segment(0, f"night, {word}", (WeightedSpan(0, 5, 1.2),))
    ids = [262144] if "soft" in word else ids_of(clip, "night, x")
    with pytest.raises(ValueError, match=sentence):
        token_weights(clip, segment, ids)


NEGATIVE = parse(TWO.format("<negative>scarf, (hat:1.5)</negative>"))


@pytest.mark.parametrize("mode", ["strict", "gentle"])
def test_a_characters_negatives_are_its_own(clip, mode):
    negative = encode_negative(clip, NEGATIVE, layout(NEGATIVE), mode, "bad")
    plan = plan_of(negative)
    assert set(plan.owners) == {0, 2}
    assert plan.regions == plan_of(encode(clip, NEGATIVE, layout(NEGATIVE), mode)).regions
    boxes = layout(NEGATIVE) if mode == "strict" else (None, None)  # the template has no place for negatives
    segments = render_negatives(NEGATIVE, boxes, "bad")
    assert segments[0].text == "bad" and "<appearance>scarf, hat</appearance>" in segments[1].text
    assert ("bbox" in segments[1].text) == (mode == "strict") and len(segments) == 2
    words, weights = weighted_text(negative, clip, segments, mode)
    assert words.strip(f" <>,{SPACE}") == "hat" and weights == {1.5}


def test_without_negatives_of_characters_the_negative_is_the_hosts(clip):
    plain = entry(encode_plain(clip, "bad, (worse:1.2)"))
    for scene, mode in ((SCENE, "strict"), (SCENE, "gentle"), (NEGATIVE, "off")):
        negative = entry(encode_negative(clip, scene, layout(scene), mode, "bad, (worse:1.2)"))
        assert torch.equal(negative[0], plain[0])
        assert torch.equal(negative[1]["pooled_output"], plain[1]["pooled_output"]) and "control" not in negative[1]


@pytest.mark.parametrize("mode", ["strict", "gentle"])
def test_a_system_prompt_stands_before_a_negative_that_says_something(clip, mode):
    """As in the authors' reference: not before an empty one, nor before one with a system prompt of its own."""
    told = replace(SCENE, system="You draw. <Prompt Start>")
    own = "You draw badly. <Prompt Start> bad"
    for text, read in (("bad", "You draw. <Prompt Start>\nbad"), ("", ""), (own, own)):
        negative = entry(encode_negative(clip, told, layout(told), mode, text))
        assert torch.equal(negative[0], entry(encode_plain(clip, read))[0])
    off = entry(encode_negative(clip, told, layout(told), "off", "bad"))
    assert torch.equal(off[0], entry(encode_plain(clip, "bad"))[0])


def test_negatives_change_nothing_of_what_is_wanted(clip):
    without = parse(TWO.format(""))
    first, second = (encode(clip, scene, layout(scene), "strict") for scene in (without, NEGATIVE))
    assert torch.equal(entry(first)[0], entry(second)[0])


@pytest.fixture(scope="module")
def shipped():
    """The built-in model's own text encoders, whose vocabulary rewrites line ends, white space and full-width signs."""
    from newbie_pack.model_loader import mini as loader

    with pytest.MonkeyPatch.context() as patch:  # the random model of the other tests may stand in its place
        patch.setattr(loader, "WEIGHTS", Path(loader.__file__).parent.parent / "mini" / "weights")
        return loader.load()[1]


@pytest.mark.parametrize("mode", ["strict", "gentle"])
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("(aqua_hair:1.5), twintails", "aqua_hair"),
        ("smile,\n(red  eyes:1.5)", "redeyes"),
        ("微笑，(短发！:1.5)", "短发\x21"),
    ],
)
def test_weights_reach_the_shipped_models_tokens(shipped, mode, words, expected):
    scene = parse(TWO.format(f"<appearance>{words}</appearance>"))
    conditioning = encode(shipped, scene, layout(scene), mode)
    segments = segments_of(scene, layout(scene), mode == "strict")
    found, weights = weighted_text(conditioning, shipped, segments, mode)
    assert found.replace(SPACE, "").strip("<>,") == expected and weights == {1.5}


def test_words_of_gender_are_found_among_the_shipped_models_tokens(shipped):
    scene = parse(TWO.format("<gender>1boy</gender>"))
    plan = plan_of(encode(shipped, scene, layout(scene), "strict", Options(gender_strength=0.5)))
    assert set(genders_named(plan)) == {"", "boy"} and genders_named(plan).count("boy") >= 1
