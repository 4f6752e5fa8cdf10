"""The tokenizer that the host wants inside a text encoder's file: a SentencePiece model whose ids are the model's.

Gemma's folder has one (tokenizer.model). Jina's has a tokenizer.json, or XLM-RoBERTa's sentencepiece.bpe.model, whose
ids are not the model's: there <s>, <pad>, </s> and <unk> come first, then the pieces from the fourth on.
Both are written anew here as the few fields of the format that count.
Source: https://github.com/google/sentencepiece/blob/v0.2.0/src/sentencepiece_model.proto and, for the ids,
https://github.com/huggingface/transformers/blob/main/src/transformers/models/xlm_roberta/tokenization_xlm_roberta.py
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from .checkpoint import CheckpointError

NORMAL, UNKNOWN, CONTROL = 1, 2, 3  # ModelProto.SentencePiece.Type
UNIGRAM = 1  # TrainerSpec.ModelType
FIRST = ("<s>", "<pad>", "</s>", "<unk>")  # of XLM-RoBERTa's ids
Piece = tuple[str, float, int]  # piece, score, type


def gemma(folders: Sequence[Path]) -> bytes:
    """Raises CheckpointError if none of the folders has a tokenizer.model, or one that is none."""
    path = find(folders, ("tokenizer.model",), "Gemma's")
    content = path.read_bytes()
    try:
        if not {1, 2} <= {number for number, _ in read(content)}:
            raise ValueError("no pieces, or no word on how they were trained")
    except (ValueError, KeyError, IndexError) as problem:
        raise CheckpointError(f"{path} is not a SentencePiece model: download Gemma's tokenizer again.") from problem
    return content


def jina(folders: Sequence[Path]) -> bytes:
    """Raises CheckpointError if none of the folders has a tokenizer that is XLM-RoBERTa's."""
    path = find(folders, ("tokenizer.json", "sentencepiece.bpe.model"), "Jina's")
    try:
        return from_json(path.read_bytes()) if path.suffix == ".json" else from_model(path.read_bytes())
    except (ValueError, KeyError, TypeError, IndexError, struct.error) as problem:
        raise CheckpointError(f"{path} is not XLM-RoBERTa's tokenizer: download Jina CLIP v2's own again.") from problem


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
    model, normalizer = words["model"], words.get("normalizer") or {}
    if model["type"] != "Unigram":
        raise ValueError(model["type"])
    special = {token["content"] for token in words.get("added_tokens", ()) if token.get("special")}
    pieces = [
        (piece, score, UNKNOWN if i == model["unk_id"] else CONTROL if piece in special else NORMAL)
        for i, (piece, score) in enumerate(model["vocab"])
    ]
    steps = normalizer.get("normalizers", [normalizer])
    charts = [step["precompiled_charsmap"] for step in steps if "precompiled_charsmap" in step]
    return write(pieces, base64.b64decode(charts[0]) if charts else b"")


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
    return write(pieces, charts[0] if charts else b"")


def piece_of(data: bytes) -> Piece:
    values = dict(read(data))
    (score,) = struct.unpack("<f", values.get(2, bytes(4)))
    return values[1].decode("utf-8"), score, int.from_bytes(values.get(3, b"\x01"), "little")


# --- the wire format of protocol buffers -----------------------------------------------------------------------------


def write(pieces: Sequence[Piece], chart: bytes) -> bytes:
    """ModelProto{pieces = 1, trainer_spec = 2, normalizer_spec = 3}. chart: the normalizer's precompiled_charsmap."""
    ids = {word: i for i, (word, _, _) in enumerate(pieces)}
    written = [field(1, piece(*entry)) for entry in pieces]
    numbers = ((40, "<unk>"), (41, "<s>"), (42, "</s>"), (43, "<pad>"))
    trainer = number(3, UNIGRAM) + number(4, len(pieces)) + b"".join(number(key, ids[word]) for key, word in numbers)
    normalizer = field(1, b"xlm_roberta") + field(2, chart) + number(3, 1) + number(4, 1) + number(5, 1)
    return b"".join([*written, field(2, trainer), field(3, normalizer)])


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
