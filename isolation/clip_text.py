"""Tags + CLIP -> text features in chunks, for the encoders of SD1.5, SD2 and SDXL, which read 77 tokens at a time.

The shared tags fill the first chunk, every character's tags chunks of their own, and the encoder reads every chunk
alone: no character's text has read another's. A chunk is the host's: start, up to 75 tokens, end, padding. Tags that
don't fit go on in the next chunk of the same owner. They are cut between tags, a tag longer than a chunk between words,
a word longer than a chunk anywhere; nothing is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from comfy.sd import CLIP
from torch import Tensor

from ..xml_prompt import SHARED, Tag, TagRun, gender_spans
from .plan import CaptionToken

if TYPE_CHECKING:  # nothing of it runs for a prompt without LoRAs
    from .lora import Worn

Token = tuple[Any, float]  # the host's (id or embedding, weight)
Tokens = dict[str, list[Token]]  # by encoder: "l" and "g" for SDXL, "l" for SD1.5, "h" for SD2


@dataclass(frozen=True)
class Piece:
    """Tokens that stay together, and the weight of each; one encoder's may be fewer (an embedding made for one)."""

    tokens: Tokens
    weight: tuple[float, ...]
    gender: str  # that the tag names, or ""


@dataclass(frozen=True)
class Chunk:
    """One input of the encoders: 77 tokens that all belong to one owner, and what is known of each."""

    tokens: Tokens
    known: tuple[CaptionToken, ...]


def own_tokens(clip: CLIP, text: str) -> Tokens:
    """The text's own tokens, parentheses read as text. The host numbers words from 1; 0 is start, end and padding."""
    tokenized = clip.tokenize(text, return_word_ids=True, disable_weights=True)
    return {
        name: [(token, weight) for batch in batches for token, weight, word in batch if word]
        for name, batches in tokenized.items()
    }


def gender_named(text: str) -> str:
    """girl or boy where the text names one of them alone, else ""."""
    genders = {gender for _, _, gender in gender_spans(text)}
    return genders.pop() if len(genders) == 1 else ""


def piece_of(clip: CLIP, text: str, weight: float, comma: bool) -> Piece:
    """A comma behind the tag is read with it; it has the tag's weight only where it is one token with the tag's end."""
    tokens = own_tokens(clip, f"{text}," if comma else text)
    length = longest(tokens)
    alone = comma and all(own[-1] == own_tokens(clip, ",")[name][-1] for name, own in tokens.items())
    return Piece(tokens, (*[weight] * (length - alone), *[1.0] * alone), gender_named(text))


def longest(tokens: Tokens) -> int:
    return max(map(len, tokens.values()))


def pieces_of(clip: CLIP, tags: Sequence[Tag], room: int) -> Iterator[Piece]:
    """The tags, read one by one: white space ends a token, so together they are the tokens of `tag, tag, tag`."""
    for index, tag in enumerate(tags):
        comma = index + 1 < len(tags)
        piece = piece_of(clip, tag.text, tag.weight, comma)
        if longest(piece.tokens) <= room:
            yield piece
            continue
        words = tag.text.split()
        for number, word in enumerate(words):
            piece = piece_of(clip, word, tag.weight, comma and number + 1 == len(words))
            for start in range(0, longest(piece.tokens), room):
                part = slice(start, start + room)
                tokens = {name: own[part] for name, own in piece.tokens.items()}
                yield Piece(tokens, piece.weight[part], piece.gender)


def filled(pieces: Iterable[Piece], room: int) -> list[list[Piece]]:
    """As many pieces into every chunk as it has room for; without any pieces one empty chunk."""
    chunks: list[list[Piece]] = [[]]
    used = 0
    for piece in pieces:
        length = longest(piece.tokens)
        if used + length > room:
            chunks.append([])
            used = 0
        chunks[-1].append(piece)
        used += length
    return chunks


def framed(clip: CLIP, owner: int, pieces: Sequence[Piece]) -> Chunk:
    """Start, the pieces, end and padding as in the host's own chunk of no text."""
    empty = {name: batches[0] for name, batches in clip.tokenize("", disable_weights=True).items()}
    tokens = {}
    for name, (start, *rest) in empty.items():
        own = [token for piece in pieces for token in piece.tokens[name]]
        tokens[name] = [start, *own, *rest][: len(empty[name])]  # what is cut is padding
    known = [CaptionToken(owner, weight, piece.gender) for piece in pieces for weight in piece.weight]
    padding = [CaptionToken(owner)] * (longest(tokens) - len(known) - 1)
    return Chunk(tokens, (CaptionToken(owner), *known, *padding))


def room_of(clip: CLIP) -> int:
    """How many tokens of text a chunk holds. Raises ValueError for encoders whose chunks don't match each other."""
    lengths = {len(batches[0]) for batches in clip.tokenize("", disable_weights=True).values()}
    if len(lengths) > 1:
        read = " and ".join(map(str, sorted(lengths)))
        raise ValueError(
            f"This CLIP's text encoders read chunks of different lengths ({read} tokens): use the checkpoint's own "
            "CLIP, or set the mode to off."
        )
    return lengths.pop() - 2


def chunks_of(clip: CLIP, runs: Sequence[TagRun]) -> list[Chunk]:
    """The shared chunks first, then every owner's. There is a shared one even without shared tags.

    It may be empty: what no character covers has to read something, and the pooled vector comes from it.
    """
    room = room_of(clip)
    runs = [run for run in runs if run.tags or run.owner == SHARED]
    if not runs or runs[0].owner != SHARED:
        runs = [TagRun(SHARED, ()), *runs]
    return [
        framed(clip, run.owner, pieces)
        for run in runs
        for pieces in filled(pieces_of(clip, run.tags, room), room)
    ]


def read_chunks(clip: CLIP, chunks: Sequence[Chunk], worn: Worn | None = None) -> tuple[Tensor, dict[str, Any]]:
    """-> features [1, 77 * chunks, D] and the entry's other values, as the host encodes a long prompt.

    The pooled vector (SDXL) is the first chunk's, which is shared. The host takes the first chunk's of a long prompt as
    well, so the model knows no other; and a character's words in it would act on the whole picture.
    """
    owners = [[token.owner for token in chunk.known] for chunk in chunks]
    with worn.reading(clip, owners) if worn else nullcontext():
        extra = clip.encode_from_tokens(
            {name: [chunk.tokens[name] for chunk in chunks] for name in chunks[0].tokens}, return_dict=True
        )
    extra.pop("attention_mask", None)
    return extra.pop("cond"), extra
