"""What arrives at a node is checked here, against the node's own schema, so that no node need do it.

The host checks what is typed into a widget, but neither NaN nor whatever is linked; nor does it know what a MODEL is.
"""

from __future__ import annotations

import inspect
import reprlib
import unicodedata
from collections.abc import Callable
from functools import wraps
from numbers import Real
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..isolation.options import Options
from ..sentences import telling
from ..xml_prompt import PromptError, Scene
from .common import language

CONNECT = {  # what to do where a socket has none, or something else
    "MODEL": "connect the MODEL of NewBie Loader or of another loader",
    "CLIP": "connect the CLIP of NewBie Loader or of another loader; some checkpoints have none",
    "VAE": "connect the VAE of NewBie Loader or of another loader; some checkpoints have none",
    "CONDITIONING": "connect an output of NewBie Encode Characters, or of another node that encodes text",
    "LATENT": "connect NewBie Size, or another node that outputs an image latent",
    "MASK": "connect a mask, or nothing",
    "IMAGE": "connect a picture",
    "NEWBIE_SCENE": "connect the scene of a NewBie prompt node",
    "NEWBIE_ISOLATION_OPTIONS": "connect NewBie Isolation Options, or nothing",
}
OURS = {"NEWBIE_SCENE": Scene, "NEWBIE_ISOLATION_OPTIONS": Options}
HAS = {  # what other packs' own kinds of it have, too
    "MODEL": ("model_options", "get_model_object"),
    "CLIP": ("tokenize", "encode_from_tokens"),
    "VAE": ("decode", "latent_channels"),
}


def shown(value: Any) -> str:
    if value is None or isinstance(value, Real):
        return "empty" if value is None else reprlib.repr(value)
    kinds = {str: "text", list: "a list", dict: "a dictionary", Tensor: "a tensor"}
    name = next((name for kind, name in kinds.items() if isinstance(value, kind)), f"of type {type(value).__name__}")
    return f"{name} ({reprlib.repr(value)})" if isinstance(value, str) else name


def problem_of_number(value: Any, item: io.Int.Input | io.Float.Input) -> str | None:
    whole = item.get_io_type() == "INT"
    ask = f"enter a {'whole ' if whole else ''}number from {item.min:g} to {item.max:g}"
    right = isinstance(value, Real) and not isinstance(value, bool) and item.min <= value <= item.max  # NaN is not
    return None if right and (not whole or value == int(value)) else f"is {shown(value)}: {ask}."


def problem_of_choice(value: Any, options: list[str]) -> str | None:
    if value in options:
        return None
    some = ", ".join(map(str, options[:20])) + (" ..." if len(options) > 20 else "")
    return f"is {reprlib.repr(value)}: choose one of {some}."


def problem_of_text(value: Any) -> str | None:
    if not isinstance(value, str):
        return f"is {shown(value)}: enter or connect text."
    half = next((letter for letter in value if unicodedata.category(letter) == "Cs"), None)
    return None if half is None else f"contains half a character (U+{ord(half):04X}): delete it, or type it again."


def problem_of_numbers(tensor: Any) -> str | None:
    if isinstance(tensor, Tensor) and not tensor.isfinite().all():
        return "contains NaN or infinity: the node before it failed without an error. Check its settings."
    return None


def problem_of_conditioning(value: Any) -> str | None:
    wrong = f"is {'empty' if isinstance(value, list) and not value else shown(value)}: {CONNECT['CONDITIONING']}."
    if not isinstance(value, list) or not value:
        return wrong
    for entry in value:
        if not isinstance(entry, list | tuple) or len(entry) < 2 or not isinstance(entry[1], dict):
            return wrong
        if problem := problem_of_numbers(entry[0]) or problem_of_numbers(entry[1].get("pooled_output")):
            return problem
    return None


