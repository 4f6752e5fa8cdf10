"""Stage 5: every character's place in the picture, for nodes that work on masks, boxes or SEGS."""

from __future__ import annotations

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
from ..xml_prompt import Box, Scene, layout, regions, render_tags, text_of
from .common import CATEGORY, SceneSocket, checked

BOXES, GAPS, SILHOUETTES = "boxes", "boxes and gaps", "silhouettes"
# As the Impact Pack's nodes read it: github.com/ltdrdata/ComfyUI-Impact-Pack
SEG = namedtuple("SEG", "cropped_image cropped_mask confidence crop_region bbox label control_net_wrapper")
LABEL, EVERYBODY = re.compile(r"[A-Za-z0-9_. ]+"), "ALL"  # in its wildcards.py; the latter's text is everybody's
Segs = tuple[tuple[int, int], list[SEG]]


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
