"""A text that has been encoded is not encoded again, unless anything that it depends on has changed."""

from __future__ import annotations

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import comfy.hooks
import torch
from newbie_pack.isolation import gemma_text
from newbie_pack.isolation.encode import encode, encode_negative, encode_plain
from newbie_pack.xml_prompt import layout, parse, render_xml, text_of

TWO = (
    "<character_1><n>miku</n></character_1><character_2><n>{}</n></character_2>"
    "<general_tags><count>2</count></general_tags>"
)


@pytest.fixture
def clip(mini, monkeypatch):
    """A clone whose encodes are counted in clip.reads, with nothing kept yet."""
    clip = mini[1].clone()
    monkeypatch.setattr(clip.cond_stage_model, "newbie_encoded", None, raising=False)
    clip.reads = []
    read = clip.encode_from_tokens
    monkeypatch.setattr(clip, "encode_from_tokens", lambda *args, **kw: clip.reads.append(args[0]) or read(*args, **kw))
    return clip


def read_apart(clip, segments):
    return gemma_text.encode_apart(clip, segments, gemma_text.Reader(clip, genders=False), text_of(segments))


def encode_two(clip, name):
    scene = parse(TWO.format(name))
    return encode(clip, scene, layout(scene), "strict")[0]


def test_only_what_changed_is_read_again(clip):
    first = encode_two(clip, "kaito")
    assert len(clip.reads) == 3  # two characters and the general tags, the prefix in front of each
    again = encode_two(clip, "kaito")
    assert len(clip.reads) == 3
    assert torch.equal(first[0], again[0]) and torch.equal(first[1]["pooled_output"], again[1]["pooled_output"])
    other = encode_two(clip, "rin")
    assert len(clip.reads) == 4  # the second character, and the pooled vector of the whole along with it
    del clip.cond_stage_model.newbie_encoded
    fresh = encode_two(clip, "rin")
    assert len(clip.reads) == 7
    assert torch.equal(other[0], fresh[0]) and torch.equal(other[1]["pooled_output"], fresh[1]["pooled_output"])


def test_a_text_reads_the_same_whatever_is_read_with_it(clip):
    """The prefix as by itself, within float32's rounding through the layers; and the vector as with the whole text."""
    scene = parse(TWO.format("kaito"))
    segments = render_xml(scene, layout(scene))
    apart = [read_apart(clip, part) for part in (segments, segments[:1], segments[:2])]
    whole, extra = apart[0]
    for features, _ in apart[1:]:
        torch.testing.assert_close(whole[:, : features.shape[1]], features, rtol=1e-4, atol=1e-4)
    stock = clip.encode_from_tokens(clip.tokenize(text_of(segments), disable_weights=True), return_dict=True)
    torch.testing.assert_close(extra["pooled_output"], stock["pooled_output"], rtol=0, atol=0)


def test_a_vector_that_is_not_kept_is_read_with_texts_that_are(clip):
    """Each character has been read beside another one before."""
    pairs = ("kaito", "rin"), ("luka", "len"), ("kaito", "len")
    for first, second in pairs:
        scene = parse(TWO.format(second).replace("miku", first))
        entry = encode(clip, scene, layout(scene), "strict")[0]
    del clip.cond_stage_model.newbie_encoded
    fresh = encode(clip, scene, layout(scene), "strict")[0]
    assert torch.equal(entry[0], fresh[0]) and torch.equal(entry[1]["pooled_output"], fresh[1]["pooled_output"])


@pytest.mark.parametrize("mode", ["strict", "gentle", "off"])
def test_clip_skip_is_refused_in_a_sentence(clip, mode):
    clip.clip_layer(-2)
    scene = parse("<character_1><n>miku</n></character_1><character_2/>")
    with pytest.raises(ValueError, match="have no clip skip: remove CLIP Set Last Layer"):
        encode(clip, scene, layout(scene), mode)


def test_a_patched_encoder_reads_anew(clip):
    encode_two(clip, "kaito")
    name, weight = next((n, w) for n, w in clip.cond_stage_model.named_parameters() if n.endswith("q_proj.weight"))
    clip.patcher = clip.patcher.clone()
    clip.patcher.add_patches({name: (torch.ones_like(weight),)}, 0.5)
    before = len(clip.reads)
    encode_two(clip, "kaito")
    assert len(clip.reads) == before + 3


def test_hooks_and_embeddings_are_never_kept(clip):
    tokens = {"gemma": [[(2, 1.0)]], "jina": [[(0, 1.0)]]}
    assert gemma_text.key_of(clip, tokens) is not None
    assert gemma_text.key_of(clip, {**tokens, "gemma": [[(torch.zeros(8), 1.0)]]}) is None
    clip.apply_hooks_to_conds = comfy.hooks.HookGroup()
    assert gemma_text.key_of(clip, tokens) is None


