"""Leaky data: people are as alike and prompts as silent as stated."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import torch
from newbie_pack.lab.drawing import attributes
from newbie_pack.lab.drawing.scenes import sample_picture
from newbie_pack.lab.training import batches, dataset, prompts
from newbie_pack.lab.training.pools import Pool
from newbie_pack.lab.training.world import LEAKY, PLAIN
from newbie_pack.xml_prompt import text_of

SIGMAS = 4.0  # of a binomial: one of some 20 checks fails by chance once in a thousand choices of the seed


def blank_pool(group, count=8):
    """A pool of zeros with the shapes and types of a real one."""
    rows, columns = group.grid
    short = (count, len(dataset.VARIANTS))
    shapes = {
        **dict.fromkeys(("ids", "owner", "segment", "position"), (*short, group.length)),
        **dict.fromkeys(("jina", "shared"), (*short, group.jina_length)),
        **dict.fromkeys(("length", "jina_length", "shared_length"), short),
    }
    arrays = {name: [torch.full(shape, 2, dtype=torch.int16)] for name, shape in shapes.items()}
    arrays["covers"] = [torch.zeros(count, dataset.ISOLATED, dataset.PEOPLE, rows * columns, dtype=torch.bool)]
    arrays["latent"] = [torch.zeros(count, 16, 2 * rows, 2 * columns, dtype=torch.bfloat16)]
    arrays["weight"] = [torch.ones(count, rows, columns, dtype=torch.float16)]
    return Pool(group, arrays)


def within(hits: int, cases: int, low: float, high: float) -> bool:
    spread = SIGMAS * (0.25 / cases) ** 0.5
    return low - spread <= hits / cases <= high + spread


def leaky_pictures(count: int, people: int, seed: int = 5):
    rng = random.Random(seed)
    return [sample_picture(rng, (384, 256), people, world=LEAKY) for _ in range(count)]


@pytest.mark.parametrize("people", [2, 3, 4])
def test_people_share_what_they_wear_as_often_as_stated(people):
    """Independent people agree by chance too, least often in what has many values."""
    plain = [p for p in leaky_pictures(900, people) if not any(f.name or f.partner is not None for f in p.figures)]
    assert len(plain) > 250
    for name, chance in LEAKY.alike.items():
        together = sum(len({f.look[name] for f in p.figures}) == 1 for p in plain)
        values = attributes.VALUES[name]
        if name in ("eyes", "expression", "facing"):  # nothing else decides over these
            expected = chance + (1 - chance) * len(values) ** (1 - people)
            assert within(together, len(plain), expected, expected), name
        elif name in ("cloth", "hair"):
            assert within(together, len(plain), chance, chance + (1 - chance) * 0.25), name
        else:  # boys don't share girls' dresses and styles; two poses or genders often agree anyway
            assert together / len(plain) > 0.6 * chance, name
    assert LEAKY.alike["cloth"] > 0.5 and LEAKY.alike["hair"] > 0.5


def test_alike_people_keep_to_the_rules_of_the_drawing():
    shaking = named = 0
    for picture in (p for people in (2, 3, 4) for p in leaky_pictures(300, people, seed=people)):
        for figure in picture.figures:
            look = figure.look
            assert (look["hair"], look["cloth"]) not in attributes.HELD_OUT
            assert look["gender"] == "1girl" or (look["kind"] != "dress" and look["style"] not in
                                                 ("twintails", "hair_buns"))
            assert (look["pose"] in attributes.TOGETHER) == (figure.partner is not None)
            shaking += figure.partner is not None
            if figure.name:
                named += 1
                assert look["gender"] == attributes.NAMED[figure.name]["gender"]
    assert shaking and named


def stated_share(world) -> float:
    rng, said, people = random.Random(1), 0, 0
    for _ in range(400):
        described = prompts.describe(sample_picture(rng, world=world), rng, world=world)
        said, people = said + sum(map(len, described.stated)), people + len(described.stated)
    return said / people / len(attributes.VALUES)


def test_prompts_leave_more_out():
    assert stated_share(LEAKY) < stated_share(PLAIN) - 0.1


def test_places_are_in_words_or_nowhere_more_often_than_in_boxes(tokenizers, monkeypatch):
    """Boxes in the template form alone; never owners, which whole prompts don't have. Nothing is cut off."""
    forms: Counter[str] = Counter()
    words = wordy = 0
    segments = prompts.segments

    def noted(description, form):
        nonlocal words, wordy
        made = segments(description, form)
        forms[form] += 1
        text = text_of(made)
        assert "<bbox>" not in text and ('"bbox"' in text) == (form == "json")
        words += bool(description.scene.characters[0].tags("position"))
        wordy += bool(description.scene.caption)
        return made

    monkeypatch.setattr(prompts, "segments", noted)
    rng = random.Random(2)
    for group in dataset.LEAKY_GROUPS:
        for _ in range(40):
            picture = dataset.sample(group, rng)
            assert len(picture.figures) in group.people
            for variant in range(len(dataset.VARIANTS)):
                _, made = dataset.prompt_tokens(picture, variant, group, rng, tokenizers)
                assert set(made.owner) == {0} and len(made.ids) <= group.length
                assert len(made.jina) <= group.jina_length
    prompts_made = sum(forms.values())
    assert within(words, prompts_made, LEAKY.placed, LEAKY.placed)
    assert within(wordy, prompts_made, LEAKY.wordy, LEAKY.wordy)
    assert set(forms) == {"xml", "json", "tags"}
    assert within(forms["json"], prompts_made, LEAKY.forms["json"], LEAKY.forms["json"])


def test_more_pictures_of_four():
    def share(groups):
        return sum(g.share * g.world.people[4] / sum(g.world.people[n] for n in g.people) for g in groups
                   if 4 in g.people)

    assert sum(g.share for g in dataset.LEAKY_GROUPS) == pytest.approx(1)
    assert share(dataset.LEAKY_GROUPS) > 1.5 * share(dataset.GROUPS)


@pytest.mark.parametrize("name", dataset.WORLDS)
def test_all_worlds_but_the_leaky_one_isolate(name):
    group = dataset.WORLDS[name][0]
    pool = blank_pool(group)
    pool = Pool(group, pool.arrays | {"owner": [torch.ones_like(pool.arrays["owner"][0])]})
    torch.manual_seed(0)
    _, _, batch, isolated = batches.training_batch(pool, batches.choose(pool, 200, torch.device("cpu")))
    assert isolated.any() == (name != "leaky") == bool((batch.owner == 1).any())


@pytest.mark.parametrize("name", dataset.WORLDS)
def test_the_pooled_vector_leaves_people_out_as_often_as_stated(name):
    group = dataset.WORLDS[name][0]
    arrays = blank_pool(group).arrays
    whole, shared = (torch.full_like(arrays["jina"][0], fill) for fill in (5, 6))
    torch.manual_seed(0)
    pool = Pool(group, arrays | {"jina": [whole], "shared": [shared]})
    _, _, batch, isolated = batches.training_batch(pool, batches.choose(pool, 1000, torch.device("cpu")))
    asked = batch.jina[:, -1] != 1  # the empty prompt is padding there
    left_out = batch.jina[:, -1] == 6
    joint = asked & ~isolated
    assert within(int(left_out[joint].sum()), int(joint.sum()), group.world.pooled_apart, group.world.pooled_apart)
    if name != "leaky":
        assert within(int(left_out[isolated].sum()), int(isolated.sum()), 0.5, 0.5)
