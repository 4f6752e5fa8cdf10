"""Which caption tokens a marked part of a text became: weighted tags, words that name a gender, everyone's own text.

A weight w adds log w to the attention that a picture pays to the tag's tokens: w = 2 counts each of them twice. Scaling
the token's features instead would do nothing, because the model normalises them first (NextDiT's cap_embedder).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, TypeVar
from unicodedata import normalize

from ..xml_prompt import SHARED, Segment, gender_spans, text_of

if TYPE_CHECKING:  # the benchmarks without a host use what is pure here
    from comfy.sd import CLIP
    from sentencepiece import SentencePieceProcessor

Mark = TypeVar("Mark", float, str, int)
SPACE = "\u2581"  # how sentencepiece writes a space within a piece


def token_bytes(clip: CLIP, ids: Sequence[int]) -> list[bytes]:
    """What each of Gemma's tokens stands for, in UTF-8. Raises ValueError where one stands for no text."""
    gemma = clip.tokenizer.gemma if hasattr(clip.tokenizer, "gemma") else clip.tokenizer.gemma2_2b  # NewBie, Lumina 2
    return piece_bytes(gemma.tokenizer.tokenizer, ids)  # the host's SPieceTokenizer holds sentencepiece's own


def piece_bytes(processor: SentencePieceProcessor, ids: Sequence[int]) -> list[bytes]:
    """As token_bytes."""
    pieces = []
    for token in ids:
        if token >= processor.get_piece_size():
            raise ValueError("it contains a special word of the encoder (<image_soft_token>)")
        piece = processor.id_to_piece(token)
        pieces.append(bytes([int(piece[1:-1], 16)]) if processor.is_byte(token) else piece.encode())
    return pieces


def places_of(text: str, stream: bytes) -> list[int]:
    """Where in the stream of all tokens' bytes every character of text begins, and the end. Raises ValueError.

    stream: without SPACE. A vocabulary may write white space in another way, or none, and characters in their
    compatibility form (NFKC), as the mini's does.
    """
    places = [0]
    for character in text:
        for form in forms_of(character):
            written = form.encode()
            if stream.startswith(written, places[-1]):
                places.append(places[-1] + len(written))
                break
        else:
            raise ValueError("the text encoder rewrites it")
    if places[-1] != len(stream):
        raise ValueError("the text encoder rewrites it")
    return places


def forms_of(character: str) -> Iterator[str]:
    """As it is, nearly always; the others are made only where that is not found."""
    yield character
    yield without_space(character)
    yield without_space(normalize("NFKC", character))


def without_space(text: str) -> str:
    return "".join(text.replace(SPACE, " ").split())


def marked(pieces: Sequence[bytes], text: str, spans: Iterable[tuple[int, int, Mark]], none: Mark) -> list[Mark]:
    """One mark a token of text: that of the last span with which it shares a letter, or `none`. Raises ValueError.

    pieces: what each token stands for, in UTF-8.
    """
    marks = [none] * len(pieces)
    pieces = [piece.replace(SPACE.encode(), b"") for piece in pieces]
    places = places_of(text, b"".join(pieces))
    spans = list(spans)
    for index, (start, end) in enumerate(pairwise(accumulate(map(len, pieces), initial=0))):
        for first, last, mark in spans:
            if places[first] < end and start < places[last]:  # or a space within the span: start is end there
                marks[index] = mark
    return marks


def marks_of(
    clip: CLIP, segment: Segment, ids: Sequence[int], spans: Iterable[tuple[int, int, Mark]], none: Mark
) -> list[Mark]:
    """As marked; without spans nothing is looked for. Raises ValueError."""
    spans = list(spans)
    return marked(token_bytes(clip, ids), segment.text, spans, none) if spans else [none] * len(ids)


def token_owners(clip: CLIP, segments: Sequence[Segment], ids: Sequence[int]) -> list[int]:
    """Whose each token of the segments' joined text is; SHARED for white space between two. Raises ValueError."""
    return marked(token_bytes(clip, ids), text_of(segments), owned_spans(segments), SHARED)


def owned_spans(segments: Sequence[Segment]) -> list[tuple[int, int, int]]:
    """Start, end and owner of each segment in the joined text."""
    edges = pairwise(accumulate((len(segment.text) for segment in segments), initial=0))
    return [(start, end, segment.owner) for (start, end), segment in zip(edges, segments, strict=True)]


def joined(segments: Sequence[Segment]) -> Segment:
    """All segments as one of shared text, weights in their places."""
    starts = [start for start, _, _ in owned_spans(segments)]
    weighted = tuple(
        replace(span, start=start + span.start, end=start + span.end)
        for start, segment in zip(starts, segments, strict=True)
        for span in segment.weighted
    )
    return Segment(SHARED, text_of(segments), weighted)


def token_weights(clip: CLIP, segment: Segment, ids: Sequence[int]) -> list[float]:
    """The weight of each of the segment's tokens. Raises ValueError, one sentence."""
    try:
        return marks_of(clip, segment, ids, ((s.start, s.end, s.weight) for s in segment.weighted), 1.0)
    except ValueError as problem:
        raise ValueError(
            f"Weighted tags can't be found among the prompt's tokens, because {problem}: remove that or the weights."
        ) from problem


def token_genders(clip: CLIP, segment: Segment, ids: Sequence[int]) -> list[str]:
    """The gender that each of the segment's tokens names, or "". Raises ValueError, one sentence."""
    try:
        return marks_of(clip, segment, ids, gender_spans(segment.text), "")
    except ValueError as problem:
        raise ValueError(
            f"Words of gender can't be found among the prompt's tokens, because {problem}: remove that, or set "
            "gender_strength to 0."
        ) from problem
