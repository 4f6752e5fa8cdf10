"""XLM-RoBERTa's tokenizer, in either of its files, cuts text into the ids that its own library gives."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

import pytest
from newbie_pack.model_loader import tokenizer
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
    assert ids(tokenizer.from_model(trained), text) == expected


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
    (normalizer,) = [value for number, value in tokenizer.read(trained) if number == 3]
    (charts,) = [value for number, value in tokenizer.read(normalizer) if number == 2]
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
    assert ids(tokenizer.from_json(json_of(trained)), text) == [0, *expected, 2]


def test_both_files_give_the_same(trained):
    for text in LINES:
        assert ids(tokenizer.from_json(json_of(trained)), text) == ids(tokenizer.from_model(trained), text)


def test_words_of_the_model_in_a_prompt_are_text(trained):
    assert not set(ids(tokenizer.from_model(trained), "<pad></s><mask>")[1:-1]) & {0, 1, 2}


UNIGRAM = b'{"model": {"type": "Unigram", "unk_id": 3, "vocab": %s}, "added_tokens": %s, "normalizer": %s}'
FOUR = b'[["<s>", 0], ["<pad>", 0], ["</s>", 0], ["<unk>", 0]%s]'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"null",
        b"[1]",
        b"\xff",
        b"[" * 100_000,
        b'{"model": null}',
        b'{"model": {"type": "BPE"}}',
        b'{"model": {"type": "Unigram", "unk_id": 3, "vocab": []}}',
        UNIGRAM % (b"null", b"[]", b"null"),
        UNIGRAM % (FOUR % b"", b'["<s>"]', b"null"),
        UNIGRAM % (FOUR % b"", b"null", b"null"),
        UNIGRAM % (FOUR % b"", b"[]", b'"x"'),
        UNIGRAM % (FOUR % b"", b"[]", b'{"precompiled_charsmap": null}'),
        UNIGRAM % (FOUR % b', ["a", null]', b"[]", b"null"),
        UNIGRAM % (FOUR % b', ["a", 1e300]', b"[]", b"null"),
        UNIGRAM % (FOUR % b", [null, 1]", b"[]", b"null"),
        UNIGRAM % (FOUR % b', ["a", 1], ["a", 1]', b"[]", b"null"),
        (UNIGRAM % (FOUR % b"", b"[]", b"null")).replace(b'"unk_id": 3', b'"unk_id": null'),
    ],
)
def test_another_tokenizer_is_refused(tmp_path, content):
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is not XLM-RoBERTa's tokenizer"):
        tokenizer.jina([tmp_path])


@pytest.mark.parametrize("content", [b"", b"\x0a\x7f", b"\xff" * 20, b"hello"])
def test_a_damaged_model_is_refused(tmp_path, content):
    (tmp_path / "sentencepiece.bpe.model").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"bpe\.model is not XLM-RoBERTa's tokenizer"):
        tokenizer.jina([tmp_path])


def test_none_is_there(tmp_path):
    with pytest.raises(CheckpointError, match=r"has no tokenizer\.model or tokenizer\.json: put Gemma's tokenizer"):
        tokenizer.gemma([tmp_path])


def test_gemmas_tokenizer_whole_and_cut_off_and_anothers(trained, gemma_model, tmp_path):
    path = tmp_path / "tokenizer.model"
    path.write_bytes(gemma_model)
    assert tokenizer.gemma([tmp_path]) == gemma_model
    cut = [gemma_model[:size] for size in (0, 1, 7, len(gemma_model) // 2, len(gemma_model) - 1)]
    for model in (*cut, trained, tokenizer.from_model(trained)):
        path.write_bytes(model)
        with pytest.raises(CheckpointError, match="is not Gemma's SentencePiece model: download Gemma's tokenizer aga"):
            tokenizer.gemma([tmp_path])


def test_a_tokenizer_inside_a_file(trained, gemma_model):
    """Any that is one is the host's to load; another encoder's has other ids."""
    where, jina_model = Path("a.safetensors"), tokenizer.from_model(trained)
    tokenizer.check_inside(gemma_model, True, where)
    tokenizer.check_inside(jina_model, False, where)
    for model, whose in ((jina_model, "Gemma's"), (gemma_model, "Jina's"), (b"", "Jina's"), (bytes(50), "Gemma's"),
                         (b"<html>", "Jina's"), (b"version https://git-lfs", "Gemma's")):  # fmt: skip
        with pytest.raises(CheckpointError, match=rf"a\.safetensors contains a tokenizer .* that is not {whose}:"):
            tokenizer.check_inside(model, whose == "Gemma's", where)


# --- Gemma's ---------------------------------------------------------------------------------------------------------

WORDS = ["<start_of_turn>", "<end_of_turn>", "<unused0>", "\n", "\n\n", "▁▁", "▁▁▁▁", "<table>"]  # never cut
GEMMA_TEXTS = [
    *LINES,
    "a  b   c    d     e\n\n\nf\n \n\t\tg",
    "<start_of_turn>user\n1girl<end_of_turn> <table></table> <bos><eos><pad><unk>",
    "<0x0A> <0xE2> naïve Ω 𝒳 ﬁ ½ \x00 \u200b \ufeff",
    "blue hair blue eyes hairhair thethe aaaaaa ▁ ▁▁ ▁▁▁ hahahahaha",
    " ",
    "miku",
]


@pytest.fixture(scope="module")
def gemma_model():
    """Gemma's tokenizer.model in small: BPE with bytes, spaces and line ends kept, words of its own."""
    proto = io.BytesIO()
    english = "the blue hair of the girl, the red eyes of the boy; standing in the rain, holding hands. "
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([line.replace("\n", " ") for line in LINES * 9] + [english * 3] * 9),
        model_writer=proto,
        vocab_size=620,
        hard_vocab_limit=False,
        model_type="bpe",
        character_coverage=0.99,
        byte_fallback=True,
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        user_defined_symbols=WORDS,
        pad_id=0,
        eos_id=1,
        bos_id=2,
        unk_id=3,
        pad_piece="<pad>",
        eos_piece="<eos>",
        bos_piece="<bos>",
        unk_piece="<unk>",
        minloglevel=2,
    )
    return proto.getvalue()


