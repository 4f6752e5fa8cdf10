"""The host's text encoders are the authors' own, and our encoding of a single segment is the host's.

But for parentheses: they are text to both encoders here, as the plan has the weights. The host reads weights in them
for Jina, whose vector is another one then; escaped as \\( and \\) they are text to the host too.
Random weights, float32: the tolerances are a few roundings of float32 through a handful of layers.
"""

from __future__ import annotations

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import torch
from newbie_pack.isolation.gemma_text import Reader, encode_apart, encode_jointly
from newbie_pack.lab.benchmarks.fullsize_files import TINY
from newbie_pack.model_loader import full, identify
from newbie_pack.xml_prompt import SHARED, Segment

transformers = pytest.importorskip("transformers")

TEXTS = [
    "<n>miku</n>\n<appearance>aqua hair, twintails</appearance>\n",
    "You are an assistant designed to generate anime images. <Prompt Start> 1girl, smile, night sky",
    "葱色头发，双马尾, hatsune_miku",
    "x",
    r"hatsune_miku_\(vocaloid\), \(smile\), :\)",
    "smile (grin",  # without a partner they are text to the host too
    "smile :), >:(",
]
IN_PARENTHESES = ["hatsune_miku_(vocaloid), smile", "(smile:1.3), ((blue hair))"]


@pytest.fixture
def clip(models):
    names = ("gemma_3_4b_it_bf16.safetensors", "jina_clip_v2_bf16.safetensors")
    parts = (identify.GEMMA, identify.JINA)
    return full.load_clip(*(full.find(part, name) for part, name in zip(parts, names, strict=True)))


def stock_encode(clip, text):
    """-> features, Jina's vector."""
    from nodes import CLIPTextEncode

    ((features, values),) = CLIPTextEncode().encode(clip, text)[0]
    return features, values["pooled_output"]


def encode_one(clip, way, text):
    reader = Reader(clip, genders=False)
    features, extra = way(clip, [Segment(SHARED, text)], reader, text)
    assert len(reader.tokens) == features.shape[1]
    return features, extra["pooled_output"]


@pytest.mark.parametrize("way", [encode_apart, encode_jointly])
@pytest.mark.parametrize("text", TEXTS)
def test_one_segment_is_exactly_the_stock_encode(clip, way, text):
    (ours, vector), (stock, stock_vector) = encode_one(clip, way, text), stock_encode(clip, text)
    assert torch.equal(ours, stock) and torch.equal(vector, stock_vector)


@pytest.mark.parametrize("way", [encode_apart, encode_jointly])
@pytest.mark.parametrize("text", IN_PARENTHESES)
def test_parentheses_are_text_as_the_stock_encode_has_it_where_they_are_escaped(clip, way, text):
    """Gemma's features are the stock ones all the same: the host reads no weights for it. Jina's vector is not."""
    ours, vector = encode_one(clip, way, text)
    stock, stock_vector = stock_encode(clip, text)
    escaped, escaped_vector = stock_encode(clip, text.replace("(", r"\(").replace(")", r"\)"))
    assert torch.equal(ours, stock) and torch.equal(ours, escaped)
    assert torch.equal(vector, escaped_vector)
    assert not torch.equal(vector, stock_vector)


@pytest.mark.parametrize("length", [40, 1100])  # within the window of 1024, and past it
def test_gemma_is_transformers_gemma(clip, length):
    """NewBie's features: the hidden states after all layers but one, without the final norm."""
    sizes = TINY.gemma
    config = transformers.Gemma3TextConfig(
        **sizes,
        rope_parameters={
            "full_attention": {"rope_type": "linear", "rope_theta": 1_000_000.0, "factor": 8.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
        },
        query_pre_attn_scalar=sizes["head_dim"],
        sliding_window=1024,
        attn_implementation="eager",
    )
    theirs = transformers.Gemma3TextModel(config).eval()
    ours = clip.cond_stage_model.gemma.transformer.float()
    theirs.load_state_dict(ours.model.state_dict())
    ids = torch.randint(4, sizes["vocab_size"], (1, length), generator=torch.Generator().manual_seed(1))
    assert config.layer_types[5] == "full_attention" and len(config.layer_types) == 7
    with torch.no_grad():
        expected = theirs(ids, output_hidden_states=True).hidden_states[-2]
        embedded = ours.model.embed_tokens(ids, out_dtype=torch.float32)
        _, got = ours.model(None, embeds=embedded, intermediate_output=-2, final_layer_norm_intermediate=False)
    assert expected.std() > 0.1
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4 * expected.std().item())


def jina_of(ours: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The host's names -> those of transformers' JinaEmbeddingsV3Model; Wqkv -> q, k, v."""
    renamed = {}
    for name, value in ours.state_dict().items():
        name = name.removeprefix("model.").replace("encoder.layers", "layers").replace("emb_ln", "embeddings.LayerNorm")
        name = name.replace("norm1", "post_attention_layernorm").replace("norm2", "post_mlp_layernorm")
        name = name.replace("mixer.out_proj", "self_attn.o_proj")
        stem, found, end = name.partition("mixer.Wqkv")
        parts = zip("qkv", value.chunk(3), strict=True) if found else ()
        renamed |= {f"{stem}self_attn.{part}_proj{end}": rows for part, rows in parts} or {name: value}
    return renamed


def test_jina_is_transformers_jina(clip):
    sizes = TINY.jina
    config = transformers.JinaEmbeddingsV3Config(
        **sizes,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        rope_parameters={"rope_type": "default", "rope_theta": 20_000.0},
        attn_implementation="eager",
    )
    theirs = transformers.JinaEmbeddingsV3Model(config, add_pooling_layer=False).eval()
    ours = clip.cond_stage_model.jina.transformer.float().eval()
    missing = theirs.load_state_dict(jina_of(ours), strict=False)
    assert not missing.unexpected_keys and not [name for name in missing.missing_keys if "position" not in name]
    ids = torch.randint(4, sizes["vocab_size"], (1, 40), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    with torch.no_grad():
        expected = theirs(ids, attention_mask=mask).last_hidden_state
        got, _, pooled = ours(ids, attention_mask=mask)
    assert expected.std() > 0.1
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(pooled, expected.mean(1), rtol=1e-4, atol=1e-4)
