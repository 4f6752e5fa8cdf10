"""What every sampling test samples with: the random mini, and two prompts that differ in length."""

from __future__ import annotations

import pytest


@pytest.fixture
def model(mini):
    return mini[0]


@pytest.fixture
def prompts(mini):
    clip = mini[1]
    return [clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in ("<n>miku</n>", "")]
