"""benchmarks/gentle: the swapped prompt, the candidates' biases, the rule that chooses, and the search around it."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from newbie_pack.isolation.plan import PADDING, joint_rules
from newbie_pack.isolation.plan import coverage as covered_by
from newbie_pack.lab.benchmarks import binding_arms
from newbie_pack.lab.benchmarks import binding_scenes as scenes
from newbie_pack.lab.benchmarks import gentle as run
from newbie_pack.lab.benchmarks import gentle_arms as arms
from newbie_pack.lab.benchmarks import gentle_choice as choice
from newbie_pack.lab.benchmarks.binding_arms import Judged, coverage
from newbie_pack.lab.benchmarks.gentle_arms import Gentle
from newbie_pack.lab.training import prompts, tokens
from newbie_pack.lab.training.generate import Isolated, Networks, caption, collate, predictor, shifted, velocity
from newbie_pack.lab.training.model import Autoencoder, additive
from newbie_pack.xml_prompt import Field, Tag
from plans import make_plan

CPU = torch.device("cpu")
GRID = (6, 6)
LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)


def fields(**words: str) -> tuple[Field, ...]:
    return tuple(Field(name, (Tag(word),)) for name, word in words.items())


# ------------------------------------------------------------------ prompts


def test_tokens_that_name_a_gender():
    tokenizers = tokens.Tokenizers()
    described = scenes.unstated_set(3, 1).described[0]
    for form in ("xml", "json"):
        segments = prompts.segments(described, form)
        made, named = arms.joint_tokens(segments, tokenizers), arms.named_genders(segments, tokenizers)
        assert len(named) == len(made.ids) and made.position == list(range(len(made.ids)))
        for owner, character in enumerate(described.scene.characters, start=1):
            own = {gender for gender, who in zip(named, made.owner, strict=True) if who == owner} - {""}
            assert own == {arms.gender(character)}
        said = [tokenizers.gemma.id_to_piece(t) for t, gender in zip(made.ids, named, strict=True) if gender]
        assert all(set(piece) <= set("▁1234girlsboy,<>/") for piece in said), said


# ------------------------------------------------------------------ biases


def test_full_strength_is_the_rules():
    """Two captions of different length: the codes' bias cuts what the boolean rules cut, padding included."""
    owners = [(0, 1, 1, 2, 0), (0, 1, 2)]
    made = arms.biases_of([make_plan(o, ((LEFT,), (RIGHT,))) for o in owners], GRID, 5, True, CPU)
    owner = torch.tensor([owners[0], (*owners[1], PADDING, PADDING)])
    covers = torch.stack([covered_by([box], *GRID) > 0 for box in (LEFT, RIGHT)]).expand(2, -1, -1)
    allowed = joint_rules(owner, covers)
    real = torch.cat([owner != PADDING, torch.ones(2, 36, dtype=torch.bool)], 1)  # padding's own rows are idle
    assert torch.equal((made == 0)[real], allowed[real])
    assert (made[real][~allowed[real]] < -1e30).all()


def test_one_way_alone_leaves_captions_free():
    plan = make_plan((0, 1, 2), ((LEFT,), (RIGHT,)), strength=0.9)
    both, image = (arms.biases_of([plan], GRID, 4, way, CPU)[0] for way in (True, False))
    assert (both[:3, :3] < 0).any() and (image[:4, :3] == 0).all() and torch.equal(image[4:], both[4:])
    assert image[4:, 1].min() == pytest.approx(np.log(0.1), abs=1e-5)  # nine tenths are kept from the right half
    assert (image[:, 3] == float("-inf")).all()


def test_neutral_plans_cut_padding_alone():
    plan = make_plan((0, 1, 2), ((LEFT,), (RIGHT,)), strength=0.0)
    made = arms.biases_of([plan], GRID, 4, True, CPU)[0]
    assert (made[:, 3] == float("-inf")).all() and not made[:, [0, 1, 2, *range(4, 40)]].any()


def test_margins_and_genders_reach_the_plan():
    described = scenes.unstated_set(2, 1).described[0]
    plain = arms.plan_of(Gentle(strength=1), described, (0, 1, 2), ("", "girl", ""))
    wide = arms.plan_of(Gentle(strength=1, margin=0.1), described, (0, 1, 2), ("", "girl", ""))
    for (before,), (after,) in zip(plain.regions, wide.regions, strict=True):
        assert after == pytest.approx([max(0, before[0] - 0.1), max(0, before[1] - 0.1), min(1, before[2] + 0.1),
                                       min(1, before[3] + 0.1)])
    assert not plain.masks_genders
    masked = arms.plan_of(Gentle(gender_strength=1), described, (0, 1, 2), ("", "girl", ""))
    assert masked.masks_genders and not masked.divides and set(masked.genders) <= {"girl", "boy"}


