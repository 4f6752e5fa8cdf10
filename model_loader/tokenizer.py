"""The tokenizer that the host wants inside a text encoder's file: a SentencePiece model whose ids are the model's.

Gemma's folder has one (tokenizer.model), or the tokenizer.json that newer libraries made of it. Jina's has a
tokenizer.json, or XLM-RoBERTa's sentencepiece.bpe.model, whose ids are not the model's: there <s>, <pad>, </s> and
<unk> come first, then the pieces from the fourth on.
All but the first are written anew here as the few fields of the format that count.
Sources: https://github.com/google/sentencepiece/blob/v0.2.0/src/sentencepiece_model.proto; for Jina's ids
https://github.com/huggingface/transformers/blob/main/src/transformers/models/xlm_roberta/tokenization_xlm_roberta.py;
for Gemma's json GemmaConverter in https://github.com/huggingface/transformers/blob/main/src/transformers/convert_slow_tokenizer.py
"""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path

from .checkpoint import CheckpointError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6  # ModelProto.SentencePiece.Type
UNIGRAM, BPE = 1, 2  # TrainerSpec.ModelType
FIRST = ("<s>", "<pad>", "</s>", "<unk>")  # of XLM-RoBERTa's ids
GEMMAS_FIRST = ("<pad>", "<eos>", "<bos>", "<unk>")
A_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
SPACES = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}  # all that Gemma's normalizer does
MOST_BYTES = 100_000_000  # that are read of a tokenizer's file; Gemma's has 33 million
Piece = tuple[str, float, int]  # piece, score, type


def gemma(folders: Sequence[Path]) -> bytes:
    """Raises CheckpointError if none of the folders has Gemma's tokenizer."""
    path = find(folders, ("tokenizer.model", "tokenizer.json"), "Gemma's")
    if path.suffix == ".json":
        return read_as(path, gemma_from_json, "Gemma's tokenizer: put the tokenizer.model of Gemma 3 beside it.")
    return read_as(path, gemma_from_model, "Gemma's SentencePiece model: download Gemma's tokenizer again.")


def jina(folders: Sequence[Path]) -> bytes:
    """Raises CheckpointError if none of the folders has a tokenizer that is XLM-RoBERTa's."""
    path = find(folders, ("tokenizer.json", "sentencepiece.bpe.model"), "Jina's")
    reader = from_json if path.suffix == ".json" else from_model
    return read_as(path, reader, "XLM-RoBERTa's tokenizer: download Jina CLIP v2's own again.")


def check_inside(model: bytes, gemmas: bool, where: Path) -> None:
    """Raises CheckpointError if the tokenizer in a file is damaged or another encoder's. gemmas: not Jina's.

    The host takes any, and the text would be read by the wrong numbers without a word.
    """
    try:
        fits = is_gemmas(model) == gemmas
    except (ValueError, LookupError, struct.error):
        fits = False
    if not fits:
        whose = "Gemma's" if gemmas else "Jina's"
        raise CheckpointError(f"{where} contains a tokenizer (spiece_model) that is not {whose}: download it again.")


def is_gemmas(model: bytes) -> bool:
    """By its first pieces: others have <pad> or <unk> elsewhere. Raises ValueError or LookupError for no such model."""
    first = list(islice((piece_of(value)[0] for number, value in read(model) if number == 1), len(GEMMAS_FIRST)))
    return (first[0], first[3]) == (GEMMAS_FIRST[0], GEMMAS_FIRST[3])


def read_as(path: Path, reader: Callable[[bytes], bytes], what: str) -> bytes:
    """What the reader makes of the file. Raises CheckpointError if that is no SentencePiece model."""
    try:
        with path.open("rb") as file:
            model = reader(file.read(MOST_BYTES))
        if not {1, 2} <= {number for number, _ in read(model)}:  # with our own reader: the check runs on plain Python
            raise ValueError("no pieces, or no word on how they were trained")
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, struct.error, RuntimeError) as problem:
        raise CheckpointError(f"{path} is not {what}") from problem
    return model


def find(folders: Sequence[Path], names: Sequence[str], whose: str) -> Path:
    for name in names:
        for folder in folders:
            if (folder / name).is_file():
                return folder / name
    raise CheckpointError(
        f"{folders[0]} has no {' or '.join(names)}: put {whose} tokenizer there, from the same release."
    )


def from_json(text: bytes) -> bytes:
    """A Unigram tokenizer.json -> a SentencePiece model with the same ids."""
    words = json.loads(text)
    model, normal = words["model"], words.get("normalizer") or {}
    if model["type"] != "Unigram":
        raise ValueError(model["type"])
    special = {token["content"] for token in words.get("added_tokens", ()) if token.get("special")}
    pieces = [
        (piece, score, UNKNOWN if i == model["unk_id"] else CONTROL if piece in special else NORMAL)
        for i, (piece, score) in enumerate(model["vocab"])
    ]
    steps = normal.get("normalizers", [normal])
    charts = [step["precompiled_charsmap"] for step in steps if "precompiled_charsmap" in step]
    return write_xlm_roberta(pieces, base64.b64decode(charts[0]) if charts else b"")


def gemma_from_model(model: bytes) -> bytes:
    """As it is. Raises ValueError or LookupError for another's, by whose numbers Gemma would read nonsense."""
    if not is_gemmas(model):
        raise ValueError("other ids")
    return model


