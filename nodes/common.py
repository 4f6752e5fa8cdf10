"""What the nodes share: sockets, the language they speak, the inputs of several, and what is made sure of and told."""

from __future__ import annotations

import inspect
import json
import reprlib
import unicodedata
from collections.abc import Callable, Sequence
from functools import wraps
from numbers import Real
from pathlib import Path
from typing import Any

import folder_paths
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io, ui
from torch import Tensor

import nodes as host

from ..isolation.plan import KEY, OFF, PIXELS, Options, Plan, misfit
from ..sampling.steps import GUIDANCE_END
from ..sentences import loggable, telling, visible
from ..xml_prompt import Box, PromptError, PromptWarning, Scene, language_of, layout, system_language, to_xml

CATEGORY = "NewBie"
CUSTOM = f"{CATEGORY}/custom sampling"  # parts for SamplerCustomAdvanced, apart from NewBie Sample
SETTINGS = ("Comfy.Locale", "NewBie.Locale")  # what the user chose; what our extension saw the page use
ASPECTS = (1.0, 2 / 3, 3 / 2, 1 / 2, 2.0)  # width / height
SceneSocket = io.Custom("NEWBIE_SCENE")
OptionsSocket = io.Custom("NEWBIE_ISOLATION_OPTIONS")


def language() -> str:
    """`en` or `zh`: the default user's, because a running node is not told whose prompt it is."""
    try:
        file = Path(folder_paths.get_user_directory()) / "default" / "comfy.settings.json"
        settings = json.loads(file.read_text(encoding="utf-8"))
        stated = next((settings[name] for name in SETTINGS if settings.get(name)), None)
    except (OSError, ValueError, AttributeError):
        stated = None
    return language_of(str(stated)) if stated else system_language()


def warnings_text(warnings: Sequence[PromptWarning]) -> str:
    """One warning a line, with its place in the prompt; empty where there is nothing to say."""
    return visible("\n".join(warning.text(language()) for warning in warnings))


def scene_outputs(
    id: str = "scene", scene: str = "The scene for Encode Characters.", xml: str = "The same scene as XML."
) -> list[io.Output]:
    """Of every prompt node's schema; scene and xml are tooltips."""
    return [
        SceneSocket.Output(id, display_name="scene", tooltip=scene),
        io.String.Output("xml_text", display_name="xml", tooltip=xml),
    ]


def scene_output(scene: Scene, before: Scene | None = None) -> io.NodeOutput:
    """What those outputs give: the scene and its canonical XML.

    Its warnings are shown on the node, without those of the scene before, which are on that one's node.
    """
    text = warnings_text(scene.warnings[len(before.warnings) if before else 0 :])
    return io.NodeOutput(scene, to_xml(scene), ui=ui.PreviewText(text) if text else None)


def check_layout(scene: Scene) -> None:
    """Raises the PromptError of a layout that is refused in every usual shape: a prompt does not know its picture's."""
    problems = []
    for aspect in ASPECTS:
        try:
            layout(scene, aspect)
            return
        except PromptError as problem:
            problems.append(problem)
    raise problems[0]


def problem_of(read: Callable[[], Any]) -> bool | str:
    """What validate_inputs answers: the sentence of a ValueError, or True. The host tells it before anything runs."""
    try:
        read()
    except ValueError as problem:
        return loggable(problem.text(language()) if isinstance(problem, PromptError) else str(problem))
    return True


def aspect_of(latent: dict[str, Any] | None) -> float:
    """Width / height of the picture that the latent will become; 1 without one."""
    if latent is None:
        return 1.0
    height, width = latent["samples"].shape[-2:]
    return width / height


def boxes_of(scene: Scene, latent: dict[str, Any] | None) -> tuple[Box, ...]:
    return layout(scene, aspect_of(latent))


# The inputs of more than one sampling node


def guidance_input() -> io.Float.Input:
    return io.Float.Input(
        "guidance", default=7.5, min=0.0, max=100.0, step=0.1, round=0.01,
        tooltip="How closely to follow the prompt. 1 (neutral): no negative, twice as fast (not with cfg_pp).",
    )


