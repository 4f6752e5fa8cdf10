"""The mini's two SentencePiece vocabularies, and a prompt as the token arrays that training reads."""

from __future__ import annotations

import io
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import sentencepiece

from ...isolation.plan import PADDING
from ...xml_prompt import BOX_STEP, GRID, SHARED, Segment, text_of
from ..drawing.scenes import sample_picture
from . import config, prompts

FOLDER = Path(__file__).parent / "vocabulary"
ELEMENTS = (
    "n", "gender", "appearance", "clothing", "body_type", "expression", "action", "interaction", "position", "bbox",
    "other", "general_tags", "count", "artists", "style", "background", "environment", "perspective", "atmosphere",
    "lighting", "quality", "objects", "caption", "character_1", "character_2", "character_3", "character_4",
)
GEMMA_START = 2  # Gemma's <bos>
JINA_START, JINA_END = 0, 2  # XLM-RoBERTa's <s> and </s>


def whole_pieces() -> list[str]:
    """Pieces that are never split: the system prompt, element tags, box coordinates with what follows them."""
    numbers = [f"{n}{end}" for n in range(0, GRID + 1, BOX_STEP) for end in ",]"]
    tags = [f"{open_}{name}>" for name in ELEMENTS for open_ in ("<", "</")]
    bare = [prompts.SYSTEM.replace(" ", "▁"), *numbers, *tags]
    return [*bare, *(f"▁{piece}" for piece in [*numbers, *tags])]


def train(folder: Path = FOLDER, scenes: int = 20000, seed: int = 1) -> None:
    """Writes gemma.model and jina.model: one corpus, the special ids of each family."""
    rng = random.Random(seed)
    corpus = []
    for _ in range(scenes):
        description = prompts.describe(sample_picture(rng), rng)
        form = rng.choices(("boxes", "xml", "json", "tags"), (0.5, 0.25, 0.15, 0.1))[0]
        corpus.append(text_of(prompts.segments(description, form)).replace("\n", " "))
    folder.mkdir(parents=True, exist_ok=True)
    for name, special in (
        ("gemma", {"pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3}),
        ("jina", {"bos_id": 0, "pad_id": 1, "eos_id": 2, "unk_id": 3}),
    ):
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(corpus), model_writer=model, model_type="bpe", vocab_size=config.VOCABULARY,
            hard_vocab_limit=False, byte_fallback=True, add_dummy_prefix=False, split_by_number=False,
            split_by_unicode_script=False, character_coverage=1.0, max_sentencepiece_length=20, num_threads=1,
            max_sentence_length=16384, user_defined_symbols=whole_pieces(), minloglevel=2, **special,
        )
        (folder / f"{name}.model").write_bytes(model.getvalue())


@dataclass(frozen=True)
class Tokenizers:
    """Both vocabularies, read once."""

    folder: Path = FOLDER

    @cached_property
    def gemma(self) -> sentencepiece.SentencePieceProcessor:
        return sentencepiece.SentencePieceProcessor(model_file=str(self.folder / "gemma.model"))

    @cached_property
    def jina(self) -> sentencepiece.SentencePieceProcessor:
        return sentencepiece.SentencePieceProcessor(model_file=str(self.folder / "jina.model"))


@dataclass(frozen=True)
class Tokens:
    """One prompt. ids, owner, segment and position are as long as the caption; jina has its start and end.

    segment numbers the pieces that are encoded on their own (0: the shared prefix, which all of them read);
    position is a token's place in what its own encoding reads.
    """

    ids: list[int]
    owner: list[int]
    segment: list[int]
    position: list[int]
    jina: list[int]
    jina_shared: list[int]  # without the characters' own text


def tokenize(segments: Sequence[Segment], isolated: bool, tokenizers: Tokenizers) -> Tokens:
    """isolated: piece by piece, as isolation.encode does; otherwise the whole text at once, as the host does."""
    text = text_of(segments)
    jina = [JINA_START, *tokenizers.jina.encode(text), JINA_END]
    shared = text_of(s for s in segments if s.owner == SHARED)
    jina_shared = [JINA_START, *tokenizers.jina.encode(shared), JINA_END]
    if not isolated:
        ids = [GEMMA_START, *tokenizers.gemma.encode(text)]
        return Tokens(ids, [SHARED] * len(ids), [0] * len(ids), list(range(len(ids))), jina, jina_shared)
    ids, owner, segment = [GEMMA_START], [SHARED], [0]
    leading = True
    for number, piece in enumerate(segments, start=1):
        leading = leading and piece.owner == SHARED
        own = tokenizers.gemma.encode(piece.text)
        ids += own
        owner += [piece.owner] * len(own)
        segment += [0 if leading else number] * len(own)
    prefix = segment.count(0)
    position, seen = [], {0: 0}
    for number in segment:
        place = seen.setdefault(number, prefix)
        position.append(place)
        seen[number] = place + 1
    return Tokens(ids, owner, segment, position, jina, jina_shared)


def padded(rows: Iterable[Sequence[int]], length: int, fill: int) -> list[list[int]]:
    return [[*row[:length], *[fill] * (length - len(row))] for row in rows]


PAD_VALUES = {"ids": 0, "owner": PADDING, "segment": PADDING, "position": 0}
