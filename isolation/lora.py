"""LoRAs of a prompt at work: read from their files, whose they are, and hooks for one forward of the model.

The host's own readers tell what a file's tensors are (comfy.lora.load_lora, comfy.weight_adapter). Which model it is
for shows when it meets one: until then its layers go by a name without prefix and dots, the same whoever wrote it.

The weights are a module of their own, which the host loads and frees like a ControlNet's (ControlBase.get_models). For
one forward of the model, hooks on its layers add what lora_layers.py tells, to each token as much as is its owner's;
then they are gone, and nothing was written into the model's own weights.
"""

from __future__ import annotations

import re
import unicodedata
import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Any

import comfy.lora
import comfy.lora_convert
import comfy.utils
import folder_paths
import torch
from comfy import model_management
from comfy.ldm.lumina.model import NextDiT
from comfy.model_base import BaseModel
from comfy.model_patcher import ModelPatcher
from comfy.ops import cast_bias_weight
from comfy.quant_ops import QuantizedTensor
from comfy.sd import CLIP
from comfy.weight_adapter import LoHaAdapter, LoKrAdapter, LoRAAdapter, WeightAdapterBase
from torch import Tensor, nn

from ..model_loader.lora import alphas
from ..sentences import log
from ..xml_prompt import SHARED, Scene
from .carrier import of_any_length
from .lora_layers import (
    CAPTION,
    EVERYTHING,
    IMAGE,
    JOINT,
    Adapter,
    Decomposed,
    Gates,
    Hadamard,
    Host,
    Kronecker,
    Layer,
    Other,
    Pair,
    PictureGates,
    Product,
    Strengths,
    Target,
    TextGates,
    Whole,
    WithLoras,
    exchanged,
    hooked,
    layer_of,
    measure,
    nextdit_place,
    text_place,
    unet_place,
)
from .plan import WHOLE, Plan, Rectangle

PREFIXES = re.compile(
    r"(?:(?:model\.diffusion_model|diffusion_model|base_model\.model|unet|transformer)\."
    r"|lora_unet_|lora_transformer_|lycoris_)+"
)
PLACES = 32  # sizes of pictures, and places of tiles, whose gates are kept
HALVINGS = 6  # of a UNet's picture, at most
_ATTRIBUTE = "newbie_loras"  # on clip.cond_stage_model: those of the last prompt, so that the next does not read again
MAGNITUDE = re.compile(r"(.+)\.lora_magnitude_vector(?:\.default)?(?:\.weight)?")  # of PEFT's DoRA
WHOLE_MODEL = "it can't be split between characters: use it with LoraLoader, for the whole picture"
Layers = dict[str, Pair | Other]


# ------------------------------------------------------------------ files


def layer_name(name: str) -> str:
    """diffusion_model.layers.0.attention.qkv, lora_unet_layers_0_attention_qkv ... -> layers_0_attention_qkv"""
    prefix = PREFIXES.match(name)
    return name[prefix.end() if prefix else 0 :].replace(".", "_")


def find(name: str) -> str:
    """What the host's list calls a LoRA that is written with or without folder and ending. Raises ValueError."""
    known = folder_paths.get_filename_list("loras")
    wanted = name.strip().replace("\\", "/")
    ways = {one: PurePosixPath(one.replace("\\", "/")) for one in known}
    for alike in (str, any_case):
        for part in (str, lambda path: str(path.with_suffix("")), lambda path: path.name, lambda path: path.stem):
            found = [one for one, path in ways.items() if alike(part(path)) == alike(wanted)]
            if len(found) == 1:
                return found[0]
            if found:
                raise ValueError(f"{len(found)} LoRAs are called {name} ({', '.join(found)}): write the folder, too.")
    names = {any_case(part): str(path.with_suffix("")) for path in ways.values() for part in (path.stem, str(path))}
    near = dict.fromkeys(names[one] for one in get_close_matches(any_case(PurePosixPath(wanted).stem), names, 3))
    hint = f"did you mean {' or '.join(near)}?" if near else "put the file into ComfyUI's folder models/loras."
    raise ValueError(f"There is no LoRA called {name}: {hint}")


def any_case(name: str) -> str:
    """Accents as one letter or as two, too: systems write them differently into names of files."""
    return unicodedata.normalize("NFC", name).casefold()


