"""How isolation travels: token features + plan -> one ordinary CONDITIONING entry that brings its isolation along.

What a pass of the model must do rides with the pass's text, among the model's arguments (Isolation). One wrapper around
the model's every pass, whoever's, sees to it; an IsolationControl in the entry puts it there when a run begins, tells
where in the picture a tile lies, and clears up behind the run. That the isolation arrives is counted, never assumed:
a run that it does not reach ends with a sentence.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from comfy.conds import CONDConstant
from comfy.controlnet import ControlBase
from comfy.model_base import BaseModel
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import CallbacksMP, WrapperExecutor, WrappersMP
from comfy_api.torch_helpers.torch_compile import COMPILE_KEY, TORCH_COMPILE_KWARGS
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from ..sampling.steps import progress
from ..sentences import log, telling
from .bias import Bias, bias_of
from .plan import HINT, KEY, WHOLE, Plan, Rectangle, coordinates, misfit, on_grid, places_in
from .silhouettes import Sight, Silhouettes, can_be_seen, steps_from

if TYPE_CHECKING:  # nothing of it runs for a prompt without LoRAs
    from .lora import Loras

Conditioning = list[list[Any]]  # [[features [1, L, D], {"pooled_output": ..., ...}], ...]
Options = dict[str, Any]  # the host's transformer_options

OVERRIDE = "optimized_attention_override"  # the host's transformer option that every attention call goes through
PROGRESS = "newbie_progress"  # of the transformer options: how far the run was when the step began
PLACES = 32  # sizes of pictures, and places of tiles, whose bias is kept
ALIKE = 1 - 1e-4  # a token's features scaled and rounded to bfloat16 are within 1e-5; 5 % of other text is beyond

DROPPED = (
    "The isolation of the characters was dropped: a node between Encode Characters and the sampler replaces what the "
    "prompt carries. Remove that node, or set the mode of Encode Characters to off."
)
NOT_REACHED = (
    "The isolation of the characters did not reach the model's attention: another node replaces it. Remove that node, "
    "or set the mode of Encode Characters to off."
)
MIXED = (
    "NewBie: a node averaged the isolated prompt with another, so where the texts differ in length, words of one "
    "character can reach another. Use Conditioning (Combine)."
)
TILED = (
    "NewBie: the picture is drawn in tiles by a node that does not say where each tile lies, so every tile gets all "
    "characters' boxes, as if it were the whole picture. Draw without tiles, or use Tiled Diffusion or Ultimate SD "
    "Upscale."
)
KEPT_OUT = (
    "A prompt with isolated characters can't be saved to a file: it could not be loaded again. Save the XML instead, "
    "or set the mode of Encode Characters to off."
)


@dataclass(frozen=True)
class Compiler:
    """How the host has compiled the model of a pass."""

    settings: Mapping[str, Any]  # torch.compile's arguments
    whole: nn.Module | None  # the compiled network; None where some of its layers are compiled
    dtype: torch.dtype  # that the model computes in

    @property
    def records(self) -> bool:
        """Whether what runs on the device is recorded and played again."""
        backend, mode, options = (self.settings.get(name) for name in ("backend", "mode", "options"))
        recording = mode in ("reduce-overhead", "max-autotune") or (options or {}).get("triton.cudagraphs", False)
        return backend == "cudagraphs" or recording


def is_compiled(module: nn.Module) -> bool:
    """Whether torch.compile gave it; nothing is imported to find out."""
    dynamo = sys.modules.get("torch._dynamo")
    return dynamo is not None and isinstance(module, dynamo.OptimizedModule)


def compiler_of(model: BaseModel) -> Compiler | None:
    """During a pass; None where the host does not know how the model was compiled, or it is not."""
    settings = model.current_patcher.model_options.get(TORCH_COMPILE_KWARGS)
    network = model.diffusion_model
    whole = network if is_compiled(network) else None
    return None if settings is None else Compiler(settings, whole, model.get_dtype_inference())


def plain(network: nn.Module) -> nn.Module:
    """Without its compiled cover."""
    return network._orig_mod if is_compiled(network) else network


def of_any_length(tensor: Tensor, *dimensions: int) -> Tensor:
    """The same, for a graph that takes it with any length in these dimensions, and is not first made for this one.

    Prompts differ in length, and compiling takes as long as hundreds of steps.
    """
    torch._dynamo.maybe_mark_dynamic(tensor, list(dimensions))
    return tensor


@dataclass(frozen=True)
class Pass:
    """One forward of the host's diffusion model."""

    model: nn.Module
    x: Tensor  # [B, C, H, W]
    text: Tensor  # [B, L, D]
    options: Options = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)  # all others
    places: Sequence[Rectangle] = (WHOLE,)  # what of the picture x shows, in one tile or each of B
    compiler: Compiler | None = None  # where it shall run compiled
    sight: Sight | None = None  # where its layers are looked at


