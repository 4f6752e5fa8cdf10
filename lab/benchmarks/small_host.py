"""A host whose NewBie is small enough for a CPU, for benchmarks and tests.

The host detects NewBie by its width, 2304, and its text encoders' sizes are constants. `shrunk` changes those constants
for as long as it is entered, and nothing else: loading, encoding and sampling are the host's own code.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any
from unittest import mock


def gemma_config(values: dict[str, Any]) -> Any:
    """The host's 4B configuration with some values changed; without any, itself."""
    from comfy.text_encoders.llama import Gemma3_4B_Config

    from ...model_loader.mini import GemmaConfig

    return GemmaConfig(**values) if values else Gemma3_4B_Config()


@contextlib.contextmanager
def shrunk(sizes: Any) -> Iterator[None]:
    """Within, the host's NewBie, Gemma 3 4B and Jina CLIP v2 have these sizes (fullsize_files.Sizes)."""
    import comfy.model_detection
    from comfy.text_encoders import jina_clip_2, llama

    from ...model_loader import identify
    from ...model_loader.mini import GemmaConfig

    detect = comfy.model_detection.detect_unet_config

    def detect_small(tensors: dict[str, Any], prefix: str, metadata: Any = None) -> Any:
        found = detect(tensors, prefix, metadata=metadata)
        small = found and found.get("dim") == sizes.diffusion["dim"]
        return dict(sizes.diffusion) if small else found

    gemma = (sizes.gemma["hidden_size"], sizes.gemma["num_hidden_layers"])
    jina = (sizes.jina["hidden_size"], sizes.jina["num_hidden_layers"])
    with contextlib.ExitStack() as stack:
        for target, name, value in (
            (comfy.model_detection, "detect_unet_config", detect_small),
            (llama, "Gemma3_4B_Config", partial(GemmaConfig, **sizes.gemma)),
            (jina_clip_2, "XLMRobertaConfig", partial(jina_clip_2.XLMRobertaConfig, **sizes.jina)),
            (identify, "NEWBIE_WIDTH", sizes.diffusion["dim"]),
            (identify, "GEMMA_4B", gemma),
            (identify, "JINA_CLIP_2", jina),
        ):
            stack.enter_context(mock.patch.object(target, name, value))
        yield
