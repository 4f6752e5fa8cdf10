"""Which pictures the diffusion model sees when."""

from __future__ import annotations

from newbie_pack.lab.training.dataset import LEAKY_GROUPS
from newbie_pack.lab.training.diffusion import next_pool
from newbie_pack.lab.training.pools import Pool


def test_the_first_group_alone_at_the_start_of_the_whole_training():
    pools = [Pool(group, {"latent": [[0] * (group is not LEAKY_GROUPS[0])]}) for group in LEAKY_GROUPS]
    assert next_pool(pools, 0.29) is pools[0]
    assert next_pool(pools, 0.3) is not pools[0]
