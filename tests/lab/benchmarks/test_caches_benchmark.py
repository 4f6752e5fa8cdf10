"""What the benchmark of caches makes of pictures that were drawn in parts, and which arm it recommends."""

from __future__ import annotations

import pytest
import torch
from newbie_pack.lab.benchmarks import caches
from safetensors.torch import save_file


def row(arm, passes, low):
    return {"arm": arm, "passes": passes, "accuracy_less": (0.0, low, 0.5)}


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        ([row("tea-3", 0.5, 0.0), row("tea-4", 0.45, -0.3), row("tea-5", 0.4, -0.6)], "tea-4"),
        ([row("easy-0.2", 0.85, 0.0)], "none of them"),  # it saves too little
        ([row("tea-5", 0.4, -0.6)], "none of them"),  # it may lose too much
    ],
)
def test_the_arm_that_saves_most_and_loses_nothing_is_recommended(rows, best):
    assert caches.recommended([row(caches.NONE, 1.0, 0.0), *rows]) == best


def test_pictures_drawn_in_parts_are_one_set(tmp_path):
    for number in (10, 2):
        drawn = {f"none/0/{twin}": torch.full((3, 2, 2), number + twin, dtype=torch.uint8) for twin in (0, 1)}
        took = torch.tensor([49.0 + number, 0.5], dtype=torch.float64)
        save_file(drawn | {"none/took": took}, tmp_path / f"{number}.safetensors")
    (arm,) = caches.drawn_in(tmp_path, 1).values()
    assert {number: [int(one[0, 0, 0]) for one in sets[0]] for number, sets in arm.pictures.items()} == {
        10: [10, 11], 2: [2, 3]
    }  # fmt: skip
    assert arm.passes == {10: 59.0, 2: 51.0}


def test_as_many_steps_are_an_arm_too():
    assert (caches.steps_of("steps-18", 28), caches.steps_of("easy-0.2", 28)) == (18, 28)
