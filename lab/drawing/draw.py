"""Paints pictures: background, figures from far to near, and the hands that meet between them."""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import cv2
import numpy as np

from ..training.world import WIDE
from .attributes import TOGETHER
from .backgrounds import paint_background
from .brush import SUPERSAMPLE, Brush, puff
from .doll import Doll
from .figure import paint_figure
from .limbs import paint_together
from .scenes import Figure, Picture, sample_picture

BRIGHT_BACKGROUNDS = ("white_background", "snow", "mountain")


def render(picture: Picture) -> np.ndarray:
    """The picture as uint8 [H, W, 3] RGB; the same for the same picture."""
    rng = random.Random(picture.seed)
    image = np.zeros((picture.height * SUPERSAMPLE, picture.width * SUPERSAMPLE, 3), np.uint8)
    horizon = picture.height * rng.uniform(0.60, 0.66)
    if len(picture.figures) > 4:  # the further row stands on the ground too
        horizon *= 0.72
    paint_background(image, picture.background, horizon, rng)
    order = sorted(range(len(picture.figures)), key=lambda index: bottom_of(picture.figures[index]))
    for index in order:
        paint_footing(image, picture.figures[index], horizon, picture.background in BRIGHT_BACKGROUNDS)
    painted: dict[int, Doll] = {}
    for index in order:
        figure = picture.figures[index]
        partner = picture.figures[figure.partner] if figure.partner is not None else None
        left_out: tuple[int, ...] = ()
        if partner is not None:
            inner = 1 if middle_of(partner) > middle_of(figure) else -1
            left_out = (-1, 1) if figure.look["pose"] == "hug" else (inner,)
        painted[index] = paint_figure(image, figure, picture.rendering, rng, left_out)
        if figure.partner in painted:
            first, second = sorted((index, figure.partner), key=lambda which: middle_of(picture.figures[which]))
            paint_together(figure.look["pose"], painted[first], painted[second])
    return cv2.resize(image, (picture.width, picture.height), interpolation=cv2.INTER_AREA)


def bottom_of(figure: Figure) -> float:
    """Lower edge of a figure's box in pixels."""
    return figure.y + figure.height


def middle_of(figure: Figure) -> float:
    """Middle of a figure's box in pixels from the left."""
    return figure.x + figure.width / 2


def paint_footing(image: np.ndarray, figure: Figure, horizon: float, bright: bool) -> None:
    """A shadow under a figure on the ground, a small cloud under one in the air, both inside its box."""
    unit = figure.width / 2
    x, bottom = middle_of(figure), bottom_of(figure)
    brush = Brush(image, line=min(2.0, max(1.0, unit * 0.018)))
    if bottom < horizon:
        colour = (218, 225, 240) if bright else (255, 255, 255)
        puff(brush, x, bottom - 0.16 * unit, 0.5 * unit, colour, (146, 160, 196))
        return
    row = min(image.shape[0] - 1, int(bottom * SUPERSAMPLE) - 1)
    column = min(image.shape[1] - 1, max(0, int(x * SUPERSAMPLE)))
    ground = image[row, column]
    brush.oval(x, bottom - 0.08 * unit, 0.62 * unit, 0.08 * unit, tuple(int(value * 0.84) for value in ground))


def contact_sheet(pictures: list[Picture], columns: int) -> np.ndarray:
    """Pictures of one size next to and below each other, uint8 [rows * H, columns * W, 3]."""
    images = [render(picture) for picture in pictures]
    rows = [np.concatenate(images[start:start + columns], 1) for start in range(0, len(images), columns)]
    return np.concatenate(rows, 0)


def main(arguments: list[str] | None = None) -> None:
    """Writes a contact sheet of random pictures."""
    parser = argparse.ArgumentParser(description="Write a contact sheet of random pictures.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--rows", type=int, default=3)
    parser.add_argument("--size", type=int, nargs=2, default=(320, 320), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--people", type=int)
    parser.add_argument("--together", choices=TOGETHER, help="two of the people do this")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    rng = random.Random(options.seed)
    count = options.columns * options.rows
    pictures = [sample_picture(rng, tuple(options.size), options.people, world=WIDE,
                               pose=options.together) for _ in range(count)]
    cv2.imwrite(str(options.path), contact_sheet(pictures, options.columns)[:, :, ::-1])


if __name__ == "__main__":
    main()
