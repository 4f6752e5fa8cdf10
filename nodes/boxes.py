"""What was drawn elsewhere, as the places of a scene's characters: boxes, and painted masks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..xml_prompt import GRID, Box, Scene
from .common import CATEGORY, PIXELS, SceneSocket, check_layout, checked, scene_output, scene_outputs

INSIDE = 0.5


def flat(boxes: Any) -> list[dict[str, Any]]:
    """The host's BOUNDING_BOX is one box, a list of them, or a list for each frame: the first frame counts."""
    if isinstance(boxes, dict):
        return [boxes]
    if not isinstance(boxes, list | tuple):
        raise ValueError(
            "boxes is not a list of boxes: connect Create Bounding Boxes, or another node that outputs boxes."
        )
    return flat(boxes[0]) if boxes and isinstance(boxes[0], list) else list(boxes)


def on_grid(box: dict[str, Any], number: int, width: int, height: int) -> Box:
    """x, y, width and height in pixels -> a box inside the picture. Raises ValueError."""
    try:
        x, y, wide, high = (float(box[name]) for name in ("x", "y", "width", "height"))
    except (KeyError, TypeError, ValueError, OverflowError):
        x = y = wide = high = math.nan
    if not all(map(math.isfinite, (x, y, wide, high))):
        raise ValueError(
            f"Box {number} lacks a valid x, y, width or height in pixels: connect boxes from another node."
        )
    across = [min(max(edge / width, 0.0), 1.0) * GRID for edge in (x, x + wide)]
    down = [min(max(edge / height, 0.0), 1.0) * GRID for edge in (y, y + high)]
    if not (round(across[0]) < round(across[1]) and round(down[0]) < round(down[1])):
        raise ValueError(f"Box {number} lies outside the picture or has no area: draw it again.")
    return Box(*map(float, map(round, (across[0], down[0], across[1], down[1]))))


def placed(scene: Scene, boxes: Sequence[Box]) -> Scene:
    """The first characters in the boxes, one each and in the prompt's order. Raises ValueError for too many."""
    if len(boxes) > len(scene.characters):
        raise ValueError(
            f"There are {len(boxes)} boxes for {len(scene.characters)} characters: draw one per character, in the "
            "prompt's order."
        )
    moved = [replace(who, box=box, more_boxes=()) for who, box in zip(scene.characters, boxes, strict=False)]
    return replace(scene, characters=(*moved, *scene.characters[len(boxes) :]))


# Painted masks: the boxes of the characters that they are painted for


def box_of_mask(mask: Tensor) -> Box:
    """The smallest box of whole grid lines around all of [B, H, W] or [H, W] above INSIDE. Raises ValueError."""
    height, width = mask.shape[-2:]
    inside = (mask > INSIDE).reshape(-1, height, width).any(0)
    rows, columns = (inside.any(axis).nonzero().flatten().tolist() for axis in (1, 0))
    if not rows:
        raise ValueError("The mask is empty: paint where the character is, or disconnect the mask.")
    left, right = _around(columns[0], columns[-1] + 1, width)
    top, bottom = _around(rows[0], rows[-1] + 1, height)
    return Box(left, top, right, bottom)


def _around(first: int, last: int, size: int) -> tuple[float, float]:
    return float(first * GRID // size), float(math.ceil(last * GRID / size))


def masks_of(masks: Tensor | None, characters: int) -> tuple[Tensor | None, ...]:
    """A batch [B, H, W] -> one mask [H, W] a character; None where it is empty.

    Raises ValueError for too many, and for one that is painted so faintly that it has no inside.
    """
    if masks is None:
        return ()
    batch = masks.reshape(-1, *masks.shape[-2:])
    if len(batch) > characters:
        raise ValueError(
            f"There are {len(batch)} masks for {characters} characters: connect one per character, in the prompt's "
            "order."
        )
    for number, mask in enumerate(batch, start=1):
        if 0 < mask.max() <= INSIDE:
            raise ValueError(
                f"Mask {number} is too faint (nowhere above {INSIDE:g}): paint it brighter, or leave it empty to use "
                f"the character's box."
            )
    return tuple(mask if (mask > INSIDE).any() else None for mask in batch)


def with_mask_boxes(scene: Scene, masks: Sequence[Tensor | None]) -> Scene:
    """The scene with the box around each mask stated for its character, in place of all its boxes."""
    characters = list(scene.characters)
    for index, mask in enumerate(masks):
        if mask is not None:
            characters[index] = replace(characters[index], box=box_of_mask(mask), more_boxes=())
    return replace(scene, characters=tuple(characters))


# The node


class NewBieBoxes(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NewBieBoxes",
            display_name="NewBie Boxes",
            category=CATEGORY,
            description="Places a scene's characters in boxes from another node, such as Create Bounding Boxes.",
            search_aliases=["bounding boxes", "bbox", "regions", "place characters", "layout"],
            inputs=[
                SceneSocket.Input("scene", tooltip="The scene from a prompt node."),
                io.BoundingBox.Input(
                    "boxes", socketless=False, force_input=True,
                    tooltip="One box per character, in the prompt's order. Characters without one are laid out as "
                    "usual.",
                ),
                io.Latent.Input(
                    "latent", tooltip="The latent that will be drawn: the boxes are in pixels of its picture."
                ),
            ],
            outputs=scene_outputs(),
        )

    @classmethod
    @checked
    def execute(cls, scene: Scene, boxes: Any, latent: dict[str, Any]) -> io.NodeOutput:
        height, width = (side * PIXELS for side in latent["samples"].shape[-2:])
        found = [on_grid(box, number, width, height) for number, box in enumerate(flat(boxes), start=1)]
        moved = placed(scene, found)
        check_layout(moved)
        return scene_output(moved, scene)
