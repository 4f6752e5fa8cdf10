"""The benchmark of the full model runs its stages, ours and the stock nodes', on the small one."""

from __future__ import annotations

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import torch
from newbie_pack.benchmarks import fullsize
from newbie_pack.client.problem import Problem

SIZE, BATCHES = "64x48", (1, 2)


@pytest.mark.parametrize("form", ["split", "folder"])
def test_every_stage_of_both_ways(models, form):
    files = fullsize.chosen(models, form)
    found = []
    with torch.inference_mode():
        for name, way in (("stock", fullsize.Stock(files["stock"])), ("ours", fullsize.Ours(files["ours"], "auto"))):
            found += fullsize.rows(name, way, [SIZE], BATCHES, 2)
            assert way.images.shape == (2, 48, 64, 3)
    stages = [("load", 0), *((stage, batch) for batch in BATCHES for stage in ("encode", "sample", "decode"))]
    assert [(row["stage"], row["batch"]) for row in found] == stages * 2
    assert all(row["seconds"] > 0 for row in found)
    ratios = list(fullsize.ratios(found))
    assert [(row["stage"], row["batch"]) for row in ratios] == stages
    sampled = [row["seconds"] for row in found if (row["stage"], row["batch"]) == ("sample", 1)]
    (ratio,) = (row["seconds"] for row in ratios if (row["stage"], row["batch"]) == ("sample", 1))
    assert ratio == pytest.approx(sampled[1] / sampled[0], abs=0.02)


def test_a_folder_without_the_files(tmp_path):
    with pytest.raises(Problem, match=r"lacks some of the files"):
        fullsize.chosen(tmp_path, "split")
