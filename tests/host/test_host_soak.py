"""A small soak: every kind of prompt, two clients, a host killed under them."""

from __future__ import annotations

import sys
from pathlib import Path

from graphs import ROOT
from newbie_pack.client import environment
from newbie_pack.lab.benchmarks import soak


def test_a_small_soak(comfyui, tmp_path):
    here = environment.Environment(ROOT, tmp_path, Path(sys.executable), comfyui, ours=True)
    ended, told = soak.soak(here, count=16, clients=2, kills=1, steps=1, seed=1)
    assert soak.faults(ended, 12, tmp_path / "output") == []
    assert {one.command: one.prompts for one in told} == {"queue": 3, "create": 1}
    assert not [fault for one in told for fault in one.faults]
    assert {one.kind for one in ended} == set(soak.ENDS)
    assert {one.life for one in ended} == {0, 1}
