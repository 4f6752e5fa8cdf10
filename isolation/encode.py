"""Scene + boxes + CLIP -> positive and negative CONDITIONING, in one of three modes (modes.py).

strict   every segment of the XML is encoded on its own behind the shared prefix, so that no character's text has read
         another's; the pooled vector is of the whole prompt
gentle   one joint encode of the template in which the released weights learned boxes; the joint layers alone are
         isolated
off      the host's own encode of the prompt as written

The encoders of SD1.5, SD2 and SDXL read plain tags in chunks, every character's alone in strict and gentle (chunks.py);
auto means strict there: such a model reads every chunk of a long prompt alone as it is.

A character's negatives are read within its own region of the negative CONDITIONING, in strict and gentle. Weights of
tags hold in strict and gentle; off is the host's way, which has none for NewBie's prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from comfy.sd import CLIP
from torch import Tensor

from ..xml_prompt import (
    SHARED,
    Box,
    Scene,
    Segment,
    TagRun,
    negative_tag_runs,
    regions,
    render_json,
    render_negatives,
    render_tags,
    render_xml,
    swapped,
    tag_runs,
    text_of,
)
from .captions import CaptionTokens, encode_apart, encode_jointly
from .chunks import chunks_of, read_chunks, reads_chunks
from .conditioning import Conditioning, conditioning
from .encoded import encoded, key_of
from .forward import IsolatedForward
from .modes import AUTO, OFF, STRICT, Closed, Options, check_chunk_options, closed_by, resolve
from .plan import Plan, Region, fractions
from .unet import IsolatedUNetForward

Masks = Sequence[Tensor | None]  # [h, w] in 0..1, one a character; None, or no entry, leaves a character its box
NEUTRAL = Options()


@dataclass(frozen=True)
class People:
    """What the plan must know of the characters."""

    regions: tuple[Region, ...]
    genders: tuple[str, ...]  # none at all where genders are not masked

    def plan(
        self, owner: Sequence[int], weight: Sequence[float], named: Sequence[str], closed: Closed, options: Options
    ) -> Plan:
        """owner, weight, named: one a caption token."""
        return Plan(
            owner=tuple(owner),
            regions=self.regions,
            refiner=closed.context_refiner,
            joint=closed.joint_layers,
            start=options.start,
            until=options.end,
            strength=options.strength,
            soft_edge=options.soft_edge,
            weight=tuple(weight) if any(one != 1 for one in weight) else (),
            named=tuple(named) if any(named) else (),
            genders=self.genders,
            gender_strength=options.gender_strength,
        )


def places(scene: Scene, boxes: Sequence[Box], masks: Masks) -> tuple[Region, ...]:
    """Every character's region: a mask stands in for its box, gaps that interactions open stay."""
    where = list(fractions(regions(scene, boxes)))
    for index, mask in enumerate(masks):
        if mask is not None:
            where[index] = (mask, *where[index][1:])
    return tuple(where)


def encode_plain(clip: CLIP, text: str) -> Conditioning:
    """The host's own way, exactly as its CLIP Text Encode node does it; a text that stays is not read again."""
    tokens = clip.tokenize(text)
    if key_of(clip, tokens) is None:  # a schedule on the encoder, among others
        return clip.encode_from_tokens_scheduled(tokens)
    return [list(encoded(clip, tokens))]


def segments_of(scene: Scene, boxes: Sequence[Box], apart: bool) -> tuple[Segment, ...]:
    """The prompt as it was learned, boxes stated: blocks of XML to be read apart, or the template as a whole."""
    return render_xml(scene, boxes) if apart or not scene.characters else render_json(scene, boxes)


def encode(
    clip: CLIP, scene: Scene, boxes: Sequence[Box], mode: str, options: Options = NEUTRAL, masks: Masks = ()
) -> Conditioning:
    """boxes: one for each character, in order (xml_prompt.layout). A scene without characters is encoded plainly."""
    people = People(
        places(scene, boxes, masks),
        tuple(character.gender or "" for character in scene.characters) if options.gender_strength > 0 else (),
    )
    if reads_chunks(clip):
        if mode == OFF:
            return encode_plain(clip, text_of(render_tags(scene)))
        return encode_runs(clip, tag_runs(scene), people, mode, options)
    mode = resolve(clip, mode)
    if mode == OFF:
        return encode_plain(clip, text_of(render_xml(scene, [character.box for character in scene.characters])))
    if not scene.characters and not any(segment.weighted for segment in render_xml(scene)):
        return encode_plain(clip, text_of(render_xml(scene)))
    segments = segments_of(scene, boxes, closed_by(mode, options).encoder)
    return encode_segments(clip, segments, people, mode, options)


