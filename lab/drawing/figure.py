"""Paints one chibi figure so that it fills its box: its parts in order, from behind to before."""

from __future__ import annotations

import random

import numpy as np

from .body import paint_legs, paint_scarf, paint_torso
from .chibi import Chibi
from .concepts import paint_behind, paint_on_clothes, paint_on_head
from .hair import paint_back_hair, paint_front_hair, paint_hair_ties
from .head import paint_accessory, paint_brows, paint_face
from .limbs import paint_hanging_arms, paint_raised_arms
from .scenes import Figure


def paint_figure(image: np.ndarray, figure: Figure, rng: random.Random, inner: int | None) -> Chibi:
    """Paints a figure on a supersampled image; inner: side (-1 left, 1 right) of the arm that shakes a hand, if any."""
    chibi = Chibi(image, figure, rng)
    paint_behind(chibi)
    paint_back_hair(chibi)
    paint_legs(chibi)
    paint_hanging_arms(chibi, inner)
    paint_torso(chibi)
    paint_on_clothes(chibi)
    if chibi.look["accessory"] == "scarf":
        paint_scarf(chibi)
    paint_face(chibi)
    paint_front_hair(chibi)
    paint_brows(chibi)
    paint_hair_ties(chibi)
    paint_accessory(chibi)
    paint_on_head(chibi)
    paint_raised_arms(chibi)
    return chibi
