"""What the nodes share: category, socket type, and how a node shows what was repaired in a prompt."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui

from ..xml_prompt import Box, Scene, layout, to_xml

CATEGORY = "NewBie"
SceneSocket = io.Custom("NEWBIE_SCENE")


def warnings_text(scene: Scene) -> str:
    """One warning a line, with its place in the prompt; empty where there is nothing to say."""
    return "\n".join(
        f"line {warning.line}, column {warning.column}: {warning.message}" if warning.line else warning.message
        for warning in scene.warnings
    )


def scene_output(scene: Scene) -> io.NodeOutput:
    """The two outputs of every prompt node: the scene and its canonical XML; its warnings are shown on the node."""
    warnings = warnings_text(scene)
    return io.NodeOutput(scene, to_xml(scene), ui=ui.PreviewText(warnings) if warnings else None)


def aspect_of(latent: dict[str, Any] | None) -> float:
    """Width / height of the picture that the latent will become; 1 without one."""
    if latent is None:
        return 1.0
    height, width = latent["samples"].shape[-2:]
    return width / height


def boxes_of(scene: Scene, latent: dict[str, Any] | None) -> tuple[Box, ...]:
    return layout(scene, aspect_of(latent))
