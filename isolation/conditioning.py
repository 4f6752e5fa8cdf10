"""Token features + plan -> the host's CONDITIONING: one ordinary entry that carries its isolation along.

What a pass of the model must do rides with the pass's text, among the model's arguments. The wrappers that see to it
serve every pass of a run, whoever's; an IsolationControl in the entry puts them there when a run begins.
"""

from __future__ import annotations

import logging
from typing import Any, NoReturn

import torch
from comfy.conds import CONDConstant
from comfy.controlnet import ControlBase
from comfy.model_base import BaseModel
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import CallbacksMP, WrapperExecutor, WrappersMP
from torch import Tensor

from .mixed import SENTENCE, mixed
from .planned import PlannedForward
from .uncompiled import uncompiled

Conditioning = list[list[Any]]  # [[features [1, L, D], {"pooled_output": ..., ...}], ...]

KEY = "newbie_isolation"  # of the wrappers, and of what comes with the text among the model's arguments


class Isolation:
    """What comes with an entry's text into every pass of the model."""

    def __init__(self, forward: PlannedForward, features: Tensor) -> None:
        self.forward, self.features = forward, features
        self.run: Tensor | None = None  # the sigmas of the run whose text has been looked at

    @property
    def dtype(self) -> NoReturn:
        """The model asks every argument for it, and so this one where no wrapper has taken it away before."""
        raise ValueError(
            "The isolation of the characters was dropped: a node between Encode Characters and the sampler replaces "
            "the prompt's control. Remove that node, or set the mode of Encode Characters to off."
        )

    def look(self, text: Tensor, options: dict[str, Any]) -> None:
        """Once a run, as it may wait for the device."""
        run = options.get("sample_sigmas")
        if run is not self.run:
            self.run = run
            if mixed(self.features, text):
                logging.warning(SENTENCE)


def around_apply(executor: WrapperExecutor, *args: Any, **kwargs: Any) -> Tensor:
    """args: x, t, c_concat, c_crossattn, control, transformer_options."""
    isolation = kwargs.get(KEY)
    if isolation is None:
        return executor(*args, **kwargs)
    isolation.look(args[3], args[5])
    return uncompiled(executor, *args, **{**kwargs, KEY: isolation.forward})


def around_forward(executor: WrapperExecutor, *args: Any, **kwargs: Any) -> Tensor:
    """Around the diffusion model's own forward."""
    forward = kwargs.pop(KEY, None)
    return executor(*args, **kwargs) if forward is None else forward(executor, *args, **kwargs)


def install(_patcher: ModelPatcher, _timestep: Tensor, model_options: dict[str, Any]) -> None:
    """The host's ON_PREPARE_STATE callback, before the passes of every step. model_options: of this run alone."""
    wrappers = model_options["transformer_options"].setdefault("wrappers", {})
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

    def __init__(self) -> None:
        super().__init__()
        self.preprocess_image = None  # the base's lambda can't be pickled
        self.patcher: ModelPatcher | None = None  # of the run that is going on

    def pre_run(self, model: BaseModel, percent_to_timestep_function: Any) -> None:
        super().pre_run(model, percent_to_timestep_function)
        self.patcher = model.current_patcher
        self.patcher.remove_callbacks_with_key(CallbacksMP.ON_PREPARE_STATE, KEY)
        self.patcher.add_callback_with_key(CallbacksMP.ON_PREPARE_STATE, KEY, install)

    def cleanup(self) -> None:
        super().cleanup()
        if self.patcher is not None:
            self.patcher.remove_callbacks_with_key(CallbacksMP.ON_PREPARE_STATE, KEY)
            self.patcher = None

    def get_control(self, *arguments: Any) -> dict[str, Any] | None:
        """Nothing of its own."""
        return self.previous_controlnet and self.previous_controlnet.get_control(*arguments)

    def deepclone_multigpu(self, load_device: torch.device, autoregister: bool = False) -> IsolationControl:
        """It has no weights, and the codes move to wherever they are asked for."""
        clone = IsolationControl()
        if autoregister:
            self.multigpu_clones[load_device] = clone
        return clone


def conditioning(features: Tensor, extra: dict[str, Any], forward: PlannedForward) -> Conditioning:
    """One entry, isolated with an unpatched MODEL and any sampler.

    extra: the entry's other values; hooks that the CLIP brought stay.
    """
    comes_with_text = {**extra.get("model_conds", {}), KEY: CONDConstant(Isolation(forward, features))}
    return [[features, {**extra, "model_conds": comes_with_text, "control": IsolationControl()}]]
