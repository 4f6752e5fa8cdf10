"""Which pictures the diffusion model sees when."""

from __future__ import annotations

import random

from newbie_pack.lab.training.course import Course
from newbie_pack.lab.training.dataset import LEAKY_GROUPS
from newbie_pack.lab.training.diffusion import next_pool
from newbie_pack.lab.training.pools import Pool


def test_the_first_group_alone_at_the_start_of_the_whole_training():
    pools, rng = [Pool(group, {}) for group in LEAKY_GROUPS], random.Random(0)
    assert {id(next_pool(pools, Course(), 0.29, rng)) for _ in range(50)} == {id(pools[0])}
    assert {id(next_pool(pools, Course(), 0.3, rng)) for _ in range(50)} == {id(pool) for pool in pools}
