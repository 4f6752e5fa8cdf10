"""Whether a source can be taken for one of the loader's inputs: told by headers and the tokenizer.

The loader asks before it loads anything, and `./run models check` asks the same. Standard library.
"""

from __future__ import annotations

import re

from . import identify, tokenizer
from .checkpoint import CheckpointError, unreadable
from .identify import GEMMA, JINA
from .source import Source

TOKENIZERS = {GEMMA: tokenizer.gemma, JINA: tokenizer.jina}
SHARD = re.compile(r"-[0-9]+-of-([0-9]+)")  # at the end of a shard's name, as the libraries that save them call it


def check(found: Source, part: str) -> None:
    """Raises CheckpointError if it is not this part, whole, with its tokenizer."""
    try:
        identify.expect(found.where, found.header, part)
        identify.check_whole(found.where, found.header, part)
    except CheckpointError as problem:
        raise CheckpointError(shards_missing(found) or str(problem)) from problem
    if part in TOKENIZERS and "spiece_model" not in found.header.shapes:
        check_tokenizer(found, part)


def check_tokenizer(found: Source, part: str) -> None:
    if not found.tokenizer:
        raise CheckpointError(
            f"{found.where} has no tokenizer inside (no tensor spiece_model): use the file that was repackaged for "
            f"ComfyUI, such as {identify.NEEDS[part].usual}, or the authors' folder."
        )
    try:
        TOKENIZERS[part](found.tokenizer)
    except OSError as problem:
        raise unreadable(found.tokenizer[0], problem) from problem


def shards_missing(found: Source) -> str:
    """Why a source is not what is needed, where its files' names tell that there are more of them; otherwise empty."""
    ends = [SHARD.search(path.stem) for path in found.paths]
    of = next((int(end[1]) for end in ends if end), 0)
    if of <= len(found.paths):
        return ""
    if found.where in found.paths:
        return (
            f"{found.where} is one of the {of} parts of a model: use the model in one file, or the whole release in "
            "models/diffusers."
        )
    return f"{found.where} has {len(found.paths)} of its {of} parts, and no index: download the whole folder again."
