"""The demo's picture, looked at; what changes it and what does not."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import afresh, changed, loads, node_of

SIZE = 192


@pytest.fixture(scope="module")
def boxes(workflow):
    """The demo's boxes in pixels: left, top, right, bottom."""
    from newbie_pack.xml_prompt import GRID, layout, parse

    found = layout(parse(node_of(workflow("demo"), "NewBieXMLPrompt")["inputs"]["xml"]), 1.0)
    return [[edge * SIZE / GRID for edge in (box.left, box.top, box.right, box.bottom)] for box in found]


def hair_of(picture: np.ndarray, box: list[float]) -> str:
    """The hair colour nearest to most coloured pixels of a box's top middle: hair, and hardly anything around it."""
    from newbie_pack.mini.attributes import HAIR

    left, top, right, bottom = box
    width, height = right - left, bottom - top
    rows = slice(round(top + 0.06 * height), round(top + 0.26 * height))
    head = picture[rows, round(left + 0.25 * width) : round(right - 0.25 * width)].reshape(-1, 3).astype(int)
    coloured = head[head.max(1) - head.min(1) > 60]
    names = [name for name, rgb in HAIR.items() if max(rgb) - min(rgb) > 60]
    nearest = np.abs(coloured[:, None] - np.array([HAIR[name] for name in names])).sum(2).argmin(1)
    return names[np.bincount(nearest, minlength=len(names)).argmax()]


def test_the_demo_shows_miku_on_the_left_and_kaito_on_the_right(demo, boxes):
    assert demo.picture.shape == (SIZE, SIZE, 3)
    assert [hair_of(demo.picture, box) for box in boxes] == ["aqua", "blue"]
    assert [hair_of(demo.picture[:, ::-1], box) for box in boxes] == ["blue", "aqua"]  # mirrored: the reading can fail


def test_names_change_places_with_their_words(draw, workflow, boxes):
    xml = node_of(workflow("demo"), "NewBieXMLPrompt")["inputs"]["xml"]
    swapped = xml.replace("miku", "someone").replace("kaito", "miku").replace("someone", "kaito")
    other = draw(changed(workflow("demo"), "NewBieXMLPrompt", xml=swapped))
    assert [hair_of(other.picture, box) for box in boxes] == ["blue", "aqua"]


def test_the_same_seed_gives_the_same_picture(demo, draw, workflow):
    again = draw(afresh(workflow("demo")))
    assert "NewBie Sample" in again.ran  # drawn again, not remembered
    assert np.array_equal(again.picture, demo.picture)


def test_another_seed_gives_another_picture_and_reloads_nothing(demo, draw, workflow, host):
    before = loads(host.log)
    other = draw(changed(workflow("demo"), "NewBieSample", seed=2))
    assert before >= 4  # the file, text encoders, diffusion model, VAE: the log does say when something is loaded
    assert loads(host.log) == before
    assert "NewBie Sample" in other.ran and "NewBie Loader" not in other.ran
    assert not np.array_equal(other.picture, demo.picture)


def test_strict_is_what_auto_means_for_the_mini_and_off_is_not(demo, draw, workflow):
    strict = draw(changed(workflow("demo"), "NewBieEncodeCharacters", mode="strict"))
    off = draw(changed(workflow("demo"), "NewBieEncodeCharacters", mode="off"))
    assert "NewBie Sample" in strict.ran and "NewBie Sample" in off.ran
    assert np.array_equal(strict.picture, demo.picture)
    assert np.abs(off.picture.astype(int) - strict.picture).mean() > 1  # of 255
