"""Scene -> CONDITIONING with the encoders of SD1.5, SD2 and SDXL (small, random), and through the host's sampler."""

from __future__ import annotations

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import random_sd
import torch
from conditionings import entry, owned, plan_of, with_hooks
from newbie_pack.isolation.clip_text import chunks_of, own_tokens
from newbie_pack.isolation.encode import encode, encode_negative, encode_plain
from newbie_pack.isolation.plan import fractions
from newbie_pack.xml_prompt import SHARED, PromptError, Scene, Tag, TagRun, layout, parse, regions, tag_runs
from plans import weights_of

CHUNK = 77
TWO = (
    "<character_1><n>miku</n><appearance>aqua hair, twintails</appearance></character_1>"
    "<character_2><n>kaito_(vocaloid)</n>{}</character_2>"
    "<general_tags><count>2people</count><background>night_sky</background></general_tags>"
)
SCENE = parse(TWO.format("<appearance>blue hair</appearance>"))
OTHER = parse(TWO.format("<appearance>red eyes, coat</appearance>"))
KINDS = ("SD15", "SDXL")


@pytest.fixture(scope="module")
def clips():
    return {kind: random_sd.clip(kind) for kind in random_sd.UNETS}


@pytest.fixture(params=KINDS)
def clip(request, clips):
    return clips[request.param]


def ids(tokens):
    return [token for token, _ in tokens]


def text_in(clip, chunk, name="l"):
    """The chunk's own tokens: between start and the first end."""
    tokens = ids(chunk.tokens[name])
    return tokens[1 : tokens.index(49407)]


def read(clip, tokens):
    return clip.tokenizer.clip_l.tokenizer.decode(tokens)


def test_shared_text_then_every_character_in_chunks_of_its_own(clip):
    conditioning = encode(clip, SCENE, layout(SCENE), "strict")
    plan = plan_of(conditioning)
    assert plan.owners == (0,) * CHUNK + (1,) * CHUNK + (2,) * CHUNK
    assert plan.regions == fractions(regions(SCENE, layout(SCENE)))
    assert plan.options.end == 1 and set(weights_of(plan)) == {1.0}
    assert entry(conditioning)[0].shape[1] == 3 * CHUNK
    chunks = chunks_of(clip, tag_runs(SCENE))
    assert [read(clip, text_in(clip, chunk)).replace(" ", "") for chunk in chunks] == [
        "2people,night_sky",
        "miku,aquahair,twintails",
        "kaito_(vocaloid),bluehair",
    ]


def test_no_characters_text_reads_anothers(clip):
    first, second = (encode(clip, scene, layout(scene), "strict") for scene in (SCENE, OTHER))
    for owner in (0, 1):
        assert torch.equal(owned(first, owner), owned(second, owner))
    assert not torch.equal(owned(first, 2), owned(second, 2))
    pooled, pooled_2 = (entry(c)[1]["pooled_output"] for c in (first, second))
    assert torch.equal(pooled, pooled_2)


