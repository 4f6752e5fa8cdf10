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

from ..xml_prompt.render import SHARED, Segment
from .encoded import Encoded, encoded
from .marks import token_genders, token_weights

Token = tuple[Any, float]  # the host's (id or embedding, weight)
LUMINA = "gemma2_2b"  # the host's name for Lumina 2's encoder; there is no pooled vector


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
        ids = [token for token, _ in own]
        self.owner += [segment.owner] * len(own)
        self.weight += token_weights(clip, segment, ids)
        self.named += token_genders(clip, segment, ids) if self.genders else [""] * len(ids)
        return own


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
    """-> features of all segments read as one text, extra."""
    gemma = start_token(clip)
    for segment in segments:
        gemma = gemma + caption.read(clip, segment)
    return encode_tokens(clip, gemma, tokens_of(clip, pooled)["jina"])
