"""`./run bench colours` from its arguments to its rows, with a model of random weights: what it finds means nothing."""

from __future__ import annotations

import json
import random
from itertools import combinations

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import comfy.utils
import cv2
import torch
from newbie_pack.lab.benchmarks import colours
from newbie_pack.lab.benchmarks.binding_scenes import UNUSUAL
from newbie_pack.lab.benchmarks.colour_arms import ARMS, MINI, Painter
from newbie_pack.lab.benchmarks.colour_measures import within
from newbie_pack.lab.benchmarks.colour_scenes import looks, picture_sets, word_places

SIZE = (96, 64)


@pytest.fixture
def painter(mini):
    return Painter([MINI, "none", "none", "none"], SIZE, steps=1)


@pytest.fixture
def bench(mini, monkeypatch, capsys):
    monkeypatch.setattr(colours, "add_host", lambda: None)
    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_ENABLED", True)  # put back afterwards

    def run(*arguments):
        assert colours.main([*arguments, "--size", "96x64", "--steps", "1", "--count", "1"]) == 0
        return capsys.readouterr().out.splitlines()

    return run


def test_a_row_for_every_arm_and_place_with_its_pictures(bench, tmp_path):
    rows = [json.loads(line) for line in bench("--people", "1", "2", "--json", "--out", str(tmp_path))]
    places = [("usual", "1"), ("usual", "2"), *((kind, "2") for kind in UNUSUAL)]
    places += [("usual", "all"), ("unusual", "all")]
    arms = ("off", "gentle", "strict", "area")
    assert [(row["places"], row["people"], row["arm"]) for row in rows] == [(*p, arm) for p in places for arm in arms]
    assert [row["pictures"] for row in rows[:: len(arms)]] == [1, 1, 1, 1, 1, 2, 3]
    for row in rows:
        assert ("bleed" in row) == (row["places"] == "usual" and row["people"] != "1")
        assert "leak" not in row or row["people"] != "1"
        for name in {"hair", "boxes", "elsewhere"} | set(colours.MEASURES) & row.keys():
            mean, low, high = row[name]
            assert 0 <= low <= mean <= high and (name == "bleed" or high <= 100)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{test.name}_000_{arm}.jpg" for test in picture_sets([1, 2], 1, 1) for arm in arms
    }
    assert cv2.imread(str(tmp_path / "usual_2_000_area.jpg")).shape == (64, 2 * 96, 3)  # and in other colours


def test_the_table_has_the_same_rows(bench):
    heading, *lines = bench("--people", "1", "--arms", "strict")
    assert heading.split() == ["arm", "places", "people", *colours.MEASURES]
    assert [line.split()[:3] for line in lines] == [["strict", "usual", "1"], ["strict", "usual", "all"]]
    assert lines[0].split()[-2:] == ["-", "-"]  # alone, nobody leaks or bleeds


def test_every_arm_draws_another_picture(painter):
    wanted, _, _ = looks(word_places(2), random.Random(3))
    with torch.no_grad():
        drawn = {arm: painter.paint(wanted, arm, seed=0) for arm in ARMS}
        assert (drawn["strict"] == painter.paint(wanted, "strict", seed=0)).all()
    assert [pair for pair in combinations(ARMS, 2) if (drawn[pair[0]] == drawn[pair[1]]).all()] == []


def test_an_area_is_a_characters_own_prompt_in_its_box(painter):
    wanted, _, _ = looks(word_places(2), random.Random(3))
    with torch.no_grad():
        (_, everywhere), *own = painter.encode(wanted, "area")[0]
    assert "mask" not in everywhere and len(own) == 2
    for (_, values), box in zip(own, painter.boxes(wanted), strict=True):
        (mask,) = values["mask"]
        assert mask.shape == (64, 96) and within(mask, box).all() and mask.sum() == within(mask, box).numel()
    assert not torch.equal(own[0][0], own[1][0])