def test_every_chunk_is_the_hosts_own(clip):
    """As if every owner's tags were a prompt of their own; the pooled vector is the shared prompt's."""
    conditioning = encode(clip, SCENE, layout(SCENE), "strict")
    texts = ("2people, night_sky", "miku, aqua hair, twintails", r"kaito_\(vocaloid\), blue hair")
    for owner, text in enumerate(texts):
        plain = entry(encode_plain(clip, text))
        torch.testing.assert_close(owned(conditioning, owner), plain[0], rtol=1e-5, atol=1e-5)
        if owner == SHARED:
            ours = entry(conditioning)[1]["pooled_output"]
            torch.testing.assert_close(ours, plain[1]["pooled_output"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("text", ["1girl, blue_hair, >_<, (star:1), 蓝色头发, it's, ..., :d, a (b), c", "", "x"])
def test_without_characters_and_weights_it_is_the_host_bit_for_bit(clip, text):
    scene = parse(text) if text else Scene()
    ours = entry(encode(clip, scene, (), "strict"))
    hosts = clip.encode_from_tokens(clip.tokenize(text.replace("(star:1)", "star"), disable_weights=True), True)
    assert torch.equal(ours[0], hosts[0]) and torch.equal(ours[1]["pooled_output"], hosts[1])
    assert "control" not in ours[1]


@pytest.mark.parametrize("mode", ["auto", "strict", "gentle"])
def test_modes(clip, mode):
    conditioning = encode(clip, SCENE, layout(SCENE), mode)
    assert plan_of(conditioning).options.end == 1.0
    assert torch.equal(entry(conditioning)[0], entry(encode(clip, SCENE, layout(SCENE), "strict"))[0])


def test_off_is_the_hosts_own_encode_of_the_tags_as_one_text(clip):
    scene = parse(TWO.format("<appearance>(blue hair:1.3)</appearance>"))
    ours = entry(encode(clip, scene, layout(scene), "off"))
    text = r"2people, night_sky, miku, aqua hair, twintails, kaito_\(vocaloid\), (blue hair:1.3)"
    hosts = entry(encode_plain(clip, text))
    assert torch.equal(ours[0], hosts[0]) and "control" not in ours[1]
    negative = entry(encode_negative(clip, scene, layout(scene), "off", "bad, (worse:1.2)"))
    assert torch.equal(negative[0], entry(encode_plain(clip, "bad, (worse:1.2)"))[0])


def test_an_unknown_mode_is_refused(clip):
    with pytest.raises(ValueError, match="Unknown isolation mode"):
        encode(clip, SCENE, layout(SCENE), "hard")


def test_nothing_of_a_long_character_is_left_out(clip):
    """120 tags: several chunks of the same owner, cut between tags, together all the tags in their order."""
    tags = [f"tag number {i}" for i in range(120)]
    scene = parse(TWO.format(f"<appearance>{', '.join(tags)}</appearance>"))
    chunks = [chunk for chunk in chunks_of(clip, tag_runs(scene)) if chunk.known[0].owner == 2]
    own = [text_in(clip, chunk) for chunk in chunks]
    whole = own_tokens(clip, ", ".join(["kaito_(vocaloid)", *tags]))["l"]
    assert len(whole) > 400 and [token for tokens in own for token in tokens] == ids(whole)
    assert {len(tokens) for chunk in chunks for tokens in chunk.tokens.values()} == {CHUNK}
    comma = ids(own_tokens(clip, ",")["l"])
    assert all(tokens[-1:] == comma for tokens in own[:-1])
    assert all(len(tokens) > 65 for tokens in own[:-1])  # full but for the tag that went on
    plan = plan_of(encode(clip, scene, layout(scene), "strict"))
    assert plan.owners.count(2) == CHUNK * len(chunks) and plan.owners.count(1) == CHUNK


@pytest.mark.parametrize("text", ["word" * 300, "one two three four five. " * 40 + "end", "蓝色头发" * 40])
def test_a_tag_longer_than_a_chunk_is_kept_whole(clip, text):
    run = TagRun(SHARED, (Tag("before"), Tag(text, 1.2), Tag("after")))
    chunks = chunks_of(clip, [run])
    own = [token for chunk in chunks for token in text_in(clip, chunk)]
    assert len(own) > 150 and own == ids(own_tokens(clip, f"before, {text}, after")["l"])
    weights = [w for chunk in chunks for _, w in zip(text_in(clip, chunk), weights_in(chunk)[1:], strict=False)]
    assert weights == [1.0] * 2 + [1.2] * (len(own) - 4) + [1.0] * 2
    assert all(len(chunk.known) == CHUNK for chunk in chunks)


def weights_in(chunk):
    return [token.weight for token in chunk.known]


def weighted_tokens(clip, scene):
    """[(the owner, the text of its weighted tokens, their weight)]."""
    found = []
    for chunk in chunks_of(clip, tag_runs(scene)):
        known = zip(ids(next(iter(chunk.tokens.values()))), weights_in(chunk), strict=True)
        tokens = [(token, w) for token, w in known if w != 1]
        if tokens:
            found.append((chunk.known[0].owner, read(clip, [token for token, _ in tokens]), {w for _, w in tokens}))
    return found


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("(blue hair:1.4), coat", ("blue hair", {1.4})),
        ("coat, (blue hair:0.5)", ("blue hair", {0.5})),
        ("a, (hatsune_miku_(vocaloid):1.2), b", ("hatsune _ miku _( vocaloid ),", {1.2})),  # `),` is one token
        ("(^_^:1.3), b", ("^ _^", {1.3})),
    ],
)
def test_a_weight_belongs_to_the_tokens_of_its_tag(clip, tags, expected):
    scene = parse(TWO.format(f"<appearance>{tags}</appearance>"))
    ((owner, text, weights),) = weighted_tokens(clip, scene)
    assert owner == 2 and (text.replace(" ", ""), weights) == (expected[0].replace(" ", ""), expected[1])
    words = ", ".join(tag.text for tag in scene.characters[1].tags("appearance"))
    neutral = parse(TWO.format(f"<appearance>{words}</appearance>"))
    first, second = (encode(clip, s, layout(s), "strict") for s in (scene, neutral))
    assert torch.equal(entry(first)[0], entry(second)[0])  # the same text for the encoders
    assert set(weights_of(plan_of(first))) == {1.0, *weights} and set(weights_of(plan_of(second))) == {1.0}


