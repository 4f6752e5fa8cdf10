"""Steps that compute a part of the picture: what is computed is what the network computes, and what is kept stays."""

from __future__ import annotations

import pytest
import torch
from newbie_pack.lab.benchmarks import skip
from newbie_pack.lab.training.generate import Networks, collate, predictor
from newbie_pack.lab.training.tokens import Tokens

ROWS, COLUMNS = 4, 5
SIGMA = torch.full((2,), 0.6)


@pytest.fixture(scope="module")
def sides():
    """Two prompts of random networks: the plain predictor, and one that may leave tokens out."""
    torch.manual_seed(0)
    networks = Networks().requires_grad_(False).eval()
    for weight in networks.parameters():
        weight.normal_(0, 0.05)
    mini = type("Mini", (), {"networks": networks, "device": torch.device("cpu")})
    rows = [2, 5, 6, 7], [0, 0, 1, 2], [0, 0, 1, 2], [0, 1, 2, 2]  # ids, owners, segments, positions
    texts = [Tokens(*(row[:length] for row in rows), [0, 5, 2], []) for length in (4, 3)]
    covers = torch.zeros(2, 2, ROWS * COLUMNS, dtype=torch.bool)
    covers[:, 0, :8], covers[:, 1, 8:16] = True, True
    batch = collate(texts, covers, mini.device)

    def side(how="change", share=0.5):
        return skip.Side(mini, batch, skip.Choice(skip.Skip(how, share, steps=8), covers.any(1).float()), leads=True)

    return predictor(networks, batch), side


def latent(seed):
    return torch.randn(2, 16, 2 * ROWS, 2 * COLUMNS, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_all_tokens_are_the_networks_own_forward(sides):
    """Through the picture that is predicted and back, in float32."""
    plain, side = sides
    torch.testing.assert_close(side()(latent(1), SIGMA), plain(latent(1), SIGMA), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_the_same_step_again_is_the_same_whatever_is_left_out(sides):
    """Of one and the same latent everything that is kept is still right."""
    plain, side = sides
    part = side()
    for step in range(5):
        drawn = part(latent(1), SIGMA)
        assert (part.choice.index is None) == (step in (0, 1))  # two of eight are whole, then one in four
        torch.testing.assert_close(drawn, plain(latent(1), SIGMA), rtol=1e-4, atol=1e-4)
    assert part.computed == 2 * (4 + 20) + 3 * (4 + 10)


@torch.no_grad()
def test_tokens_left_out_keep_what_they_predicted(sides):
    part = sides[1]("boxes", 0.4)
    for _ in range(3):
        part(latent(1), SIGMA)
    before, moved = part.picture.clone(), part(latent(2), SIGMA)
    left_out = torch.ones(2, ROWS * COLUMNS, dtype=torch.bool).scatter(1, part.choice.index, False)
    assert torch.equal(part.picture[left_out], before[left_out]) and not torch.equal(part.picture, before)
    assert (part.choice.index < 16).all()  # the boxes come first
    assert not torch.isnan(moved).any()


@pytest.mark.parametrize(("name", "expected"), [
    ("none", skip.Skip("none")), ("boxes-0.3", skip.Skip("boxes", 0.3)), ("steps-17", skip.Skip("steps", steps=17)),
])  # fmt: skip
def test_an_arms_name_says_what_it_does(name, expected):
    assert skip.Skip.of(name) == expected
