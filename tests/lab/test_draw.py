"""The drawing fills its boxes and shows every attribute; the sampler keeps its promises."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from newbie_pack.lab.drawing import attributes
from newbie_pack.lab.drawing.draw import render
from newbie_pack.lab.drawing.scenes import FIGURE_ASPECT, Figure, Picture, overlap, sample_picture

SIZES = ((320, 320), (384, 256), (256, 384))
PLAIN = {"gender": "1girl", "hair": "brown", "style": "short_hair", "eyes": "green", "cloth": "red", "kind": "t-shirt",
         "accessory": "none", "pose": "standing", "expression": "smile", "facing": "looking_at_viewer"}


def single(look: dict[str, str], height: float = 240.0) -> Picture:
    """One figure in the middle of a plain picture."""
    width = height * FIGURE_ASPECT
    figure = Figure(160 - width / 2, 300 - height, width, height, PLAIN | look)
    return Picture(320, 320, "white_background", (figure,), 7)


def drawn_extent(picture: Picture) -> tuple[float, float, float, float]:
    """x, y, width, height of what the figures of a picture change."""
    changed = (render(picture) != render(replace(picture, figures=()))).any(2)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    return columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]


def box_agreement(picture: Picture) -> float:
    """Intersection over union of the drawn extent and the box of a picture's only figure."""
    figure = picture.figures[0]
    extent, box = drawn_extent(picture), (figure.x, figure.y, figure.width, figure.height)
    areas = extent[2] * extent[3], box[2] * box[3]
    common = overlap(extent, box) * min(areas)
    return common / (sum(areas) - common)


def test_render_is_deterministic() -> None:
    for size in SIZES:
        picture = sample_picture(random.Random(3), size)
        assert picture == sample_picture(random.Random(3), size)
        image = render(picture)
        assert image.dtype == np.uint8 and image.shape == (size[1], size[0], 3)
        assert np.array_equal(image, render(picture))


@pytest.mark.parametrize("size", SIZES)
def test_boxes_lie_inside_and_apart(size: tuple[int, int]) -> None:
    for seed in range(400):
        picture = sample_picture(random.Random(seed), size)
        figures = picture.figures
        middles = [figure.x + figure.width / 2 for figure in figures]
        assert middles == sorted(middles)
        for index, figure in enumerate(figures):
            assert figure.x >= 1.99 and figure.y >= 1.99
            assert figure.x + figure.width <= size[0] - 1.99 and figure.y + figure.height <= size[1] - 1.99
            assert abs(figure.width / figure.height - FIGURE_ASPECT) < 1e-6
            assert figure.height >= 0.2 * size[1]
            for other in figures[:index]:
                boxes = [(one.x, one.y, one.width, one.height) for one in (figure, other)]
                assert overlap(*boxes) <= 0.06


def test_people_looks_and_handshakes() -> None:
    shaken = 0
    for seed in range(600):
        people = seed % 4 + 1
        figures = sample_picture(random.Random(seed), people=people).figures
        assert len(figures) == people
        for index, figure in enumerate(figures):
            assert all(figure.look[key] in values for key, values in attributes.VALUES.items())
            assert (figure.look["gender"], figure.look["kind"]) != ("1boy", "dress")
            assert (figure.partner is not None) == (figure.look["pose"] == "handshake")
            if figure.partner is not None:
                partner = figures[figure.partner]
                assert abs(figure.partner - index) == 1 and partner.partner == index
                assert min(figure.height, partner.height) >= 0.75 * max(figure.height, partner.height)
                shaken += 1
    assert shaken > 60


def test_held_out_pairs_are_kept_apart() -> None:
    for seed in range(400):
        for held_out in (False, True):
            for figure in sample_picture(random.Random(seed), held_out=held_out).figures:
                assert ((figure.look["hair"], figure.look["cloth"]) in attributes.HELD_OUT) == held_out


def test_figures_fill_their_boxes() -> None:
    rng = random.Random(0)
    for style in attributes.STYLE:
        for accessory in attributes.ACCESSORY:
            for pose in ("standing", "arms_up", "waving"):
                look = {key: rng.choice(attributes.VALUES[key]) for key in ("gender", "kind", "expression", "facing")}
                look |= {"style": style, "accessory": accessory, "pose": pose}
                assert box_agreement(single(look, rng.uniform(90, 290))) >= 0.8, look


@pytest.mark.parametrize("key", attributes.VALUES)
def test_every_value_looks_different(key: str) -> None:
    images = [render(single({key: value})).astype(int) for value in attributes.VALUES[key]]
    for index, image in enumerate(images):
        for other in images[:index]:
            assert (np.abs(image - other).max(2) > 30).sum() > 60


def test_backgrounds_differ() -> None:
    images = [render(replace(single({}), background=background)).astype(int) for background in attributes.BACKGROUND]
    for index, image in enumerate(images):
        for other in images[:index]:
            assert np.abs(image - other).mean() > 10


def test_shaken_hands_meet_between_the_boxes() -> None:
    figures = tuple(Figure(x, 80, 120, 180, PLAIN | {"pose": "handshake"}, partner=partner)
                    for x, partner in ((20, 1), (180, 0)))
    picture = Picture(320, 320, "white_background", figures, 1)
    gap = (render(picture) != render(replace(picture, figures=())))[:, 142:178].any(2)
    assert gap.any(0).all()
