"""The rehearsal in a real host, with the built-in model in the full one's place, and what it calls a fault."""

from __future__ import annotations

import pytest
from newbie_pack.benchmarks import rehearsal


def test_stages_and_pictures_of_every_size_and_batch(server):
    wanted = [("320x320", 2), ("384x256", 1)]
    rows = list(rehearsal.tables(server, 0.0, {"ours": rehearsal.ours({}, 2)}, wanted, rounds=1))
    assert [(row["size"], row["batch"], row["pictures"]) for row in rows] == [(*each, each[1]) for each in wanted]
    for row in rows:
        stages = [row[f"{stage}_s"] for stage in ("encode", "sample", "decode")]
        assert all(seconds > 0 for seconds in stages)
        assert sum(stages) <= row["seconds"]
        assert row["peak_gb"] == 0  # a CPU's memory is everyone's
    assert rehearsal.faults(rows) == []


def test_what_a_user_would_be_told_is_the_rows_error(server):
    graph = rehearsal.ours({"diffusion_model": "missing.safetensors"}, 2)
    (row,) = rehearsal.tables(server, 0.0, {"ours": graph}, [("320x320", 1)], rounds=1)
    assert row["error"].startswith("NewBie Loader: ")
    (fault,) = rehearsal.faults([row])
    assert fault == f"ours 320x320 x 1: {row['error']}"


def prompts(seconds, held):
    return [
        {"way": "ours", "prompt": i, "size": "64x64", "batch": 1, "seconds": s, "held_gb": h}
        for i, (s, h) in enumerate(zip(seconds, held, strict=True), 1)
    ]


@pytest.mark.parametrize(
    ("seconds", "held", "found"),
    [
        ([9, 4, 2, 2, 2.2], [0.0, 5.0, 5.0, 5.0, 5.0], []),  # the first two warm up
        ([9, 2, 2, 2, 2], [5, 5, 5, 5.1, 5.2], ["0.20 GB more are taken after the last prompt than after the third"]),
        ([9, 2, 2, 4, 2], [5.0] * 5, ["prompt 4 took 4.0 s where 2.0 s are usual"]),
    ],
)  # fmt: skip
def test_prompts_in_a_row_must_neither_grow_nor_load_again(seconds, held, found):
    assert rehearsal.faults(prompts(seconds, held)) == found
