"""The benchmark of the full model runs its stages, ours and the stock nodes', on the small one."""

from __future__ import annotations

import json

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import torch
from newbie_pack.client.problem import Problem
from newbie_pack.lab.benchmarks import fullsize

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


def row(way, stage, seconds=1.0, peak=10.0, **others):
    return {"way": way, "stage": stage, "size": SIZE, "batch": 1, "seconds": seconds, "peak_gb": peak} | others


def broken(way, stage):
    return {"way": way, "stage": stage, "size": SIZE, "batch": 1, "error": "out of memory"}


@pytest.mark.parametrize(
    ("ours", "says"),
    [
        ([row("ours", "sample", 1.03, 10.3), row("ours", "decode", 2.0)], []),  # decoding is too short for the clock
        ([row("ours", "sample", 1.04)], ["sample 64x48 x 1: seconds is 1.040 of the stock nodes', above 1.03"]),
        ([row("ours", "sample", 1.0, 10.4)], ["sample 64x48 x 1: peak_gb is 1.040 of the stock nodes', above 1.03"]),
        ([row("ours", "decode", 1.0, 11)], ["decode 64x48 x 1: peak_gb is 1.100 of the stock nodes', above 1.03"]),
        ([row("ours", "sample", 1.04, float("nan"))], ["sample 64x48 x 1: seconds is 1.040 of the stock nodes', ab"]),
        ([broken("ours", "sample")], ["ours, sample 64x48 x 1: out of memory"]),
        ([row("ours", "load", 9.0, 90.0)], []),
    ],
)
def test_the_command_fails_where_ours_is_over_the_target(models, monkeypatch, capsys, ours, says):
    found = {"Stock": [row("stock", stage) for stage in ("load", "sample", "decode")], "Ours": ours}
    monkeypatch.setattr(fullsize, "add_host", lambda: None)
    monkeypatch.setattr(fullsize, "rows", lambda _name, way, *_rest: found[type(way).__name__])
    assert fullsize.main([str(models), "--scale", "tiny"]) == (1 if says else 0)
    told = capsys.readouterr().err.splitlines()
    assert len(told) == len(says) and all(line.startswith(start) for line, start in zip(told, says, strict=True))


def test_every_line_is_json_where_the_memory_is_not_known(models, monkeypatch, capsys):
    monkeypatch.setattr(fullsize, "add_host", lambda: None)
    monkeypatch.setattr(fullsize, "rows", lambda name, *_rest: [row(name, "sample", 1.0, float("nan"))])
    fullsize.main([str(models), "--scale", "tiny", "--json"])

    def refuse(word):
        raise AssertionError(word)

    lines = [json.loads(line, parse_constant=refuse) for line in capsys.readouterr().out.splitlines()]
    assert [line["way"] for line in lines] == ["stock", "ours", "ours/stock"]
    assert all("peak_gb" not in line and line["seconds"] == 1.0 for line in lines)


def test_out_of_memory_for_both_is_no_fault():
    assert fullsize.faults([broken("stock", "sample"), broken("ours", "sample")]) == []


def test_the_command_draws_as_many_people_as_it_is_told(models, monkeypatch):
    asked = []
    monkeypatch.setattr(fullsize, "add_host", lambda: None)
    monkeypatch.setattr(fullsize, "rows", lambda *given: asked.append(given[-1]) or iter(()))
    fullsize.main([str(models), "--scale", "tiny", "--people", "4"])
    assert asked == [4, 4]
