"""The layout, drawn: what will stand where, before anything is sampled."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from comfy_api.latest import io, ui
from PIL import Image, ImageDraw, ImageFont

from ..xml_prompt import GRID, Box, Scene, regions
from .common import CATEGORY, PIXELS, SceneSocket, boxes_of, checked

# Boxes with names and numbers on a dark grid, painted with Pillow

RGB = tuple[int, int, int]
COLOURS: tuple[RGB, ...] = (
    (94, 206, 201), (116, 142, 248), (250, 160, 190), (250, 206, 110), (150, 214, 120), (196, 148, 246),
    (244, 112, 92), (86, 190, 250), (232, 104, 200), (214, 232, 84), (206, 160, 116), (226, 230, 240),
)  # fmt: skip
PAPER, LINE, MIDDLE = (30, 32, 40), (48, 51, 62), (72, 76, 92)
WIDE_FONTS = (  # file, face: have Chinese letters; Pillow finds them by name where the system has them
    ("NotoSansCJK-Regular.ttc", 2), ("NotoSansCJKsc-Regular.otf", 0), ("SourceHanSansSC-Regular.otf", 0),
    ("wqy-microhei.ttc", 0), ("wqy-zenhei.ttc", 0), ("DroidSansFallbackFull.ttf", 0),
    ("msyh.ttc", 0), ("simhei.ttf", 0), ("malgun.ttf", 0),
    ("PingFang.ttc", 0), ("Hiragino Sans GB.ttc", 0), ("STHeiti Light.ttc", 0), ("Arial Unicode.ttf", 0),
)  # fmt: skip
SMALLEST = 8  # pixels; a label that would be smaller is left out
LONGEST = 40  # letters; longer names are shortened
SPACING = 1  # pixels between a label's lines


class Area(NamedTuple):
    """A rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float


def font_for(label: str) -> ImageFont.FreeTypeFont | None:
    """A font that has all of the label's letters; None where this system has none."""
    for font in _fonts():
        missing = bytes(font.getmask("\uffff"))
        if all(letter.isspace() or bytes(font.getmask(letter)) != missing for letter in label):
            return font
    return None


@lru_cache(maxsize=1)
def _fonts() -> tuple[ImageFont.FreeTypeFont, ...]:
    """Pillow's own, and those of WIDE_FONTS that this system has."""
    found = [ImageFont.load_default(SMALLEST)]
    for name, face in WIDE_FONTS:
        with suppress(OSError):
            found.append(ImageFont.truetype(name, SMALLEST, index=face))
    return tuple(found)


@lru_cache(maxsize=256)
def _sized(font: ImageFont.FreeTypeFont, size: int) -> ImageFont.FreeTypeFont:
    return font.font_variant(size=size)


def pixels(box: Box, size: tuple[int, int]) -> Area:
    width, height = size[0] - 1, size[1] - 1
    return Area(*(edge / GRID * side for edge, side in zip(_edges(box), (width, height) * 2, strict=True)))


def inside(area: Area, by: float) -> Area:
    return Area(area.left + by, area.top + by, area.right - by, area.bottom - by)


def _edges(box: Box) -> tuple[float, float, float, float]:
    return box.left, box.top, box.right, box.bottom


def draw_grid(draw: ImageDraw.ImageDraw, size: tuple[int, int]) -> None:
    """Ten by ten: one line every 100 of the grid, the middle brighter."""
    width, height = size
    for i in range(1, 10):
        colour = MIDDLE if i == 5 else LINE
        x, y = i / 10 * (width - 1), i / 10 * (height - 1)
        draw.line((x, 0, x, height), fill=colour)
        draw.line((0, y, width, y), fill=colour)


def draw_layout(
    size: tuple[int, int],
    labels: Sequence[tuple[str, str]],
    boxes: Sequence[Box],
    regions: Sequence[Sequence[Box]],
) -> Image.Image:
    """labels: (name, what to write where no font has the name's letters), one for each box.

    regions: everything that belongs to a character; what goes beyond its first box is tinted more faintly.
    """
    picture = Image.new("RGB", size, PAPER)
    draw_grid(ImageDraw.Draw(picture), size)
    line = max(2, min(size) // 160)
    for i, (box, own) in enumerate(zip(boxes, regions, strict=True)):
        colour = COLOURS[i % len(COLOURS)]
        glass = Image.new("RGBA", size, (0, 0, 0, 0))
        draw = ImageDraw.Draw(glass)
        for rectangle in own:
            draw.rectangle(pixels(rectangle, size), fill=(*colour, 30))
        draw.rounded_rectangle(pixels(box, size), min(size) // 40, (*colour, 60), (*colour, 255), line)
        picture.paste(glass, (0, 0), glass)
    draw, taken = ImageDraw.Draw(picture), []
    for i, ((name, spare), box) in enumerate(zip(labels, boxes, strict=True)):
        label = label_of(name, spare, box, inside(pixels(box, size), line + 2), max(11, min(size) // 30), taken)
        if label is not None:
            taken.append(label.area)
            light = tuple((part + 255) // 2 for part in COLOURS[i % len(COLOURS)])
            draw.multiline_text(
                label.area[:2], label.text, light, label.font, stroke_width=1, stroke_fill=PAPER, spacing=SPACING
            )
    return picture


# Labels


class Label(NamedTuple):
    """Text, and where it stands inside its box."""

    text: str
    font: ImageFont.FreeTypeFont
    area: Area


def label_of(name: str, spare: str, box: Box, room: Area, largest: int, taken: Sequence[Area]) -> Label | None:
    """The name and the box's numbers, as large as the room allows; less of both, or None, where there is little.

    largest: a letter's height in pixels. taken: where other labels are, below which this one is put.
    """
    font = font_for(name)
    if font is None:
        name, font = spare, _fonts()[0]
    left, top, right, bottom = (f"{edge:g}" for edge in _edges(box))
    numbers = [f"{left}, {top}{between}{right}, {bottom}" for between in (", ", "\n")]
    numbers.append(f"{left}\n{top}\n{right}\n{bottom}")
    name = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
    whole = [f"{words}\n{some}" for words in (name, name.replace(" ", "\n")) for some in numbers]
    for size in range(largest, SMALLEST, -1):
        for text in whole:
            if label := _placed(text, _sized(font, size), room, taken):
                return label
    shorter = [f"{name[:length]}…" for length in range(len(name) - 1, 0, -1)]
    less = [*whole, *(f"{short}\n{some}" for short in shorter for some in numbers), name, *shorter]
    return next(filter(None, (_placed(text, _sized(font, SMALLEST), room, taken) for text in less)), None)


def _placed(text: str, font: ImageFont.FreeTypeFont, room: Area, taken: Sequence[Area]) -> Label | None:
    """The text at the room's upper left corner, or as far below it as no other label is; None where it does not fit."""
    draw = ImageDraw.Draw(Image.new("L", (1, 1)))
    _, _, width, height = draw.multiline_textbbox((0, 0), text, font, stroke_width=1, spacing=SPACING)
    area = Area(room.left, room.top, room.left + width, room.top + height)
    for other in sorted(taken, key=lambda other: other.top):
        if area.left < other.right and other.left < area.right and area.top < other.bottom and other.top < area.bottom:
            area = Area(area.left, other.bottom, area.right, other.bottom + height)
    return Label(text, font, area) if area.right <= room.right and area.bottom <= room.bottom else None


# The node

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
                    "latent", optional=True,
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