def problem_of_latent(value: Any) -> str | None:
    samples = value.get("samples") if isinstance(value, dict) else None
    if samples is None or not hasattr(samples, "shape"):
        return f"is {shown(value)}: {CONNECT['LATENT']}."
    if getattr(samples, "is_nested", False) or samples.ndim not in (4, 5):
        return f"is an audio latent, or the latent of a video with sound: {CONNECT['LATENT']}."
    if 0 in samples.shape:
        return f"is empty ({' x '.join(map(str, samples.shape))}): {CONNECT['LATENT']}."
    return problem_of_numbers(samples)


def problem_of_mask(value: Any) -> str | None:
    if not isinstance(value, Tensor) or value.ndim < 2 or 0 in value.shape:
        return f"is {shown(value)}: {CONNECT['MASK']}."
    return problem_of_numbers(value)


def problem_of_image(value: Any) -> str | None:
    if not isinstance(value, Tensor) or value.ndim != 4 or value.shape[-1] not in (1, 3, 4) or 0 in value.shape:
        return f"is {shown(value)}: {CONNECT['IMAGE']}."
    return problem_of_numbers(value)


def problem_of(value: Any, item: io.Input) -> str | None:
    """The rest of a sentence that begins with the input's name, or None where the value will do."""
    kind = item.get_io_type()
    if kind in ("INT", "FLOAT"):
        return problem_of_number(value, item)
    if kind == "COMBO":
        return problem_of_choice(value, item.options)
    if kind == "STRING":
        return problem_of_text(value)
    if kind == "CONDITIONING":
        return problem_of_conditioning(value)
    if kind == "LATENT":
        return problem_of_latent(value)
    if kind == "MASK":
        return problem_of_mask(value)
    if kind == "IMAGE":
        return problem_of_image(value)
    fits = isinstance(value, OURS[kind]) if kind in OURS else all(hasattr(value, n) for n in HAS.get(kind, ()))
    return None if fits else f"is {shown(value)}: {CONNECT[kind]}."


def check_inputs(items: list[io.Input], given: dict[str, Any]) -> dict[str, Any]:
    """What was given, numbers as int and float. Raises ValueError, a sentence for the first input that is wrong."""
    right = dict(given)
    for item in items:
        if isinstance(item, io.DynamicCombo.Input):
            right[item.id] = check_dynamic(item, given.get(item.id))
            continue
        if item.id not in given:
            continue
        if given[item.id] is None and item.optional:  # as if nothing were connected
            del right[item.id]
            continue
        if problem := problem_of(given[item.id], item):
            raise ValueError(f"{item.id} {problem}")
        if item.get_io_type() in ("INT", "FLOAT"):
            right[item.id] = int(given[item.id]) if item.get_io_type() == "INT" else float(given[item.id])
    return right


def check_dynamic(item: io.DynamicCombo.Input, given: Any) -> dict[str, Any]:
    """given: {its own id: the choice, the choice's inputs ...}; None where the host didn't know the choice."""
    chosen = given.get(item.id) if isinstance(given, dict) else None
    options = {option.key: option for option in item.options}
    if problem := problem_of_choice(chosen, list(options)):
        raise ValueError(f"{item.id} {problem}")
    missing = [one.id for one in options[chosen].inputs if one.id not in given]
    if missing:
        raise ValueError(f"{item.id} is {chosen}, but {' and '.join(missing)} are missing: enter them.")
    return check_inputs(options[chosen].inputs, given)


def checked(execute: Callable[..., io.NodeOutput]) -> Callable[..., io.NodeOutput]:
    """Around a node's execute: inputs that are what its schema says, and problems that the host can log."""
    signature = inspect.signature(execute)

    @wraps(execute)
    def run(cls: type[io.ComfyNode], *args: Any, **kwargs: Any) -> io.NodeOutput:
        given = signature.bind_partial(cls, *args).arguments
        inputs = {**dict(list(given.items())[1:]), **kwargs}
        with telling():
            try:
                return execute(cls, **check_inputs(cls.define_schema().inputs, inputs))
            except PromptError as problem:
                problem.args = (problem.text(language()),)
                raise

    return run
