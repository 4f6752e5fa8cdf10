"""What benchmarks/binding asks for: places as said, words left out as said, and arms that differ in what they say."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from newbie_pack.lab.benchmarks import binding_arms as arms
from newbie_pack.lab.benchmarks import binding_scenes as scenes
from newbie_pack.lab.drawing import attributes
from newbie_pack.lab.drawing.scenes import MARGIN, SQUAT, TALLEST, overlap
from newbie_pack.lab.training import tokens
from newbie_pack.lab.training.generate import Isolated, Networks, collate, predictor, shifted

CPU = torch.device("cpu")


def inside(picture):
    return all(
        f.x >= MARGIN - 1e-6 and f.x + f.width <= picture.width - MARGIN + 1e-6
        and f.y >= MARGIN - 1e-6 and f.y + f.height <= picture.height - MARGIN + 1e-6
        and f.width == pytest.approx(f.height * SQUAT)
        and 0.2 <= f.height / picture.height <= TALLEST
        for f in picture.figures
    )


@pytest.mark.parametrize("kind", scenes.UNUSUAL)
def test_unusual_places(kind):
    test = scenes.unusual_set(kind, 60)
    assert {len(p.figures) for p in test.pictures} == set(scenes.UNUSUAL[kind][1])
    for picture in test.pictures:
        figures = picture.figures
        assert inside(picture)
        boxes = [(f.x, f.y, f.width, f.height) for f in figures]
        assert all(overlap(a, b) < 1e-6 for a, b in combinations(boxes, 2))
        middles = [f.x + f.width / 2 for f in figures]
        assert middles == sorted(middles)
        assert all((f.look["hair"], f.look["cloth"]) in attributes.HELD_OUT for f in figures)
        if kind == "one side":
            left, right = min(f.x for f in figures), max(f.x + f.width for f in figures)
            assert right <= 0.55 * 320 + 1e-6 or left >= 0.45 * 320 - 1e-6
        if kind == "unequal sizes":
            sizes = sorted(f.height for f in figures)
            assert sizes[-1] > 1.8 * sizes[-2]
        if kind == "one above another" and len(figures) == 2:
            upper, lower = sorted(figures, key=lambda f: f.y)
            assert upper.y + upper.height <= lower.y + 1e-6
            assert min(f.width for f in figures) > middles[1] - middles[0]


@pytest.mark.parametrize("people", [1, 2, 3, 4])
def test_usual_places_are_the_layouts_own(people):
    pictures = scenes.usual_set(people, 8).pictures
    assert all(inside(p) for p in pictures)
    assert len({tuple((f.x, f.y, f.height) for f in p.figures) for p in pictures}) == 1


def test_what_is_left_unsaid_is_not_in_the_text_and_all_else_is():
    test = scenes.unstated_set(3, 20)
    complete = scenes.describe(test.pictures)
    truth = scenes.truth_of(test)
    silent = 0
    for picture, described, whole in zip(test.pictures, test.described, complete, strict=True):
        for figure, character, said, before in zip(
            picture.figures, described.scene.characters, described.stated, whole.stated, strict=True
        ):
            text = ", ".join(tag.text for field in character.fields for tag in field.tags if field.name != "position")
            for name, value in figure.look.items():
                words = {"hair": f"{value}_hair", "eyes": f"{value}_eyes", "cloth": f"{value}_"}.get(name, value)
                if name == "cloth":
                    clothes = [t.text for f in character.fields if f.name == "clothing" for t in f.tags]
                    shown = any(t.startswith(words) for t in clothes)
                elif name == "kind":
                    shown = value in text
                else:
                    shown = words in text.split(", ")
                assert shown == (name in said) or value == "none", (name, value, text)
            silent += len(before - said)
        assert all(sum(name in b - s for b, s in zip(whole.stated, described.stated, strict=True)) <= 1
                   for name in attributes.VALUES)  # a neighbour always states it
    assert silent > 60
    assert (~truth.stated).sum() >= silent and np.array_equal(truth.meant, truth.stated)


def test_other_colours_change_these_words_alone():
    test = scenes.usual_set(2, 10)
    for picture, other, who, before, after in zip(
        test.pictures, test.recoloured, test.changed, test.described, test.redescribed, strict=True
    ):
        assert before.boxes == after.boxes and before.scene.general == after.scene.general
        for i, (figure, recoloured) in enumerate(zip(picture.figures, other.figures, strict=True)):
            differ = {name for name in figure.look if figure.look[name] != recoloured.look[name]}
            assert differ == ({"hair", "cloth"} if i == who else set())
            same = before.scene.characters[i] == after.scene.characters[i]
            assert same == (i != who)


@pytest.mark.parametrize("people", [2, 3, 4])
def test_sparse_prompts_say_hair_and_clothes_and_one_thing_more(people):
    test = scenes.sparse_set(people, 12)
    truth = scenes.truth_of(test)
    colours = {"hair", "cloth", "kind"}
    assert all(said >= colours and len(said - colours - {"gender"}) <= 1 for d in test.described for said in d.stated)
    assert np.array_equal(truth.meant, truth.stated) and 0.3 < truth.stated.mean() < 0.6
    for who, before, after in zip(test.changed, test.described, test.redescribed, strict=True):
        same = [a == b for a, b in zip(before.scene.characters, after.scene.characters, strict=True)]
        assert same == [i != who for i in range(people)] and before.stated == after.stated


def test_a_handshake_is_nobodys_alone():
    truth = scenes.truth_of(scenes.usual_set(2, 30))
    poses = [attributes.VALUES["pose"].index(pose) for pose in attributes.TOGETHER]
    shaking = np.isin(truth.values[:, list(attributes.VALUES).index("pose")], poses)
    assert 0 < shaking.sum() < len(shaking)
    assert ((~truth.alone).sum(1) == 2 * shaking).all()


# ------------------------------------------------------------------ arms


def test_arms_leave_open_what_they_say():
    described, tokenizers = scenes.usual_set(2, 1).described[0], tokens.Tokenizers()
    made = {name: arms.prompt_tokens(arm, described, tokenizers) for name, arm in arms.ARMS.items()}
    strict = made["strict"]
    assert set(strict.owner) == {0, 1, 2} and len(set(strict.segment)) > 2
    opened = made["encoding-open"]
    assert opened.owner == strict.owner and set(opened.segment) == {0} and opened.position[-1] == len(opened.ids) - 1
    closed = made["pooled-closed"]
    assert closed.jina == strict.jina_shared != strict.jina and closed.ids == strict.ids
    assert set(made["stock"].owner) == {0} and len(made["words"].ids) < len(made["stock"].ids)


def test_areas_are_averaged_as_the_host_does():
    """Two overlapping masks over one for all: sum of mask times prediction, over the sum of the masks."""
    x, sigma = torch.zeros(1, 1, 1, 4), torch.ones(1)
    masks = [torch.ones(1, 1, 1, 4), torch.tensor([[[[1.0, 1, 0, 0]]]]), torch.tensor([[[[0.0, 1, 1, 0]]]])]
    predictions = [lambda x, sigma, v=v: x + v for v in (0.0, 2.0, 4.0)]
    assert arms.weighted_mean(predictions, masks)(x, sigma).flatten().tolist() == [1, 2, 2, 0]


def test_borders_are_where_a_region_ends():
    """Three by three tokens, a region of the middle one: a step of one at its four sides, a half elsewhere below."""
    covered = torch.zeros(1, 1, 9, dtype=torch.bool)
    covered[0, 0, 4] = True
    images = torch.zeros(1, 3, 48, 48)
    images[..., 16:32, 16:32] = 1
    assert arms.borders(images, covered).tolist() == [[4, 4, 0, 8]]
    assert arms.borders(images * 0, covered).tolist() == [[0, 4, 0, 8]]


def test_bleed_of_equal_pictures_is_nothing_and_of_a_change_is_where_it_is():
    test = scenes.usual_set(2, 2)
    truth = scenes.truth_of(test)
    before = torch.rand(2, 3, 320, 320, generator=torch.Generator().manual_seed(0)) * 0.5
    assert not arms.change(before, before, truth, test.changed).any()
    after, who = before.clone(), test.changed[0]
    for k, share in ((who, 0.5), (1 - who, 0.1)):
        left, top, right, bottom = truth.boxes[truth.index == 0][k].round().astype(int)
        after[0, :, top:bottom, left:right] += share
    others, own = arms.change(before, after, truth, test.changed)[0]
    assert others == pytest.approx(0.1, abs=1e-4) and own == pytest.approx(0.5, abs=1e-4)


def spread_out():
    """Random networks, a prompt of two people for them, and a latent of noise."""
    torch.manual_seed(0)
    networks = Networks().eval()
    networks.initialise()
    for weight in networks.diffusion.parameters():
        weight.data += 0.05 * torch.randn_like(weight)  # nothing is the identity any more
    described = scenes.usual_set(2, 1).described
    made = tokens.tokenize(arms.prompts.segments(described[0], "boxes"), True, tokens.Tokenizers())
    covers = torch.from_numpy(arms.coverage(described, (6, 6)))
    return networks, collate([made], covers, CPU), torch.randn(1, 16, 12, 12)


def test_open_parts_of_the_model_are_as_if_everything_were_shared():
    """One forward: with refiner and joint layers free it is that of shared owners; with one of them it is neither."""
    networks, batch, x = spread_out()

    def forward(owner, **kept):
        with torch.no_grad():
            return predictor(networks, replace(batch, owner=owner), Isolated(**kept))(x, torch.full((1,), 0.7))

    strict, shared = forward(batch.owner), forward(torch.zeros_like(batch.owner))
    assert torch.equal(forward(batch.owner, refiner=False, joint=False), shared)
    half = [forward(batch.owner, refiner=False), forward(batch.owner, joint=False)]
    for a, b in combinations([strict, shared, *half], 2):
        assert (a - b).abs().max() > 1e-4


def test_people_are_kept_apart_in_some_layers_and_in_some_steps():
    networks, batch, x = spread_out()

    def forward(sigma, **kept):
        with torch.no_grad():
            return predictor(networks, batch, Isolated(**kept))(x, torch.full((1,), sigma))

    open_, cut = forward(0.9), forward(0.9, picture=1.0)
    assert (open_ - cut).abs().max() > 1e-4
    count = len(networks.diffusion.layers)
    assert torch.equal(forward(0.9, picture=1.0, layers=range(count)), cut)
    assert torch.equal(forward(0.9, picture=1.0, layers=range(0)), open_)
    some = forward(0.9, picture=1.0, layers=range(2))
    assert min((some - open_).abs().max(), (some - cut).abs().max()) > 1e-4
    middle = shifted(0.5)  # the noise with which the second half of the steps begins
    for steps, early, late in (((0.0, 0.5), cut, open_), ((0.5, 1.0), open_, cut)):
        assert torch.equal(forward(0.9, picture=1.0, steps=steps), early)
        assert torch.equal(forward(middle, picture=1.0, steps=steps), forward(middle, picture=float(late is cut)))


def test_pictures_of_a_set_are_the_same_every_time():
    assert scenes.unusual_set("one side", 3) == scenes.unusual_set("one side", 3)
    assert scenes.unstated_set(2, 3) == scenes.unstated_set(2, 3)