def read(name: str) -> Layers:
    """name: in the host's list. Raises ValueError, one sentence."""
    path = folder_paths.get_full_path_or_raise("loras", name)
    if not path.casefold().endswith(".safetensors"):
        raise ValueError(f"{name} is not a safetensors file; other formats can contain code. Convert it.")
    tensors, metadata = comfy.utils.load_torch_file(path, safe_load=True, return_metadata=True)
    check_numbers(name, tensors)
    tensors = comfy.lora_convert.convert_lora(tensors)
    lengths = {match[1]: tensors.pop(key) for key in list(tensors) if (match := MAGNITUDE.fullmatch(key))}
    try:
        found = with_alphas(name, Path(path), metadata or {}, found_in(tensors))
    except (KeyError, IndexError, RuntimeError) as error:  # of the host's readers
        raise ValueError(f"{name} is damaged: a part of a layer is missing or odd ({error}). Get it anew.") from error
    if not found:
        raise ValueError(f"{name} contains no LoRA that ComfyUI can read: choose another file.")
    tell_unread(name, tensors, found)
    alone = next((stem for stem in lengths if not isinstance(found.get(stem), LoRAAdapter)), None)
    if alone is not None:
        raise ValueError(f"{name} is damaged: {alone} has the lengths of a DoRA without its matrices. Get it anew.")
    return {layer_name(stem): checked_split(name, stem, one, lengths.get(stem)) for stem, one in found.items()}


def check_numbers(name: str, tensors: Mapping[str, Tensor]) -> None:
    """Raises ValueError for numbers that would turn the whole picture black."""
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.element_size() > 1 and not tensor.isfinite().all():
            raise ValueError(f"{name} is damaged: {key} holds NaN or infinite numbers. Get it anew.")


def tell_unread(name: str, tensors: Mapping[str, Tensor], found: Mapping[str, Any]) -> None:
    """Logs what the host's readers leave out."""
    adapters = (one for one in found.values() if isinstance(one, WeightAdapterBase))
    known: set[str] = next((one.loaded_keys for one in adapters), set(tensors))  # they share one set
    unread = [key for key in tensors if key not in known]
    if unread:
        log.warning("NewBie: ComfyUI does not know %d tensors of %s, %s first; they are ignored.",
                    len(unread), name, unread[0])


