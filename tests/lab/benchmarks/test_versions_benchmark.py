"""The benchmark over several ComfyUIs: what it judges, without starting one."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from newbie_pack.client import environment
from newbie_pack.client.problem import Problem
from newbie_pack.lab.benchmarks import versions

SAMPLED = {"whole": "NewBieSample", "in parts": "SamplerCustomAdvanced", "KSampler": "KSampler"}


def test_three_graphs_are_the_same_but_for_how_they_sample():
    made = versions.graphs()
    assert set(made) == set(SAMPLED)
    for name, prompt in made.items():
        kinds = [node["class_type"] for node in prompt.values()]
        assert set(SAMPLED.values()) & set(kinds) == {SAMPLED[name]}
        for node in prompt.values():
            for value in node["inputs"].values():
                if isinstance(value, list):
                    assert value[0] in prompt


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A ComfyUI that is but a name, which "draws" grey pictures."""
    made = tmp_path / "ComfyUI"
    made.mkdir()
    (made / "main.py").touch()
    (made / "comfyui_version.py").write_text('# generated\n__version__ = "0.99.1"\n')
    monkeypatch.setenv("COMFYUI_PATH", str(made))
    running = SimpleNamespace(seconds=3.0, server=lambda: None)
    monkeypatch.setattr(versions.host, "running", lambda here: contextlib.nullcontext(running))
    monkeypatch.setattr(versions.api, "ask", lambda server, path: {"NewBieSample": {}, "KSampler": {}})
    monkeypatch.setattr(versions, "drawn", lambda server, prompt: np.full((2, 2, 3), 0.5, np.float32))
    monkeypatch.setattr(versions, "tells_a_wrong_setting", lambda server, prompt: True)
    return made


def test_one_that_draws_the_same_passes(folder, capsys):
    assert versions.main([str(folder), "--json"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == second == {
        "comfyui": "0.99.1", "starts": 3.0, "nodes": 1, "differs": dict.fromkeys(SAMPLED, 0.0), "problem": "",
    }  # fmt: skip


def test_another_picture_fails(folder, monkeypatch, capsys):
    shade = iter([0.5] * 4 + [0.5, 0.6, 0.5, 0.5])
    monkeypatch.setattr(versions, "drawn", lambda server, prompt: np.full((2, 2, 3), next(shade), np.float32))
    assert versions.main([str(folder)]) == 1
    assert "in parts 0.1000" in capsys.readouterr().out.splitlines()[1]


def test_one_that_tells_nothing_or_does_not_start_fails(folder, monkeypatch, capsys):
    monkeypatch.setattr(versions, "tells_a_wrong_setting", lambda server, prompt: False)
    assert versions.main([]) == 1

    def ends(here):
        raise Problem("ComfyUI stopped while starting.")

    monkeypatch.setattr(versions.host, "running", ends)
    assert versions.main([]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "0.99.1   fails: a wrong setting is not told", "0.99.1   fails: ComfyUI stopped while starting.",
    ]  # fmt: skip


def test_a_folder_without_a_comfyui_is_a_sentence(folder, tmp_path):
    with pytest.raises(Problem, match=r"There is no main\.py in .*: name the folder of a ComfyUI"):
        versions.main([str(tmp_path / "away")])


def test_nothing_is_written_to_the_folders(folder, monkeypatch):
    """The environment is somebody's own, so that client.host keeps out of it."""
    seen = []
    there = contextlib.nullcontext(SimpleNamespace(seconds=0.0, server=lambda: None))
    monkeypatch.setattr(versions.host, "running", lambda here: seen.append(here) or there)
    versions.main([])
    assert [here.ours for here in seen] == [False] and seen[0].comfyui == folder
    assert isinstance(seen[0], environment.Environment) and Path(folder) not in seen[0].home.parents