def gemma_json(model: bytes, **other) -> bytes:
    """The tokenizer.json that transformers' GemmaConverter makes of it: its own order of the pairs."""
    merges = pytest.importorskip("transformers.convert_slow_tokenizer").generate_merges
    old = sentencepiece.SentencePieceProcessor(model_proto=model)
    scores = [(old.id_to_piece(i), old.get_score(i)) for i in range(old.get_piece_size())]
    vocabulary = {piece: i for i, (piece, _) in enumerate(scores)}
    added = ["<pad>", "<eos>", "<bos>", "<unk>", *WORDS]
    whole = {
        "added_tokens": [{"id": vocabulary[word], "content": word, "special": word[1:2].isalpha()} for word in added],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "model": {
            "type": "BPE",
            "unk_token": "<unk>",
            "fuse_unk": True,
            "byte_fallback": True,
            "vocab": vocabulary,
            "merges": merges(vocabulary, scores),
        },
    }
    whole["model"] |= {key: other.pop(key) for key in list(other) if key in whole["model"]}
    return json.dumps(whole | other).encode()


def gemma_ids(model: bytes, text: str) -> list[int]:
    return sentencepiece.SentencePieceProcessor(model_proto=model, add_bos=True, add_eos=False).encode(text)


@pytest.mark.parametrize("text", GEMMA_TEXTS)
@pytest.mark.parametrize("form", ["pairs", "older", "without words of its own"])
def test_gemmas_json_gives_the_ids_of_its_model(gemma_model, text, form):
    written = gemma_json(gemma_model)
    merges = json.loads(written)["model"]["merges"]
    if form == "older":
        written = gemma_json(gemma_model, merges=[" ".join(pair) for pair in merges])
    elif form != "pairs":
        written = gemma_json(gemma_model, merges=[pair for pair in merges if not {*pair, "".join(pair)} & {*WORDS}])
    assert gemma_ids(tokenizer.gemma_from_json(written), text) == gemma_ids(gemma_model, text)


