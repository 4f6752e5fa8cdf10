"""A small soak: every kind of prompt, two clients, a host killed under them."""

from __future__ import annotations

import sys
from pathlib import Path

from graphs import ROOT
from newbie_pack.client import environment
from newbie_pack.lab.benchmarks import soak


def test_a_small_soak(comfyui, tmp_path):
    here = environment.Environment(ROOT, tmp_path, Path(sys.executable), comfyui, ours=True)
    ended = soak.soak(here, count=9, clients=2, kills=1, steps=1, seed=1)
    assert soak.faults(ended, 9, tmp_path / "output") == []
    assert {one.kind for one in ended} == set(soak.ENDS)
    assert {one.life for one in ended} == {0, 1}
