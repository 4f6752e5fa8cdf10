"""Scene + boxes + CLIP -> positive and negative CONDITIONING, in one of three modes (modes.py).

strict   every segment is encoded on its own behind the shared prefix, so that no character's text has read another's;
         the pooled vector is of the whole prompt
gentle   one joint encode, boxes in the text; the joint layers alone are isolated, for the first half of the steps
off      the host's own encode of the prompt as written

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
from ..xml_prompt.render import SHARED, Segment, render_negatives, render_xml, text_of
from ..xml_prompt.scene import Box, Scene
from .conditioning import Conditioning, conditioning
from .marks import token_genders, token_weights
from .modes import OFF, Closed, Options, closed_by, resolve
from .plan import Plan, Region, fractions

Token = tuple[Any, float]  # the host's (id or embedding, weight)
Masks = Sequence[Tensor | None]  # [h, w] in 0..1, one a character; None, or no entry, leaves a character its box
NEUTRAL = Options()


def tokens_of(clip: CLIP, text: str) -> dict[str, list[list[Token]]]:
    """Both encoders' tokens, parentheses read as text by both. Raises ValueError if the CLIP is not NewBie's."""
    tokens = clip.tokenize(text, disable_weights=True)
    if not {"gemma", "jina"} <= tokens.keys():
        raise ValueError(
            "Isolated characters need NewBie's two text encoders, Gemma and Jina, but this CLIP has others: "
            "load it with NewBie Loader, or with DualCLIPLoader and type newbie."
        )
    return tokens


def encode_tokens(clip: CLIP, gemma: list[Token], jina: list[list[Token]]) -> tuple[Tensor, dict[str, Any]]:
    """One causal encode -> features [1, L, D] and the entry's other values (pooled_output, hooks)."""
    extra = clip.encode_from_tokens({"gemma": [gemma], "jina": jina}, return_dict=True)
    extra.pop("attention_mask", None)
    return extra.pop("cond"), extra


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
) -> tuple[Tensor, dict[str, Any]]:
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
) -> tuple[Tensor, dict[str, Any]]:
    """-> features of all segments read as one text, extra."""
    gemma = start_token(clip)
    for segment in segments:
        gemma = gemma + caption.read(clip, segment)
    return encode_tokens(clip, gemma, tokens_of(clip, pooled)["jina"])


def start_token(clip: CLIP) -> list[Token]:
    return tokens_of(clip, "")["gemma"][0][:1]


def encode_plain(clip: CLIP, text: str) -> Conditioning:
    """The host's own way, exactly as its CLIP Text Encode node does it."""
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def places(scene: Scene, boxes: Sequence[Box], masks: Masks) -> tuple[Region, ...]:
    """Every character's region: a mask stands in for its box, gaps that interactions open stay."""
    where = list(fractions(regions(scene, boxes)))
    for index, mask in enumerate(masks):
        if mask is not None:
            where[index] = (mask, *where[index][1:])
    return tuple(where)


def encode(
    clip: CLIP, scene: Scene, boxes: Sequence[Box], mode: str, options: Options = NEUTRAL, masks: Masks = ()
) -> Conditioning:
    """boxes: one for each character, in order (xml_prompt.layout). A scene without characters is encoded plainly."""
    mode = resolve(clip, mode)
    if mode == OFF:
        return encode_plain(clip, text_of(render_xml(scene, [character.box for character in scene.characters])))
    segments = render_xml(scene, boxes)
    if not scene.characters and not any(segment.weighted for segment in segments):
        return encode_plain(clip, text_of(segments))
    genders = tuple(character.gender or "" for character in scene.characters)
    return encode_segments(clip, segments, places(scene, boxes, masks), genders, closed_by(mode, options), options)


def encode_negative(
    clip: CLIP,
    scene: Scene,
    boxes: Sequence[Box],
    mode: str,
    text: str,
    options: Options = NEUTRAL,
    masks: Masks = (),
) -> Conditioning:
    """text: what the whole picture must not have. Plain where no character states a negative, and in mode off.

    A girl's negative may well name boys: genders are not masked here.
    """
    mode = resolve(clip, mode)
    if mode == OFF or not any(character.negative for character in scene.characters):
        return encode_plain(clip, text)
    segments = render_negatives(scene, boxes, text)
    return encode_segments(clip, segments, places(scene, boxes, masks), (), closed_by(mode, options), options)


def encode_segments(
    clip: CLIP,
    segments: Sequence[Segment],
    where: tuple[Region, ...],
    genders: tuple[str, ...],
    closed: Closed,
    options: Options,
) -> Conditioning:
    caption = CaptionTokens(genders=options.gender_strength > 0 and any(genders))
    pooled = text_of(segment for segment in segments if segment.owner == SHARED or not closed.pooled)
    encode_text = encode_apart if closed.encoder else encode_jointly
    features, extra = encode_text(clip, segments, caption, pooled)
    plan = Plan(
        owner=tuple(caption.owner),
        regions=where,
        refiner=closed.context_refiner,
        joint=closed.joint_layers,
        start=options.start,
        until=closed.until,
        strength=options.strength,
        soft_edge=options.soft_edge,
        weight=tuple(caption.weight) if any(weight != 1 for weight in caption.weight) else (),
        named=tuple(caption.named) if any(caption.named) else (),
        genders=genders,
        gender_strength=options.gender_strength,
    )
    return conditioning(features, extra, plan)
