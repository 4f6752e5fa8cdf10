"""How isolation travels: token features + plan -> one ordinary CONDITIONING entry that brings its isolation along.

What a pass of the model must do rides with the pass's text, among the model's arguments. The wrappers that see to it
serve every pass of a run, whoever's; an IsolationControl in the entry puts them there when a run begins.
"""

from __future__ import annotations

import logging
import sys
import weakref
from contextlib import nullcontext
from functools import lru_cache
from typing import Any, NoReturn

import torch
from comfy.conds import CONDConstant
from comfy.controlnet import ControlBase
from comfy.model_base import BaseModel
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import CallbacksMP, WrapperExecutor, WrappersMP
from comfy_api.torch_helpers.torch_compile import COMPILE_KEY
from torch import Tensor
from torch.nn.functional import cosine_similarity

from ..sampling.steps import progress
from .bias import Bias, bias_of
from .lora import Loras
from .plan import Plan

Conditioning = list[list[Any]]  # [[features [1, L, D], {"pooled_output": ..., ...}], ...]

OVERRIDE = "optimized_attention_override"  # the host's transformer option that every attention call goes through
KEY = "newbie_isolation"  # of the wrappers, and of what comes with the text among the model's arguments
SIZES = 8  # of pictures, whose bias is kept
PROGRESS = "newbie_progress"  # of the transformer options: how far the run was when the step began

ALIKE = 1 - 1e-4  # a token's features scaled and rounded to bfloat16 are within 1e-5; 5 % of other text is beyond

MIXED = (
    "NewBie: another node has averaged the isolated prompt with other text, token by token, and each token stays with "
    "the character that owned it before: where the two prompts' characters differ in length, words of one reach the "
    "other. Join the prompts with Conditioning (Combine), or encode them as one."
)


class IsolatedForward:
    """A DIFFUSION_MODEL wrapper under a plan; subclasses wrap one forward of their model.

    Keeps the bias of the last sizes where it is used, a megabyte or so each: every step needs the same. Making it
    anew took up to 5 % of a step on a GPU, and moving it there in every step would wait for the device in its middle.
    """

    def __init__(self, plan: Plan, loras: Loras | None = None) -> None:
        self.plan, self.free, self.loras = plan, plan.released(), loras
        self.kept: dict[tuple[bool, int, int, torch.device], Bias] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "kept": {}}

    def now(self, options: dict[str, Any]) -> Plan:
        """The plan in this step: itself, or what is left of it before its start and after its end."""
        if (self.plan.options.start, self.plan.options.end) == (0.0, 1.0):
            return self.plan
        passed = options.get(PROGRESS)
        passed = progress(options, options.get("sigmas")) if passed is None else passed
        return self.plan if self.plan.options.start <= passed < self.plan.options.end else self.free

    def bias(self, plan: Plan, rows: int, columns: int, device: torch.device) -> Bias:
        """Of one of this wrapper's two plans, for an image of rows x columns tokens."""
        key = plan is self.free, rows, columns, device
        bias = self.kept.get(key)
        if bias is None:
            bias = bias_of(plan, rows, columns).to(device)
            if len(self.kept) >= SIZES:  # another device's thread may do the same meanwhile
                self.kept.clear()
            self.kept[key] = bias
        return bias


def is_mixed(features: Tensor, text: Tensor) -> bool:
    """Whether another node has mixed other text in, as the host's ConditioningAverage does.

    features [1, L, D] as they were encoded; text [B, L, D] as the model gets it, scaled or zeroed at will.
    """
    if text.shape[1:] != features.shape[1:]:
        return False  # refused in a sentence of its own, by the forward that it comes to
    alike = cosine_similarity(features.to(text).float(), text.float(), dim=-1).abs()  # [B, L]
    return bool(((alike < ALIKE) & text.any(-1)).any())


@lru_cache(maxsize=1)
def say_so() -> None:
    """Once, not in every step."""
    logging.info("NewBie: passes with isolated characters run uncompiled; torch.compile serves the others.")


def uncompiled(executor: WrapperExecutor, *args: Any, **kwargs: Any) -> Tensor:
    """Isolated passes run without torch.compile, whatever compiled the model; every other pass stays compiled.

    Guards decide whether compiled code fits the next call, and the host's TorchCompileModel leaves the options, where
    wrappers and overrides live, out of them: what was traced under one plan would run under another, or under none.
    args: x, t, c_concat, c_crossattn, control, options.
    """
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


class Isolation:
    """What comes with an entry's text into every pass of the model."""

    def __init__(self, forward: IsolatedForward, features: Tensor) -> None:
        self.forward, self.features = forward, features
        self.unseen = 0  # how many entries with it the run has whose text has not been looked at

    @property
    def dtype(self) -> NoReturn:
        """The model asks every argument for it, and so this one where no wrapper has taken it away before."""
        raise ValueError(
            "The isolation of the characters was dropped: a node between Encode Characters and the sampler replaces "
            "the prompt's control. Remove that node, or set the mode of Encode Characters to off."
        )

    def look(self, text: Tensor) -> None:
        """In as many passes as a run has entries, as it waits for the device."""
        if self.unseen > 0:
            self.unseen -= 1
            if is_mixed(self.features, text):
                self.unseen = 0
                logging.warning(MIXED)


