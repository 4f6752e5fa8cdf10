"""Silhouettes: the arithmetic on made-up attention, and that a real run's last steps note them without a trace."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import comfy.sample
import torch
from comfy_extras.nodes_easycache import EasyCacheNode
from newbie_pack.isolation.encode import encode, encode_negative
from newbie_pack.isolation.silhouettes import Silhouettes, edge, steps_from
from newbie_pack.xml_prompt import layout, parse
from plans import make_plan

LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
PROMPT = (
    "<character_1><appearance>blue hair</appearance><position>left</position></character_1>"
    "<character_2><appearance>red dress</appearance><position>right</position></character_2>"
    "<general_tags><background>night_sky</background></general_tags>"
)


def seen_in(plan, out, rows, columns, layers=2):
    """A forward of `layers` layers that all put this out."""
    found = Silhouettes()
    modules = [torch.nn.Identity() for _ in range(layers)]
    with found.watching(plan, rows, columns) as sight, sight.of(modules):
        for module in modules:
            module(out)
    assert not any(module._forward_pre_hooks for module in modules)
    return found


def test_a_figure_is_where_the_picture_points_as_its_own_text_does():
    """Shared text points along x, the characters' along y and z; image tokens as a drawn figure says, at any length."""
    plan = make_plan((0, 1, 1, 2), ((LEFT,), (RIGHT,)))
    x, y, z = torch.eye(3)
    figures = torch.tensor([[0, 1, 1, 0, 0, 0], [0, 1, 0, 0, 2, 2], [0, 1, 1, 0, 2, 0], [0, 0, 0, 1, 0, 0]])
    vectors = torch.stack([x, y, z])[figures.flatten()] * torch.linspace(0.2, 9, 24)[:, None]
    out = torch.cat([torch.stack([x, y, y, z]), vectors])[None]
    masks = seen_in(plan, out, 4, 6).masks(plan.regions, 0, 4, 6)
    assert torch.equal(masks[0], (figures == 1).float() * (torch.arange(6) < 3))  # not the one beyond its box
    assert torch.equal(masks[1], (figures == 2).float())


def test_where_two_overlap_the_one_who_is_seen_there_has_it():
    both = (0.0, 0.0, 1.0, 1.0)
    plan = make_plan((0, 1, 2), ((both,), (both,)))
    x, y, z = torch.eye(3)
    image = torch.stack([x, y, y, z + 0.5 * y, z, x])
    masks = seen_in(plan, torch.cat([torch.stack([x, y, z]), image])[None], 1, 6).masks(plan.regions, 0, 1, 6)
    assert masks[0].int().tolist() == [[0, 1, 1, 0, 0, 0]] and masks[1].int().tolist() == [[0, 0, 0, 1, 1, 0]]


def test_the_edge_parts_two_groups():
    scores = torch.cat([torch.linspace(0, 0.2, 50), torch.linspace(0.8, 1, 50)])
    assert 0.2 <= edge(scores) <= 0.8


@pytest.mark.parametrize(("steps", "seen"), [(1, 1), (2, 1), (4, 1), (28, 4)])
def test_the_last_few_steps_are_looked_at(steps, seen):
    first = steps_from({"sample_sigmas": torch.linspace(1, 0, steps + 1)})
    assert sum(step / steps >= first for step in range(steps)) == seen


def draw(model, positive, negative, steps=3, batch=1):
    latent = torch.zeros(batch, 16, 12, 16)
    return comfy.sample.sample(model, comfy.sample.prepare_noise(latent, 1), steps, 4.0, "euler", "simple", positive,
                               negative, latent, disable_pbar=True, seed=1)


@pytest.mark.parametrize(("ends", "seen"), [(1.0, False), (0.8, True)])
def test_a_cache_that_skips_the_last_steps_is_named(mini, ends, seen):
    """One that may skip whatever it likes."""
    model, clip = mini[:2]
    scene = parse(PROMPT)
    boxes = layout(scene, 4 / 3)
    positive, negative = encode(clip, scene, boxes, "strict"), encode_negative(clip, scene, boxes, "strict", "")
    draw(EasyCacheNode.execute(model, 100.0, 0.0, ends, False).result[0], positive, negative, steps=10)
    isolation = positive[0][1]["control"].isolation
    with nullcontext() if seen else pytest.raises(ValueError, match=r"Set the cache's end_percent to 0\.8"):
        isolation.silhouettes.masks(isolation.forward.plan.regions, 0, 96, 128)


def test_a_run_leaves_silhouettes_and_nothing_else(mini, monkeypatch):
    model, clip = mini[:2]
    scene = parse(PROMPT)
    boxes = layout(scene, 4 / 3)
    positive, negative = encode(clip, scene, boxes, "strict"), encode_negative(clip, scene, boxes, "strict", "")
    found = positive[0][1]["control"].isolation.silhouettes
    with pytest.raises(ValueError, match="No silhouettes were recorded"):
        found.masks(positive[0][1]["control"].isolation.forward.plan.regions, 0, 96, 128)
    with_them = draw(model, positive, negative, batch=2)
    plan = positive[0][1]["control"].isolation.forward.plan
    assert found.count == 1 and found.total.shape == (2, 2, 6, 8)
    masks = found.masks(plan.regions, 1, 96, 128)
    assert masks.shape == (2, 96, 128) and set(masks.unique().tolist()) <= {0.0, 1.0} and masks.any()
    draw(model, positive, negative)
    assert found.count == 1 and found.total.shape == (1, 2, 6, 8)  # of the last run
    with pytest.raises(ValueError, match="picture is 3"):
        found.masks(plan.regions, 2, 96, 128)
    monkeypatch.setattr("newbie_pack.isolation.carrier.can_be_seen", lambda _plan: False)
    assert torch.equal(draw(model, positive, negative, batch=2), with_them)
