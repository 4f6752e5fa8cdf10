"""What benchmarks/redraw asks for and counts, and that its sampling keeps what the mask keeps, as the host's does."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from newbie_pack.lab.benchmarks import redraw
from newbie_pack.lab.drawing.attributes import VALUES
from newbie_pack.lab.drawing.draw import render
from newbie_pack.lab.judging.evaluate import Mini, load
from newbie_pack.lab.training.generate import sample, sigmas
from newbie_pack.sampling.redraw import put_back

WEIGHTS = redraw.ROOT / "mini" / "weights"


def test_one_attribute_of_one_person_is_changed_to_what_such_a_person_may_have():
    seen = set()
    for task in redraw.tasks(3, 150):
        for number, (before, after) in enumerate(zip(task.picture.figures, task.wanted.figures, strict=True)):
            differ = {name for name in VALUES if before.look[name] != after.look[name]}
            assert differ == ({task.attribute} if number == task.chosen else set())
        look, partner = task.wanted.figures[task.chosen].look, task.wanted.figures[task.chosen].partner
        assert (look["gender"], look["kind"]) != ("1boy", "dress")
        assert partner is None or task.attribute not in ("pose", "facing")
        seen.add(task.attribute)
    assert seen == set(VALUES) - {"gender"}


@pytest.mark.parametrize("denoise", [1.0, 0.5])
def test_what_the_mask_keeps_is_the_latent_after_every_step(denoise):
    latent, noise = torch.randn(2, 2, 16, 4, 4, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(2, 1, 4, 4)
    mask[..., 1:3, :2] = 1
    asked = []

    def predict(x, sigma):
        asked.append((x, float(sigma[0])))
        return 0.3 * x

    both = [redraw.keeping(predict, latent, noise, mask)] * 2
    level = sigmas(6, denoise)[0]
    drawn = sample(*both, level * noise + (1 - level) * latent, 6, guidance=3.0, denoise=denoise)
    kept = mask.expand(-1, 16, -1, -1) == 0
    torch.testing.assert_close(drawn[kept], latent[kept], rtol=1e-4, atol=1e-5)
    assert (drawn[~kept] - latent[~kept]).abs().mean() > 0.1
    for x, level in asked:  # the model sees the kept part with this step's noise
        torch.testing.assert_close(x[kept], ((1 - level) * latent + level * noise)[kept])
    assert asked[0][1] == pytest.approx(1 if denoise == 1 else sigmas(12)[6])


@pytest.fixture(scope="module")
def judged():
    """A batch whose pictures are drawings: the judge is right about nearly all of them."""
    mini = load(WEIGHTS, torch.device("cpu"))
    batch = redraw.Batch.__new__(redraw.Batch)
    batch.mini, batch.tasks = mini, redraw.tasks(2, 24)
    batch.images = drawings(task.picture for task in batch.tasks)
    return batch


def drawings(pictures):
    return torch.from_numpy(np.stack([render(picture) for picture in pictures])).permute(0, 3, 1, 2).float() / 255


def share(found, name):
    return found[name][0].sum() / found[name][1].sum()


def test_a_perfect_redrawing_counts_as_one_and_none_as_none(judged):
    height, width = judged.images.shape[2:]
    shares = torch.zeros(24, height, width)
    for share_of_one, task in zip(shares, judged.tasks, strict=True):
        figure = task.picture.figures[task.chosen]
        share_of_one[:, max(0, round(figure.x) - 8) : round(figure.x + figure.width) + 8] = 1
    new = drawings(task.wanted for task in judged.tasks)
    put = torch.stack([
        put_back(old.permute(1, 2, 0)[None], one.permute(1, 2, 0)[None], part)[0].permute(2, 0, 1)
        for old, one, part in zip(judged.images, new, shares, strict=True)
    ])
    found = redraw.counted(judged, put, shares)
    assert share(found, "changed") > 0.9 and share(found, "own") > 0.9 and share(found, "others") > 0.97
    assert share(found, "outside") == 1
    still = redraw.counted(judged, judged.images, shares)
    assert share(still, "changed") < 0.1 and share(still, "others") == 1
    assert redraw.seams(*still["seams"].swapaxes(0, 1))[0] == pytest.approx(1)
    other = redraw.counted(judged, new, torch.zeros_like(shares))
    assert share(other, "outside") < 0.1  # something changed where nothing may


def test_a_step_at_the_edge_is_a_seam(judged):
    shares = torch.zeros(24, *judged.images.shape[2:])
    shares[:, 100:200, 100:200] = 1
    brighter = judged.images + 0.3 * shares[:, None]
    pair = [redraw.fades(images, shares) for images in (brighter, judged.images)]
    assert redraw.seams(*pair)[0] > 3


def test_a_box_leaves_the_others_silhouettes_out(monkeypatch):
    batch, regions = redraw.Batch.__new__(redraw.Batch), []
    box, other = torch.zeros(32, 64), torch.zeros(32, 64)
    box[:, :32], other[10:20, 28:50] = 1, 1
    seen = torch.zeros(32, 64)
    seen[8:24, 8:20] = 1
    batch.mini = Mini(None, SimpleNamespace(), None, torch.device("cpu"))
    batch.tasks, batch.described, batch.steps = [replace(redraw.tasks(2, 1)[0], chosen=0)], (), 1
    batch.masks = {redraw.BOXES: [[box, other]], redraw.SILHOUETTES: [[seen, other]]}
    batch.images, batch.latent, batch.other = torch.zeros(1, 3, 32, 64), None, None
    monkeypatch.setattr(redraw, "drawn", lambda *rest: rest[5])
    monkeypatch.setattr(redraw, "decode", lambda *_: torch.ones(1, 3, 32, 64))
    for shape in redraw.SHAPES:
        regions.append(batch.redrawn(shape, 0.0, 1.0)[1][0])
    assert torch.equal(regions[0], seen) and torch.equal(regions[1], box)
    assert torch.equal(regions[2], box * (1 - other))