def with_alphas(name: str, path: Path, metadata: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Plain LoRAs without an alpha get the one that is stated elsewhere. Raises ValueError, one sentence."""
    without = {stem: one for stem, one in found.items() if isinstance(one, LoRAAdapter) and one.weights[2] is None}
    stated = alphas(path, metadata, {stem: one.weights[1].shape[0] for stem, one in without.items()})
    if stated:
        log.info(
            "NewBie: the alpha of %s comes from its metadata or the adapter_config.json beside it; ComfyUI's "
            "LoraLoader does not read it, and applies this LoRA at another strength.", name
        )
    scaled = {}
    for stem, alpha in stated.items():
        up, down, _, *rest = without[stem].weights
        scaled[stem] = LoRAAdapter(without[stem].loaded_keys, (up, down, alpha, *rest))
    return {**found, **scaled}


def found_in(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The host's adapters and patches by the layers' names in the file: everything before a dot may be one."""
    stems = {stem for name in tensors for stem in accumulate(name.split("."), "{}.{}".format)}
    stems |= {name[: name.index("_lora.")] for name in tensors if "_lora." in name}
    found = comfy.lora.load_lora(dict(tensors), {stem: f"{stem}.weight" for stem in sorted(stems)}, log_missing=False)
    return {stem.removesuffix(".weight"): one for stem, one in found.items()}


def checked_split(name: str, stem: str, found: Any, lengths: Tensor | None = None) -> Pair | Other:
    """lengths: of a plain LoRA that is PEFT's DoRA. Raises ValueError as split does, and for what does not fit."""
    try:
        made = split(name, stem, found)
        if isinstance(made, Pair):
            fits = 0 < len(made.down) == made.up.shape[1]
        else:
            fits = made.part.fits
        if lengths is not None:
            fits = fits and isinstance(made, Pair) and lengths.numel() == len(made.up)
            made = Other(Decomposed(product_of(made), made.scale, lengths.flatten(), changed=True), 1.0, len(made.up))
    except (IndexError, AttributeError, RuntimeError):  # a matrix without columns, or lengths that differ
        fits = False
    if not fits:
        raise ValueError(f"{name} is damaged: the matrices of {stem} do not fit each other. Get it anew.")
    return made


def split(name: str, stem: str, found: Any) -> Pair | Other:
    """Raises ValueError for what can't be split by token, or is not a function of the layer's input alone."""
    if isinstance(found, LoRAAdapter) and found.weights[5] is None:
        up, down, alpha, mid, magnitude, _ = found.weights
        pair = Pair(full_kernel(down, mid).flatten(1), up.flatten(1), 1.0 if alpha is None else alpha / down.shape[0])
        if magnitude is None:
            return pair
        return decomposed(name, stem, product_of(pair), pair.scale, magnitude, len(up))
    if isinstance(found, LoHaAdapter) and found.weights[5] is None:
        w1a, w1b, alpha, w2a, w2b, _, _, magnitude = found.weights
        part: Adapter = Hadamard({"w1a": w1a, "w1b": w1b, "w2a": w2a, "w2b": w2b})
        return other(name, stem, part, 1.0 if alpha is None else alpha / w1b.shape[0], magnitude, len(w1a))
    if isinstance(found, LoHaAdapter):  # a convolution's, in Tucker's form
        return other(name, stem, Whole({"weight": difference(found)}), 1.0, found.weights[7], found.weights[0].shape[1])
    if isinstance(found, LoKrAdapter):
        first, second, scale = kronecker_factors(found)
        part = Kronecker({"w1": first, "w2": second})
        return other(name, stem, part, scale, found.weights[8], len(first) * len(second))
    if isinstance(found, tuple) and found[0] == "diff" and found[1][0].ndim > 1:
        weight = found[1][0]
        return Other(Whole({"weight": weight.flatten(1)}), 1.0, len(weight))
    kind = "weights of another kind"
    if isinstance(found, WeightAdapterBase):
        kind = found.name.upper()
    elif found[0] == "diff":
        kind = "a bias or a norm"
    raise ValueError(f"{name} has {kind} for {stem}, and {WHOLE_MODEL}.")


def product_of(pair: Pair) -> Product:
    return Product({"down": pair.down, "up": pair.up})


def full_kernel(down: Tensor, mid: Tensor | None) -> Tensor:
    """down [rank, in], or in Tucker's form with mid [rank, rank, h, w], as one convolution [rank, in, h, w]."""
    return down if mid is None else torch.einsum("pqhw,qi->pihw", mid.float(), down.flatten(1).float()).to(down)


def difference(found: WeightAdapterBase) -> Tensor:
    """[out, in * h * w] as the host makes it, its scale within, its magnitude not."""
    tucker, w1a, w1b = found.weights[5], found.weights[0], found.weights[1]
    shape = (w1a.shape[1], w1b.shape[1], *tucker.shape[2:])
    weights = (*found.weights[:7], None)
    made = type(found)(found.loaded_keys, weights)
    return made.calculate_weight(torch.zeros(shape), "", 1.0, 1.0, None, lambda a: a).flatten(1).to(w1a)


def kronecker_factors(found: LoKrAdapter) -> tuple[Tensor, Tensor, float]:
    """w1 [a, b], w2 [c, d ...] and the scale, which counts only where one of them is a product."""
    w1, w2, alpha, w1a, w1b, w2a, w2b, tucker, _ = found.weights
    rank = None
    if w1 is None:
        w1, rank = (w1a.float() @ w1b.float()).to(w1a), w1b.shape[0]
    if w2 is None:
        rank = w2b.shape[0]
        made = torch.einsum("ijkl,jr,ip->prkl", tucker, w2b, w2a) if tucker is not None else w2a.float() @ w2b.float()
        w2 = made.to(w2a)
    return w1, w2, 1.0 if alpha is None or rank is None else alpha / rank


def other(name: str, stem: str, part: Adapter, scale: float, magnitude: Tensor | None, outputs: int) -> Other:
    if magnitude is None:
        return Other(part, scale, outputs)
    return decomposed(name, stem, part, scale, magnitude, outputs)


def decomposed(name: str, stem: str, part: Adapter, scale: float, magnitude: Tensor, outputs: int) -> Other:
    """Raises ValueError for magnitudes of the inputs: their W (m * x) is no function of W x."""
    if magnitude.shape[0] != outputs:
        raise ValueError(f"{name} states the magnitude (DoRA) of every input of {stem}, and {WHOLE_MODEL}.")
    return Other(Decomposed(part, scale, magnitude.flatten()), 1.0, outputs)


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
        names = " and ".join(self.names[number] for number in sorted(layer.numbers))
        if rows is not None and sum(rows) > weight.shape[0]:
            raise ValueError(
                f"{names} has queries, keys and values apart, as LoRAs for other models have: this model's {path} is "
                "one matrix of other sizes. Choose a LoRA for this model."
            )
        if (layer.outputs, layer.inputs) != (outputs, inputs):
            raise ValueError(
                f"{names}: made for another model, whose {path} has {layer.outputs} outputs of {layer.inputs} inputs; "
                f"this one's has {outputs} of {inputs}. Choose a LoRA for this model."
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
Dressed = list[tuple[str, str, nn.Module]]  # where in the network a layer is, its name there, and it with its LoRAs


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
        self.dressed: weakref.WeakKeyDictionary[Gates, Dressed] = weakref.WeakKeyDictionary()

    def fit(self, model: BaseModel) -> None:
        """Before a run: to the model's layers and dtype. Raises ValueError, one sentence."""
        stack = self.weights.stack
        known = comfy.lora.model_lora_keys_unet(model, {})
        self.targets = stack.fit(known, model.diffusion_model, "diffusion_model.")
        self.found, self.dressed = weakref.WeakKeyDictionary(), weakref.WeakKeyDictionary()
        dtype = model.get_dtype_inference()
        lengths = {part.magnitude for part in stack.modules() if isinstance(part, Decomposed)}
        for parameter in stack.parameters():
            if parameter.dtype != dtype and parameter not in lengths:  # which are divided, in float32
                parameter.data = parameter.data.to(dtype)
        for part in stack.modules():
            if isinstance(part, Decomposed):
                part.lengths = None  # another LoRA may have changed the model's weights meanwhile

    def layers(self, network: nn.Module) -> Found:
        if network not in self.found:
            place = nextdit_place if isinstance(network, NextDiT) else unet_place
            found = self.found[network] = placed(self.targets, network, place, self.worn)
            acting = set().union(*(target.layer.numbers for _, target, _ in found))
            for number, name in enumerate(self.weights.stack.names):
                if any(number in target.layer.numbers for target in self.targets) and number not in acting:
                    raise ValueError(
                        f"{name} changes only layers without tokens (modulation), which no character has alone: apply "
                        "it to the whole picture."
                    )
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
        self, network: nn.Module, x: Tensor, text: Tensor, places: Sequence[Rectangle] = (WHOLE,),
        compiled: torch.dtype | None = None,
    ) -> AbstractContextManager[None]:
        """On the model's forward of x [B, C, H, W] and text [B, L, D]; places: what of the picture x shows.

        compiled: what a model computes in that shall run compiled.
        """
        found, gates = self.layers(network), self.gates(network, x, text, places)
        if compiled is None:
            return acting_on(found, gates)
        if gates not in self.dressed:
            self.dressed[gates] = with_loras(network, found, gates, x.to(compiled), text.shape[1])
        dressed = self.dressed[gates]
        return exchanged((network.get_submodule(parent), name, layer) for parent, name, layer in dressed)


def with_loras(network: nn.Module, found: Found, gates: Gates, x: Tensor, caption: int) -> Dressed:
    """caption: how many tokens."""
    (image,), host = grids(network, *x.shape[-2:]), HostWeights()
    lengths = {JOINT: caption + image, CAPTION: caption, IMAGE: image, EVERYTHING: 1}
    added: dict[str, list[tuple[Target, list[Tensor]]]] = {}
    for module, target, place in found:
        measure(target, host, module, x)
        tokens = x.new_empty((1, 1, 1)).expand(1, lengths[place], 1)
        own = [gates.of(place, tokens, spread) for spread in target.layer.spreads]
        if place in (JOINT, CAPTION):
            own = [of_any_length(gate, gate.ndim - 2) for gate in own]
        added.setdefault(target.path, []).append((target, own))
    return [
        (*path.rpartition(".")[::2], WithLoras(network.get_submodule(path), of_layer, host))
        for path, of_layer in added.items()
    ]


def grids(network: nn.Module, height: int, width: int) -> dict[int, tuple[int, int]]:
    """Rows and columns of image tokens by their number, for a latent of this size."""
    sides = [network.patch_size] if isinstance(network, NextDiT) else [2**n for n in range(HALVINGS + 1)]
    made = [(-(-height // side), -(-width // side)) for side in sides]
    return {rows * columns: (rows, columns) for rows, columns in reversed(made)}
