"""Isolated passes run without torch.compile, whatever compiled the model; every other pass stays compiled.

Guards decide whether compiled code fits the next call, and the host's TorchCompileModel leaves the options, where
wrappers and overrides live, out of them. So what was traced under one plan would run under another, or under none.
"""

from __future__ import annotations

import logging
import sys
from contextlib import nullcontext
from functools import lru_cache
from typing import Any

import torch
from comfy.patcher_extension import WrapperExecutor, WrappersMP
from comfy_api.torch_helpers.torch_compile import COMPILE_KEY
from torch import Tensor


@lru_cache(maxsize=1)
def say_so() -> None:
    """Once, not in every step."""
    logging.info("NewBie: passes with isolated characters run uncompiled; torch.compile serves the others.")


def uncompiled(executor: WrapperExecutor, *args: Any, **kwargs: Any) -> Tensor:
    """An APPLY_MODEL wrapper, outside of all that is compiled. args: x, t, c_concat, c_crossattn, control, options."""
    if "torch._dynamo" not in sys.modules:  # torch.compile imports it
        return executor(*args, **kwargs)
    known = hasattr(torch.compiler, "set_stance")
    if COMPILE_KEY in args[5].get("wrappers", {}).get(WrappersMP.APPLY_MODEL, {}):
        if not known:
            raise RuntimeError(
                "Isolated characters need PyTorch 2.6 or newer beside torch.compile: remove the node that compiles the "
                "model, or set the mode of Encode Characters to off."
            )
        say_so()
    with torch.compiler.set_stance("force_eager") if known else nullcontext():
        return executor(*args, **kwargs)
