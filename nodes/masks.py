"""Where a scene's characters are: boxes and painted masks from other nodes; masks, boxes and SEGS for other nodes."""

from __future__ import annotations

import math
import re
from collections import namedtuple
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ..isolation.plan import KEY, PIXELS, Region, fractions
from ..isolation.silhouettes import Silhouettes
from ..xml_prompt import GRID, Box, Scene, layout, regions, render_tags, text_of
from .common import CATEGORY, SceneSocket, check_layout, checked, scene_output, scene_outputs

INSIDE = 0.5  # of a painted mask: what is above
BOXES, GAPS, SILHOUETTES = "boxes", "boxes and gaps", "silhouettes"
# As the Impact Pack's nodes read it: github.com/ltdrdata/ComfyUI-Impact-Pack
SEG = namedtuple("SEG", "cropped_image cropped_mask confidence crop_region bbox label control_net_wrapper")
LABEL, EVERYBODY = re.compile(r"[A-Za-z0-9_. ]+"), "ALL"  # in its wildcards.py; the latter's text is everybody's
Segs = tuple[tuple[int, int], list[SEG]]


# Boxes from elsewhere


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


# Everybody's place in the picture, for nodes that work on masks, boxes or SEGS


def size_of(latent: dict[str, Any] | None, image: Tensor | None) -> tuple[int, int]:
    """Height and width in pixels. Raises ValueError."""
    if image is not None:
        return image.shape[1], image.shape[2]
    if latent is not None:
        return PIXELS * latent["samples"].shape[-2], PIXELS * latent["samples"].shape[-1]
    raise ValueError("The picture's size is unknown: connect its latent or its image.")


def seen_by(conditioning: list | None) -> tuple[Silhouettes, Sequence[Region]]:
    """What the last run saw of a conditioning's characters, and their regions. Raises ValueError."""
    for _, values in conditioning or ():
        if carried := values.get("model_conds", {}).get(KEY):
            if not carried.cond.forward.shows:
                raise ValueError(
                    f"SD1.5, SD2 and SDXL show no silhouettes: choose {BOXES}, or use a node that segments the picture."
                )
            return carried.cond.silhouettes, carried.cond.forward.plan.regions
    raise ValueError(
        "Silhouettes are recorded while a picture is drawn: connect the positive of NewBie Encode Characters (mode "
        f"strict or gentle) and the LATENT of the sampler that drew with it, or choose {BOXES}."
    )


def masks_of_scene(
    scene: Scene, shape: str, boxes: Sequence[Box], height: int, width: int, positive: list | None, picture: int
) -> Tensor:
    """[R, height, width] in 0..1, in the prompt's order. Raises ValueError."""
    if shape == SILHOUETTES:
        found, where = seen_by(positive)
        if len(where) != len(scene.characters):
            raise ValueError(
                f"The scene has {len(scene.characters)} characters, but positive was encoded from one with "
                f"{len(where)}: connect the same scene to both nodes."
            )
        return found.masks(where, picture - 1, height, width)
    where = fractions(regions(scene, boxes))
    if shape == BOXES:
        where = [region[: 1 + len(one.more_boxes)] for region, one in zip(where, scene.characters, strict=True)]
    return torch.stack([inside(region, height, width) for region in where])