def gemma_from_json(text: bytes) -> bytes:
    """A tokenizer.json that was made of Gemma's SentencePiece model -> that model again, as far as it cuts texts.

    It has the model's ids, and, in place of its scores, the pairs of pieces that are merged, those of the highest score
    first: the order of the scores is all that counts. Raises ValueError where that is not so.
    """
    words = json.loads(text)
    model = words["model"]
    if (model["type"], model["byte_fallback"], words["normalizer"]) != ("BPE", True, SPACES):
        raise ValueError("another kind")
    vocabulary = sorted(model["vocab"], key=model["vocab"].__getitem__)
    if sorted(model["vocab"].values()) != list(range(len(vocabulary))) or tuple(vocabulary[:4]) != GEMMAS_FIRST:
        raise ValueError("other ids")
    types = dict.fromkeys(vocabulary, NORMAL)
    types |= {token["content"]: USER_DEFINED for token in words["added_tokens"] if token["content"] in types}
    types |= dict.fromkeys(filter(A_BYTE.fullmatch, vocabulary), BYTE)
    types |= dict.fromkeys(GEMMAS_FIRST, CONTROL) | {"<unk>": UNKNOWN}
    pairs = (pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"])
    merged = [left + right for left, right in pairs if types[left + right] == NORMAL]
    order = [piece for piece, _ in groupby(merged)]
    scores = {piece: -float(place) for place, piece in enumerate(order)}
    letters = set("".join(piece for piece in vocabulary if types[piece] == NORMAL))
    if len(scores) != len(order) or not letters <= types.keys():  # no scores give this order, or not all pairs are told
        raise ValueError("not made of a SentencePiece model")
    pieces = [(piece, scores.get(piece, 0.0), types[piece]) for piece in vocabulary]
    return write(pieces, BPE, ("<unk>", "<bos>", "<eos>", "<pad>"), normalizer(b"identity", b"", False, False))


def from_model(data: bytes) -> bytes:
    """XLM-RoBERTa's own SentencePiece model (<unk>, <s>, </s>, pieces) -> one with the ids that the model uses."""
    fields = list(read(data))
    own = [piece_of(value) for number, value in fields if number == 1]
    if len(own) < len(FIRST):
        raise ValueError("no pieces")
    charts = [chart for number, value in fields if number == 3 for key, chart in read(value) if key == 2]
    pieces = (
        [(word, 0.0, UNKNOWN if word == "<unk>" else CONTROL) for word in FIRST] + own[3:] + [("<mask>", 0.0, CONTROL)]
    )
    return write_xlm_roberta(pieces, charts[0] if charts else b"")


def write_xlm_roberta(pieces: Sequence[Piece], chart: bytes) -> bytes:
    return write(pieces, UNIGRAM, ("<unk>", "<s>", "</s>", "<pad>"), normalizer(b"xlm_roberta", chart, True, True))


def piece_of(data: bytes) -> Piece:
    values = dict(read(data))
    (score,) = struct.unpack("<f", values.get(2, bytes(4)))
    return values[1].decode("utf-8"), score, int.from_bytes(values.get(3, b"\x01"), "little")


# --- the wire format of protocol buffers -----------------------------------------------------------------------------


def write(pieces: Sequence[Piece], kind: int, special: Sequence[str], spaces: bytes) -> bytes:
    """ModelProto{pieces = 1, trainer_spec = 2, normalizer_spec = 3}. special: the words for unknown, start, end, pad.

    spaces: a normalizer_spec. Raises ValueError for what SentencePiece would not load.
    """
    ids = {word: i for i, (word, _, _) in enumerate(pieces)}
    types = [type for _, _, type in pieces]
    if len(ids) < len(pieces) or types.count(UNKNOWN) != 1 or types.count(BYTE) not in (0, 256):
        raise ValueError("a piece twice, or one that SentencePiece needs is missing")
    trainer = number(3, kind) + number(4, len(pieces)) + number(35, BYTE in types)
    for place, word in enumerate(special):
        trainer += number(40 + place, ids[word]) + field(45 + place, word.encode("utf-8"))
    return b"".join([*(field(1, piece(*entry)) for entry in pieces), field(2, trainer), field(3, spaces)])


def normalizer(name: bytes, chart: bytes, dummy_prefix: bool, fewer_spaces: bool) -> bytes:
    """chart: its precompiled_charsmap. Spaces become ▁."""
    return field(1, name) + field(2, chart) + number(3, dummy_prefix) + number(4, fewer_spaces) + number(5, True)


def piece(word: str, score: float, kind: int) -> bytes:
    return field(1, word.encode("utf-8")) + varint(2 << 3 | 5) + struct.pack("<f", score) + number(3, kind)


def field(key: int, value: bytes) -> bytes:
    return varint(key << 3 | 2) + varint(len(value)) + value


def number(key: int, value: int) -> bytes:
    return varint(key << 3) + varint(value)


def varint(value: int) -> bytes:
    done = bytearray()
    while value >= 0x80:
        done.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*done, value])


def read(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(field number, its bytes) of one message; a varint's bytes little-endian. Raises IndexError, ValueError."""
    place = 0
    while place < len(data):
        tag, place = read_varint(data, place)
        if tag < 8:
            raise ValueError("a field without a number")
        kind = tag & 7
        if kind == 0:
            value, place = read_varint(data, place)
            yield tag >> 3, value.to_bytes(10, "little")
            continue
        if kind == 2:
            size, place = read_varint(data, place)
        else:
            size = {5: 4, 1: 8}[kind]
        if place + size > len(data):
            raise ValueError("cut off")
        yield tag >> 3, data[place : place + size]
        place += size


def read_varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
        if shift > 63:
            raise ValueError("not a varint")
