"""Scene + boxes + CLIP -> positive and negative CONDITIONING, in one of three modes (modes.py).

strict   every segment is encoded on its own behind the shared prefix, so that no character's text has read another's;
         the pooled vector is of the whole prompt
gentle   one joint encode, boxes in the text; the joint layers alone are isolated, for the first half of the steps
off      the host's own encode of the prompt as written

The encoders of SD1.5, SD2 and SDXL read plain tags in chunks, every character's alone in strict and gentle (chunks.py);
auto means strict there: such a model reads every chunk of a long prompt alone as it is.

A character's negatives are read within its own region of the negative CONDITIONING, in strict and gentle. Weights of
tags hold in strict and gentle; off is the host's way, which has none for NewBie's prompts.

No entry carries an attention_mask: nothing is padded, and padded masks are broken on several versions of the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import torch
from comfy.sd import CLIP
from torch import Tensor

from ..xml_prompt.regions import regions
from ..xml_prompt.render import (
    SHARED,
    Segment,
    TagRun,
    negative_tag_runs,
    render_negatives,
    render_tags,
    render_xml,
    tag_runs,
    text_of,
)
from ..xml_prompt.scene import Box, Scene
from .chunks import chunks_of, read_chunks, reads_chunks
from .conditioning import Conditioning, conditioning
from .modes import AUTO, OFF, STRICT, resolve
from .plan import Plan, Rectangle, fractions
from .unet import isolated_unet_forward
from .weights import token_weights

Token = tuple[Any, float]  # the host's (id or embedding, weight)
LUMINA = "gemma2_2b"  # the host's name for Lumina 2's encoder; there is no pooled vector
GENTLE_UNTIL = 0.5  # of the steps: a model trained on whole prompts loses people when it is isolated to the end


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


def encode_tokens(clip: CLIP, gemma: list[Token], jina: list[list[Token]]) -> tuple[Tensor, dict[str, Any]]:
    """One causal encode -> features [1, L, D] and the entry's other values (pooled_output, hooks)."""
    tokens = {"gemma": [gemma], "jina": jina} if jina else {LUMINA: [gemma]}
    extra = clip.encode_from_tokens(tokens, return_dict=True)
    extra.pop("attention_mask", None)
    return extra.pop("cond"), extra


@dataclass
class CaptionTokens:
    """What is known of every caption token, in their order; the first is the encoder's start token."""

    owner: list[int] = field(default_factory=lambda: [SHARED])
    weight: list[float] = field(default_factory=lambda: [1.0])

    def read(self, clip: CLIP, segment: Segment) -> list[Token]:
        """The segment's own tokens, noted."""
        own = tokens_of(clip, segment.text)["gemma"][0][1:]
        self.owner += [segment.owner] * len(own)
        self.weight += token_weights(clip, segment, [token for token, _ in own])
        return own

    def plan(self, where: tuple[tuple[Rectangle, ...], ...], **options: Any) -> Plan:
        weight = tuple(self.weight) if any(w != 1 for w in self.weight) else ()
        return Plan(tuple(self.owner), where, weight=weight, **options)


def encode_apart(clip: CLIP, segments: Sequence[Segment]) -> tuple[Tensor, dict[str, Any], CaptionTokens]:
    """-> features of [start | prefix | every other segment, each read behind the prefix alone], extra, tokens."""
    shared = len(list(takewhile(lambda segment: segment.owner == SHARED, segments)))
    caption, head = CaptionTokens(), start_token(clip)
    for segment in segments[:shared]:
        head = head + caption.read(clip, segment)
    features, extra = encode_tokens(clip, head, tokens_of(clip, text_of(segments))["jina"])
    parts = [features]
    nothing = tokens_of(clip, "")["jina"]
    for segment in segments[shared:]:
        own = caption.read(clip, segment)
        parts.append(encode_tokens(clip, head + own, nothing)[0][:, len(head) :])
    return torch.cat(parts, 1), extra, caption


def encode_jointly(clip: CLIP, segments: Sequence[Segment]) -> tuple[Tensor, dict[str, Any], CaptionTokens]:
    """-> features of all segments read as one text, extra, tokens."""
    caption, gemma = CaptionTokens(), start_token(clip)
    for segment in segments:
        gemma = gemma + caption.read(clip, segment)
    return *encode_tokens(clip, gemma, tokens_of(clip, text_of(segments))["jina"]), caption


def start_token(clip: CLIP) -> list[Token]:
    return tokens_of(clip, "")["gemma"][0][:1]


def encode_plain(clip: CLIP, text: str) -> Conditioning:
    """The host's own way, exactly as its CLIP Text Encode node does it."""
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def encode(clip: CLIP, scene: Scene, boxes: Sequence[Box], mode: str) -> Conditioning:
    """boxes: one for each character, in order (xml_prompt.layout). A scene without characters is encoded plainly."""
    if reads_chunks(clip):
        if mode == OFF:
            return encode_plain(clip, text_of(render_tags(scene)))
        return encode_runs(clip, tag_runs(scene), fractions(regions(scene, boxes)), mode)
    mode = resolve(clip, mode)
    if mode == OFF:
        return encode_plain(clip, text_of(render_xml(scene, [character.box for character in scene.characters])))
    segments = render_xml(scene, boxes)
    if not scene.characters and not any(segment.weighted for segment in segments):
        return encode_plain(clip, text_of(segments))
    return encode_segments(clip, segments, fractions(regions(scene, boxes)), mode)


def encode_negative(clip: CLIP, scene: Scene, boxes: Sequence[Box], mode: str, text: str) -> Conditioning:
    """text: what the whole picture must not have. Plain where no character states a negative, and in mode off.

    Chunks are never plain but in mode off: the host would read weights where parentheses belong to a name.
    """
    if reads_chunks(clip) and mode != OFF:
        return encode_runs(clip, negative_tag_runs(scene, text), fractions(regions(scene, boxes)), mode)
    mode = resolve(clip, mode)
    if mode == OFF or not any(character.negative for character in scene.characters):
        return encode_plain(clip, text)
    return encode_segments(clip, render_negatives(scene, boxes, text), fractions(regions(scene, boxes)), mode)


def encode_segments(
    clip: CLIP, segments: Sequence[Segment], where: tuple[tuple[Rectangle, ...], ...], mode: str
) -> Conditioning:
    if mode == STRICT:
        features, extra, caption = encode_apart(clip, segments)
        return conditioning(features, extra, caption.plan(where))
    features, extra, caption = encode_jointly(clip, segments)
    return conditioning(features, extra, caption.plan(where, refiner=False, until=GENTLE_UNTIL))


def encode_runs(
    clip: CLIP, runs: Sequence[TagRun], where: tuple[tuple[Rectangle, ...], ...], mode: str
) -> Conditioning:
    """Chunks of tags -> one entry, without a plan where nobody owns or weighs anything."""
    mode = STRICT if mode == AUTO else resolve(clip, mode)
    chunks = chunks_of(clip, runs)
    features, extra = read_chunks(clip, chunks)
    owner = tuple(chunk.owner for chunk in chunks for _ in chunk.weight)
    weight = tuple(w for chunk in chunks for w in chunk.weight)
    weight = weight if any(w != 1 for w in weight) else ()
    if not any(owner) and not weight:
        return [[features, extra]]
    plan = Plan(owner, where, until=1.0 if mode == STRICT else GENTLE_UNTIL, weight=weight)
    return conditioning(features, extra, plan, isolated_unet_forward)
