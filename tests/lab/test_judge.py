"""The judge's geometry, on numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch
from newbie_pack.lab.drawing.attributes import VALUES
from newbie_pack.lab.judging import judge
from newbie_pack.lab.training import export
from newbie_pack.lab.training.world import PLAIN, WIDE


@pytest.mark.parametrize(
    ("other", "share"),
    [((0, 0, 10, 20), 1.0), ((5, 0, 15, 20), 1 / 3), ((0, 10, 10, 40), 10 * 10 / (200 + 300 - 100)),
     ((10, 0, 20, 20), 0.0), ((30, 30, 40, 40), 0.0), ((2, 5, 7, 15), 0.25), ((0, 0, 0, 0), 0.0)],
)
def test_overlap(other, share):
    boxes = torch.tensor([[0.0, 0, 10, 20]])
    assert judge.overlap(boxes, torch.tensor([other], dtype=torch.float32)).item() == pytest.approx(share)


def test_window_and_back():
    boxes = torch.tensor([[10.0, 20, 50, 100], [0, 0, 4, 8]])
    windows = judge.window(boxes)
    assert windows.tolist() == [[0, 0, 60, 120], [-1, -2, 5, 10]]
    fractions = judge.box_in_window(boxes, windows)
    assert fractions[0].tolist() == pytest.approx([1 / 6, 1 / 6, 5 / 6, 5 / 6])
    assert torch.allclose(judge.box_from_window(fractions, windows), boxes, atol=1e-5)


def test_crop_shows_the_window():
    """On a picture whose red is x and whose green is y, pixel centres half a pixel in."""
    y, x = torch.meshgrid(torch.arange(100) + 0.5, torch.arange(200) + 0.5, indexing="ij")
    picture = torch.stack([x, y, torch.zeros_like(x)])[None].expand(2, -1, -1, -1)
    seen = judge.crop(picture, torch.tensor([[50.0, 10, 90, 70], [-20, 40, 40, 130]]))
    assert seen.shape == (2, 3, *judge.CROP)
    assert torch.allclose(seen[0, 0, 0], torch.linspace(50, 90, judge.CROP[1]), atol=0.01)
    assert torch.allclose(seen[0, 1, :, 0], torch.linspace(10, 70, judge.CROP[0]), atol=0.01)
    assert seen[1, 0].min() == 0.5 and seen[1, 1].max() == 99.5  # beyond the edge the edge is repeated


def test_verdicts_are_in_pixels_and_in_order():
    torch.manual_seed(0)
    network = judge.Judge().eval()
    pictures = torch.rand(2, 3, 64, 96)
    boxes = torch.tensor([[8.0, 8, 28, 38], [40, 10, 70, 55], [20, 20, 40, 50]])
    index = torch.tensor([0, 1, 1])
    whole = judge.judge_figures(network, pictures, index, boxes)
    assert whole.attributes.shape == (3, len(VALUES)) and whole.present.dtype == torch.bool
    parts = judge.judge_figures(network, pictures, index, boxes, batch=1)
    assert torch.equal(whole.attributes, parts.attributes)
    with torch.no_grad():
        windows = judge.window(boxes)
        _, _, box = network.figure(judge.crop(pictures[index], windows))
    assert torch.allclose(whole.box, judge.box_from_window(box, windows), atol=1e-4)


def test_jittered_boxes_stay_near():
    torch.manual_seed(0)
    boxes = torch.tensor([[100.0, 100, 160, 190]]).repeat(2000, 1)
    moved = judge.jittered(boxes)
    shares = judge.overlap(moved, boxes)
    assert 0.6 < shares.mean() < 0.9 and shares.max() < 1
    sizes = (moved[:, 2:] - moved[:, :2]) / torch.tensor([60.0, 90])
    assert sizes.min() >= 0.7 - 1e-5 and sizes.max() <= 1.4 + 1e-5


def test_the_loss_falls_when_the_judge_learns():
    torch.manual_seed(0)
    network = judge.Judge()
    boxes = torch.zeros(2, 4, 4)
    boxes[:, 0] = torch.tensor([20.0, 10, 60, 70])
    values = torch.full((2, 4, len(VALUES)), -1)
    values[:, 0] = 1
    ones = torch.ones(2, dtype=torch.long)
    pictures = torch.rand(2, 3, 80, 80)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(6):
        loss = judge.figure_loss(network.figure, pictures, boxes, values, ones)
        loss = loss + judge.picture_loss(network.picture, pictures, ones, ones, ones)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-2:]) < 0.7 * sum(losses[:2])


def test_a_judge_knows_its_worlds_values_and_reads_a_file_as_what_it_was_trained_for(tmp_path):
    torch.manual_seed(0)
    for world in (PLAIN, WIDE):
        export.export_judge(tmp_path, judge.Judge(world))
        read = export.read_judge(tmp_path)
        assert read.world is world
        attributes, _, _ = read.figure(torch.rand(1, 3, *judge.CROP))
        assert [logits.shape[1] for logits in attributes] == [len(values) for values in world.values.values()]
        background, people, rendering = judge.judge_pictures(read, torch.rand(2, 3, 64, 64))
        assert background.shape == people.shape == rendering.shape == (2,)


def test_a_judge_of_more_values_begins_with_what_another_has_learned(tmp_path):
    torch.manual_seed(0)
    plain = judge.Judge(PLAIN)
    export.export_judge(tmp_path, plain)
    begun = export.begun_judge(tmp_path, WIDE)
    for name, weight in plain.state_dict().items():
        same = name not in ("figure.out.weight", "figure.out.bias", "picture.out.weight", "picture.out.bias")
        assert (begun.state_dict()[name].shape == weight.shape) == same
        if same and weight.is_floating_point():
            assert torch.equal(begun.state_dict()[name], weight.bfloat16().float())
