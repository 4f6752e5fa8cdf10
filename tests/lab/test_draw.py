"""The drawing fills its boxes and shows every attribute; the sampler keeps its promises."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from newbie_pack.lab.drawing import attributes
from newbie_pack.lab.drawing.draw import render
from newbie_pack.lab.drawing.scenes import SQUAT, TALL, Figure, Picture, overlap, sample_picture
from newbie_pack.lab.training.world import PLAIN as PLAIN_WORLD
from newbie_pack.lab.training.world import WIDE
from newbie_pack.xml_prompt import Character, Scene, layout

SIZES = ((320, 320), (384, 256), (256, 384), (512, 512))
PLAIN = {"gender": "1girl", "hair": "brown", "style": "short_hair", "eyes": "green", "cloth": "red", "kind": "t-shirt",
         "accessory": "none", "pose": "standing", "expression": "smile", "facing": "looking_at_viewer"}


def single(look: dict[str, str], height: float = 240.0, aspect: float = SQUAT) -> Picture:
    """One figure in the middle of a plain picture."""
    width = height * aspect
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
        picture = sample_picture(random.Random(3), size, world=WIDE)
        assert picture == sample_picture(random.Random(3), size, world=WIDE)
        image = render(picture)
        assert image.dtype == np.uint8 and image.shape == (size[1], size[0], 3)
        assert np.array_equal(image, render(picture))


@pytest.mark.parametrize("size", SIZES)
def test_boxes_lie_inside_and_apart(size: tuple[int, int]) -> None:
    for seed in range(400):
        picture = sample_picture(random.Random(seed), size, world=WIDE)
        figures = picture.figures
        middles = [figure.x + figure.width / 2 for figure in figures]
        assert middles == sorted(middles)
        for index, figure in enumerate(figures):
            assert figure.x >= 1.99 and figure.y >= 1.99
            assert figure.x + figure.width <= size[0] - 1.99 and figure.y + figure.height <= size[1] - 1.99
            assert TALL - 1e-6 <= figure.width / figure.height <= SQUAT + 1e-6
            assert figure.width >= 36 * min(size) / 320
            for other in figures[:index]:
                boxes = [(one.x, one.y, one.width, one.height) for one in (figure, other)]
                hugging = figure.look["pose"] == "hug" and figure.partner == figures.index(other)
                assert overlap(*boxes) <= (0.3 if hugging else 0.22 if len(figures) > 2 else 0.06)


def test_people_looks_and_what_they_do_together() -> None:
    met = Counter()
    for seed in range(800):
        people = seed % 8 + 1
        figures = sample_picture(random.Random(seed), people=people, world=WIDE).figures
        assert len(figures) == people
        for index, figure in enumerate(figures):
            assert all(figure.look[key] in values for key, values in attributes.VALUES.items())
            assert (figure.look["gender"], figure.look["kind"]) != ("1boy", "dress")
            assert (figure.partner is not None) == (figure.look["pose"] in attributes.TOGETHER)
            assert (figure.look["facing"], figure.look["accessory"]) != ("from_behind", "glasses")
            if figure.partner is not None:
                partner = figures[figure.partner]
                assert partner.partner == index and partner.look["pose"] == figure.look["pose"]
                assert min(figure.height, partner.height) >= 0.75 * max(figure.height, partner.height)
                met[figure.look["pose"]] += 1
    assert all(met[pose] > 60 for pose in attributes.TOGETHER)


@pytest.mark.parametrize("pose", attributes.TOGETHER)
def test_what_two_do_can_be_asked_for(pose: str) -> None:
    for seed in range(20):
        figures = sample_picture(random.Random(seed), people=3, world=WIDE, pose=pose).figures
        assert sorted(figure.look["pose"] == pose for figure in figures) == [False, True, True]


def test_the_plain_world_is_what_the_shipped_weights_know() -> None:
    for seed in range(300):
        picture = sample_picture(random.Random(seed))
        assert 1 <= len(picture.figures) <= 4 and picture.rendering == attributes.RENDERING[0]
        assert picture.background in PLAIN_WORLD.backgrounds and len(PLAIN_WORLD.backgrounds) == 8
        for figure in picture.figures:
            assert figure.width / figure.height == pytest.approx(SQUAT)
            assert all(figure.look[name] in values for name, values in PLAIN_WORLD.values.items())
    assert PLAIN_WORLD.values["pose"] == attributes.POSE[:4] and PLAIN_WORLD.values["facing"] == attributes.FACING[:3]
    assert WIDE.values == attributes.VALUES


def test_held_out_pairs_are_kept_apart() -> None:
    for seed in range(400):
        for held_out in (False, True):
            for figure in sample_picture(random.Random(seed), held_out=held_out, world=WIDE).figures:
                assert ((figure.look["hair"], figure.look["cloth"]) in attributes.HELD_OUT) == held_out


@pytest.mark.parametrize("aspect", [SQUAT, 0.5, 0.4, TALL])
def test_figures_fill_their_boxes(aspect: float) -> None:
    rng = random.Random(0)
    for style in attributes.STYLE:
        for accessory in attributes.ACCESSORY:
            for pose in ("standing", "arms_up", "waving", "sitting"):
                look = {key: rng.choice(attributes.VALUES[key]) for key in ("gender", "kind", "expression", "facing")}
                look |= {"style": style, "accessory": accessory, "pose": pose}
                if look["facing"] == "from_behind" and accessory == "glasses":
                    continue
                assert box_agreement(single(look, rng.uniform(110, 290), aspect)) >= 0.8, look


def test_taller_figures_have_smaller_heads_and_longer_legs() -> None:
    """Of one width, in a plain picture: skin of the face above, boots of one colour below."""
    look = {"gender": "1girl", "kind": "sleeveless_shirt", "cloth": "white", "hair": "black"}
    shares = []
    for aspect in (SQUAT, 0.45, TALL):
        picture = single(look, 100 / aspect, aspect)
        figure, image = picture.figures[0], render(picture).astype(int)
        middle = image[:, 152:168]
        skin = (np.abs(middle - np.array([255, 226, 204])).max(2) < 6).any(1)
        first, last = np.flatnonzero(skin)[[0, -1]]
        top = int(figure.y)
        face = np.flatnonzero(skin[: top + int(figure.height * 0.6)])[-1] - top
        shares.append(face / figure.height)
        assert last > first
    assert shares[0] > shares[1] > shares[2]


@pytest.mark.parametrize("key", attributes.VALUES)
def test_every_value_looks_different(key: str) -> None:
    alone = [value for value in attributes.VALUES[key] if value not in attributes.TOGETHER]
    images = [render(single({key: value})).astype(int) for value in alone]
    for index, image in enumerate(images):
        for other in images[:index]:
            assert (np.abs(image - other).max(2) > 30).sum() > 60


def test_backgrounds_differ() -> None:
    images = [render(replace(single({}), background=background)).astype(int) for background in attributes.BACKGROUND]
    for index, image in enumerate(images):
        for other in images[:index]:
            assert np.abs(image - other).mean() > 10


def pair(pose: str, gap: float) -> Picture:
    figures = tuple(Figure(x, 80, 120, 180, PLAIN | {"pose": pose}, partner=partner)
                    for x, partner in ((160 - gap / 2 - 120, 1), (160 + gap / 2, 0)))
    return Picture(320, 320, "white_background", figures, 1)


@pytest.mark.parametrize("pose", attributes.TOGETHER)
def test_hands_meet_between_the_boxes(pose: str) -> None:
    picture = pair(pose, 36)
    gap = (render(picture) != render(replace(picture, figures=())))[:, 144:176].any(2)
    assert gap.any(0).all()


def test_what_two_do_looks_different() -> None:
    for gap in (-20, 20):
        images = [render(pair(pose, gap)).astype(int) for pose in attributes.TOGETHER]
        for index, image in enumerate(images):
            for other in images[:index]:
                assert (np.abs(image - other).max(2) > 30).sum() > 300


def test_eyes_and_expression_are_not_seen_from_behind() -> None:
    images = [render(single({"facing": "from_behind", "eyes": eyes, "expression": mood}))
              for eyes, mood in (("red", "smile"), ("blue", "angry"))]
    assert np.array_equal(*images)


def test_renderings_differ_and_flat_colour_has_no_outline() -> None:
    by_name = {name: render(replace(single({}), rendering=name)) for name in attributes.RENDERING}
    dark = {name: (image.max(2) < 60).sum() for name, image in by_name.items()}
    assert dark["thick_outlines"] > 1.5 * dark["cel_shading"] > 1.5 * dark["flat_color"]


def test_the_layouts_own_places_are_among_them() -> None:
    """Four who say nothing of their place, everybody as wide and as high as the others and on one line."""
    size, boxes = (320, 320), 0
    people = tuple(Character(f"character_{number}", "", ()) for number in range(1, 5))
    wanted = [(box.left + box.right) * 0.16 for box in layout(Scene(people))]
    for seed in range(80):
        figures = sample_picture(random.Random(seed), size, 4, world=WIDE).figures
        boxes += [figure.x + figure.width / 2 for figure in figures] == pytest.approx(wanted, abs=0.5)
    assert boxes >= 3
