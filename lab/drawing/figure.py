"""Paints one figure so that it fills its box: its parts in order, from behind to before."""

from __future__ import annotations

import random

import numpy as np

from .body import paint_legs, paint_scarf, paint_torso
from .concepts import paint_on_clothes, paint_on_head
from .doll import Doll
from .hair import paint_back_hair, paint_back_of_head, paint_front_hair, paint_hair_ties
from .head import paint_accessory, paint_brows, paint_face
from .limbs import paint_arms_in_lap, paint_hanging_arms, paint_raised_arms
from .scenes import Figure


def paint_figure(
    image: np.ndarray, figure: Figure, rendering: str, rng: random.Random, left_out: tuple[int, ...]
) -> Doll:
    """Paints a figure on a supersampled image; left_out: the arms (-1 left, 1 right) that a partner's are painted with.
    """
    doll = Doll(image, figure, rendering, rng)
    if doll.behind:
        paint_arms_in_lap(doll)
    else:
        paint_back_hair(doll)
    paint_legs(doll)
    paint_hanging_arms(doll, left_out)
    paint_torso(doll)
    paint_on_clothes(doll)
    if not doll.behind:
        paint_arms_in_lap(doll)
    if doll.look["accessory"] == "scarf":
        paint_scarf(doll)
    if doll.behind:
        paint_back_hair(doll)
        paint_back_of_head(doll)
    else:
        paint_face(doll)
        paint_front_hair(doll)
        paint_brows(doll)
    paint_hair_ties(doll)
    paint_accessory(doll)
    paint_on_head(doll)
    paint_raised_arms(doll)
    return doll
