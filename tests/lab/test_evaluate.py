"""What is evaluated, how it is counted, and the schedule it is sampled on."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from host_import import NO_HOST
from newbie_pack.lab.drawing import attributes
from newbie_pack.lab.drawing.scenes import SQUAT, Figure, Picture
from newbie_pack.lab.judging import evaluate
from newbie_pack.lab.judging.judge import Verdict
from newbie_pack.lab.training import dataset, prompts
from newbie_pack.lab.training.generate import sigmas
from newbie_pack.lab.training.world import WIDE

LOOK = {key: values[0] for key, values in attributes.VALUES.items()}


def figure(left: float, **look: str) -> Figure:
    return Figure(left, 80, 180 * SQUAT, 180, LOOK | look)


def picture(*figures: Figure, background: str = "beach") -> Picture:
    return Picture(320, 320, background, figures, 1)


def test_schedule_is_the_hosts_simple_one_with_shift_6():
    pytest.importorskip("comfy.options", reason=NO_HOST)
    import comfy.model_sampling
    import comfy.samplers

    sampling = comfy.model_sampling.ModelSamplingDiscreteFlow()
    sampling.set_parameters(shift=6.0, multiplier=1.0)
    for steps in (28, 1, 7, 30):
        hosts = comfy.samplers.calculate_sigmas(sampling, "simple", steps)
        assert torch.allclose(torch.tensor(sigmas(steps)), hosts, rtol=0, atol=1e-6)


def test_everyone_in_the_test_wears_what_no_training_picture_shows():
    for people in (1, 4):
        pictures = evaluate.held_out_pictures(people, 20, seed=people)
        for each in pictures:
            assert len(each.figures) == people
            assert all((f.look["hair"], f.look["cloth"]) in attributes.HELD_OUT for f in each.figures)
        assert pictures == evaluate.held_out_pictures(people, 20, seed=people)


@pytest.mark.parametrize("pose", attributes.TOGETHER)
def test_two_do_together_what_is_asked(pose):
    for each in evaluate.together(pose, 6, 1, WIDE):
        assert [(f.partner, f.look["pose"]) for f in each.figures] == [(1, pose), (0, pose)]


def test_one_of_two_is_seen_from_behind():
    for each in evaluate.from_behind(6, 1, WIDE):
        assert [f.look["facing"] == "from_behind" for f in each.figures].count(True) == 1
        assert each.figures[0].x + each.figures[0].width / 2 <= each.figures[1].x + each.figures[1].width / 2


def test_what_is_hidden_from_behind_is_neither_right_nor_wrong(monkeypatch):
    pictures = [picture(figure(100, facing="from_behind"))]
    _, boxes, values = evaluate.true_labels(pictures, torch.device("cpu"))
    names = list(attributes.VALUES)
    hidden = [names.index(name) for name in attributes.UNSEEN_FROM_BEHIND]
    assert values[0, hidden].tolist() == [-1, -1] and (values >= 0).sum() == 8
    seen = values.clamp(min=0)
    seen[0, names.index("hair")] += 1
    monkeypatch.setattr(evaluate, "judge_figures", lambda *_: Verdict(seen, torch.tensor([True]), boxes))
    monkeypatch.setattr(evaluate, "judge_pictures", lambda *_: torch.tensor([[1], [1], [0]]))
    row = evaluate.score(evaluate.Mini(None, None, None, torch.device("cpu")), pictures, torch.zeros(1, 3, 320, 320))
    assert row["mean"] == pytest.approx(100 * 7 / 8, abs=0.01)


def test_labels():
    shown = picture(figure(10, hair="aqua", pose="arms_up"), figure(170, gender="1boy"))
    boxes, values = dataset.labels(shown)
    assert boxes[:2].tolist() == [[10, 80, 130, 260], [170, 80, 290, 260]] and not boxes[2:].any()
    names = list(attributes.VALUES)
    expected = [0] * len(names)
    expected[names.index("hair")], expected[names.index("pose")] = 5, 1
    assert values[0].tolist() == expected
    assert values[1, 0] == 1 and (values[2:] == -1).all()


def test_covers_of_a_described_picture():
    """Boxes of 120 x 180 px on 20 x 20 tokens of 16 px: the cells that they touch."""
    shown = picture(figure(16), figure(176))
    covered = dataset.coverage(prompts.describe(shown, random.Random(0), complete=True), (20, 20)).reshape(-1, 20, 20)
    for person, columns in ((0, range(1, 9)), (1, range(11, 19))):
        expected = np.zeros((20, 20), bool)
        expected[5:17, list(columns)] = True
        assert np.array_equal(covered[person], expected)
    assert not covered[2:].any()


def test_score_counts_what_the_judge_finds(monkeypatch):
    """Two pictures with one and two people; one hair wrong, one person missing, one background and count wrong."""
    pictures = [picture(figure(100)), picture(figure(10), figure(170, pose="handshake"), background="forest")]
    index, boxes, values = evaluate.true_labels(pictures, torch.device("cpu"))
    assert index.tolist() == [0, 1, 1]
    found = values.clone()
    found[1, list(attributes.VALUES).index("hair")] += 1
    seen = boxes.clone()
    seen[0, 2] += 80  # 120 wide of 200: an overlap of 0.6
    seen[1, [0, 2]] += 60  # half of it: a third
    verdict = Verdict(found, torch.tensor([True, True, False]), seen)
    judged = (torch.tensor([attributes.BACKGROUND.index("beach")] * 2), torch.tensor([1, 3]), torch.tensor([0, 1]))
    monkeypatch.setattr(evaluate, "judge_figures", lambda *_: verdict)
    monkeypatch.setattr(evaluate, "judge_pictures", lambda *_: judged)
    mini = evaluate.Mini(None, None, None, torch.device("cpu"))
    row = evaluate.score(mini, pictures, torch.zeros(2, 3, 320, 320))
    assert row["mean"] == pytest.approx(100 * 19 / 30, abs=0.01)
    assert row["hair"] == pytest.approx(100 / 3, abs=0.01) and row["eyes"] == pytest.approx(200 / 3, abs=0.01)
    assert row["all_right"] == row["background"] == row["count"] == row["rendering"] == 50
    assert row["present"] == pytest.approx(200 / 3, abs=0.01)
    assert row["box_over_half"] == pytest.approx(100 / 3, abs=0.01)
    assert row["box_iou"] == pytest.approx(1 / 3, abs=0.001)
    assert row["together"] == 0


def test_sheet():
    images = torch.arange(5).view(5, 1, 1, 1).expand(5, 3, 2, 4) / 255
    pixels = evaluate.sheet(images, 2)
    assert pixels.shape == (4, 8, 3)  # the fifth doesn't fill a row
    assert pixels[::2, ::4, 0].tolist() == [[0, 1], [2, 3]]