def encode_negative(
    clip: CLIP,
    scene: Scene,
    boxes: Sequence[Box],
    mode: str,
    text: str,
    options: Options = NEUTRAL,
    masks: Masks = (),
) -> Conditioning:
    """text: what the whole picture must not have. Beside it, with a share of options.swapped, the same prompt with the
    characters exchanged: the host adds entries up by their strengths, so that guidance leads away from mix-ups too.
    """
    share, unwanted = options.swapped, encode_unwanted(clip, scene, boxes, mode, text, options, masks)
    if share == 0 or len(scene.characters) < 2:
        return unwanted
    exchanged = encode(clip, swapped(scene), boxes, mode, options, masks)
    return weakened(unwanted, 1 - share) + weakened(exchanged, share)


def weakened(entries: Conditioning, share: float) -> Conditioning:
    """None at all for a share of 0."""
    return [[text, {**extra, "strength": share * extra.get("strength", 1.0)}] for text, extra in entries if share > 0]


def encode_unwanted(
    clip: CLIP, scene: Scene, boxes: Sequence[Box], mode: str, text: str, options: Options, masks: Masks
) -> Conditioning:
    """Plain where no character states a negative, and in mode off.

    A girl's negative may well name boys: genders are not masked here. Chunks are never plain but in mode off: the host
    would read weights where parentheses belong to a name.
    """
    people = People(places(scene, boxes, masks), ())
    if reads_chunks(clip) and mode != OFF:
        return encode_runs(clip, negative_tag_runs(scene, text), people, mode, options)
    mode = resolve(clip, mode)
    if mode == OFF or not any(character.negative for character in scene.characters):
        return encode_plain(clip, text)
    stated = boxes if closed_by(mode, options).encoder else [None] * len(boxes)  # boxes in XML are for reading apart
    return encode_segments(clip, render_negatives(scene, stated, text), people, mode, options)


def check_schedule(clip: CLIP) -> None:
    """Raises ValueError where the encoder changes in the course of the steps: one plan has one text."""
    if clip.use_clip_schedule and clip.patcher.forced_hooks is not None:
        raise ValueError(
            "Isolated characters can't follow a schedule on the text encoder: turn schedule_clip of Set CLIP Hooks "
            "off, or set the mode of Encode Characters to off."
        )


def encode_segments(
    clip: CLIP, segments: Sequence[Segment], people: People, mode: str, options: Options
) -> Conditioning:
    """NewBie and Lumina 2. mode: strict or gentle."""
    check_schedule(clip)
    closed, caption = closed_by(mode, options), CaptionTokens(genders=any(people.genders))
    pooled = text_of(segment for segment in segments if segment.owner == SHARED or not closed.pooled)
    encode_text = encode_apart if closed.encoder else encode_jointly
    features, extra = encode_text(clip, segments, caption, pooled)
    plan = people.plan(caption.owner, caption.weight, caption.named, closed, options)
    return conditioning(features, extra, IsolatedForward(plan))


def encode_runs(
    clip: CLIP, runs: Sequence[TagRun], people: People, mode: str, options: Options
) -> Conditioning:
    """SD1.5, SD2 and SDXL: chunks of tags -> one entry, without a plan where there is nothing to keep."""
    check_schedule(clip)
    check_chunk_options(options)
    closed = closed_by(STRICT if mode == AUTO else resolve(clip, mode), options)
    chunks = chunks_of(clip, runs)
    features, extra = read_chunks(clip, chunks)
    owner = [chunk.owner for chunk in chunks for _ in chunk.weight]
    weight = [one for chunk in chunks for one in chunk.weight]
    named = [one for chunk in chunks for one in chunk.named]
    plan = people.plan(owner, weight, named, closed, options)
    if plan.neutral:
        return [[features, extra]]
    shared = features[:, torch.tensor(owner) == SHARED]  # a ControlNet has a cross-attention of its own, without places
    return conditioning(features, {**extra, "cross_attn_controlnet": shared}, IsolatedUNetForward(plan))
