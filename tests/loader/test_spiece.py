"""XLM-RoBERTa's tokenizer, in either of its files, cuts text into the ids that its own library gives."""

from __future__ import annotations

import io
import json

import pytest
from newbie_pack.model_loader import spiece
from newbie_pack.model_loader.checkpoint import CheckpointError

sentencepiece = pytest.importorskip("sentencepiece")

LINES = [
    "<character_1>\n<n>hatsune miku</n>\n<position>left, center_y</position>",
    "1girl, aqua hair, twintails, (very long hair:1.2), smile, open mouth :3 >_<",
    "双马尾，葱色头发，微笑。初音未来 和 洛天依 站在舞台上",
    "１ｇｉｒｌ　ﾐｸ ﬁne Ⅳ é é ½ ①",
    "  leading,  double   and trailing spaces  ",
    "tabs\tand\nnew lines\r\n",
    "emoji 🎀🌸 and <s> </s> <pad> <unk> <mask>",
    "",
]


@pytest.fixture(scope="module")
def trained():
    """XLM-RoBERTa's sentencepiece.bpe.model in small: Unigram, nmt_nfkc, <unk>, <s>, </s> first."""
    proto = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES[:4] * 30),
        model_writer=proto,
        vocab_size=180,
        hard_vocab_limit=False,
        model_type="unigram",
        character_coverage=1.0,
        minloglevel=2,
    )
    return proto.getvalue()


def ids(model: bytes, text: str) -> list[int]:
    tokenizer = sentencepiece.SentencePieceProcessor(model_proto=model, add_bos=True, add_eos=True)
    return tokenizer.encode(text)


@pytest.mark.parametrize("text", LINES)
def test_the_old_files_ids_are_moved_by_one(trained, text):
    """fairseq's ids: <s> 0, <pad> 1, </s> 2, <unk> 3, and every piece one higher than in the file."""
    old = sentencepiece.SentencePieceProcessor(model_proto=trained)
    expected = [0, *(3 if i == old.unk_id() else i + 1 for i in old.encode(text)), 2]
    assert ids(spiece.from_model(trained), text) == expected


def json_of(trained: bytes, chart: bool = True) -> bytes:
    """The tokenizer.json that transformers' converter makes of it."""
    import base64

    old = sentencepiece.SentencePieceProcessor(model_proto=trained)
    pieces = [[old.id_to_piece(i), old.get_score(i)] for i in range(3, old.get_piece_size())]
    vocabulary = [["<s>", 0.0], ["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0], *pieces, ["<mask>", 0.0]]
    special = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
    words = [word for word, _ in vocabulary]
    tokens = [
        {
            "id": words.index(word),
            "content": word,
            "special": True,
            "single_word": False,
            "lstrip": word == "<mask>",
            "rstrip": False,
            "normalized": False,
        }
        for word in special
    ]
    (normalizer,) = [value for number, value in spiece.read(trained) if number == 3]
    (charts,) = [value for number, value in spiece.read(normalizer) if number == 2]
    return json.dumps(
        {
            "version": "1.0",
            "added_tokens": tokens,
            "normalizer": {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charts).decode()},
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {"type": "WhitespaceSplit"},
                    {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
                ],
            },
            "post_processor": None,
            "decoder": None,
            "model": {"type": "Unigram", "unk_id": 3, "vocab": vocabulary},
        }
    ).encode()


@pytest.mark.parametrize("text", LINES[:6] + LINES[7:])  # special words in the text are text to SentencePiece
def test_the_same_ids_as_the_tokenizers_library(trained, text):
    tokenizers = pytest.importorskip("tokenizers")
    expected = tokenizers.Tokenizer.from_str(json_of(trained).decode()).encode(text, add_special_tokens=False).ids
    assert ids(spiece.from_json(json_of(trained)), text) == [0, *expected, 2]


def test_both_files_give_the_same(trained):
    for text in LINES:
        assert ids(spiece.from_json(json_of(trained)), text) == ids(spiece.from_model(trained), text)


def test_words_of_the_model_in_a_prompt_are_text(trained):
    assert not set(ids(spiece.from_model(trained), "<pad></s><mask>")[1:-1]) & {0, 1, 2}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[1]",
        b"\xff",
        b'{"model": {"type": "BPE"}}',
        b'{"model": {"type": "Unigram", "unk_id": 3, "vocab": []}}',
    ],
)
def test_another_tokenizer_is_refused(tmp_path, content):
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is not XLM-RoBERTa's tokenizer"):
        spiece.jina([tmp_path])


@pytest.mark.parametrize("content", [b"", b"\x0a\x7f", b"\xff" * 20, b"hello"])
def test_a_damaged_model_is_refused(tmp_path, content):
    (tmp_path / "sentencepiece.bpe.model").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"bpe\.model is not XLM-RoBERTa's tokenizer"):
        spiece.jina([tmp_path])


def test_none_is_there(tmp_path):
    with pytest.raises(CheckpointError, match=r"has no tokenizer\.model: put Gemma's tokenizer there"):
        spiece.gemma([tmp_path])


def test_gemmas_tokenizer_whole_and_cut_off(trained, tmp_path):
    path = tmp_path / "tokenizer.model"
    path.write_bytes(trained)
    assert spiece.gemma([tmp_path]) == trained
    for size in (0, 1, 7, len(trained) // 2, len(trained) - 1):
        path.write_bytes(trained[:size])
        with pytest.raises(CheckpointError, match="is not a SentencePiece model: download Gemma's tokenizer again"):
            spiece.gemma([tmp_path])
