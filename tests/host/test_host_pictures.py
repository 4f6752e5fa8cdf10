"""The demo's picture, looked at; what changes it and what does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from graphs import ROOT, afresh, changed, few, loads, node_of

SIZE = 320


@pytest.fixture(scope="module")
def boxes(workflow):
    """The demo's boxes in pixels: left, top, right, bottom."""
    from newbie_pack.xml_prompt import GRID, layout, parse

    found = layout(parse(node_of(workflow(), "NewBieXMLPrompt")["inputs"]["xml"]), 1.0)
    return [[edge * SIZE / GRID for edge in (box.left, box.top, box.right, box.bottom)] for box in found]


@pytest.fixture(scope="module")
def look(boxes):
    """picture [H, W, 3] -> what the judge sees in each of the demo's boxes, and how many people in all."""
    from newbie_pack.lab.drawing.attributes import VALUES
    from newbie_pack.lab.judging import judge
    from newbie_pack.lab.training import export

    network = export.read_judge(ROOT / "mini" / "weights")

    def judged(picture: np.ndarray) -> tuple[list[dict[str, str]], int]:
        image = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
        verdict = judge.judge_figures(network, image, torch.zeros(len(boxes), dtype=torch.long), torch.tensor(boxes))
        people = judge.judge_pictures(network, image)[1].item()
        return [
            {name: values[index] for (name, values), index in zip(VALUES.items(), row, strict=True)} if there else {}
            for row, there in zip(verdict.attributes.tolist(), verdict.present.tolist(), strict=True)
        ], people

    return judged


MIKU = {"gender": "1girl", "hair": "aqua", "style": "twintails", "accessory": "headphones", "cloth": "white"}
KAITO = {"gender": "1boy", "hair": "blue", "style": "short_hair", "accessory": "scarf", "kind": "coat"}
SHAKING_RIGHT = {"pose": "handshake", "facing": "facing_right"}
SHAKING_LEFT = {"pose": "handshake", "facing": "facing_left"}


def test_the_demo_shows_miku_on_the_left_and_kaito_on_the_right_shaking_hands(demo, look):
    assert demo.picture.shape == (SIZE, SIZE, 3)
    (left, right), people = look(demo.picture)
    assert people == 2
    assert left.items() >= (MIKU | SHAKING_RIGHT).items()
    assert right.items() >= (KAITO | SHAKING_LEFT).items()
    (left, right), _ = look(demo.picture[:, ::-1])  # mirrored: the judge does see a difference
    assert left.items() >= (KAITO | SHAKING_RIGHT).items()
    assert right.items() >= (MIKU | SHAKING_LEFT).items()


def test_names_change_places_with_their_words(draw, workflow, look):
    xml = node_of(workflow(), "NewBieXMLPrompt")["inputs"]["xml"]
    swapped = xml.replace("miku", "someone").replace("kaito", "miku").replace("someone", "kaito")
    (left, right), _ = look(draw(changed(workflow(), "NewBieXMLPrompt", xml=swapped)).picture)
    assert left.items() >= (KAITO | SHAKING_RIGHT).items()
    assert right.items() >= (MIKU | SHAKING_LEFT).items()


def test_the_same_seed_gives_the_same_picture(sketch, draw, workflow):
    again = draw(afresh(few(workflow())))
    assert "NewBie Sample" in again.ran  # drawn again, not remembered
    assert np.array_equal(again.picture, sketch.picture)


def test_another_seed_gives_another_picture_and_reloads_nothing(sketch, draw, workflow, host):
    before = loads(host.log)
    other = draw(changed(few(workflow()), "NewBieSample", seed=3))
    assert before >= 4  # the file, text encoders, diffusion model, VAE: the log does say when something is loaded
    assert loads(host.log) == before
    assert "NewBie Sample" in other.ran and "NewBie Loader" not in other.ran
    assert not np.array_equal(other.picture, sketch.picture)


def test_strict_is_what_auto_means_for_the_mini_and_off_is_not(draw, workflow):
    short = few(workflow())
    auto, strict, off = (draw(changed(short, "NewBieEncodeCharacters", mode=m)) for m in ("auto", "strict", "off"))
    assert "NewBie Sample" in strict.ran and "NewBie Sample" in off.ran
    assert np.array_equal(strict.picture, auto.picture)
    assert np.abs(off.picture.astype(int) - strict.picture).mean() > 1  # of 255