class IsolatedForward:
    """What all models share: the plan of a step, and the bias, made once for every size; a subclass knows its model.

    Keeps the bias where it is used, a megabyte or so each: every step needs the same. Making it anew took up to 5 % of
    a step on a GPU, and moving it there in every step would wait for the device in its middle.
    """

    compiles = False  # whether its passes can run compiled
    shows: tuple[type, ...] = ()  # networks whose layers show where the characters are

    def __init__(self, plan: Plan, loras: Loras | None = None) -> None:
        self.plan, self.free, self.loras = plan, plan.released(), loras
        self.kept: dict[tuple[bool, int, int, Sequence[Rectangle], torch.device], Bias] = {}
        self.passes = self.reached = 0  # of this run: those to be isolated, and those whose attention was

    def isolated(self, one: Pass) -> AbstractContextManager[Options]:
        """Around one pass: the options that isolate it.

        Raises ValueError where the plan can't be kept, and RuntimeError afterwards where another node kept it from the
        model.
        """
        raise NotImplementedError

    def now(self, options: Options) -> Plan:
        """The plan in this step: itself, or what is left of it before its start and after its end."""
        start, end = self.plan.options.start, self.plan.options.end
        return self.plan if (start, end) == (0.0, 1.0) or start <= options.get(PROGRESS, 0.0) < end else self.free

    def bias(
        self, plan: Plan, rows: int, columns: int, device: torch.device, places: Sequence[Rectangle] = (WHOLE,)
    ) -> Bias:
        """Of one of this forward's two plans, for an image of rows x columns tokens."""
        key = plan is self.free, rows, columns, tuple(places), device
        bias = self.kept.get(key)
        if bias is None:
            bias = bias_of(plan, rows, columns, places).to(device)
            if len(self.kept) >= PLACES:  # another device's thread may do the same meanwhile
                self.kept.clear()
            self.kept[key] = bias
        return bias

    def count(self, reached: int, wanted: int) -> None:
        """How many layers ran in a pass, and how many were isolated. Raises RuntimeError if some were not.

        None of either is a step that a cache has skipped.
        """
        if reached < wanted:
            raise RuntimeError(NOT_REACHED)
        self.passes += 1
        self.reached += reached > 0


def check_tokens(plan: Plan, text: Tensor) -> None:
    """text [B, L, D], as the model gets it. Raises ValueError if it is not the one that was encoded."""
    if text.shape[1] != len(plan.tokens):
        raise ValueError(
            f"The isolated prompt has {len(plan.tokens)} tokens, but the model received {text.shape[1]}: remove the "
            "node that joins prompts after Encode Characters, or set its mode to off."
        )


