"""Scene + boxes + CLIP -> positive CONDITIONING, in one of three modes (modes.py).

strict   every segment is encoded on its own behind the shared prefix, so that no character's text has read another's;
         the pooled vector is of the whole prompt
gentle   one joint encode, boxes in the text; the joint layers alone are isolated, for the first half of the steps
off      the host's own encode of the prompt as written

No entry carries an attention_mask: nothing is padded, and padded masks are broken on several versions of the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import torch
from comfy.sd import CLIP
from torch import Tensor

from ..xml_prompt.regions import regions
from ..xml_prompt.render import SHARED, Segment, render_xml, text_of
from ..xml_prompt.scene import Box, Scene
from .conditioning import Conditioning, conditioning
from .modes import OFF, STRICT, resolve
from .plan import Plan, fractions

Token = tuple[Any, float]  # the host's (id or embedding, weight)
GENTLE_UNTIL = 0.5  # of the steps: a model trained on whole prompts loses people when it is isolated to the end


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


def encode_apart(clip: CLIP, segments: Sequence[Segment]) -> tuple[Tensor, dict[str, Any], tuple[int, ...]]:
    """-> features of [start | prefix | every other segment, each read behind the prefix alone], extra, owners."""
    shared = len(list(takewhile(lambda segment: segment.owner == SHARED, segments)))
    start, *prefix = tokens_of(clip, text_of(segments[:shared]))["gemma"][0]
    head = [start, *prefix]
    features, extra = encode_tokens(clip, head, tokens_of(clip, text_of(segments))["jina"])
    parts, owner = [features], [SHARED] * len(head)
    nothing = tokens_of(clip, "")["jina"]
    for segment in segments[shared:]:
        own = tokens_of(clip, segment.text)["gemma"][0][1:]
        parts.append(encode_tokens(clip, head + own, nothing)[0][:, len(head) :])
        owner += [segment.owner] * len(own)
    return torch.cat(parts, 1), extra, tuple(owner)


def encode_jointly(clip: CLIP, segments: Sequence[Segment]) -> tuple[Tensor, dict[str, Any], tuple[int, ...]]:
    """-> features of all segments read as one text, extra, owners."""
    gemma, owner = tokens_of(clip, "")["gemma"][0][:1], [SHARED]
    for segment in segments:
        own = tokens_of(clip, segment.text)["gemma"][0][1:]
        gemma = gemma + own
        owner += [segment.owner] * len(own)
    return *encode_tokens(clip, gemma, tokens_of(clip, text_of(segments))["jina"]), tuple(owner)


def encode_plain(clip: CLIP, text: str) -> Conditioning:
    """The host's own way, exactly as its CLIP Text Encode node does it."""
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def encode(clip: CLIP, scene: Scene, boxes: Sequence[Box], mode: str) -> Conditioning:
    """boxes: one for each character, in order (xml_prompt.layout). A scene without characters is encoded plainly."""
    mode = resolve(clip, mode)
    if mode == OFF or not scene.characters:
        return encode_plain(clip, text_of(render_xml(scene, [character.box for character in scene.characters])))
    segments = render_xml(scene, boxes)
    where = fractions(regions(scene, boxes))
    if mode == STRICT:
        features, extra, owner = encode_apart(clip, segments)
        return conditioning(features, extra, Plan(owner, where))
    features, extra, owner = encode_jointly(clip, segments)
    return conditioning(features, extra, Plan(owner, where, refiner=False, until=GENTLE_UNTIL))
