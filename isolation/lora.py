"""LoRAs of a prompt at work: whose they are, their weights under the host's memory management, hooks for one forward.

The weights are a module of their own, which the host loads and frees like a ControlNet's (ControlBase.get_models). For
one forward of the model, hooks on its layers add what lora_layers.py tells, to each token as much as is its owner's
(lora_gates.py); then they are gone, and nothing was written into the model's own weights.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import comfy.lora
import folder_paths
from comfy import model_management
from comfy.ldm.lumina.model import NextDiT
from comfy.model_base import BaseModel
from comfy.model_patcher import ModelPatcher
from comfy.ops import cast_bias_weight
from comfy.quant_ops import QuantizedTensor
from comfy.sd import CLIP
from torch import Tensor, nn

from ..sentences import log
from ..xml_prompt import SHARED, Scene
from .lora_files import Layers, find, layer_name, read
from .lora_gates import EVERYTHING, Gates, PictureGates, Strengths, TextGates, nextdit_place, text_place, unet_place
from .lora_layers import Decomposed, Host, Layer, Target, hooked, layer_of
from .plan import WHOLE, Plan, Rectangle

PLACES = 32  # sizes of pictures, and places of tiles, whose gates are kept
HALVINGS = 6  # of a UNet's picture, at most
_ATTRIBUTE = "newbie_loras"  # on clip.cond_stage_model: those of the last prompt, so that the next does not read again


# ------------------------------------------------------------------ weights


class Stack(nn.Module):
    """The weights of several LoRAs, by the layers that they change. Which model's layers those are shows in fit."""

    def __init__(self, names: Sequence[str], files: Sequence[Layers], takes: Callable[[str], bool]) -> None:
        """takes: whether a layer of this name belongs here."""
        super().__init__()
        self.names = tuple(names)
        found: dict[str, list[tuple[int, Any]]] = {}
        for number, layers in enumerate(files):
            for name in filter(takes, layers):
                found.setdefault(name, []).append((number, layers[name]))
        self.layers = nn.ModuleDict({name: layer_of(some) for name, some in found.items()})

    def fit(self, known: Mapping[str, Any], network: nn.Module, prefix: str = "") -> list[Target]:
        """known: the host's names of LoRA layers -> a weight's key, or (key, (0, first row, rows)).

        Raises ValueError for a LoRA none of whose layers is the network's, or whose sizes are others.
        """
        keys = {layer_name(name): key for name, key in known.items()}
        targets, lost = [], [0] * len(self.names)
        for name, layer in self.layers.items():
            key, offset = keys[name] if isinstance(keys.get(name), tuple) else (keys.get(name), None)
            if key is None or not key.endswith(".weight"):
                for number in layer.numbers:
                    lost[number] += 1
                continue
            path = key.removeprefix(prefix).removesuffix(".weight")
            rows = None if offset is None else (offset[1], offset[2])
            self.check(layer, network.get_submodule(path).weight, rows, path)
            targets.append(Target(path, layer, rows))
        used = set().union(*(target.layer.numbers for target in targets))
        for number, name in enumerate(self.names):
            if lost[number] and number not in used:
                raise ValueError(
                    f"{name} was made for another model: this one has none of its layers. Choose a LoRA for this model."
                )
            if lost[number]:
                log.warning("NewBie: %d layers of %s do not exist in this model; they are ignored.", lost[number], name)
        return targets

    def check(self, layer: Layer, weight: Tensor, rows: tuple[int, int] | None, path: str) -> None:
        """Raises ValueError."""
        outputs, inputs = weight.shape[0] if rows is None else rows[1], weight[0].numel()
        if layer.outputs != outputs or layer.inputs not in (None, inputs):
            names = " and ".join(self.names[number] for number in sorted(layer.numbers))
            sizes = f"{layer.outputs} outputs" + ("" if layer.inputs is None else f" of {layer.inputs} inputs")
            raise ValueError(
                f"{names}: made for another model, whose {path} has {sizes}; this one's has {outputs} of {inputs}. "
                "Choose a LoRA for this model."
            )


# ------------------------------------------------------------------ hooks