def test_gemmas_json_has_the_same_pieces(gemma_model):
    """And many random texts: the ids are the model's."""
    made = tokenizer.gemma_from_json(gemma_json(gemma_model))
    old, new = (sentencepiece.SentencePieceProcessor(model_proto=model) for model in (gemma_model, made))
    assert [new.id_to_piece(i) for i in range(new.get_piece_size())] == [
        old.id_to_piece(i) for i in range(old.get_piece_size())
    ]
    for name in ("unk_id", "bos_id", "eos_id", "pad_id"):
        assert getattr(new, name)() == getattr(old, name)()
    for name in ("is_byte", "is_control", "is_unknown"):
        assert [getattr(new, name)(i) for i in range(620)] == [getattr(old, name)(i) for i in range(620)]
    draw = random.Random(1)
    words = [*WORDS, "the ", "girl", " blue", "hair", "双马", "尾", " ", "\t", "🎀", "é", *"abcdehinorst,.<>_:()"]
    for _ in range(2000):
        text = "".join(draw.choices(words, k=draw.randint(1, 40)))
        assert new.encode(text) == old.encode(text), text
        assert new.decode(new.encode(text)) == old.decode(old.encode(text))


def test_gemmas_json_is_taken_where_its_model_is_not(tmp_path, gemma_model):
    (tmp_path / "tokenizer.json").write_bytes(gemma_json(gemma_model))
    assert gemma_ids(tokenizer.gemma([tmp_path]), "blue hair") == gemma_ids(gemma_model, "blue hair")
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.model").write_bytes(gemma_model)
    assert tokenizer.gemma([tmp_path, tmp_path / "tokenizer"]) == gemma_model


def test_a_json_that_is_not_gemmas_is_refused(tmp_path, gemma_model):
    whole = json.loads(gemma_json(gemma_model))
    vocabulary, merges = whole["model"]["vocab"], whole["model"]["merges"]
    pair = next(pair for pair in merges if "".join(pair) not in WORDS)
    others = [
        {"type": "Unigram"},
        {"byte_fallback": False},
        {"byte_fallback": None},
        {"normalizer": None},
        {"normalizer": {"type": "NFC"}},
        {"added_tokens": None},
        {"added_tokens": ["<bos>"]},
        {"vocab": None},
        {"vocab": {}},
        {"vocab": vocabulary | {"<unused0>": 10**6}},
        {"vocab": {("another" if key == "<0x00>" else key): value for key, value in vocabulary.items()}},
        {"vocab": {("ggg" if key == "g" else key): value for key, value in vocabulary.items()}},
        {"merges": None},
        {"merges": [["a"]]},
        {"merges": [*merges, ["nowhere", "to be found"]]},
        {"merges": [*merges, pair]},  # first and last: no score says that
    ]
    for other in others:
        (tmp_path / "tokenizer.json").write_bytes(gemma_json(gemma_model, **other))
        says = r"tokenizer\.json is not Gemma's tokenizer: put the tokenizer\.model of Gemma 3 beside it"
        with pytest.raises(CheckpointError, match=says):
            tokenizer.gemma([tmp_path])
    for content in (b"", b"null", b"[]", b'{"model": null}', b"\xff", b"[" * 100_000):
        (tmp_path / "tokenizer.json").write_bytes(content)
        with pytest.raises(CheckpointError, match=r"tokenizer\.json is not Gemma's tokenizer"):
            tokenizer.gemma([tmp_path])


def test_an_endless_file_is_not_read_whole(tmp_path):
    """As large as a disk, and empty: no memory would hold it."""
    with (tmp_path / "tokenizer.model").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(CheckpointError, match="is not Gemma's SentencePiece model"):
        tokenizer.gemma([tmp_path])