def guidance_start_input() -> io.Float.Input:
    return io.Float.Input(
        "guidance_start", default=0.0, min=0.0, max=1.0, step=0.01, advanced=True,
        tooltip="The fraction of the steps at which guidance begins. 0 (neutral): with the first step.",
    )


def guidance_end_input() -> io.Float.Input:
    return io.Float.Input(
        "guidance_end", default=GUIDANCE_END, min=0.0, max=1.0, step=0.01,
        tooltip="The fraction of the steps at which guidance ends. 1 (neutral): guide every step. 0.75 keeps colours "
        "clean at strong guidance and halves the time of the remaining steps (not with cfg_pp).",
    )


def renorm_input() -> io.Float.Input:
    return io.Float.Input(
        "renorm", default=0.0, min=0.0, max=10.0, step=0.05, round=0.01, advanced=True,
        tooltip="Caps the guided prediction at this multiple of the positive prediction's norm, to avoid burnt "
        "pictures; Lumina-Image-2.0 uses 1. 0 (neutral): no cap.",
    )


def sampler_input(samplers: list[str]) -> io.Combo.Input:
    return io.Combo.Input(
        "sampler", options=samplers, default="euler_ancestral",
        tooltip="euler_ancestral uses eta; with eta 0 it is euler. cfg_pp samplers need guidance 1-2 and always run "
        "both passes.",
    )


def eta_input() -> io.Float.Input:
    return io.Float.Input(
        "eta", default=0.3, min=0.0, max=1.0, step=0.05, round=0.01,
        tooltip="How much fresh noise each step adds. 0 (neutral): none, the same picture every time. Only samplers "
        "with ancestral, sde or seeds in their name use it.",
    )


def s_noise_input() -> io.Float.Input:
    return io.Float.Input(
        "s_noise",
        default=1.0,
        min=0.0,
        max=2.0,
        step=0.01,
        round=0.001,
        optional=True,  # graphs saved before it was here stay valid
        advanced=True,
        tooltip="Scales the noise that eta adds: lower is smoother, higher adds texture. 1 is neutral.",
    )


# What arrives at a node is checked here, against the node's own schema, so that no node need do it. The host checks
# what is typed into a widget, but neither NaN nor whatever is linked; nor does it know what a MODEL is.

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


def problem_of_value(value: Any, item: io.Input) -> str | None:
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
        if problem := problem_of_value(given[item.id], item):
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


# What is drawn all the same, and told on the node that draws: what the model was not made for, and lost isolation.
# Nodes that join or mask prompts may pass on the text and nothing else, and nothing in a text tells where it is from:
# the queued graph does.

SIZES = {  # what each model was trained on; the built-in mini first, as in the loader
    "mini 320 x 320": (320, 320),
    "mini 384 x 256": (384, 256),
    "mini 256 x 384": (256, 384),
    "mini 512 x 512": (512, 512),
    "NewBie 1024 x 1024": (1024, 1024),
    "NewBie 1024 x 1536": (1024, 1536),
    "NewBie 1536 x 1024": (1536, 1024),
    "SDXL 1024 x 1024": (1024, 1024),
    "SDXL 832 x 1216": (832, 1216),
    "SDXL 1216 x 832": (1216, 832),
    "SD 1.5 512 x 512": (512, 512),
    "SD 1.5 512 x 768": (512, 768),
    "SD 1.5 768 x 512": (768, 512),
}
MINI_SIZES = [size for name, size in SIZES.items() if name.startswith("mini ")]
PEOPLE = 8  # the most in a picture that the mini was trained on
FAR = 2.0  # times more or fewer pixels, or times longer than wide
GEMMA_4B = 2560  # the width of the full model's text features
LEAST = 512  # pixels a side of the full model's pictures

ENCODE, POSITIVE = "NewBieEncodeCharacters", 0  # the node, and its output
HIDDEN = [io.Hidden.prompt, io.Hidden.unique_id]  # what a node must ask the host for, to know the queued graph
Graph = dict[str, dict[str, Any]]  # node id -> {"class_type": ..., "inputs": {name: value or [node id, output]}}


