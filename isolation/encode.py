"""Scene + boxes + CLIP -> positive and negative CONDITIONING, in one of three modes (plan.py).

strict   every segment of the XML is encoded on its own behind the shared prefix, so that no character's text has read
         another's; the pooled vector is of the whole prompt
gentle   one joint encode of the template in which the released weights learned boxes; the joint layers alone are
         isolated
off      the host's own encode of the prompt as written

The encoders of SD1.5, SD2 and SDXL read plain tags in chunks (clip_text.py), every character's alone in strict and
gentle; auto means strict there: such a model reads every chunk of a long prompt alone as it is.

A character's negatives are read within its own region of the negative CONDITIONING, in strict and gentle. Weights of
tags hold in strict and gentle; off is the host's way, which has none for NewBie's prompts.

LoRAs of the prompt act in all modes, in the positive and the negative CONDITIONING alike: a character's on its own text
and place alone in strict and gentle, on the whole picture in off (lora.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

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
    with_system,
    without_system,
)
from .carrier import Conditioning, conditioning
from .clip_text import chunks_of, read_chunks
from .gemma_text import Reader, encode_apart, encode_jointly, encoded, key_of, refuse_clip_skip
from .nextdit import IsolatedNextDiT
from .plan import (
    AUTO,
    CLOSED,
    NEUTRAL,
    OFF,
    STRICT,
    Options,
    Plan,
    Region,
    check_for_clip_text,
    fractions,
    resolve,
    settled,
)
from .unet import IsolatedUNet

if TYPE_CHECKING:  # nothing of it runs for a prompt without LoRAs
    from .lora import Loras, Worn

Masks = Sequence[Tensor | None]  # [h, w] in 0..1, one a character; None, or no entry, leaves a character its box
EVERYWHERE = Plan((), ())
MOST_TOKENS = 8192  # that Jina reads at once; far more than any of these models was trained on
CLIP_ENCODERS = ({"l"}, {"h"}, {"l", "g"})  # of SD1.5, SD2 and SDXL, by the host's names
POSITIVE, NEGATIVE = "prompt", "negative prompt"  # which of the two a sentence is about


def reads_chunks(clip: CLIP) -> bool:
    """Is it the CLIP of an SD1.5, SD2 or SDXL checkpoint?"""
    return set(clip.tokenize("", disable_weights=True)) in CLIP_ENCODERS


def places(scene: Scene, boxes: Sequence[Box], masks: Masks) -> tuple[Region, ...]:
    """Every character's region: a mask stands in for its box, gaps that interactions open stay."""
    where = list(fractions(regions(scene, boxes)))
    for index, mask in enumerate(masks):
        if mask is not None:
            where[index] = (mask, *where[index][1:])
    return tuple(where)


def check_length(tokens: int, name: str) -> None:
    """Raises ValueError before anything is encoded that the model could not read, or no memory would hold."""
    if tokens > MOST_TOKENS:
        raise ValueError(f"The {name} has {tokens:,} tokens, but at most {MOST_TOKENS:,} can be read: shorten it.")


def length_of(tokens: dict[str, Any]) -> int:
    """Tokens of the encoder that has the most, as the host's tokenize gives them."""
    return max(sum(map(len, own)) for own in tokens.values() if isinstance(own, list))


def encode_plain(
    clip: CLIP, text: str, plan: Plan = EVERYWHERE, worn: Worn | None = None, name: str = POSITIVE
) -> Conditioning:
    """The host's own way, exactly as its CLIP Text Encode node does it; a text that stays is not read again.

    plan: where LoRAs act. name: POSITIVE or NEGATIVE, in all that follows. Raises ValueError for too long a text.
    """
    tokens, readers = clip.tokenize(text), of_text(worn)
    check_length(length_of(tokens), name)
    refuse_clip_skip(clip, tokens)
    if key_of(clip, tokens) is None:  # a schedule on the encoder, among others
        with readers.reading(clip, []) if readers else nullcontext():
            entries = clip.encode_from_tokens_scheduled(tokens)
    else:
        entries = [list(encoded(clip, tokens, readers))]
    loras = of_model(worn, plan)
    if loras is None:
        return entries
    forward = (IsolatedUNet if reads_chunks(clip) else IsolatedNextDiT)(plan, loras)
    return [entry for features, extra in entries for entry in conditioning(features, extra, forward)]


def of_text(worn: Worn | None) -> Worn | None:
    """None where nothing acts on the text encoders."""
    return worn if worn and worn.weights.text_targets and any(any(one.values()) for one in worn.text) else None


def of_model(worn: Worn | None, plan: Plan) -> Loras | None:
    """None where nothing acts on the model."""
    if worn is None or not any(any(one.values()) for one in worn.model):
        return None
    from .lora import Loras

    return Loras(worn, plan)


def wearers(clip: CLIP, scene: Scene, mode: str) -> Worn | None:
    """Who wears which LoRA; None where the scene has none. Raises ValueError, one sentence."""
    if not scene.loras and not any(character.loras for character in scene.characters):
        return None
    from .lora import worn_in

    return worn_in(clip, scene, together=mode == OFF)


def segments_of(scene: Scene, boxes: Sequence[Box], apart: bool) -> tuple[Segment, ...]:
    """The prompt as it was learned, boxes stated: blocks of XML to be read apart, or the template as a whole."""
    return render_xml(scene, boxes) if apart or not scene.characters else render_json(scene, boxes)


