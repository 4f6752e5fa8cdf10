"""The layout, drawn: what will stand where, before anything is sampled."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from comfy_api.latest import io, ui

from ..xml_prompt import Scene, regions
from .common import CATEGORY, SceneSocket, boxes_of, checked
from .layout_drawing import draw_layout

PIXELS = 8  # a latent's cell in pixels
SQUARE = (1024, 1024)


class NewBieLayoutPreview(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NewBieLayoutPreview",
            display_name="NewBie Layout Preview",
            category=CATEGORY,
            description="Draws every character's box with its name, at the picture's size. Loads no model.",
            search_aliases=["layout", "boxes", "regions", "bbox preview"],
            is_output_node=True,
            inputs=[
                SceneSocket.Input("scene", tooltip="The scene from a prompt node."),
                io.Latent.Input(
                    "latent",
                    optional=True,
                    tooltip="The latent that will be drawn: it gives the picture's size. Unconnected: a square.",
                ),
            ],
            outputs=[io.Image.Output()],
        )

    @classmethod
    @checked
    def execute(cls, scene: Scene, latent: dict[str, Any] | None = None) -> io.NodeOutput:
        size = SQUARE
        if latent is not None:
            height, width = latent["samples"].shape[-2:]
            size = (width * PIXELS, height * PIXELS)
        boxes = boxes_of(scene, latent)
        labels = [(character.name or character.id, character.id) for character in scene.characters]
        picture = draw_layout(size, labels, boxes, regions(scene, boxes))
        image = torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255)[None]
        return io.NodeOutput(image, ui=ui.PreviewImage(image, cls=cls))
