"""Plans written down by columns: an owner, a weight and a named gender for every caption token; and read that way."""

from __future__ import annotations

from dataclasses import replace

from newbie_pack.isolation.plan import CLOSED, OPEN, CaptionToken, Options, Plan


def make_plan(owner, regions, *, refiner=True, joint=True, weight=(), named=(), genders=(), **options):
    """weight, named: none at all where every one is 1 or ""; options: those of a mode."""
    weight, named = weight or (1.0,) * len(owner), named or ("",) * len(owner)
    ways = {"context_refiner": refiner, "joint_layers": joint}
    settled = {name: CLOSED if closed else OPEN for name, closed in ways.items()}
    return Plan(
        tuple(map(CaptionToken, owner, weight, named)), tuple(regions), tuple(genders), Options(**settled, **options)
    )


def changed(
    plan, *, owner=(), weight=None, named=None, regions=None, genders=None, refiner=None, joint=None, **options
):
    """weight, named: () is neutral."""
    owner = owner or plan.owners
    weight = weights_of(plan) if weight is None else weight or (1.0,) * len(owner)
    named = genders_named(plan) if named is None else named or ("",) * len(owner)
    for name, closed in (("context_refiner", refiner), ("joint_layers", joint)):
        if closed is not None:
            options[name] = CLOSED if closed else OPEN
    return replace(
        plan,
        tokens=tuple(map(CaptionToken, owner, weight, named)),
        regions=plan.regions if regions is None else tuple(regions),
        genders=plan.genders if genders is None else tuple(genders),
        options=replace(plan.options, **options),
    )


def weights_of(plan):
    return tuple(token.weight for token in plan.tokens)


def genders_named(plan):
    return tuple(token.gender for token in plan.tokens)