def inside(region: Region, height: int, width: int) -> Tensor:
    """[height, width] of 0 and 1; its edges on whole pixels."""
    mask = torch.zeros(height, width)
    for left, top, right, bottom in region:
        mask[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = 1
    return mask


def corners(mask: Tensor) -> tuple[int, int, int, int] | None:
    """left, top, right, bottom in pixels around what is above 0; None where nothing is."""
    rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def grown(box: tuple[int, int, int, int], factor: float, height: int, width: int) -> tuple[int, int, int, int]:
    """The box by so many times its size about its middle, within the picture."""
    left, top, right, bottom = box
    x, y = (right - left) * (factor - 1) / 2, (bottom - top) * (factor - 1) / 2
    return max(0, round(left - x)), max(0, round(top - y)), min(width, round(right + x)), min(height, round(bottom + y))


def segs_of(masks: Tensor, labels: Sequence[str], factor: float) -> Segs:
    """Those who are in the picture at all."""
    height, width = masks.shape[1:]
    found = []
    for mask, label in zip(masks, labels, strict=True):
        box = corners(mask)
        if box is not None:
            left, top, right, bottom = crop = grown(box, factor, height, width)
            found.append(SEG(None, mask[top:bottom, left:right].numpy(), 1.0, list(crop), list(box), label, None))
    return (height, width), found


def frames_of(masks: Tensor) -> list[list[dict[str, int]]]:
    """The host's BOUNDING_BOX: frames of boxes in pixels."""
    found = [corners(mask) or (0, 0, 0, 0) for mask in masks]
    return [[{"x": x, "y": y, "width": right - x, "height": bottom - y} for x, y, right, bottom in found]]


def labels_of(scene: Scene) -> list[str]:
    """One each, as the Impact Pack can read it in a detailer's prompts: the name, or else the character's id."""
    names = [one.name for one in scene.characters]
    plain = (LABEL.fullmatch(name) and name != EVERYBODY and names.count(name) == 1 for name in names)
    return [one.name if told else one.id for one, told in zip(scene.characters, plain, strict=True)]


def detailer_prompts(labels: Sequence[str], prompts: Sequence[str]) -> str:
    """What a detailer's `wildcard` takes: for each SEG the text below its label."""
    return "\n".join(["[LAB]", *(f"[{label}]\n{text}" for label, text in zip(labels, prompts, strict=True))])


def prompt_of(scene: Scene, number: int) -> str:
    """One character's own text, as tags."""
    one = replace(scene, characters=(scene.characters[number],), general=(), caption="", interactions=(), loras=())
    return text_of(render_tags(one)).strip().strip(",")


class NewBieCharacterMasks(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NewBieCharacterMasks",
            display_name="NewBie Character Masks",
            category=CATEGORY,
            description="A mask for every character: its box, or its silhouette as the model saw it while drawing.",
            search_aliases=["mask", "character mask", "segs", "silhouette", "face detailer", "bounding box"],
            inputs=[
                SceneSocket.Input("scene", tooltip="The scene from a prompt node."),
                io.Combo.Input(
                    "shape", options=[BOXES, GAPS, SILHOUETTES], default=BOXES,
                    tooltip="boxes: the layout's boxes. boxes and gaps: including the space that an interaction opens. "
                    "silhouettes: outlines from the sampler's last steps; connect positive and the sampler's latent.",
                ),
                io.Int.Input(
                    "character", default=1, min=1, max=99,
                    tooltip="The character whose mask and prompt the single outputs give, in the prompt's order.",
                ),
                io.Float.Input(
                    "crop_factor", default=2.0, min=1.0, max=10.0, step=0.1, advanced=True,
                    tooltip="How much larger than the character a detailer's crop is. 1 (neutral): the same size.",
                ),
                io.Int.Input(
                    "picture", default=1, min=1, max=4096, advanced=True,
                    tooltip="For silhouettes of a batch: the number of the picture.",
                ),
                io.Latent.Input("latent", optional=True, tooltip="The picture's latent, from the sampler."),
                io.Image.Input("image", optional=True, tooltip="Or the picture itself; only its size is used."),
                io.Conditioning.Input(
                    "positive", optional=True, tooltip="For silhouettes: the positive that the picture was drawn with."
                ),
            ],
            outputs=[
                io.Mask.Output("masks", display_name="masks", tooltip="One per character, in the prompt's order."),
                io.Mask.Output("mask", display_name="mask", tooltip="The chosen character's mask."),
                io.Custom("SEGS").Output("segs", display_name="SEGS", tooltip="For the Impact Pack's detailers."),
                io.BoundingBox.Output("boxes", display_name="boxes", tooltip="The box around each mask, in pixels."),
                io.String.Output("prompt", display_name="prompt", tooltip="The chosen character's own tags."),
                io.String.Output(
                    "prompts", display_name="prompts", is_output_list=True, tooltip="Every character's own tags."
                ),
                io.String.Output(
                    "detailer_prompts", display_name="detailer prompts",
                    tooltip="For the wildcard input of the Impact Pack's detailers, together with SEGS: every "
                    "character's own tags under its label.",
                ),
            ],
        )

    @classmethod
    @checked
    def execute(
        cls, scene: Scene, shape: str, character: int, crop_factor: float = 2.0, picture: int = 1,
        latent: dict[str, Any] | None = None, image: Tensor | None = None, positive: list | None = None,
    ) -> io.NodeOutput:
        if not scene.characters:
            raise ValueError("The scene has no characters: add some to the prompt.")
        if character > len(scene.characters):
            raise ValueError(f"character is {character}, but the scene has {len(scene.characters)}: choose another.")
        height, width = size_of(latent, image)
        masks = masks_of_scene(scene, shape, layout(scene, width / height), height, width, positive, picture)
        prompts = [prompt_of(scene, number) for number in range(len(scene.characters))]
        labels = labels_of(scene)
        return io.NodeOutput(
            masks, masks[character - 1 : character], segs_of(masks, labels, crop_factor), frames_of(masks),
            prompts[character - 1], prompts, detailer_prompts(labels, prompts),
        )