def encode(
    clip: CLIP,
    scene: Scene,
    boxes: Sequence[Box],
    mode: str,
    options: Options = NEUTRAL,
    masks: Masks = (),
    size: tuple[int, int] | None = None,
) -> Conditioning:
    """boxes: one for each character, in order (xml_prompt.layout); size: of the latent that they were laid out for.

    A scene without characters is encoded plainly.
    """
    genders = tuple(character.gender or "" for character in scene.characters) if options.gender_strength > 0 else ()
    plan, worn = Plan((), places(scene, boxes, masks), genders, options, size), wearers(clip, scene, mode)
    if reads_chunks(clip):
        if mode == OFF:
            return encode_plain(clip, text_of(render_tags(scene)), plan, worn)
        return encode_runs(clip, tag_runs(scene), plan, mode, worn)
    mode = resolve(clip, mode)
    if mode == OFF:
        boxes = [character.box for character in scene.characters]
        return encode_plain(clip, text_of(render_xml(scene, boxes)), plan, worn)
    if not scene.characters and not any(segment.weighted for segment in render_xml(scene)):
        return encode_plain(clip, text_of(render_xml(scene)), plan, worn)
    plan = replace(plan, options=settled(options, mode))
    return encode_segments(clip, segments_of(scene, boxes, plan.options.encoder == CLOSED), plan, worn)


def encode_negative(
    clip: CLIP,
    scene: Scene,
    boxes: Sequence[Box],
    mode: str,
    text: str,
    options: Options = NEUTRAL,
    masks: Masks = (),
    size: tuple[int, int] | None = None,
) -> Conditioning:
    """text: what the whole picture must not have. Beside it, with a share of options.swapped, the same prompt with the
    characters exchanged: the host adds entries up by their strengths, so that guidance leads away from mix-ups too.
    """
    share, unwanted = options.swapped, encode_unwanted(clip, scene, boxes, mode, text, options, masks, size)
    if share == 0 or len(scene.characters) < 2:
        return unwanted
    exchanged = encode(clip, swapped(scene), boxes, mode, options, masks, size)
    return weakened(unwanted, 1 - share) + weakened(exchanged, share)


def weakened(entries: Conditioning, share: float) -> Conditioning:
    """None at all for a share of 0."""
    return [[text, {**extra, "strength": share * extra.get("strength", 1.0)}] for text, extra in entries if share > 0]


def encode_unwanted(
    clip: CLIP,
    scene: Scene,
    boxes: Sequence[Box],
    mode: str,
    text: str,
    options: Options,
    masks: Masks,
    size: tuple[int, int] | None,
) -> Conditioning:
    """Plain where no character states a negative, and in mode off.

    A girl's negative may well name boys: genders are not masked here. Chunks are never plain but in mode off: the host
    would read weights where parentheses belong to a name.
    """
    plan, worn = Plan((), places(scene, boxes, masks), options=options, size=size), wearers(clip, scene, mode)
    if reads_chunks(clip) and mode != OFF:
        return encode_runs(clip, negative_tag_runs(scene, without_system(text)), plan, mode, worn, NEGATIVE)
    mode = resolve(clip, mode)
    text = text if mode == OFF else with_system(scene.system, text)
    if mode == OFF or not any(character.negative for character in scene.characters):
        return encode_plain(clip, text, plan, worn, NEGATIVE)
    plan = replace(plan, options=settled(options, mode))
    stated = boxes if plan.options.encoder == CLOSED else [None] * len(boxes)  # boxes in XML are for reading apart
    return encode_segments(clip, render_negatives(scene, stated, text), plan, worn, NEGATIVE)


def check_schedule(clip: CLIP) -> None:
    """Raises ValueError where the encoder changes in the course of the steps: one plan has one text."""
    if clip.use_clip_schedule and clip.patcher.forced_hooks is not None:
        raise ValueError(
            "Isolated characters can't follow a schedule on the text encoder: turn schedule_clip of Set CLIP Hooks "
            "off, or set the mode of Encode Characters to off."
        )


def encode_segments(
    clip: CLIP, segments: Sequence[Segment], plan: Plan, worn: Worn | None, name: str = POSITIVE
) -> Conditioning:
    """NewBie and Lumina 2. plan: without its tokens, options settled."""
    check_schedule(clip)
    check_length(length_of(clip.tokenize(text_of(segments), disable_weights=True)), name)
    reader = Reader(clip, any(plan.genders), of_text(worn))
    whole = plan.options.pooled != CLOSED
    pooled = text_of(segment for segment in segments if whole or segment.owner == SHARED)
    encode_text = encode_apart if plan.options.encoder == CLOSED else encode_jointly
    features, extra = encode_text(clip, segments, reader, pooled)
    plan = replace(plan, tokens=tuple(reader.tokens))
    return conditioning(features, extra, IsolatedNextDiT(plan, of_model(worn, plan)))


def encode_runs(
    clip: CLIP, runs: Sequence[TagRun], plan: Plan, mode: str, worn: Worn | None, name: str = POSITIVE
) -> Conditioning:
    """SD1.5, SD2 and SDXL: chunks of tags -> one entry, without a plan where there is nothing to keep.

    plan: without its tokens.
    """
    check_schedule(clip)
    check_for_clip_text(plan.options)
    options = settled(plan.options, STRICT if mode == AUTO else resolve(clip, mode))
    chunks = chunks_of(clip, runs)
    check_length(sum(len(chunk.known) for chunk in chunks), name)
    features, extra = read_chunks(clip, chunks, of_text(worn))
    plan = replace(plan, options=options, tokens=tuple(token for chunk in chunks for token in chunk.known))
    loras = of_model(worn, plan)
    if plan.neutral and loras is None:
        return [[features, extra]]
    shared = features[:, torch.tensor(plan.owners) == SHARED]  # a ControlNet's cross-attention has no places
    return conditioning(features, {**extra, "cross_attn_controlnet": shared}, IsolatedUNet(plan, loras))