class HostWeights(Host):
    """Of a model that the host has loaded, wherever its weights are and however quantised."""

    def cast(self, weight: Tensor, x: Tensor) -> Tensor:
        return model_management.cast_to(weight, x.dtype, x.device)

    def weight(self, module: nn.Module, x: Tensor) -> Tensor:
        weight, _ = cast_bias_weight(module, x)
        return weight.dequantize() if isinstance(weight, QuantizedTensor) else weight


Found = list[tuple[nn.Module, Target, str]]  # layers, what is added to them, and what their tokens are


def acting_on(found: Found, gates: Gates) -> AbstractContextManager[None]:
    return hooked([(module, target, partial(gates.of, place)) for module, target, place in found], HostWeights())


def placed(
    targets: Iterable[Target], network: nn.Module, place: Callable[[str], str], worn: Sequence[Strengths]
) -> Found:
    """The targets in this network, but for those without tokens whose LoRAs are characters' alone."""
    found = [(network.get_submodule(target.path), target, place(target.path)) for target in targets]
    everyones = {number for number, strengths in enumerate(worn) if strengths.get(SHARED)}
    return [one for one in found if one[2] != EVERYTHING or one[1].layer.numbers & everyones]


# ------------------------------------------------------------------ of a prompt


class LoraSet:
    """LoRA files, loaded: weights for the model and for the text encoders, shared by all entries of a prompt."""

    def __init__(self, names: Sequence[str], clip: CLIP) -> None:
        """names: in the host's list. Raises ValueError, one sentence."""
        files = [read(name) for name in names]
        known = comfy.lora.model_lora_keys_clip(clip.cond_stage_model, {})
        texts = {layer_name(name) for name in known}
        self.names = tuple(names)
        self.stack = Stack(names, files, lambda name: name not in texts)
        self.text_stack = Stack(names, files, texts.__contains__)
        self.text_targets = self.text_stack.fit(known, clip.cond_stage_model)
        devices = model_management.get_torch_device(), model_management.unet_offload_device()
        self.patcher = ModelPatcher(self.stack, *devices)
        self.text_patcher = ModelPatcher(self.text_stack, clip.patcher.load_device, clip.patcher.offload_device)


def loaded(clip: CLIP, names: Sequence[str]) -> LoraSet:
    """names: in the host's list; those of the last prompt are not read again. Raises ValueError, one sentence."""
    paths = [Path(folder_paths.get_full_path_or_raise("loras", name)) for name in names]
    key = [(path, path.stat().st_mtime_ns, path.stat().st_size) for path in paths]
    kept, weights = getattr(clip.cond_stage_model, _ATTRIBUTE, (None, None))
    if kept != key:
        weights = LoraSet(names, clip)
        setattr(clip.cond_stage_model, _ATTRIBUTE, (key, weights))
    return weights


@dataclass(frozen=True)
class Worn:
    """Who of a scene wears which LoRA; strengths for the model and for the text encoders, by the set's order."""

    weights: LoraSet
    model: tuple[Strengths, ...]
    text: tuple[Strengths, ...]
    people: int

    @contextmanager
    def reading(self, clip: CLIP, owners: Sequence[Sequence[int]]) -> Iterator[None]:
        """On the text encoders, while they read texts whose tokens are these owners'; none: all is shared."""
        model_management.load_models_gpu([self.weights.text_patcher])
        found = placed(self.weights.text_targets, clip.cond_stage_model, text_place, self.text)
        with acting_on(found, TextGates(self.text, owners, self.people, clip.patcher.load_device)):
            yield

    def text_key(self, owners: Sequence[Sequence[int]]) -> Hashable:
        """What the reading of a text depends on."""
        return id(self.weights), tuple(tuple(sorted(s.items())) for s in self.text), tuple(map(tuple, owners))


