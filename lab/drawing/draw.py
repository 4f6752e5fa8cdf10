"""Paints pictures: background, figures from far to near, and the hands that meet between them."""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import cv2
import numpy as np

from .backgrounds import paint_background
from .brush import SUPERSAMPLE, Brush, puff
from .chibi import SKIN, SKIN_LINE, Chibi
from .figure import paint_figure
from .limbs import paint_arm
from .scenes import Figure, Picture, sample_picture

BRIGHT_BACKGROUNDS = ("white_background", "snow")


def render(picture: Picture) -> np.ndarray:
    """The picture as uint8 [H, W, 3] RGB; the same for the same picture."""
    rng = random.Random(picture.seed)
    image = np.zeros((picture.height * SUPERSAMPLE, picture.width * SUPERSAMPLE, 3), np.uint8)
    horizon = picture.height * rng.uniform(0.60, 0.66)
    paint_background(image, picture.background, horizon, rng)
    order = sorted(range(len(picture.figures)), key=lambda index: bottom_of(picture.figures[index]))
    for index in order:
        paint_footing(image, picture.figures[index], horizon, picture.background in BRIGHT_BACKGROUNDS)
    painted: dict[int, Chibi] = {}
    for index in order:
        figure = picture.figures[index]
        partner = picture.figures[figure.partner] if figure.partner is not None else None
        inner = None if partner is None else 1 if middle_of(partner) > middle_of(figure) else -1
        painted[index] = paint_figure(image, figure, rng, inner)
        if figure.partner in painted:
            first, second = sorted((index, figure.partner), key=lambda which: middle_of(picture.figures[which]))
            paint_handshake(picture.figures[first], painted[first], picture.figures[second], painted[second])
    return cv2.resize(image, (picture.width, picture.height), interpolation=cv2.INTER_AREA)


def bottom_of(figure: Figure) -> float:
    """Lower edge of a figure's box in pixels."""
    return figure.y + figure.height


def middle_of(figure: Figure) -> float:
    """Middle of a figure's box in pixels from the left."""
    return figure.x + figure.width / 2


def paint_footing(image: np.ndarray, figure: Figure, horizon: float, bright: bool) -> None:
    """A shadow under a figure on the ground, a small cloud under one in the air, both inside its box."""
    unit = figure.height / 3
    x, bottom = middle_of(figure), bottom_of(figure)
    brush = Brush(image, line=min(2.0, max(1.0, figure.height * 0.006)))
    if bottom < horizon:
        colour = (218, 225, 240) if bright else (255, 255, 255)
        puff(brush, x, bottom - 0.16 * unit, 0.5 * unit, colour, (146, 160, 196))
        return
    row = min(image.shape[0] - 1, int(bottom * SUPERSAMPLE) - 1)
    column = min(image.shape[1] - 1, max(0, int(x * SUPERSAMPLE)))
    ground = image[row, column]
    brush.oval(x, bottom - 0.08 * unit, 0.62 * unit, 0.08 * unit, tuple(int(value * 0.84) for value in ground))


def paint_handshake(left: Figure, left_chibi: Chibi, right: Figure, right_chibi: Chibi) -> None:
    """The inner arms of two figures and their clasped hands, in the middle between them."""
    shoulders, brushes = [], []
    for figure, chibi, side in ((left, left_chibi, 1), (right, right_chibi, -1)):
        plain = Brush(chibi.box.image, line=chibi.box.line)
        brushes.append(plain.framed((middle_of(figure), figure.y), (figure.height / 3, figure.height / 3)))
        shoulders.append(chibi.body.pixels((0.36 * side * chibi.mirror, 1.62)))
    unit = (left.height + right.height) / 6
    meeting = np.array([(shoulders[0][0] + shoulders[1][0]) / 2, (shoulders[0][1] + shoulders[1][1]) / 2 + 0.2 * unit])
    for brush, chibi, shoulder in zip(brushes, (left_chibi, right_chibi), shoulders, strict=True):
        elbow = (shoulder + meeting) / 2 + (0, 0.16 * unit)
        start, bend, end = (tuple((point - brush.origin) / brush.scale) for point in (shoulder, elbow, meeting))
        paint_arm(chibi, brush, (start, bend, end))
    paint_clasped_hands(Brush(brushes[0].image, line=brushes[0].line).framed(tuple(meeting), (unit, unit)))


def paint_clasped_hands(brush: Brush) -> None:
    """Two hands around each other, about 0.5 units wide, and small rays of joy above them."""
    brush.oval(-0.1, 0.0, 0.17, 0.155, SKIN, SKIN_LINE)
    brush.oval(0.08, 0.01, 0.18, 0.165, SKIN, SKIN_LINE)
    brush.limbs([[(-0.1, y), (0.02, y + 0.005)] for y in (-0.035, 0.045, 0.12)], 0.06, SKIN, SKIN_LINE)
    brush.limbs([[(0.1, -0.05), (-0.05, -0.15)]], 0.075, SKIN, SKIN_LINE)
    brush.oval(0.1, 0.0, 0.12, 0.11, SKIN)
    for start, stop in (((0, -0.29), (0, -0.43)), ((-0.19, -0.24), (-0.28, -0.35)), ((0.19, -0.24), (0.28, -0.35))):
        brush.limbs([[start, stop]], 0.045, (255, 214, 70), (150, 96, 20))


def contact_sheet(pictures: list[Picture], columns: int) -> np.ndarray:
    """Pictures of one size next to and below each other, uint8 [rows * H, columns * W, 3]."""
    images = [render(picture) for picture in pictures]
    rows = [np.concatenate(images[start:start + columns], 1) for start in range(0, len(images), columns)]
    return np.concatenate(rows, 0)


def main() -> None:
    """Writes a contact sheet of random pictures."""
    parser = argparse.ArgumentParser(description="Write a contact sheet of random pictures.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--rows", type=int, default=3)
    parser.add_argument("--size", type=int, nargs=2, default=(320, 320), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--people", type=int)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    count = options.columns * options.rows
    pictures = [sample_picture(rng, tuple(options.size), options.people) for _ in range(count)]
    cv2.imwrite(str(options.path), contact_sheet(pictures, options.columns)[:, :, ::-1])


if __name__ == "__main__":
    main()
