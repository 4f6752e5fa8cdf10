"""Training in parts, on several GPUs, and with people apart in the picture."""

from __future__ import annotations

import math

import pytest
import torch
from newbie_pack.lab.training import batches, dataset, diffusion
from newbie_pack.lab.training.course import Course
from newbie_pack.lab.training.generate import Isolated, apart, collate, velocity
from newbie_pack.lab.training.generate import caption as encoded
from newbie_pack.lab.training.optimizer import Optimizer
from newbie_pack.lab.training.ranks import Ranks
from newbie_pack.lab.training.tokens import tokenize
from newbie_pack.xml_prompt import Segment
from torch import nn

CPU = torch.device("cpu")
# Six image tokens: two of the first person alone, two of the second alone, one of both, one of nobody.
COVERS = torch.tensor([[[1, 1, 0, 0, 1, 0], [0, 0, 1, 1, 1, 0]]], dtype=torch.bool)


def test_apart_are_the_tokens_of_one_person_alone_and_of_another_alone():
    expected = torch.zeros(6, 6, dtype=torch.bool)
    expected[:2, 2:4] = expected[2:4, :2] = True
    assert torch.equal(apart(COVERS)[0], expected)
    assert not apart(COVERS[:, :1]).any()


def test_what_is_cut_in_the_picture_is_told_by_its_share(networks, tokenizers):
    """Nothing cut is as before; the more is cut, the less the second person's noise tells the first one's part."""
    made = tokenize((Segment(1, "<character_1>"), Segment(2, "<character_2>")), True, tokenizers)
    covers = torch.zeros(2, 4, 4, dtype=torch.bool)
    covers[0, :, :2] = covers[1, :, 2:] = True
    noise = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    other = noise.clone()
    other[..., 4:] += 1
    batch = collate([made], covers.flatten(1)[None], CPU)
    features, _, pooled = encoded(networks, batch)

    def left(picture, share):
        isolated = Isolated(picture=share)
        return velocity(networks, picture, torch.tensor([0.8]), batch, features, pooled, isolated)[..., :4]

    assert torch.equal(left(noise, 0.0), left(noise, torch.zeros(1)))
    moved = [(left(noise, share) - left(other, share)).norm().item() for share in (0.0, 0.9, 1.0)]
    assert moved[0] > moved[1] > moved[2]


def test_shares_are_drawn_for_isolated_prompts_alone_from_nothing_to_all():
    torch.manual_seed(0)
    cut = diffusion.picture_cut(torch.tensor([True, False] * 500))
    assert not cut[1::2].any()
    assert (cut[::2] == 0).float().mean() == pytest.approx(0.25, abs=0.08)  # 4 sigma of 500
    assert (cut[::2] == 1).float().mean() == pytest.approx(0.25, abs=0.08)


def test_batches_have_about_as_many_tokens():
    course = Course(diffusion_batch=256)
    counts = [diffusion.batch_of(group, course) for group in dataset.WIDE_GROUPS]
    assert max(counts) == 256
    for group, count in zip(dataset.WIDE_GROUPS, counts, strict=True):
        tokens = count * (group.length + group.grid[0] * group.grid[1])
        assert 0.9 <= tokens / (256 * 528) <= 1.05


def trainee(seed):
    torch.manual_seed(seed)
    weights = [nn.Parameter(torch.randn(3, 2)), nn.Parameter(torch.randn(2))]
    optimizer = Optimizer([("a", weights[0]), ("b", weights[1])], torch.device("cpu"))
    return diffusion.Trainee(weights, [w.detach().clone() for w in weights], optimizer)


def steps(one, count):
    for _ in range(count):
        for weight in one.weights:
            weight.grad = None
        sum(w.square().sum() for w in one.weights).backward()
        one.optimizer.step(0.1)
        one.step += 1


def test_a_run_goes_on_as_if_there_had_been_no_break(tmp_path):
    whole, first, second = trainee(0), trainee(0), trainee(1)
    steps(whole, 5)
    steps(first, 3)
    first.save(tmp_path / "state.safetensors")
    second.load(tmp_path / "state.safetensors")
    assert second.step == 3 and all(torch.equal(a, b) for a, b in zip(first.average, second.average, strict=True))
    steps(second, 2)
    assert all(torch.equal(a, b) for a, b in zip(whole.weights, second.weights, strict=True))


def test_heads_and_meeting_hands_weigh_more_than_scenery():
    box = torch.zeros(1, 2, 4)
    box[0, 0] = torch.tensor([64.0, 32, 160, 288])
    meeting = torch.tensor([[208.0, 160, 256, 208]])
    weight = batches.attention_to_people(box, meeting, (20, 20))[0]
    scenery, legs, eyes, hands = weight[1, 18], weight[16, 7], weight[5, 7], weight[11, 14]
    assert scenery < legs < hands < eyes
    assert weight.mean().item() == pytest.approx(1)


def test_alone_nobody_is_waited_for():
    alone, tensor = Ranks(), torch.tensor([math.pi])
    alone.join(CPU)
    alone.wait()
    alone.average([tensor])
    alone.leave()
    assert alone.first and alone.last and tensor.item() == pytest.approx(math.pi)