def test_an_additive_bias_stays_as_it_is():
    bias = torch.tensor([[0.0, -1.5], [float("-inf"), 0.25]])
    assert torch.equal(additive(bias, torch.float32), bias)
    assert additive(torch.tensor([[True, False]]), torch.float32).tolist() == [[0, float("-inf")]]


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    networks = Networks().eval()
    networks.initialise()
    for weight in networks.diffusion.parameters():
        weight.data += 0.05 * torch.randn_like(weight)  # nothing is the identity any more
    return networks.requires_grad_(False)


class OnlyNetworks:
    """What the predictors need of a Mini."""

    def __init__(self, networks: Networks) -> None:
        self.networks, self.device = networks, CPU


def predictions(networks, arm: Gentle, described, sigma: float) -> torch.Tensor:
    predict = arms.joint_predictor(OnlyNetworks(networks), arm, described, GRID, tokens.Tokenizers())
    x = torch.randn(len(described), 16, 12, 12, generator=torch.Generator().manual_seed(1))
    return predict(x, torch.full((len(described),), sigma))


def test_arms_end_where_they_say_and_differ_from_stock_before(networks):
    described = scenes.unstated_set(2, 2).described
    arm = Gentle("json", strength=0.9, until=0.5)
    middle = shifted(0.5)  # half of the steps lie behind
    free = replace(arm, strength=1e-9)  # the same tokens, nothing kept from anyone
    assert (predictions(networks, arm, described, middle * 1.01) - predictions(networks, free, described, middle * 1.01)
            ).abs().max() > 1e-4
    late = predictions(networks, arm, described, middle), predictions(networks, free, described, middle)
    assert (late[0] - late[1]).abs().max() < 1e-5
    masked = replace(arm, gender_strength=1.0)  # genders hold to the end, where the two are of different ones
    described = [d for d in scenes.unstated_set(2, 20).described
                 if len({arms.gender(c) for c in d.scene.characters}) == 2][:1]
    assert (predictions(networks, masked, described, middle) - predictions(networks, arm, described, middle)
            ).abs().max() > 1e-4


def test_arms_begin_where_they_say(networks):
    described = scenes.unstated_set(2, 2).described
    arm, free = Gentle("json", strength=0.9, start=0.25), Gentle("json", strength=1e-9)
    first = shifted(0.75)  # of the steps that are isolated

    def apart(sigma: float) -> float:
        both = (predictions(networks, which, described, sigma) for which in (arm, free))
        return float((next(both) - next(both)).abs().max())

    assert apart(first * 1.01) < 1e-5 and apart(first) > 1e-4


def test_full_strength_draws_as_the_rules_do(networks):
    described = scenes.unstated_set(2, 2).described
    arm = Gentle("boxes", strength=1.0)
    tokenizers = tokens.Tokenizers()
    made = [arms.joint_tokens(prompts.segments(d, "boxes"), tokenizers) for d in described]
    batch = collate(made, torch.from_numpy(coverage(described, GRID)), CPU)
    x = torch.randn(2, 16, 12, 12, generator=torch.Generator().manual_seed(1))
    ruled = predictor(networks, batch, Isolated(refiner=False))(x, torch.full((2,), 0.9))
    assert (predictions(networks, arm, described, 0.9) - ruled).norm() <= 1e-4 * ruled.norm()


def test_a_bias_takes_the_place_of_the_rules(networks):
    """velocity without a bias is as ever; with one of zeros, everyone reads everyone."""
    described = scenes.unstated_set(2, 1).described
    made = [arms.joint_tokens(prompts.segments(d, "boxes"), tokens.Tokenizers()) for d in described]
    batch = collate(made, torch.from_numpy(coverage(described, GRID)), CPU)
    x, sigma = torch.randn(1, 16, 12, 12), torch.full((1,), 0.7)
    features, _, pooled = caption(networks, batch)
    open_ = velocity(networks, x, sigma, batch, features, pooled, arms.FREE)
    size = batch.ids.shape[1] + 36
    zeros = velocity(networks, x, sigma, batch, features, pooled, Isolated(refiner=False), torch.zeros(1, size, size))
    assert (zeros - open_).norm() <= 1e-5 * open_.norm()


