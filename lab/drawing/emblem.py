"""Draws the pack's icon and banner for the registry: two characters, each in its own box, between angle brackets."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from . import attributes
from .draw import render
from .scenes import SQUAT, Figure, Picture

NAMES = ("miku", "kaito")
BOXES = ((64, 190, 190), (72, 104, 200))  # a colour for each character's box, RGB
INK = (44, 48, 78)
BOLD = 0.022  # of the height, the brackets' half thickness


def emblem(width: int, height: int, tall: float, bracket: float) -> np.ndarray:
    """uint8 [H, W, 3] RGB. tall, bracket: the figures' height and the brackets' width, as shares of the height."""
    high = tall * height
    wide, top, gap = high * SQUAT, (height - high) / 2, 0.02 * high
    lefts = (width / 2 - gap - wide, width / 2 + gap)
    figures = tuple(
        Figure(left, top, wide, high, looks(name, facing), name, partner)
        for left, name, facing, partner in zip(lefts, NAMES, ("facing_right", "facing_left"), (1, 0), strict=True)
    )
    image = np.ascontiguousarray(render(Picture(width, height, "white_background", figures, seed=1)))
    for left, colour in zip(lefts, BOXES, strict=True):
        frame(image, left, top, wide, high, colour)
    for sign in (-1, 1):
        tip = width / 2 + sign * (wide + gap + (bracket + 0.05) * height)
        foot = tip - sign * bracket * height
        corners = [(foot, 0.3 * height), (tip, 0.5 * height), (foot, 0.7 * height)]
        cv2.polylines(image, [np.int32(corners)], False, INK, int(2 * BOLD * height), cv2.LINE_AA)
    return image


def looks(name: str, facing: str) -> dict[str, str]:
    plain = {key: values[0] for key, values in attributes.VALUES.items()}
    return {**plain, **attributes.NAMED[name], "pose": "handshake", "expression": "smile", "facing": facing}


def frame(image: np.ndarray, x: float, y: float, width: float, height: float, colour: tuple[int, int, int]) -> None:
    """The four corners of a box."""
    thick, arm = max(2, round(height * 0.014)), 0.14 * width
    for corner_x, inward_x in ((x, arm), (x + width, -arm)):
        for corner_y, inward_y in ((y, arm), (y + height, -arm)):
            corner = [(corner_x + inward_x, corner_y), (corner_x, corner_y), (corner_x, corner_y + inward_y)]
            cv2.polylines(image, [np.int32(corner)], False, colour, thick, cv2.LINE_AA)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write icon.png and banner.png into a folder.")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for name, image in (("icon", emblem(400, 400, 0.5, 0.05)), ("banner", emblem(1260, 540, 0.84, 0.22))):
        cv2.imwrite(str(folder / f"{name}.png"), image[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
