"""The figures of lab/benchmarks/style and the turns of lab/benchmarks/sampling, on what is known beforehand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from newbie_pack.lab.benchmarks.sampling import measure
from newbie_pack.lab.benchmarks.style import agreement, look, means, spread

LEFT = SimpleNamespace(x=0.0, y=0.0, width=20.0, height=30.0)
PICTURE = SimpleNamespace(figures=[LEFT])


def plane(*colour):
    return torch.tensor(colour)[:, None, None].expand(3, 40, 40).clone()


def test_a_plane_has_its_colour_and_neither_contrast_nor_lines():
    red = look(plane(1.0, 0.0, 0.0))
    assert red["saturation"] == 1.0 and red["contrast"] == pytest.approx(0, abs=1e-6) and red["line"] == 0
    assert red["lab"] == pytest.approx([53.2, 80.1, 67.2], abs=0.2)  # CIE Lab of sRGB red
    halves = plane(1.0, 1.0, 1.0)
    halves[:, :, 10:] = 0.0
    assert look(halves)["contrast"] > 0.3 and look(halves)["line"] > 0


def test_only_the_figures_count():
    grey, beside = plane(0.5, 0.5, 0.5), plane(0.5, 0.5, 0.5)
    beside[:, :, 20:] = torch.tensor([1.0, 0.0, 0.0])[:, None, None]
    assert means(beside[None], [PICTURE]) == means(grey[None], [PICTURE])
    assert spread(torch.stack([grey, beside]), PICTURE)["colour"] == pytest.approx(0, abs=1e-4)
    inside = torch.stack([plane(0.4, 0.4, 0.4), plane(0.6, 0.6, 0.6)])
    assert spread(inside, PICTURE)["colour"] == pytest.approx(10.0, abs=1.0)  # lightness 43 and 63


def test_agreement_is_with_what_most_say():
    assert agreement(torch.tensor([[[1, 2]], [[1, 3]], [[1, 2]], [[1, 2]]])) == pytest.approx(87.5)


def test_every_run_has_its_turn_in_every_place():
    called = []
    runs = {name: lambda name=name: called.append(name) or torch.zeros(1) for name in "abc"}
    rows = measure(runs, 3)
    assert "".join(called) == "abc" + "abc" + "bca" + "cab"
    assert rows[0]["ratio"] == rows[0]["min_ratio"] == 1.0 and all(row["same_latent"] for row in rows)
