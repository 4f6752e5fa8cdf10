"""The boolean rules, stated anew in words, at several sizes."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch
from newbie_pack.isolation.plan import PADDING, caption_rules, coverage, image_to_caption_rules, joint_rules


@pytest.mark.parametrize(("rows", "columns"), [(20, 20), (16, 24), (24, 16), (1, 1), (7, 5)])
def test_a_rectangle_covers_the_cells_it_shares_an_area_with(rows, columns):
    rectangle = (0.25, 0.1, 0.5, 0.95)
    covered = coverage([rectangle], rows, columns).view(rows, columns)
    for y in range(rows):
        for x in range(columns):
            across = min((x + 1) / columns, 0.5) - max(x / columns, 0.25)
            down = min((y + 1) / rows, 0.95) - max(y / rows, 0.1)
            assert bool(covered[y, x]) == (across > 1e-9 and down > 1e-9), (y, x)


def test_halves_meet_without_sharing_where_the_middle_is_a_cells_edge():
    left, right = (coverage([box], 4, 6) > 0 for box in ((0, 0, 0.5, 1), (0.5, 0, 1, 1)))
    assert (left ^ right).all()


def test_halves_share_the_middle_cell_where_it_is_not():
    left, right = (coverage([box], 4, 5) > 0 for box in ((0, 0, 0.5, 1), (0.5, 0, 1, 1)))
    assert (left & right).view(4, 5).nonzero()[:, 1].unique().tolist() == [2]


def test_captions_read_shared_text_and_their_own():
    rule = caption_rules(torch.tensor([[0, 1, 2, PADDING]]))[0]
    assert rule.tolist() == [
        [True, False, False, False],
        [True, True, False, False],
        [True, False, True, False],
        [True, False, False, False],
    ]


def test_image_reads_shared_text_and_who_covers_it():
    covers = torch.tensor([[[True, False, False], [False, False, True]]])
    rule = image_to_caption_rules(torch.tensor([[0, 1, 2, PADDING]]), covers)[0]
    assert rule.tolist() == [
        [True, True, False, False],
        [True, False, False, False],
        [True, False, True, False],
    ]


def test_joint_rules_are_whole():
    owner = torch.tensor([[0, 1]])
    rule = joint_rules(owner, torch.tensor([[[True, False]]]))[0]
    assert rule.tolist() == [
        [True, False, True, True],  # shared text: no one's own text, all of the image
        [True, True, True, False],  # the character: shared, itself, its part of the image
        [True, True, True, True],  # image inside
        [True, False, True, True],  # image outside
    ]
