"""A host that lacks a name takes away the nodes that need it, with a sentence, and no others."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import logging
import sys
from pathlib import Path

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import comfy.samplers
from newbie_pack.nodes import NODES
from newbie_pack.nodes.sample import NewBieSample
from newbie_pack.nodes.sampler import NewBieSampler

ROOT = Path(__file__).resolve().parent.parent.parent
PROMPTS = {"NewBieXMLPrompt", "NewBieTextToXML", "NewBieScene", "NewBieSeeds", "NewBieSize"}
ENCODE = {"NewBieEncodeCharacters", "NewBieIsolationOptions"}  # the second is for the first alone
SAMPLE = {"NewBieSample", "NewBieRedrawCharacter"}  # what samples by itself


@pytest.fixture
def another():
    """The pack imported afresh, under another name."""
    name = "newbie_again"

    def load():
        spec = importlib.util.spec_from_file_location(
            name, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
        )
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
        extension = asyncio.run(sys.modules[name].comfy_entrypoint())
        return {cls.GET_SCHEMA().node_id for cls in asyncio.run(extension.get_node_list())}

    yield load
    for module in [one for one in sys.modules if one == name or one.startswith(f"{name}.")]:
        del sys.modules[module]


@pytest.mark.parametrize(
    ("module", "name", "lost"),
    [
        ("comfy.k_diffusion.sampling", "BrownianTreeNoiseSampler", {*SAMPLE, "NewBieSampler"}),
        ("comfy.samplers", "CFGGuider", {*SAMPLE, "NewBieGuider"}),
        ("comfy_extras.nodes_model_advanced", "ModelSamplingSD3", SAMPLE),
        ("comfy.conds", "CONDConstant", ENCODE),
        ("comfy.samplers", "KSampler", {"NewBieSample", "NewBieSampler"}),
        ("latent_preview", None, SAMPLE),
        ("server", None, set()),
    ],
)
def test_a_name_that_the_host_lacks_takes_away_only_the_nodes_that_need_it(
    another, monkeypatch, caplog, module, name, lost
):
    caplog.set_level(logging.WARNING)
    if name is None:
        monkeypatch.setitem(sys.modules, module, None)
    else:
        monkeypatch.delattr(importlib.import_module(module), name)
    there = another()
    assert there >= PROMPTS, there
    assert set(NODES) - there == lost
    said = [record.getMessage() for record in caplog.records if record.name == "newbie"]
    for what in set(NODES) - there or ["The live prompt check"]:
        assert any(line.startswith(f"{what} can't be used in this ComfyUI") for line in said)


def test_everything_is_there_where_nothing_is_missing(another, caplog):
    assert another() == set(NODES)
    assert not [record for record in caplog.records if record.name == "newbie"]


def choices(cls, key):
    return next(one.options for one in cls.define_schema().inputs if one.id == key)


def test_schedulers_of_packs_that_load_later_are_offered(monkeypatch):
    assert choices(NewBieSample, "scheduler") == comfy.samplers.SCHEDULER_NAMES
    monkeypatch.setattr(comfy.samplers.KSampler, "SCHEDULERS", [*comfy.samplers.SCHEDULER_NAMES, "beta57"])
    assert choices(NewBieSample, "scheduler")[-1] == "beta57"


def test_a_sampler_that_this_host_lacks_is_not_offered(monkeypatch):
    few = [name for name in comfy.samplers.SAMPLER_NAMES if name != "seeds_3"]
    monkeypatch.setattr(comfy.samplers.KSampler, "SAMPLERS", few)
    for cls in (NewBieSample, NewBieSampler):
        assert "seeds_3" not in choices(cls, "sampler") and "seeds_2" in choices(cls, "sampler")
