"""What a plan adds to every logit, stated anew token by token; and random plans to try it on."""

from __future__ import annotations

import math
import random

from plans import genders_named, make_plan, weights_of


def away(rectangle, n, rows, columns):
    """How far token n's cell is from the rectangle, in cells; 0 if they share an area."""
    y, x = divmod(n, columns)
    left, top, right, bottom = rectangle
    across = max(left * columns - (x + 1), x - right * columns)
    down = max(top * rows - (y + 1), y - bottom * rows)
    if across < 0 and down < 0:
        return 0.0
    return math.hypot(max(across, 1e-6) if across >= 0 else 0, max(down, 1e-6) if down >= 0 else 0)


def covered(plan, character, n, rows, columns):
    """In 0..1."""
    ramp = plan.options.soft_edge * min(rows, columns)
    nearest = min(away(rectangle, n, rows, columns) for rectangle in plan.regions[character - 1])
    return max(0.0, 1 - nearest / ramp) if ramp else float(nearest == 0)


def alone(plan, n, rows, columns):
    """How much of token n is each character's alone."""
    share = [covered(plan, r, n, rows, columns) for r in range(1, len(plan.regions) + 1)]
    return [own * math.prod(1 - share[j] for j in range(len(share)) if j != i) for i, own in enumerate(share)]


def log(share):
    return math.log(share) if share > 0 else -math.inf


def added(plan, q, k, rows, columns):
    """What the plan adds to the logit of token q reading token k."""
    caption = len(plan.owners)
    if q >= caption and k >= caption:
        whose, other = (alone(plan, token - caption, rows, columns) for token in (q, k))
        between = sum(a * b for i, a in enumerate(whose) for j, b in enumerate(other) if i != j)
        return max(log(1 - plan.options.apart), -2048.0) * between if plan.options.apart else 0.0
    if q < caption and k < caption:
        return 0.0 if plan.owners[k] in (0, plan.owners[q]) else log(1 - plan.options.strength)
    text, image = (k, q - caption) if k < caption else (q, k - caption)
    owner = plan.owners[text]
    bias = 0.0 if owner == 0 else log(1 - plan.options.strength * (1 - covered(plan, owner, image, rows, columns)))
    if text == k and weights_of(plan):
        bias += math.log(weights_of(plan)[k])
    if text == k and genders_named(plan) and genders_named(plan)[k]:
        people = [(gender, covered(plan, r, image, rows, columns)) for r, gender in enumerate(plan.genders, 1)]
        own = max((share for gender, share in people if gender == genders_named(plan)[k]), default=0)
        others = max((share for gender, share in people if gender not in ("", genders_named(plan)[k])), default=0)
        bias += log(1 - plan.options.gender_strength * max(0, others - own))
    return bias


def random_plan(seed, tokens=23, people=None):
    """1 to 8 characters in random boxes that overlap as they like, with everything a plan can have."""
    rng = random.Random(seed)
    people = people or rng.randint(1, 8)

    def rectangle():
        x, y = sorted(rng.sample(range(21), 2)), sorted(rng.sample(range(21), 2))
        return (x[0] / 20, y[0] / 20, x[1] / 20, y[1] / 20)

    genders = ("girl", "boy", "")
    return make_plan(
        owner=(0, *(rng.randint(0, people) for _ in range(tokens - 1))),
        regions=tuple(tuple(rectangle() for _ in range(rng.randint(1, 2))) for _ in range(people)),
        strength=rng.choice((1.0, 1.0, 0.7)),
        soft_edge=rng.choice((0.0, 0.0, 0.2)),
        weight=tuple(rng.choice((1.0, 0.4, 1.3, 3.0)) for _ in range(tokens)) if rng.random() < 0.7 else (),
        named=tuple(rng.choice(genders) for _ in range(tokens)) if rng.random() < 0.7 else (),
        genders=tuple(rng.choice(genders) for _ in range(people)),
        gender_strength=rng.choice((0.0, 0.5, 1.0)),
        apart=rng.choice((0.0, 0.9, 0.5, 1.0)),
    )
