"""LoRAs for the mini: the drawings show what they are for, training moves only them, and the benchmark puts them where
they belong."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from newbie_pack.isolation.lora_layers import CAPTION, JOINT, Target, hooked, layer_of
from newbie_pack.isolation.lora_layers import Pair as Stacked
from newbie_pack.lab.benchmarks import lora as bench
from newbie_pack.lab.drawing.attributes import CONCEPT
from newbie_pack.lab.drawing.doll import ALIEN_SKIN, SKIN
from newbie_pack.lab.drawing.draw import render
from newbie_pack.lab.drawing.scenes import sample_picture
from newbie_pack.lab.training import config, prompts
from newbie_pack.lab.training.dataset import Group
from newbie_pack.lab.training.generate import Batch
from newbie_pack.lab.training.lora import Gates, drawn_for, pairs_for, save, with_concept, worn
from newbie_pack.lab.training.model import NextDiT
from newbie_pack.lab.training.world import WIDE
from safetensors.torch import load_file


@pytest.mark.parametrize("concept", CONCEPT)
def test_a_concept_changes_its_wearer_alone_and_the_prompt_says_so(concept):
    plain = sample_picture(random.Random(4), (320, 320), 2)
    plain = with_concept(plain, 0, "")  # the same name and accessory as with it
    dressed = with_concept(plain, 0, concept)
    changed = np.abs(render(plain).astype(int) - render(dressed)).max(2) > 8
    assert changed.any()
    if concept != "cone":  # it takes the place of what was on the head, in the same box
        x, y, width, height = (getattr(plain.figures[0], n) for n in ("x", "y", "width", "height"))
        inside = np.zeros_like(changed)
        inside[int(y) - 3 : int(y + height) + 4, int(x) - 3 : int(x + width) + 4] = True
        assert not (changed & ~inside).any()
    scene = prompts.describe(dressed, random.Random(0), complete=True).scene
    said = [[tag.text for field in one.fields for tag in field.tags] for one in scene.characters]
    assert CONCEPT[concept][0] in said[0] and CONCEPT[concept][0] not in said[1]


def small():
    torch.manual_seed(0)
    network = NextDiT({**config.DIFFUSION, "n_layers": 1, "n_refiner_layers": 1})
    network.initialise()
    return network.requires_grad_(False)


def test_a_new_pair_changes_nothing_and_a_written_one_is_read_alike(tmp_path):
    """float32 against bfloat16: 8 bits."""
    network, x = small(), torch.randn(1, 5, 256)
    layer = network.layers[0].attention.qkv
    pairs, before = pairs_for(network, 4), layer(x)
    assert len(pairs) == 3 * 5
    with worn(network, pairs, Gates()):
        assert torch.equal(layer(x), before)
        for pair in pairs.values():
            torch.nn.init.normal_(pair.up.weight, std=0.05)
        changed = layer(x)
    assert torch.equal(layer(x), before)
    save(tmp_path / "cone.safetensors", pairs)
    file = load_file(tmp_path / "cone.safetensors")
    names = (f"diffusion_model.layers.0.attention.qkv.lora_{side}.weight" for side in "AB")
    pair = Stacked(*(file[name].float() for name in names), 1.0)
    target = Target("layers.0.attention.qkv", layer_of([(0, pair)]))
    with hooked([(layer, target, lambda out, _spread: torch.ones(1))], bench.Autocast()):
        again = layer(x)
    assert (again - changed).norm() < 0.01 * (changed - before).norm()


def test_the_lora_is_on_the_one_who_has_the_concept():
    """Who has another skin is the prompt's character that has the LoRA, in all pictures that show it."""
    arrays = drawn_for(Group((320, 320), (2, 3), 208, 216, 1.0, WIDE), 12, 3, "skin")
    covers, wears, seen = (torch.from_numpy(arrays[name]) for name in ("covers", "wears", "seen"))
    assert torch.equal(wears.sum(2), torch.ones(12, covers.shape[1], dtype=torch.long))
    alien = (torch.from_numpy(arrays["image"]).int() - torch.tensor(ALIEN_SKIN[SKIN])).abs().amax(3) < 8
    assert 6 < seen.sum() < 12  # in some pictures nobody has it
    for i in seen.nonzero()[:, 0]:
        for own in covers[i][wears[i]].view(-1, 20, 20):
            own = own.repeat_interleave(16, 0).repeat_interleave(16, 1)
            assert (alien[i] & own).sum() > 30


def test_a_lora_is_trained_as_it_is_used():
    """Read isolated: on its wearer's tokens; a whole prompt: everywhere; none: likewise, of pictures without it."""
    owner = torch.tensor([[0, 1, 2, 2], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    covers = torch.tensor([[1, 1, 0], [0, 1, 1]]).bool().expand(5, -1, -1)
    length, none = torch.tensor([4, 4, 1, 1, 1]), torch.zeros(5, 1)
    gates = Gates()
    gates.tell(
        torch.tensor([[False, True]]).expand(5, -1),
        Batch(none, owner, none, none, length, none, none, covers),
        torch.tensor([True, False, True, True, False]), torch.tensor([True, True, True, False, False]),
    )
    expected = [[0, 0, 1, 1, 0, 1, 1], [1] * 7, [0] * 7, [0, 0, 0, 0, 0, 1, 1], [1] * 7]
    assert torch.equal(gates.of(JOINT)[..., 0], torch.tensor(expected).float())
    assert torch.equal(gates.of(CAPTION)[..., 0], torch.tensor(expected)[:, :4].float())


def test_a_batch_has_each_prompts_own_wearers():
    """Two prompts: in the first the first one wears LoRA 2 and the other LoRA 0; in the second only the second one."""
    wearers = torch.zeros(2, 2, 4)
    wearers[0, 0, 2] = wearers[0, 1, 0] = wearers[1, 1, 3] = 1
    owner = torch.tensor([[0, 1, 2, -1], [2, 0, 1, 1]])
    covers = torch.tensor([[[1, 1, 0], [0, 1, 1]], [[1, 0, 0], [0, 0, 1]]]).bool()
    gates = bench.gates_for(wearers, owner, covers, everywhere=False)
    expected = torch.zeros(2, 7, 4)
    expected[0, 1, 2] = expected[0, 2, 0] = expected[1, 0, 3] = 1
    expected[0, 4, 2] = expected[0, 5, 2] = expected[0, 5, 0] = expected[0, 6, 0] = expected[1, 6, 3] = 1
    assert torch.equal(gates.table(JOINT, torch.zeros(2, 7, 8)), expected)
    every = bench.gates_for(wearers, owner, covers, everywhere=True).table(CAPTION, torch.zeros(2, 4, 8))
    assert torch.equal(every, torch.tensor([[1.0, 0, 1, 0], [0, 0, 0, 1]])[:, None].expand(-1, 4, -1))
