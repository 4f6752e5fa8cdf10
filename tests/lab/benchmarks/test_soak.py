"""What the soak counts as a fault."""

from __future__ import annotations

from dataclasses import replace

import pytest
from newbie_pack.lab.benchmarks import soak

GOOD = soak.Ended(0, "valid", soak.PICTURE, 1.0, 0, killed=False, cleared=False, resident=100)


@pytest.fixture
def output(tmp_path):
    (tmp_path / f"{soak.prefix(0)}_00001_.png").touch()
    return tmp_path


def test_a_good_run_has_no_faults(output):
    assert soak.faults([GOOD], 1, output) == []


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        ([], "were to end once each, and 0"),
        ([GOOD, GOOD], "were to end once each, and 2"),
        ([replace(GOOD, how=soak.ERROR, sentence="No.")], "ended in error: No."),
        ([replace(GOOD, kind="malformed")], "(malformed) ended in picture"),
        ([replace(GOOD, how=soak.LOST)], "ended in lost"),
        ([replace(GOOD, kind="cancelled", how=soak.CANCELLED)], "ended in cancelled and saved 1 pictures"),
    ],
)
def test_every_fault_is_told(output, ended, words):
    assert any(words in line for line in soak.faults(ended, 1, output))


def test_a_second_picture_is_told(output):
    (output / f"{soak.prefix(0)}_00002_.png").touch()
    assert "saved 2 pictures" in soak.faults([GOOD], 1, output)[0]


def test_a_prompt_whose_host_was_killed_may_fail(output):
    assert soak.faults([replace(GOOD, how=soak.ERROR, killed=True)], 1, output) == []


def test_a_prompt_that_was_cleared_away_may_fail(tmp_path):
    assert soak.faults([replace(GOOD, how=soak.ERROR, cleared=True)], 1, tmp_path) == []


@pytest.mark.parametrize(("last", "told"), [(104, False), (106, True)])
def test_memory_that_grows_is_told(tmp_path, last, told):
    ended = [replace(GOOD, number=n, resident=100 if n < 6 else last) for n in range(9)]
    for one in ended:
        (tmp_path / f"{soak.prefix(one.number)}_00001_.png").touch()
    assert bool(soak.faults(ended, 9, tmp_path)) is told