def worn_in(clip: CLIP, scene: Scene, together: bool) -> Worn | None:
    """None where the scene has no LoRA that does anything. together: everyone's is of the whole picture.

    Raises ValueError, one sentence.
    """
    wearers = (scene.loras, *(character.loras for character in scene.characters))
    found = [(owner, find(one.name), one) for owner, loras in enumerate(wearers) for one in loras]
    names = sorted({name for _, name, one in found if one.strength or one.text_strength})
    if not names:
        return None
    model: list[dict[int, float]] = [{} for _ in names]
    text: list[dict[int, float]] = [{} for _ in names]
    for owner, name, one in found:
        if name in names:
            for worn, strength in ((model, one.strength), (text, one.text_strength)):
                own = worn[names.index(name)]
                own[owner] = own.get(owner, 0.0) + strength
    if together:
        model, text = list(map(shared, model)), list(map(shared, text))
    return Worn(loaded(clip, names), tuple(model), tuple(text), len(scene.characters))


def shared(strengths: Strengths) -> dict[int, float]:
    """Everyone's as one of the whole picture: the strongest, and what is shared on top."""
    theirs = [strength for owner, strength in strengths.items() if owner]
    return {SHARED: strengths.get(SHARED, 0.0) + max(theirs, key=abs, default=0.0)}


class Loras:
    """Those of one entry, on the model: who wears which, and by its plan where everyone is."""

    def __init__(self, worn: Worn, plan: Plan) -> None:
        self.weights, self.worn, self.plan = worn.weights, worn.model, plan
        self.targets: list[Target] = []
        self.found: weakref.WeakKeyDictionary[nn.Module, Found] = weakref.WeakKeyDictionary()
        self.kept: dict[tuple, Gates] = {}

    def fit(self, model: BaseModel) -> None:
        """Before a run: to the model's layers and dtype. Raises ValueError, one sentence."""
        stack = self.weights.stack
        known = comfy.lora.model_lora_keys_unet(model, {})
        self.targets = stack.fit(known, model.diffusion_model, "diffusion_model.")
        self.found = weakref.WeakKeyDictionary()
        dtype = model.get_dtype_inference()
        for parameter in stack.parameters():
            if parameter.dtype != dtype:
                parameter.data = parameter.data.to(dtype)
        for part in stack.modules():
            if isinstance(part, Decomposed):
                part.lengths = None  # another LoRA may have changed the model's weights meanwhile

    def layers(self, network: nn.Module) -> Found:
        if network not in self.found:
            place = nextdit_place if isinstance(network, NextDiT) else unet_place
            found = self.found[network] = placed(self.targets, network, place, self.worn)
            if len(found) < len(self.targets):
                log.info(
                    "NewBie: layers without tokens (modulation) can't take one character's LoRA; they go without it."
                )
        return self.found[network]

    def gates(self, network: nn.Module, x: Tensor, text: Tensor, places: Sequence[Rectangle]) -> Gates:
        """Raises ValueError where the text is not the one that was encoded."""
        key = tuple(x.shape[-2:]), text.shape[1], tuple(places), x.device
        if key not in self.kept:
            owners = self.plan.owners if any(self.plan.owners) else (SHARED,) * text.shape[1]
            if len(owners) != text.shape[1]:
                raise ValueError(
                    f"The prompt with LoRAs has {len(owners)} tokens, but the model was given {text.shape[1]}: "
                    "remove the node that joins conditionings after Encode Characters."
                )
            if len(self.kept) >= PLACES:
                self.kept.clear()
            sizes = grids(network, *x.shape[-2:])
            self.kept[key] = PictureGates(self.worn, self.plan, owners, sizes, x.device, places)
        return self.kept[key]

    def acting(
        self, network: nn.Module, x: Tensor, text: Tensor, places: Sequence[Rectangle] = (WHOLE,)
    ) -> AbstractContextManager[None]:
        """On the model's forward of x [B, C, H, W] and text [B, L, D]; places: what of the picture x shows."""
        return acting_on(self.layers(network), self.gates(network, x, text, places))


def grids(network: nn.Module, height: int, width: int) -> dict[int, tuple[int, int]]:
    """Rows and columns of image tokens by their number, for a latent of this size."""
    sides = [network.patch_size] if isinstance(network, NextDiT) else [2**n for n in range(HALVINGS + 1)]
    made = [(-(-height // side), -(-width // side)) for side in sides]
    return {rows * columns: (rows, columns) for rows, columns in reversed(made)}