def test_mixtures():
    mixed = arms.mixture(lambda x, sigma: x, lambda x, sigma: x + 8, 0.25)
    assert mixed(torch.ones(1), torch.ones(1)).item() == 3


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_every_kind_of_arm_draws(networks, precision, monkeypatch):
    """Two steps of random networks on a small canvas, also in the precision of an accelerator."""
    monkeypatch.setattr(binding_arms, "mixed", lambda device: torch.autocast("cpu", torch.bfloat16,
                                                                             precision == torch.bfloat16))
    autoencoder = Autoencoder()
    autoencoder.initialise()
    mini = OnlyNetworks(networks)
    mini.autoencoder = autoencoder.requires_grad_(False)
    described = scenes.unstated_set(3, 2).described
    base = Gentle("json", strength=0.9, until=0.5, soft_edge=0.1, margin=0.05, gender_strength=1.0)
    one_way, beside = replace(base, both=False), replace(base, swapped=0.5)
    kinds = (Gentle(), Gentle("boxes"), Gentle(swapped=1.0), base, one_way, beside)
    made = [arms.paint(mini, arm, described, (96, 96), 2) for arm in kinds]
    assert all(images.shape == (2, 3, 96, 96) and images.isfinite().all() for images in made)
    assert all((a - b).abs().max() > 1e-3 for a, b in combinations(made, 2))


# ------------------------------------------------------------------ the rule


def row(name: str, leak: float, accuracy: float = 0.0, frechet: float = 0.0, noise: float = 1.0) -> dict[str, object]:
    def around(value: float) -> list[float]:
        return [value, value - noise, value + noise]

    return {"arm": name, "leak": around(leak), "leak_less": around(leak - 10), "accuracy_less": around(accuracy),
            "frechet_less": around(frechet)}


def test_the_lowest_leak_that_costs_nothing_is_chosen():
    stock = row("stock", 10)
    rows = [row("a bit", 8), row("better", 5, accuracy=-0.9, frechet=0.9), row("less accurate", 1, accuracy=-1.1),
            row("ugly", 2, frechet=1.1), row("worse", 12, accuracy=3)]
    assert choice.chosen(rows, stock)["arm"] == "better"
    assert choice.chosen(rows[2:], stock)["arm"] == "stock"
    assert choice.chosen([], stock)["arm"] == "stock"
    unmeasured = {name: value for name, value in row("?", 0).items() if name != "frechet_less"}
    assert not choice.kept(unmeasured) and choice.chosen([unmeasured], stock)["arm"] == "stock"


def test_a_winner_holds_where_it_clearly_leaks_less_at_no_cost():
    assert choice.holds(row("clear", 8))
    assert not choice.holds(row("by chance", 9.5))
    assert not choice.holds(row("less accurate", 5, accuracy=-2))


def made_up(leak_of, accuracy_of=lambda arm: 0.0):
    """A measure of made-up rows, and what it was asked for."""
    asked: list[tuple[str, Gentle, str]] = []

    def measure(name: str, arm: Gentle, against: str) -> dict[str, object]:
        asked.append((name, arm, against))
        return row(name, leak_of(arm), accuracy_of(arm))

    return measure, asked


def test_the_search_joins_what_helps_and_leaves_out_what_costs():
    """The template helps; strength 1 helps but costs; longer and softer help; the swapped prompt half helps most."""
    measure, asked = made_up(
        lambda arm: 10 - 2 * (arm.form == "json") - arm.strength - arm.until * (arm.strength > 0) - 5 * arm.soft_edge
        - 2 * (arm.swapped == 0.5),
        lambda arm: -5.0 * (arm.strength == 1) - 5.0 * (not arm.both),
    )
    found = choice.search(measure)
    assert found.reference == "boxes in the template"
    assert found.winner == "the best of every factor, and swapped prompt"
    expected = Gentle("json", strength=0.9, until=1.0, soft_edge=0.1, swapped=0.5)
    assert found.arms[found.winner] == expected
    assert found.unswapped == "the best of every factor"
    assert found.arms[found.unswapped] == replace(expected, swapped=0.0)
    assert len({name for name, _, _ in asked}) == len(asked) == len({arm for _, arm, _ in asked})
    assert [against for name, _, against in asked if name not in ("stock", *choice.FORMS)] == \
        ["boxes in the template"] * (len(asked) - 3)
    assert len(asked) <= 29  # what the time allows


def test_where_nothing_helps_the_prompt_as_typed_stays():
    measure, asked = made_up(lambda arm: 10.0 if arm == Gentle() else 11.0)
    found = choice.search(measure)
    assert found.reference == found.winner == found.unswapped == choice.STOCK
    assert {arm.form for name, arm, _ in asked if not name.endswith((*choice.FORMS, choice.NOW))} == {"xml"}


