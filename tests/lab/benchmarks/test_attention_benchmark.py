"""What the attention benchmark calls a fault."""

from __future__ import annotations

import argparse

import pytest
import torch
from newbie_pack.lab.benchmarks import attention, lora


def row(people: int, codes: float, **others: float) -> dict[str, float]:
    return {"size": 1024, "batch": 1, "people": people, "codes": codes, "codes memory": 1.01, "set_up": 0.02} | others


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([row(2, 0.97), row(8, 1.0)], None),
        ([row(2, 1.031)], "1024 px, batch 1, 2 characters: codes is 1.031 of the plain step's, over 1.03."),
        ([row(2, 1.0, **{"codes memory": 1.04})], "codes memory is 1.04"),
        ([row(2, 1.0, set_up=0.3)], "the set-up is 1.1% of each of 28 steps, over 1%"),
        ([row(2, 0.95), row(8, 1.01)], "isolating 8 characters costs 6.0% of a step more than isolating 2"),
        ([row(2, 0.95), row(8, 1.01, batch=2)], None),
    ],
)
def test_what_is_over_a_limit_is_told(rows, says):
    found = list(attention.faults(rows, "codes", attention.GPU_LIMIT))
    assert found == [] if says is None else len(found) == 1 and says in found[0]


def test_the_set_up_is_made_anew_each_time():
    """Kept codes would cost nothing."""
    network = attention.make_network(attention.DIFFUSION, attention.torch.device("cpu"), attention.torch.float32)
    step = attention.Step(network, attention.DIFFUSION, 320, 2, 1)
    step.set_up()
    (first,) = step.isolation.kept.values()
    step.set_up()
    (second,) = step.isolation.kept.values()
    assert first is not second


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ["plain", "dense", "codes", "compiled", "compiled codes"]),
        ({"arms": ["compiled codes", "compiled fp8 mended"]}, ["plain", "dense", "codes", "compiled codes"]),
        ({"arms": ["fp8", "compiled fp8 mended"], "fp8": True},
         ["plain", "dense", "codes", "fp8", "compiled fp8 mended"]),
    ],
)
def test_arms_that_there_is_no_network_for_are_left_out(asked, expected):
    options = argparse.Namespace(**({"compile": "blocks", "fp8": False, "arms": None} | asked))
    assert attention.arms_for(options, on_cpu=True, batch=1) == expected


def test_every_arm_runs_compiled_and_with_loras():
    """On the mini's architecture, traced and not compiled; in float32 an isolated step is the same either way."""
    torch.compiler.reset()
    with torch.no_grad():
        small = attention.DIFFUSION | {"n_layers": 2, "n_refiner_layers": 1}
        network = attention.make_network(small, torch.device("cpu"), torch.float32)
        step = attention.Step(network, small, 64, 2, 1)
        cover = attention.Cover.of(network, False, "eager")
        layers = [lora.random_layers(network, 4) for _ in range(2)]
        plain, worn, compiled = step.isolated(), lora.with_loras(step, layers)(), lora.with_loras(step, layers, cover)()
    torch.compiler.reset()
    assert (worn - plain).abs().max() > 1e-3
    torch.testing.assert_close(compiled, worn, rtol=1e-4, atol=1e-4)
