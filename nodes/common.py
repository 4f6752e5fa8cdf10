"""What the nodes share: category, sockets, the language they speak, how they show warnings, and the sampling inputs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import folder_paths
from comfy_api.latest import io, ui

from ..sampling.steps import GUIDANCE_END
from ..sentences import loggable, visible
from ..xml_prompt import Box, PromptError, PromptWarning, Scene, language_of, layout, system_language, to_xml

CATEGORY = "NewBie"
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


def scene_output(scene: Scene, before: Scene | None = None) -> io.NodeOutput:
    """The two outputs of every prompt node: the scene and its canonical XML.

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


# --- the inputs of more than one sampling node


def guidance_input() -> io.Float.Input:
    return io.Float.Input(
        "guidance",
        default=7.5,
        min=0.0,
        max=100.0,
        step=0.1,
        round=0.01,
        tooltip="How closely to follow the prompt. 1 (neutral): no negative, twice as fast (not with cfg_pp).",
    )


def guidance_start_input() -> io.Float.Input:
    return io.Float.Input(
        "guidance_start",
        default=0.0,
        min=0.0,
        max=1.0,
        step=0.01,
        advanced=True,
        tooltip="The fraction of the steps at which guidance begins. 0 (neutral): with the first step.",
    )


def guidance_end_input() -> io.Float.Input:
    return io.Float.Input(
        "guidance_end",
        default=GUIDANCE_END,
        min=0.0,
        max=1.0,
        step=0.01,
        tooltip="The fraction of the steps at which guidance ends. 1 (neutral): guide every step. 0.75 keeps colours "
        "clean at strong guidance and halves the time of the remaining steps (not with cfg_pp).",
    )


def renorm_input() -> io.Float.Input:
    return io.Float.Input(
        "renorm",
        default=0.0,
        min=0.0,
        max=10.0,
        step=0.05,
        round=0.01,
        advanced=True,
        tooltip="Caps the guided prediction at this multiple of the positive prediction's norm, to avoid burnt "
        "pictures; Lumina-Image-2.0 uses 1. 0 (neutral): no cap.",
    )


def sampler_input(samplers: list[str]) -> io.Combo.Input:
    return io.Combo.Input(
        "sampler",
        options=samplers,
        default="euler_ancestral",
        tooltip="euler_ancestral uses eta; with eta 0 it is euler. cfg_pp samplers need guidance 1-2 and always run "
        "both passes.",
    )


def eta_input() -> io.Float.Input:
    return io.Float.Input(
        "eta",
        default=0.3,
        min=0.0,
        max=1.0,
        step=0.05,
        round=0.01,
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