def plans_of(conditioning: list) -> list[Plan]:
    """Of what Encode Characters made; none of what others did."""
    carried = (values.get("model_conds", {}).get(KEY) for _, values in conditioning)
    return [one.cond.forward.plan for one in carried if one is not None]


def doubt_of_size(config: dict[str, Any], width: int, height: int) -> str | None:
    """config: the diffusion model's, as the host has detected it. width, height: in pixels."""
    drawn = f"This picture is {width} x {height} pixels"
    if config.get("cap_feat_dim") == GEMMA_4B:
        if min(width, height) >= LEAST:
            return None
        return f"{drawn}, but NewBie needs at least {LEAST} on each side: choose 1024 x 1024 or more."
    pixels = [w * h for w, h in MINI_SIZES]
    far = width * height > FAR * max(pixels) or FAR * width * height < min(pixels)
    if not far and max(width, height) <= FAR * min(width, height):
        return None
    known = ", ".join(f"{w} x {h}" for w, h in MINI_SIZES)
    return f"{drawn}, unlike the sizes the mini was trained on: choose one of {known}."


def doubt_of_people(config: dict[str, Any], people: int) -> str | None:
    if people <= PEOPLE or config.get("cap_feat_dim") == GEMMA_4B:
        return None
    return f"The prompt has {people} characters, but the mini was trained on at most {PEOPLE}: leave some out."


def doubts(model: ModelPatcher, positive: list, latent: dict[str, Any]) -> list[str]:
    """Sentences, each once."""
    rows, columns = latent["samples"].shape[-2:]
    plans, config = plans_of(positive), model.model.model_config.unet_config
    found = [misfit(plan.size, (rows, columns)) for plan in plans]
    if config.get("clip_text_dim") is not None:  # NewBie's architecture, of whatever size
        found.append(doubt_of_size(config, PIXELS * columns, PIXELS * rows))
        found += [doubt_of_people(config, len(plan.regions)) for plan in plans]
    return list(dict.fromkeys(one for one in found if one))


def carries_prompts(node: dict[str, Any], output: int) -> bool:
    """Whether this output may be a CONDITIONING; of a node that nobody knows, too."""
    made = getattr(host.NODE_CLASS_MAPPINGS.get(node.get("class_type")), "RETURN_TYPES", None) or ()
    return output >= len(made) or made[output] in ("CONDITIONING", "*")


def sources(graph: Graph, node_id: str, name: str) -> dict[str, list[str]]:
    """The Encode Characters nodes that an input's prompt comes from -> the kinds of nodes on the way to each."""
    found: dict[str, list[str]] = {}
    seen: set[tuple[str, int]] = set()
    to_do = [(graph.get(node_id, {}).get("inputs", {}).get(name), ())]
    while to_do:
        link, way = to_do.pop()
        if not (isinstance(link, list) and len(link) == 2 and link[0] in graph) or tuple(link) in seen:
            continue
        seen.add(tuple(link))
        node, output = graph[link[0]], link[1]
        inputs = node.get("inputs", {})
        if node.get("class_type") == ENCODE:
            if output == POSITIVE and inputs.get("mode") != OFF:
                found[link[0]] = list(way)
        elif carries_prompts(node, output):
            to_do += [(value, (*way, str(node.get("class_type")))) for value in inputs.values()]
    return found


def lost(hidden: Any, positive: list) -> list[str]:
    """A sentence if less isolation arrives in the positive than was made for it. hidden: the node's own."""
    made = sources(getattr(hidden, "prompt", None) or {}, str(getattr(hidden, "unique_id", None)), "positive")
    detours = sorted({kind for way in made.values() for kind in way})
    if not detours or len({id(plan) for plan in plans_of(positive)}) >= len(made):
        return []
    return [
        f"Isolation from NewBie Encode Characters was lost: {' or '.join(detours)} dropped it, so characters may "
        f"mix. Combine prompts with Conditioning (Combine), or connect Encode Characters to this node."
    ]


def with_doubts(found: list[str], *results: Any) -> io.NodeOutput:
    """The node's results, with the sentences on the node; a program finds them among the prompt's outputs."""
    return io.NodeOutput(*results, ui=ui.PreviewText(visible("\n".join(found))) if found else None)