def around_apply(executor: WrapperExecutor, *args: Any, **kwargs: Any) -> Tensor:
    """args: x, t, c_concat, c_crossattn, control, transformer_options."""
    isolation = kwargs.get(KEY)
    if isolation is None:
        return executor(*args, **kwargs)
    if not isolation.forward.plan.neutral:
        isolation.look(args[3])
    return uncompiled(executor, *args, **{**kwargs, KEY: isolation.forward})


def around_forward(executor: WrapperExecutor, *args: Any, **kwargs: Any) -> Tensor:
    """Around the diffusion model's own forward."""
    forward: IsolatedForward | None = kwargs.pop(KEY, None)
    if forward is None:
        return executor(*args, **kwargs)
    with forward.loras.acting(executor.class_obj, args[0], args[2]) if forward.loras else nullcontext():
        return forward(executor, *args, **kwargs)


def install(_patcher: ModelPatcher, timestep: Tensor, model_options: dict[str, Any]) -> None:
    """The host's ON_PREPARE_STATE callback, before the passes of every step. model_options: of this run alone.

    How far the run is, is asked here, where the device has little left to do, and not in the middle of its passes.
    """
    options = model_options["transformer_options"]
    options[PROGRESS] = progress(options, timestep)
    wrappers = options.setdefault("wrappers", {})
    for kind, wrapper in ((WrappersMP.APPLY_MODEL, around_apply), (WrappersMP.DIFFUSION_MODEL, around_forward)):
        others = {key: value for key, value in wrappers.get(kind, {}).items() if key != KEY}
        wrappers[kind] = {KEY: [wrapper], **others}  # first, so that it is outside of the model's own


class IsolationControl(ControlBase):
    """Rides as the entry's control, which the host tells of every run before its first step.

    Hooks could carry the wrappers too, but for an entry with hooks, whatever they do, the host (0.30) takes the model
    out of its dynamic memory management, reads the files again and keeps a second copy. And the wrappers must be there
    for every pass: beside an entry with an area, the host gives the isolated text to a copy of that entry
    (create_cond_with_same_area_if_none). Real ControlNets are chained behind this one, or it behind them.
    """

    def __init__(self, isolation: Isolation) -> None:
        super().__init__()
        self.isolation = isolation
        self.preprocess_image = None  # the base's lambda can't be pickled
        # For tiled upscalers, which cut a part out of every control's hint: an empty picture of 12 bytes.
        self.cond_hint_original = torch.zeros(1, 3, 1, 1).expand(1, 3, 64, 64)
        # Of the run that is going on. After an interrupted one nobody calls cleanup, and a CONDITIONING may be kept for
        # long and written down: the model must not hang on it.
        self.patcher: weakref.ref[ModelPatcher] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "patcher": None}

    def pre_run(self, model: BaseModel, percent_to_timestep_function: Any) -> None:
        super().pre_run(model, percent_to_timestep_function)
        self.leave()
        self.patcher = weakref.ref(model.current_patcher)
        model.current_patcher.remove_callbacks_with_key(CallbacksMP.ON_PREPARE_STATE, KEY)
        model.current_patcher.add_callback_with_key(CallbacksMP.ON_PREPARE_STATE, KEY, install)
        self.isolation.unseen += 1
        if self.isolation.forward.loras:
            self.isolation.forward.loras.fit(model)

    def cleanup(self) -> None:
        super().cleanup()
        self.leave()
        self.isolation.unseen = 0

    def leave(self) -> None:
        """The model is again as it was before the run."""
        patcher = self.patcher and self.patcher()
        if patcher is not None:
            patcher.remove_callbacks_with_key(CallbacksMP.ON_PREPARE_STATE, KEY)
        self.patcher = None

    def get_models(self) -> list[ModelPatcher]:
        """The weights of the entry's LoRAs, for the host to load and free."""
        loras = self.isolation.forward.loras
        return super().get_models() + ([loras.weights.patcher] if loras else [])

    def get_control(self, *arguments: Any) -> dict[str, Any] | None:
        """Nothing of its own."""
        return self.previous_controlnet and self.previous_controlnet.get_control(*arguments)

    def copy(self) -> IsolationControl:
        """As the host's controls have it: for nodes that change a control's hint."""
        copied = IsolationControl(self.isolation)
        self.copy_to(copied)
        return copied

    def deepclone_multigpu(self, load_device: torch.device, autoregister: bool = False) -> IsolationControl:
        """The bias, and LoRAs' weights, move to wherever they are asked for."""
        clone = self.copy()
        if autoregister:
            self.multigpu_clones[load_device] = clone
        return clone


def conditioning(features: Tensor, extra: dict[str, Any], forward: IsolatedForward) -> Conditioning:
    """One entry, isolated with an unpatched MODEL and any sampler.

    extra: the entry's other values; hooks that the CLIP brought stay.
    """
    isolation = Isolation(forward, features)
    comes_with_text = {**extra.get("model_conds", {}), KEY: CONDConstant(isolation)}
    return [[features, {**extra, "model_conds": comes_with_text, "control": IsolationControl(isolation)}]]
