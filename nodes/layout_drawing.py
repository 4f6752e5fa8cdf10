"""Boxes with names on a dark grid, painted with Pillow. No host."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from ..xml_prompt import GRID, Box

COLOURS = ((94, 206, 201), (116, 142, 248), (250, 160, 190), (250, 206, 110), (150, 214, 120), (196, 148, 246))
PAPER, LINE, MIDDLE = (30, 32, 40), (48, 51, 62), (72, 76, 92)
WIDE_FONTS = (  # have Chinese and Japanese glyphs; Pillow finds them by name where the system has them
    "NotoSansCJK-Regular.ttc",
    "msyh.ttc",
    "PingFang.ttc",
    "wqy-microhei.ttc",
    "simhei.ttf",
    "Arial Unicode.ttf",
)


def font_for(label: str, size: int) -> ImageFont.FreeTypeFont | None:
    """A font that has the label's letters; None where this system has none."""
    if all(ord(letter) < 0x250 for letter in label):  # Latin: Pillow's own font has it
        return ImageFont.load_default(size)
    for name in WIDE_FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return None


def pixels(box: Box, size: tuple[int, int]) -> tuple[float, float, float, float]:
    width, height = size
    return (
        box.left / GRID * (width - 1),
        box.top / GRID * (height - 1),
        box.right / GRID * (width - 1),
        box.bottom / GRID * (height - 1),
    )


def draw_grid(draw: ImageDraw.ImageDraw, size: tuple[int, int]) -> None:
    """Ten by ten: one line every 100 of the grid, the middle brighter."""
    width, height = size
    for i in range(1, 10):
        colour = MIDDLE if i == 5 else LINE
        x, y = i / 10 * (width - 1), i / 10 * (height - 1)
        draw.line((x, 0, x, height), fill=colour)
        draw.line((0, y, width, y), fill=colour)


def draw_label(
    draw: ImageDraw.ImageDraw, label: str, spare: str, box: Box, size: tuple[int, int], colour: tuple[int, int, int]
) -> None:
    """A filled tab at the box's top left corner, kept inside the picture."""
    letters = max(11, min(size) // 22)
    font = font_for(label, letters)
    if font is None:
        label, font = spare, ImageFont.load_default(letters)
    left, top, right, bottom = draw.textbbox((0, 0), label, font=font)
    pad = letters // 3
    width, height = right - left + 2 * pad, bottom - top + 2 * pad
    x0, y0, *_ = pixels(box, size)
    x = min(max(x0, 0), max(size[0] - width, 0))
    y = min(max(y0, 0), max(size[1] - height, 0))
    draw.rounded_rectangle((x, y, x + width, y + height), radius=pad, fill=colour)
    draw.text((x + pad - left, y + pad - top), label, font=font, fill=PAPER)


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
    for i, (box, own) in enumerate(zip(boxes, regions, strict=True)):
        colour = COLOURS[i % len(COLOURS)]
        glass = Image.new("RGBA", size, (0, 0, 0, 0))
        draw = ImageDraw.Draw(glass)
        for rectangle in own:
            draw.rectangle(pixels(rectangle, size), fill=(*colour, 60 if rectangle == box else 30))
        corner = min(size) // 40
        draw.rounded_rectangle(pixels(box, size), radius=corner, outline=(*colour, 255), width=max(2, min(size) // 160))
        picture.paste(glass, (0, 0), glass)
    draw = ImageDraw.Draw(picture)
    for i, ((label, spare), box) in enumerate(zip(labels, boxes, strict=True)):
        draw_label(draw, label, spare, box, size, COLOURS[i % len(COLOURS)])
    return picture
