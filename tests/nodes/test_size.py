"""The latent of NewBie Size."""

from __future__ import annotations

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

from newbie_pack.nodes.common import SIZES
from newbie_pack.nodes.start import NewBieSize


@pytest.mark.parametrize("name", SIZES)
def test_a_preset_is_as_large_as_its_name_says(name):
    (latent,) = NewBieSize.execute({"size": name}, 2).result
    count, _, height, width = latent["samples"].shape
    assert count == 2 and name.endswith(f" {width * 8} x {height * 8}")
    assert not latent["samples"].any()


def test_any_other_size_is_typed():
    (latent,) = NewBieSize.execute({"size": "custom", "width": 1152, "height": 896}, 1).result
    assert latent["samples"].shape == (1, 16, 112, 144)


def test_the_first_preset_is_for_the_loaders_first_model():
    from newbie_pack.nodes.load import MINI

    assert MINI.split()[1] == next(iter(SIZES)).split()[0]
