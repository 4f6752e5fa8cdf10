"""What the nodes share: category, socket type, and how a node shows what was repaired in a prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from comfy_api.latest import io, ui

from ..sentences import loggable, visible
from ..xml_prompt import Box, PromptError, PromptWarning, Scene, layout, to_xml
from .language import language

CATEGORY = "NewBie"
ASPECTS = (1.0, 2 / 3, 3 / 2, 1 / 2, 2.0)  # width / height
SceneSocket = io.Custom("NEWBIE_SCENE")
OptionsSocket = io.Custom("NEWBIE_ISOLATION_OPTIONS")


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
    """What validate_inputs answers for a prompt: the sentence of its PromptError, or True."""
    try:
        read()
    except PromptError as problem:
        return loggable(problem.text(language()))
    return True


def aspect_of(latent: dict[str, Any] | None) -> float:
    """Width / height of the picture that the latent will become; 1 without one."""
    if latent is None:
        return 1.0
    height, width = latent["samples"].shape[-2:]
    return width / height


def boxes_of(scene: Scene, latent: dict[str, Any] | None) -> tuple[Box, ...]:
    return layout(scene, aspect_of(latent))
