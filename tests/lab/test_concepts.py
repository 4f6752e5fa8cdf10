"""What LoRAs are measured with can be drawn by the mini's autoencoder, and is told by pixels."""

from __future__ import annotations

import random

import pytest
import torch
from newbie_pack.lab.benchmarks.lora import WEIGHTS, drawings, scenes
from newbie_pack.lab.drawing.attributes import CONCEPT
from newbie_pack.lab.drawing.scenes import sample_picture
from newbie_pack.lab.judging import concepts
from newbie_pack.lab.training.autoencoder import encode
from newbie_pack.lab.training.export import read_autoencoder
from newbie_pack.lab.training.generate import decode
from newbie_pack.lab.training.lora import with_concept

CPU = torch.device("cpu")


def through_the_autoencoder(images):
    autoencoder = read_autoencoder(WEIGHTS).eval()
    with torch.no_grad():
        return decode(autoencoder, encode(autoencoder, (images.permute(0, 2, 3, 1) * 255).round().byte(), CPU).float())


@pytest.mark.parametrize("concept", CONCEPT)
def test_its_paint_comes_through_the_autoencoder(concept):
    """Orange hair and lime hats did not: no LoRA could have taught them."""
    pictures = [with_concept(one, 0, concept) for one in scenes(1, 2, 3, [concept])]
    traces = concepts.traces(pictures)
    assert traces.things == [concept] * 2
    assert traces.shares(through_the_autoencoder(drawings(pictures, CPU))).min() > 0.8
    assert not traces.has(drawings([with_concept(one, 0, "") for one in pictures], CPU)).any()


def test_it_is_looked_for_on_each_person_alone():
    """Two who have one each: nobody has the other's. Another's, drawn there, is seen."""
    pictures = scenes(2, 3, 9)
    traces = concepts.traces(pictures)
    mine = [pictures[i].figures[k].look["concept"] == thing
            for (i, k), thing in zip(traces.figures, traces.things, strict=True)]
    assert sum(mine) == 6 and len(mine) == 12
    assert traces.has(drawings(pictures, CPU)).tolist() == mine
    exchanged = [
        with_concept(with_concept(one, 0, one.figures[1].look["concept"]), 1, one.figures[0].look["concept"])
        for one in pictures
    ]
    assert traces.has(drawings(exchanged, CPU)).tolist() == [not own for own in mine]


def test_who_is_a_little_off_still_has_it():
    """By up to a place to each side, and not by three."""
    pictures = [with_concept(sample_picture(random.Random(5), (320, 320), 1), 0, "skin")]
    traces, drawn = concepts.traces(pictures), drawings(pictures, CPU)
    near, far = (traces.shares(drawn.roll((off, off), (2, 3))).item() for off in (3, 3 * concepts.CELL))
    assert near > 0.75 and near > far + 0.15