def test_a_scene_without_characters_keeps_its_weights(clip):
    conditioning = encode(clip, parse("(night_sky:0.7), stars"), (), "auto")
    plan = plan_of(conditioning)
    assert set(plan.owners) == {0} and set(weights_of(plan)) == {0.7, 1.0}


def test_without_shared_tags_there_is_an_empty_shared_chunk(clip):
    """What no character covers has something to read, and the pooled vector is nobody's."""
    scene = parse("<character_1><n>miku</n></character_1><character_2><n>kaito</n></character_2>")
    conditioning = encode(clip, scene, layout(scene), "strict")
    assert plan_of(conditioning).owners == (0,) * CHUNK + (1,) * CHUNK + (2,) * CHUNK
    empty = entry(encode_plain(clip, ""))
    torch.testing.assert_close(owned(conditioning, 0), empty[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        entry(conditioning)[1]["pooled_output"], empty[1]["pooled_output"], rtol=1e-5, atol=1e-5
    )


def test_a_characters_negatives_are_its_own(clip):
    scene = parse(TWO.format("<negative>scarf, (hat_(blue):1.5)</negative>"))
    negative = encode_negative(clip, scene, layout(scene), "auto", "bad, miku_(vocaloid)")
    plan = plan_of(negative)
    assert plan.owners == (0,) * CHUNK + (2,) * CHUNK and set(weights_of(plan)) == {1.0, 1.5}
    assert plan.regions == plan_of(encode(clip, scene, layout(scene), "auto")).regions
    plain = entry(encode_plain(clip, r"bad, miku_\(vocaloid\)"))
    torch.testing.assert_close(owned(negative, 0), plain[0], rtol=1e-5, atol=1e-5)
    without = parse(TWO.format(""))
    first, second = (encode(clip, s, layout(s), "auto") for s in (scene, without))
    assert torch.equal(entry(first)[0], entry(second)[0])


@pytest.mark.parametrize("text", ["", "bad, lowres"])
def test_a_neutral_negative_is_the_hosts_bit_for_bit(clip, text):
    negative, plain = entry(encode_negative(clip, SCENE, layout(SCENE), "auto", text)), entry(encode_plain(clip, text))
    assert torch.equal(negative[0], plain[0]) and "control" not in negative[1]
    assert torch.equal(negative[1]["pooled_output"], plain[1]["pooled_output"])


def test_a_negative_that_cannot_be_read_is_said(clip):
    with pytest.raises(PromptError, match=r"negative prompt can't be read: .*Write \(tag:1.2\)"):
        encode_negative(clip, SCENE, layout(SCENE), "auto", "(bad:1.2.3)")


def test_embeddings_of_the_user_are_read_by_the_host(tmp_path):
    """Textual inversion: the embedding's vectors stand in the chunk, weighted with their tag."""
    from safetensors.torch import save_file

    save_file({"emb_params": torch.randn(5, 32)}, tmp_path / "mine.safetensors")
    clip = random_sd.clip("SD15")
    clip.tokenizer.clip_l.embedding_directory = str(tmp_path)
    clip.tokenizer.clip_l.embedding_size = 32
    (chunk,) = chunks_of(clip, [TagRun(SHARED, (Tag("a"), Tag("embedding:mine", 1.3), Tag("b")))])
    vectors = [i for i, (token, _) in enumerate(chunk.tokens["l"]) if torch.is_tensor(token)]
    assert vectors == [3, 4, 5, 6, 7] and [i for i, w in enumerate(weights_in(chunk)) if w == 1.3] == vectors
    assert len(chunk.tokens["l"]) == len(chunk.known) == CHUNK
    features = entry(encode(clip, parse("a, embedding:mine, b"), (), "auto"))[0]
    assert torch.equal(features, entry(encode_plain(clip, "a, embedding:mine, b"))[0])


def test_encoders_whose_chunks_differ_are_refused(clips):
    clip = clips["SDXL"].clone()
    tokenizer = type(clip.tokenizer)(tokenizer_data={"clip_l_max_length": 154})
    clip.tokenizer = tokenizer
    with pytest.raises(ValueError, match="77 and 154 tokens"):
        encode(clip, SCENE, layout(SCENE), "strict")


def test_hooks_that_the_clip_brought_are_kept(clip):
    copy, theirs = with_hooks(clip)
    values = entry(encode(copy, SCENE, layout(SCENE), "strict"))[1]
    assert values["hooks"].hooks == theirs.hooks and "control" in values


@pytest.mark.parametrize("kind", [*KINDS, "SD20"])
def test_an_unpatched_model_and_the_hosts_sampler_obey(clips, kind):
    """Positive and negative each isolated by their own plan: behind the first cross-attention, bit for bit."""
    import comfy.sample

    model, clip = random_sd.model(kind), clips[kind]
    first = next(m for name, m in model.model.diffusion_model.named_modules() if name.endswith(".attn2"))
    seen: dict[int, torch.Tensor] = {}

    def note(_module, args, kwargs, out):
        shape = kwargs["transformer_options"]["activations_shape"]
        seen[kwargs["context"].shape[1]] = out.unflatten(1, shape[-2:]).clone()

    def sample(scene):
        boxes = layout(scene)
        positive = encode(clip, scene, boxes, "auto")
        negative = encode_negative(clip, scene, boxes, "auto", "bad")
        assert len(plan_of(positive).owners) != len(plan_of(negative).owners)
        seen.clear()
        latent = torch.zeros(2, 4, 18, 26)
        noise = comfy.sample.prepare_noise(latent, 3)
        out = comfy.sample.sample(model, noise, 1, 4.0, "euler", "normal", positive, negative, latent, seed=3)
        return out, seen[3 * CHUNK], seen[2 * CHUNK]

    text = "<bbox>[500, 0, 1000, 1000]</bbox><appearance>{} hair</appearance><negative>{}</negative>"
    left = "<character_1><bbox>[0, 0, 500, 1000]</bbox><n>miku</n></character_1>"
    shared = "<general_tags><background>sky</background></general_tags>"
    scenes = [
        parse(f"{left}<character_2>{text.format(*words)}</character_2>{shared}")
        for words in (("blue", "hat"), ("red", "scarf"))
    ]
    handle = first.register_forward_hook(note, with_kwargs=True)
    try:
        (out, *entries), (out_2, *entries_2) = map(sample, scenes)
    finally:
        handle.remove()
    assert out.isfinite().all() and not torch.equal(out, out_2)
    for image, image_2 in zip(entries, entries_2, strict=True):
        middle = image.shape[2] // 2  # the first column of the right half; 13 columns, or 26
        assert torch.equal(image[:, :, :middle], image_2[:, :, :middle])
        assert (image[:, :, middle:] != image_2[:, :, middle:]).any(-1).all()


def test_a_controlnet_reads_the_shared_tags_alone(clip):
    """Its cross-attention knows no places: it gets what the host's own key for it holds (ControlNet.get_control)."""
    made = encode(clip, SCENE, layout(SCENE), "strict")
    features, values = entry(made)
    assert torch.equal(values["cross_attn_controlnet"], owned(made, 0))
    assert 0 < values["cross_attn_controlnet"].shape[1] < features.shape[1]