def test_the_best_is_tried_with_every_form_that_costs_nothing():
    """Here the template leaks more, but not where the joint layers are isolated for long."""
    measure, asked = made_up(
        lambda arm: 10 - arm.until * arm.strength + (arm.form == "json") * (1 if arm.until * arm.strength < 1 else -3),
        lambda arm: -5.0 * (arm.form == "boxes"),
    )
    found = choice.search(measure)
    assert found.reference == choice.STOCK and found.winner == "the best of every factor, boxes in the template"
    assert found.arms[found.winner] == Gentle("json", strength=1.0, until=1.0)
    assert not any(arm.form == "boxes" for name, arm, _ in asked if name not in choice.FORMS)


def test_rules_may_not_spend_what_a_better_form_has_won():
    """The template is read five points better and leaks as much; cutting people apart there costs four of them."""

    def measure(name: str, arm: Gentle, against: str) -> dict[str, object]:
        accuracy = (5.0 * (arm.form == "json") - 5.0 * (arm.form == "boxes") - 4.0 * arm.apart
                    - 5.0 * (against == "boxes in the template"))
        return row(name, 10 - 2 * arm.strength * (arm.until > 0.5) - 3 * arm.apart, accuracy)

    found = choice.search(measure)
    assert found.reference == "boxes in the template"
    assert found.arms[found.winner].apart == 0 and found.arms[found.winner].strength == 1.0


@pytest.mark.parametrize(("right", "warned"), [(40.0, True), (95.0, False)])
def test_a_model_that_hardly_reads_its_prompt_is_called_so(right, warned):
    found = choice.Choice({choice.STOCK: Gentle()}, choice.STOCK, choice.STOCK, choice.STOCK)
    text = run.verdict(found, {choice.STOCK: row(choice.STOCK, 10) | {"accuracy": [right, right - 1, right + 1]}})
    assert ("too little to choose" in text) == warned and "Reference: stock" in text


# ------------------------------------------------------------------ rows and pictures


def test_other_pictures_confirm():
    whole, first, second = run.picture_sets(9), run.picture_sets(6), run.picture_sets(3, 6)
    for all_, before, after in zip(whole, first, second, strict=True):
        assert len(before.pictures) == 2 and len(after.pictures) == 1
        assert all_.pictures == before.pictures + after.pictures
        assert len(after.described) == 1 and after.name == before.name
        assert after.described[0].stated == all_.described[2].stated


def invented(truth, seed: int, wrong: float, others: float) -> Judged:
    """Drawn as asked, but for a share of unlike values, and a share of neighbours' ones where they state one."""
    rng, found = random.Random(seed), truth.values.copy()
    for n, picture in enumerate(truth.index):
        near = [m for m in np.flatnonzero(truth.index == picture) if m != n]
        for a in range(found.shape[1]):
            if not truth.stated[n, a]:
                found[n, a] = truth.values[rng.choice(near), a] if rng.random() < others else rng.randrange(2)
            elif rng.random() < wrong:
                found[n, a] = (found[n, a] + 1) % 2
    features = np.random.default_rng(seed).normal(size=(len(found), 8)) + wrong
    return Judged(found, np.ones(len(found), bool), truth.boxes, truth.people, truth.background, features,
                  np.zeros((len(truth.people), 4)), np.zeros((len(truth.people), 4)), np.zeros((0, 2)))


def test_rows_tell_leaks_accuracy_and_quality_apart():
    sets = run.picture_sets(90)
    truths = {test.name: scenes.truth_of(test) for test in sets}

    def seen(seed: int, wrong: float, others: float):
        return {name: invented(truth, seed, wrong, others) for name, truth in truths.items()}

    arms_seen = {"drawings": seen(1, 0, 0), "stock": seen(2, 0.02, 0.6), "tight": seen(3, 0.02, 0.0),
                 "broken": seen(4, 0.5, 0.0)}
    rows = {name: run.row_of(name, "stock", arms_seen, truths) for name in ("stock", "tight", "broken")}
    assert rows["stock"]["leak"][0] - rows["tight"]["leak"][0] > 10 and rows["tight"]["leak_less"][2] < 0
    assert rows["stock"]["leak_less"] == rows["stock"]["accuracy_less"] == [0, 0, 0]
    assert [rows[name]["not_below"] for name in rows] == ["yes", "yes", "no"]
    assert rows["broken"]["accuracy_less"][2] < -30 and rows["broken"]["frechet_less"][1] > 0
    assert rows["tight"]["count"][0] == 100 and rows["tight"]["box_iou"] == 1
    assert choice.chosen([rows["tight"], rows["broken"]], rows["stock"])["arm"] == "tight"
