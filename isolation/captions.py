"""Segments of text + CLIP -> caption features, for the encoders of NewBie (Gemma and Jina) and Lumina 2 (Gemma).

No entry carries an attention_mask: nothing is padded, and padded masks are broken on several versions of the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import torch
from comfy.sd import CLIP

from ..xml_prompt import SHARED, Segment
from .encoded import Encoded, encoded
from .marks import joined, token_genders, token_owners, token_weights

Token = tuple[Any, float]  # the host's (id or embedding, weight)
LUMINA = "gemma2_2b"  # the host's name for Lumina 2's encoder; there is no pooled vector
GEMMAS_START, JINAS_START = 2, 0  # ids; in the other's vocabulary they are an end and padding, and begin no text


def tokens_of(clip: CLIP, text: str) -> dict[str, list[list[Token]]]:
    """Both encoders' tokens, parentheses read as text by both. Lumina 2 has Gemma alone, and no jina here.

    Raises ValueError if the CLIP is another model's.
    """
    tokens = clip.tokenize(text, disable_weights=True)
    if tokens.keys() == {LUMINA}:
        return {"gemma": tokens[LUMINA], "jina": []}
    if not {"gemma", "jina"} <= tokens.keys():
        raise ValueError(
            "Isolated characters need the text encoders of NewBie (Gemma and Jina), Lumina 2, SD1.5, SD2 or SDXL, but "
            f"this CLIP has {' and '.join(tokens)}: load NewBie's with NewBie Loader, or with DualCLIPLoader and type "
            "newbie, or set the mode to off."
        )
    starts = tuple(tokens[name][0][0][0] for name in ("gemma", "jina"))
    if starts[0] == JINAS_START or starts[1] == GEMMAS_START:
        raise ValueError(
            "This CLIP has one text encoder's tokenizer in the other's place, as when DualCLIPLoader got one file "
            "twice, or a file that it can't read: choose Gemma 3 4B and Jina CLIP v2 there, or use NewBie Loader, "
            "which says what is wrong with a file."
        )
    return tokens


def start_token(clip: CLIP) -> list[Token]:
    return tokens_of(clip, "")["gemma"][0][:1]


def encode_tokens(clip: CLIP, gemma: list[Token], jina: list[list[Token]]) -> Encoded:
    """One causal encode -> features [1, L, D] and the entry's other values (pooled_output, hooks)."""
    features, extra = encoded(clip, {"gemma": [gemma], "jina": jina} if jina else {LUMINA: [gemma]})
    extra.pop("attention_mask", None)
    return features, extra


@dataclass
class CaptionTokens:
    """What is known of every caption token, in their order; the first is the encoder's start token."""

    genders: bool  # whether words of gender are looked for
    owner: list[int] = field(default_factory=lambda: [SHARED])
    weight: list[float] = field(default_factory=lambda: [1.0])
    named: list[str] = field(default_factory=lambda: [""])

    def read(self, clip: CLIP, segment: Segment) -> list[Token]:
        """The segment's own tokens, noted."""
        own = tokens_of(clip, segment.text)["gemma"][0][1:]
        self.note(clip, segment, [token for token, _ in own], [segment.owner] * len(own))
        return own

    def read_jointly(self, clip: CLIP, segments: Sequence[Segment]) -> list[Token]:
        """The tokens of the segments' joined text, noted.

        A token may hold the end of one segment and the start of the next, which read apart would be other tokens than
        the model knows. Where nobody can tell what a token stands for, they are read apart all the same.
        """
        whole = joined(segments)
        own = tokens_of(clip, whole.text)["gemma"][0][1:]
        ids = [token for token, _ in own]
        try:
            owners = token_owners(clip, segments, ids)
        except ValueError:
            return [token for segment in segments for token in self.read(clip, segment)]
        self.note(clip, whole, ids, owners)
        return own

    def note(self, clip: CLIP, segment: Segment, ids: Sequence[int], owners: Sequence[int]) -> None:
        self.owner += owners
        self.weight += token_weights(clip, segment, ids)
        self.named += token_genders(clip, segment, ids) if self.genders else [""] * len(ids)


def encode_apart(
    clip: CLIP, segments: Sequence[Segment], caption: CaptionTokens, pooled: str
) -> Encoded:
    """-> features of [start | prefix | every other segment, each read behind the prefix alone], extra."""
    shared = len(list(takewhile(lambda segment: segment.owner == SHARED, segments)))
    head = start_token(clip)
    for segment in segments[:shared]:
        head = head + caption.read(clip, segment)
    features, extra = encode_tokens(clip, head, tokens_of(clip, pooled)["jina"])
    parts = [features]
    nothing = tokens_of(clip, "")["jina"]
    for segment in segments[shared:]:
        own = caption.read(clip, segment)
        parts.append(encode_tokens(clip, head + own, nothing)[0][:, len(head) :])
    return torch.cat(parts, 1), extra


def encode_jointly(
    clip: CLIP, segments: Sequence[Segment], caption: CaptionTokens, pooled: str
) -> Encoded:
    """-> features of all segments read as one text, the host's own tokens of it, extra."""
    gemma = start_token(clip) + caption.read_jointly(clip, segments)
    return encode_tokens(clip, gemma, tokens_of(clip, pooled)["jina"])
