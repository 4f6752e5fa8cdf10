"""What a text encoder made of a text, kept for the next prompt: a character that has not changed is not read again.

The tensors lie where the host puts what its encoders give: in main memory, unless it is started with --gpu-only.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from comfy.sd import CLIP

    from .lora import Worn

Encoded = tuple[Tensor, dict[str, Any]]  # features [1, L, D], the entry's other values

_ATTRIBUTE = "newbie_encoded"  # on clip.cond_stage_model: kept as long as the encoder, and by its clones
# Bytes of all kept tensors together. Gemma's 2,560 float32 numbers make 10 KiB a token: room for 26,000 tokens, dozens
# of long prompts with all their characters, and little beside encoders of 9 GB.
LIMIT = 256 * 2**20


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


def encoded(clip: CLIP, tokens: dict[str, Any], worn: Worn | None = None, owners: Sequence[int] = ()) -> Encoded:
    """The host's encode_from_tokens, or what it gave for the same tokens and weights of the encoder before.

    Those unused for the longest make room; what alone is over the limit is not kept. worn: LoRAs of the encoders, each
    on the tokens of its owners; without owners all are everyone's.
    """

    def encode() -> Encoded:
        with worn.reading(clip, [owners]) if worn else nullcontext():
            extra = clip.encode_from_tokens(tokens, return_pooled=True, return_dict=True)
        return extra.pop("cond"), extra

    key = key_of(clip, tokens)
    if key is None:
        return encode()
    key = key, worn and worn.text_key([owners])
    store: OrderedDict[Hashable, Encoded] = getattr(clip.cond_stage_model, _ATTRIBUTE, None) or OrderedDict()
    setattr(clip.cond_stage_model, _ATTRIBUTE, store)
    if key in store:
        store.move_to_end(key)
    else:
        new = encode()
        if size_of(new) > LIMIT:
            return new
        store[key] = new
        size = sum(map(size_of, store.values()))
        while size > LIMIT:
            size -= size_of(store.popitem(last=False)[1])
    features, extra = store[key]  # its readers get a copy: they may write on it
    return features.clone(), {k: v.clone() if isinstance(v, Tensor) else v for k, v in extra.items()}


def size_of(entry: Encoded) -> int:
    """The bytes of its tensors."""
    features, extra = entry
    return sum(value.nbytes for value in (features, *extra.values()) if isinstance(value, Tensor))
