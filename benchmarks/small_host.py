"""A ComfyUI in this process for benchmarks and tests, and one whose NewBie is small enough for a CPU.

The host detects NewBie by its width, 2304, and its text encoders' sizes are constants. `shrunk` changes those constants
for as long as it is entered, and nothing else: loading, encoding and sampling are the host's own code.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent


def prepare(host: str, cpu: bool = True) -> None:
    """Puts the host and this pack, as newbie_pack, where they can be imported. Before anything of the host's is."""
    folder = Path(host).resolve()
    if not (folder / "comfy" / "options.py").is_file():
        sys.exit(f"{host or 'NEWBIE_HOST'} does not name a ComfyUI folder: set NEWBIE_HOST, or say --host FOLDER.")
    sys.path.insert(0, str(folder))
    from comfy.cli_args import args  # the host parses no command line unless its own main.py asks it to

    args.cpu = cpu
    args.use_pytorch_cross_attention = True
    if "newbie_pack" not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            "newbie_pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
        )
        assert spec is not None and spec.loader is not None  # the file is this folder's neighbour
        module = importlib.util.module_from_spec(spec)
        sys.modules["newbie_pack"] = module
        spec.loader.exec_module(module)


def gemma_config(values: dict[str, Any]) -> Any:
    """The host's 4B configuration with some values changed; without any, itself."""
    from comfy.text_encoders.llama import Gemma3_4B_Config
    from newbie_pack.model_loader.mini import GemmaConfig

    return GemmaConfig(**values) if values else Gemma3_4B_Config()


@contextlib.contextmanager
def shrunk(sizes: Any) -> Iterator[None]:
    """Within, the host's NewBie, Gemma 3 4B and Jina CLIP v2 have these sizes (fullsize_files.Sizes)."""
    import comfy.model_detection
    from comfy.text_encoders import jina_clip_2, llama
    from newbie_pack.model_loader import kinds
    from newbie_pack.model_loader.mini import GemmaConfig

    detect = comfy.model_detection.detect_unet_config

    def detect_small(tensors: dict[str, Any], prefix: str, metadata: Any = None) -> Any:
        found = detect(tensors, prefix, metadata=metadata)
        small = found and found.get("dim") == sizes.diffusion["dim"]
        return dict(sizes.diffusion) if small else found

    gemma = (sizes.gemma["hidden_size"], sizes.gemma["num_hidden_layers"])
    with contextlib.ExitStack() as stack:
        for target, name, value in (
            (comfy.model_detection, "detect_unet_config", detect_small),
            (llama, "Gemma3_4B_Config", partial(GemmaConfig, **sizes.gemma)),
            (jina_clip_2, "XLMRobertaConfig", partial(jina_clip_2.XLMRobertaConfig, **sizes.jina)),
            (kinds, "NEWBIE_WIDTH", sizes.diffusion["dim"]),
            (kinds, "GEMMA_4B", gemma),
        ):
            stack.enter_context(mock.patch.object(target, name, value))
        yield
