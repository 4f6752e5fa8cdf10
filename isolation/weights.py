"""Tag weights: which caption tokens a weighted tag became.

A weight w adds log w to the attention that a picture pays to the tag's tokens: w = 2 counts each of them twice. Scaling
the token's features instead would do nothing, because the model normalises them first (NextDiT's cap_embedder).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

from comfy.sd import CLIP

from ..xml_prompt.render import Segment

SPACE = "\u2581"  # how sentencepiece writes a space within a piece


def token_bytes(clip: CLIP, ids: Sequence[int]) -> list[bytes]:
    """What each of Gemma's tokens stands for, in UTF-8."""
    gemma = clip.tokenizer.gemma if hasattr(clip.tokenizer, "gemma") else clip.tokenizer.gemma2_2b  # NewBie, Lumina 2
    processor = gemma.tokenizer.tokenizer  # the host's SPieceTokenizer holds sentencepiece's own
    pieces = []
    for token in ids:
        if token >= processor.get_piece_size():
            raise ValueError(
                "Weighted tags can't be found among the prompt's tokens, because it contains a special word of the "
                "encoder: remove <image_soft_token> from the prompt, or the weights."
            )
        piece = processor.id_to_piece(token)
        pieces.append(bytes([int(piece[1:-1], 16)]) if processor.is_byte(token) else piece.encode())
    return pieces


def token_weights(clip: CLIP, segment: Segment, ids: Sequence[int]) -> list[float]:
    """The weight of each of the segment's tokens; a token that shares a letter with a weighted tag has the tag's."""
    weights = [1.0] * len(ids)
    if not segment.weighted:
        return weights
    pieces = token_bytes(clip, ids)
    text = segment.text.replace(" ", SPACE)
    if b"".join(pieces) != text.encode():
        raise ValueError(
            "Weighted tags can't be found among the prompt's tokens, because the text encoder rewrites the prompt: "
            "remove the weights."
        )
    spans = [(*(len(text[:at].encode()) for at in (span.start, span.end)), span.weight) for span in segment.weighted]
    for index, (start, end) in enumerate(pairwise(accumulate(map(len, pieces), initial=0))):
        for first, last, weight in spans:
            if start < last and first < end:
                weights[index] = weight
    return weights
