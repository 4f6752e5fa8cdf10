"""The built-in model's silhouettes against true figures."""

from __future__ import annotations

import numpy as np
import torch
from newbie_pack.lab.benchmarks import masks
from newbie_pack.lab.judging.evaluate import load


def test_a_figure_is_what_it_changes():
    picture = masks.scenes(2, 1)[1]
    one, other = masks.figures_of(picture)
    for figure, found in zip(picture.figures, (one, other), strict=True):
        rows, columns = np.nonzero(found.any(1))[0], np.nonzero(found.any(0))[0]
        assert abs(rows[0] - figure.y) < 12 and abs(rows[-1] - figure.y - figure.height) < 6
        assert figure.x - 4 < columns[0] and columns[-1] < figure.x + figure.width + 4


def test_silhouettes_fit_the_figures_better_than_boxes():
    """The issue's .75 on average, of 12 drawings with 24 people: two noisy steps each."""
    torch.set_num_threads(1)
    found = masks.measure(load(masks.WEIGHTS, torch.device("cpu")), masks.scenes(12, 7))
    assert found["figures"] == 24 and found["silhouettes"] > 0.75 > found["boxes"], found
