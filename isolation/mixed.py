"""Whether another node has mixed other text into an isolated prompt, as the host's ConditioningAverage does."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cosine_similarity

ALIKE = 1 - 1e-4  # a token's features scaled and rounded to bfloat16 are within 1e-5; 5 % of other text is beyond

SENTENCE = (
    "NewBie: another node has averaged the isolated prompt with other text, token by token, and each token stays with "
    "the character that owned it before: where the two prompts' characters differ in length, words of one reach the "
    "other. Join the prompts with Conditioning (Combine), or encode them as one."
)


def mixed(features: Tensor, text: Tensor) -> bool:
    """features [1, L, D] as they were encoded; text [B, L, D] as the model gets it, scaled or zeroed at will."""
    if text.shape[1:] != features.shape[1:]:
        return False  # refused in a sentence of its own, by the forward that it comes to
    alike = cosine_similarity(features.to(text).float(), text.float(), dim=-1).abs()  # [B, L]
    return bool(((alike < ALIKE) & text.any(-1)).any())