def tensors_kept(clip):
    kept = clip.cond_stage_model.newbie_encoded or {}
    values = [value for features, extra in kept.values() for value in (features, *extra.values())]
    return [value for value in values if isinstance(value, torch.Tensor)]


def test_no_more_is_kept_than_said(clip, monkeypatch):
    encode_two(clip, "a")
    one_prompt = sum(value.untyped_storage().nbytes() for value in tensors_kept(clip))
    assert one_prompt > sum(features.nbytes for features, _ in clip.cond_stage_model.newbie_encoded.values()) > 0
    limit = int(1.5 * one_prompt)
    monkeypatch.setattr(gemma_text, "LIMIT", limit)
    for name in ("b", "c", "d"):
        encode_two(clip, name)
        assert one_prompt // 2 < sum(value.untyped_storage().nbytes() for value in tensors_kept(clip)) <= limit
    before = len(clip.reads)
    encode_two(clip, "d")  # the latest is still there
    assert len(clip.reads) == before
    encode_two(clip, "b")
    assert len(clip.reads) > before


def test_the_size_is_that_of_all_tensors():
    extra = {"pooled_output": torch.zeros(4), "attention_mask": torch.ones(1, 5, dtype=torch.int64), "number": 3}
    assert gemma_text.size_of((torch.zeros(1, 2, 3), extra)) == 4 * 6 + 4 * 4 + 8 * 5


def test_the_longest_unused_makes_room(clip, monkeypatch):
    def read(text):
        before = len(clip.reads)
        encode_plain(clip, text)
        return len(clip.reads) > before

    assert read("a")
    one = sum(value.nbytes for value in tensors_kept(clip))
    monkeypatch.setattr(gemma_text, "LIMIT", 2 * one)
    assert read("b") and not read("a")
    assert read("c")  # b goes, as a was used since
    assert not read("a") and read("b")


def test_a_text_over_the_limit_is_not_kept_and_pushes_nothing_out(clip, monkeypatch):
    kept = encode_plain(clip, "a")[0]
    monkeypatch.setattr(gemma_text, "LIMIT", sum(value.nbytes for value in tensors_kept(clip)))
    long = [encode_plain(clip, "blue hair, " * 20)[0] for _ in range(2)]
    assert torch.equal(long[0][0], long[1][0])
    assert len(clip.reads) == 3
    assert torch.equal(encode_plain(clip, "a")[0][0], kept[0])
    assert len(clip.reads) == 3


def test_what_is_kept_is_not_changed_by_its_readers(clip):
    for read in (lambda: encode_two(clip, "kaito"), lambda: encode_plain(clip, "bad")[0]):
        first = read()
        before = first[0].clone(), first[1]["pooled_output"].clone()
        first[0].zero_()
        first[1].pop("pooled_output").zero_()
        again = read()
        assert torch.equal(again[0], before[0]) and torch.equal(again[1]["pooled_output"], before[1])


def test_an_encoder_with_a_replaced_module_reads_anew(clip):
    tokens = {"gemma": [[(2, 1.0)]], "jina": [[(0, 1.0)]]}
    before = gemma_text.key_of(clip, tokens)
    clip.patcher = clip.patcher.clone()
    clip.patcher.add_object_patch("gemma.some.module", torch.nn.Identity())
    assert gemma_text.key_of(clip, tokens) not in (None, before)


def test_a_negative_that_stays_is_read_once(clip):
    """The node runs anew for every positive; the host's own node would not for the negative."""
    scene = parse(TWO.format("kaito"))

    def negative(text):
        return encode_negative(clip, scene, layout(scene), "gentle", text)[0]

    first, again = negative("bad"), negative("bad")
    assert len(clip.reads) == 1
    assert torch.equal(first[0], again[0]) and first[1].keys() == again[1].keys()
    stock = clip.encode_from_tokens_scheduled(clip.tokenize("bad"))[0]
    assert torch.equal(again[0], stock[0]) and again[1].keys() == stock[1].keys()
    negative("worse")
    assert len(clip.reads) == 3


def test_texts_of_other_weights_are_others(clip):
    tokens = {"gemma": [[(2, 1.0), (5, 1.0)]], "jina": [[(0, 1.0)]]}
    assert gemma_text.key_of(clip, tokens) != gemma_text.key_of(clip, {**tokens, "gemma": [[(2, 1.0), (5, 1.2)]]})


def test_a_schedule_on_the_encoder_stays_the_hosts(clip, monkeypatch):
    """And so do tokens that are more than text, as some encoders have."""
    scheduled = [["first", {}], ["second", {}]]
    monkeypatch.setattr(clip, "encode_from_tokens_scheduled", lambda _tokens: scheduled)
    clip.apply_hooks_to_conds = comfy.hooks.HookGroup()
    assert encode_plain(clip, "bad") is scheduled
    clip.apply_hooks_to_conds = None
    monkeypatch.setattr(clip, "tokenize", lambda _text: {"gemma": [[(2, 1.0)]], "strength": 0.99})
    assert encode_plain(clip, "bad") is scheduled