@contextmanager
def counted(modules: Iterable[nn.Module], ran: list[nn.Module]) -> Iterator[None]:
    """ran: gets those of the modules that run meanwhile, uncompiled, as often as they do."""
    handles = [module.register_forward_pre_hook(lambda module, _: ran.append(module)) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


# --- what rides with the text ----------------------------------------------------------------------------------------


@dataclass
class Run:
    """What is known of the run that is going on."""

    begun: bool = False  # a pass has come; what is told of a run after that is of the next, this one was interrupted
    entries: int = 0  # with this isolation, as many as said so before the first step
    unseen: int = 0  # of them, whose text has not been looked at
    in_parts: bool = False  # an entry has an area of its own, and is drawn there like a picture
    shape: tuple[int, ...] | None = None  # height and width that the next pass should have
    places: Sequence[Rectangle] | None = (WHOLE,)  # what of the picture it shows; None where that can't be told
    said: set[str] = field(default_factory=set)

    def say(self, sentence: str) -> None:
        """Once a run."""
        if sentence not in self.said:
            self.said.add(sentence)
            log.warning(sentence)


class Isolation:
    """What comes with an entry's text into every pass of the model."""

    def __init__(self, forward: IsolatedForward, features: Tensor) -> None:
        self.forward, self.features = forward, features
        self.run, self.silhouettes = Run(), Silhouettes()

    def __deepcopy__(self, _memo: dict[int, Any]) -> Isolation:
        return Isolation(self.forward, self.features)

    def __reduce_ex__(self, _protocol: Any) -> NoReturn:
        raise ValueError(KEPT_OUT)

    @property
    def dtype(self) -> NoReturn:
        """The model asks every argument for it, and so this one where no wrapper has taken it away before."""
        raise ValueError(DROPPED)

    def has(self, text: Tensor | None) -> bool:
        """Whether it is this entry's own text [B, L, D]."""
        own = self.features
        return text is not None and text.shape[1:] == own.shape[1:] and torch.equal(text[:1].to(own), own)

    def look(self, x: Tensor, text: Tensor) -> None:
        """Warns of what other nodes have made of the text, and of a picture that the layout was not made for.

        At the text in as many passes as a run has entries, as it waits for the device.
        """
        if self.run.unseen > 0:
            self.run.unseen -= 1
            if is_mixed(self.features, text):
                self.run.say(MIXED)
        if self.run.places and set(self.run.places) == {WHOLE} and not self.run.in_parts:
            problem = misfit(self.forward.plan.size, x.shape[-2:])
            if problem:
                self.run.say(f"NewBie: {problem}")

    def seen_in(self, options: Options, places: Sequence[Rectangle]) -> bool:
        """Whether the pass is one of the last steps', which show where in the whole picture the characters are."""
        due = options.get(PROGRESS, 0.0) >= steps_from(options) and set(places) == {WHOLE} and not self.run.in_parts
        return due and can_be_seen(self.forward.plan)

    def watching(self, network: nn.Module, x: Tensor) -> AbstractContextManager[Sight]:
        """Notes it."""
        rows, columns = (-(-side // network.patch_size) for side in x.shape[-2:])
        return self.silhouettes.watching(self.forward.plan, rows, columns)

    def places(self, x: Tensor) -> Sequence[Rectangle]:
        """What of the picture x [B, C, H, W] shows: all of it, or one tile or B of them."""
        places, shape = self.run.places, self.run.shape
        self.run.begun, self.run.shape = True, None
        told = places is not None and len(places) in (1, len(x)) and shape in (None, tuple(x.shape[-2:]))
        if not told:
            if not self.forward.plan.neutral or self.forward.loras:
                self.run.say(TILED)
            return (WHOLE,)
        return [on_grid(place, *x.shape[-2:]) for place in places]


class IsolationCond(CONDConstant):
    """An Isolation among the model's arguments, as the host keeps them."""

    def process_cond(self, batch_size: int, area: Any = None, **kwargs: Any) -> IsolationCond:
        """Before every pass. Raises ValueError if nobody told of the run: what should isolate it is gone."""
        run = self.cond.run
        if not run.entries:
            raise ValueError(DROPPED)
        run.in_parts |= area is not None
        return super().process_cond(batch_size, area=area, **kwargs)


def is_mixed(features: Tensor, text: Tensor) -> bool:
    """Whether another node has mixed other text in, as the host's ConditioningAverage does.

    features [1, L, D] as they were encoded; text [B, L, D] as the model gets it, scaled or zeroed at will.
    """
    if text.shape[1:] != features.shape[1:]:
        return False  # refused in a sentence of its own, by the forward that it comes to
    alike = cosine_similarity(features.to(text).float(), text.float(), dim=-1).abs()  # [B, L]
    return bool(((alike < ALIKE) & text.any(-1)).any())


# --- around every pass -----------------------------------------------------------------------------------------------


def around_apply(executor: WrapperExecutor, *args: Any, **kwargs: Any) -> Tensor:
    """args: x, t, c_concat, c_crossattn, control, transformer_options.

    Here and not around the diffusion model's own forward, which other packs replace by one that asks no wrappers.
    """
    isolation = kwargs.pop(KEY, None)
    if isolation is None:
        return executor(*args, **kwargs)
    x, timestep, concat, text, control, options = args
    model, forward, places = executor.class_obj, isolation.forward, isolation.places(x)
    network = plain(model.diffusion_model)
    seen = isinstance(network, forward.shows) and isolation.seen_in(options, places)
    compiler = compiler_of(model) if forward.compiles else None
    if not forward.plan.neutral:
        isolation.look(x, text)
    as_plain = forward.now(options).neutral and not forward.loras and not seen
    with (
        nullcontext() if as_plain else eager(options, compiler),
        isolation.watching(network, x) if seen else nullcontext() as sight,
        forward.isolated(Pass(network, x, text, options, kwargs, places, compiler, sight)) as options,
        forward.loras.acting(network, x, text, places, compiler and compiler.dtype) if forward.loras else nullcontext(),
    ):
        return executor(x, timestep, concat, text, control, options, **kwargs)


@lru_cache(maxsize=1)
def say_eager() -> None:
    """Once, not in every step."""
    log.info("NewBie: passes with isolated characters run uncompiled; the others use torch.compile.")


def eager(options: Options, compiler: Compiler | None) -> AbstractContextManager[Any]:
    """Isolated passes run without torch.compile, whatever compiled the model, but for what compiled.py calls itself.

    A graph of plain passes would run under any plan, or under none.
    """
    if "torch._dynamo" not in sys.modules:  # torch.compile imports it
        return nullcontext()
    known = hasattr(torch.compiler, "set_stance")
    if COMPILE_KEY in options.get("wrappers", {}).get(WrappersMP.APPLY_MODEL, {}):
        if not known:
            raise RuntimeError(
                "Isolated characters need PyTorch 2.6 or newer with torch.compile: remove the node that compiles the "
                "model, or set the mode of Encode Characters to off."
            )
        if compiler is None:
            say_eager()
    return torch.compiler.set_stance("force_eager") if known else nullcontext()


def install(_patcher: ModelPatcher, timestep: Tensor, model_options: dict[str, Any]) -> None:
    """The host's ON_PREPARE_STATE callback, before the passes of every step. model_options: of this run alone.

    How far the run is, is asked here, where the device has little left to do, and not in the middle of its passes.
    """
    options = model_options["transformer_options"]
    options[PROGRESS] = progress(options, timestep)
    wrappers = options.setdefault("wrappers", {})
    others = {key: value for key, value in wrappers.get(WrappersMP.APPLY_MODEL, {}).items() if key != KEY}
    compiling = {COMPILE_KEY: others.pop(COMPILE_KEY)} if COMPILE_KEY in others else {}  # puts its modules in place
    wrappers[WrappersMP.APPLY_MODEL] = {**compiling, KEY: [around_apply], **others}  # outside of the model's own


# --- the entry -------------------------------------------------------------------------------------------------------


class IsolationControl(ControlBase):
    """Rides as the entry's control, which the host tells of every run before its first step.

    Hooks could carry the wrapper too, but for an entry with hooks, whatever they do, the host (0.30) takes the model
    out of its dynamic memory management, reads the files again and keeps a second copy. And the wrapper must be there
    for every pass: beside an entry with an area, the host gives the isolated text to a copy of that entry
    (create_cond_with_same_area_if_none). Real ControlNets are chained behind this one, or it behind them.
    """

    def __init__(self, isolation: Isolation) -> None:
        super().__init__()
        self.isolation = isolation
        self.preprocess_image = coordinates
        self.manual_cast_dtype = torch.float32  # what a tiled sampler makes of the coordinates
        self.cond_hint_original = coordinates(torch.empty(1, 3, HINT, HINT))
        # Of the run that is going on. After an interrupted one nobody calls cleanup, and a CONDITIONING may be kept for
        # long: the model must not hang on it.
        self.patcher: weakref.ref[ModelPatcher] | None = None

    @telling()
    def pre_run(self, model: BaseModel, percent_to_timestep_function: Any) -> None:
        super().pre_run(model, percent_to_timestep_function)
        self.cond_hint = None  # a tile's, if the last run was interrupted
        self.leave()
        self.patcher = weakref.ref(model.current_patcher)
        model.current_patcher.remove_callbacks_with_key(CallbacksMP.ON_PREPARE_STATE, KEY)
        model.current_patcher.add_callback_with_key(CallbacksMP.ON_PREPARE_STATE, KEY, install)
        if self.isolation.run.begun:
            self.isolation.run = Run()
        if not self.isolation.run.entries:
            self.isolation.silhouettes.forget()
        self.isolation.run.entries += 1
        self.isolation.run.unseen += 1
        self.isolation.run.places = places_in(self.cond_hint_original)
        if self.isolation.forward.loras:
            self.isolation.forward.loras.fit(model)

    def cleanup(self) -> None:
        super().cleanup()
        self.leave()
        forward = self.isolation.forward
        if forward.passes and not forward.reached:
            log.warning("NewBie: %s", NOT_REACHED)
        forward.passes = forward.reached = 0
        self.isolation.run = Run()

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

    def get_control(self, x: Tensor, timestep: Tensor, passed: Options, *rest: Any) -> dict[str, Any] | None:
        """Nothing of its own; asked before every pass, of the picture x [B, C, H, W] or of tiles of it.

        passed: the pass's arguments. Raises ValueError where the entry's text comes without what belongs to it.
        """
        run, hint = self.isolation.run, self.cond_hint
        if KEY not in passed and self.isolation.has(passed.get("c_crossattn")):
            raise ValueError(DROPPED)
        run.places = places_in(self.cond_hint_original if hint is None else hint)
        run.shape = tuple(x.shape[-2:])
        return self.previous_controlnet and self.previous_controlnet.get_control(x, timestep, passed, *rest)

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
    comes_with_text = {**extra.get("model_conds", {}), KEY: IsolationCond(isolation)}
    return [[features, {**extra, "model_conds": comes_with_text, "control": IsolationControl(isolation)}]]
