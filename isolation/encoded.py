"""What a text encoder made of a text, kept for the next prompt: a character that has not changed is not read again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from comfy.sd import CLIP
from torch import Tensor

Encoded = tuple[Tensor, dict[str, Any]]  # features [1, L, D], the entry's other values

_ATTRIBUTE = "newbie_encoded"  # on clip.cond_stage_model: kept as long as the encoder, and by its clones
ENTRIES = 64  # some 3 MB each at Gemma's 2,560 numbers a token


def key_of(clip: CLIP, tokens: dict[str, Any]) -> Hashable | None:
    """What the encoding depends on; None where it can't be told (embeddings in the text, hooks on the encoder)."""
    if clip.patcher.forced_hooks is not None or clip.apply_hooks_to_conds is not None:
        return None
    if not all(isinstance(own, list) for own in tokens.values()):  # some encoders' tokens are more than text
        return None
    ids = tuple((name, tuple(tuple(tuple(token) for token in batch) for batch in own)) for name, own in tokens.items())
    if not all(isinstance(token[0], int) for _, own in ids for batch in own for token in batch):
        return None
    replaced = clip.patcher.object_patches.items()  # modules and settings
    if not all(isinstance(patch, Hashable) for _, patch in replaced):
        return None
    return clip.patcher.patches_uuid, clip.layer_idx, frozenset(replaced), ids  # a LoRA gives the patcher another uuid


def encoded(clip: CLIP, tokens: dict[str, Any]) -> Encoded:
    """The host's encode_from_tokens, or what it gave for the same tokens and weights of the encoder before."""

    def encode() -> Encoded:
        extra = clip.encode_from_tokens(tokens, return_pooled=True, return_dict=True)
        return extra.pop("cond"), extra

    key = key_of(clip, tokens)
    if key is None:
        return encode()
    store: OrderedDict[Hashable, Encoded] = getattr(clip.cond_stage_model, _ATTRIBUTE, None) or OrderedDict()
    setattr(clip.cond_stage_model, _ATTRIBUTE, store)
    if key in store:
        store.move_to_end(key)
    else:
        store[key] = encode()
        if len(store) > ENTRIES:
            store.popitem(last=False)
    features, extra = store[key]
    return features.clone(), {k: v.clone() if isinstance(v, Tensor) else v for k, v in extra.items()}
