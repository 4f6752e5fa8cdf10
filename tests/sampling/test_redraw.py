"""One character drawn anew: where, how it is put back, and that nothing else changes."""

from __future__ import annotations

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import torch
from newbie_pack.nodes.encode import NewBieEncodeCharacters
from newbie_pack.nodes.redraw import NewBieRedrawCharacter
from newbie_pack.sampling.decode import decode
from newbie_pack.sampling.redraw import noise_mask, put_back, region_of, share_of
from newbie_pack.xml_prompt import parse

SCENE = parse(
    "<character_1><appearance>blue hair</appearance><bbox>[0, 0, 400, 1000]</bbox></character_1>"
    "<character_2><appearance>red dress</appearance><bbox>[500, 0, 900, 1000]</bbox></character_2>"
)
SETTINGS = {"seed": 3, "steps": 2, "guidance": 1.0, "eta": 0.0, "guidance_end": 1.0, "denoise": 1.0}


def box(left, right, width=40, height=20):
    mask = torch.zeros(height, width)
    mask[5:15, left:right] = 1
    return mask


def test_the_margin_leaves_the_others_alone():
    """Own mask at columns 10-19, the other's at 22-29: 5 pixels of margin, but not on the other."""
    region = region_of([box(10, 20), box(22, 30)], 0, 5)
    assert region.nonzero().amin(0).tolist() == [0, 5] and region[:, 20:22].any() and not region[5:15, 22:30].any()
    assert region[2, 23] == 1  # beside the other there is room
    assert torch.equal(region_of([box(10, 20), box(15, 30)], 0, 0), box(10, 20))  # what is its own is its own


def test_the_new_picture_fades_in_over_the_margin():
    region = torch.zeros(40, 40)
    region[10:30, 10:30] = 1
    share = share_of(region, 4)
    assert share[20, 8:16].tolist() == pytest.approx([0, 0, 0.2, 0.4, 0.6, 0.8, 1, 1])
    assert torch.equal(share_of(torch.ones(8, 8), 4), torch.ones(8, 8))  # the picture's edge is none
    assert torch.equal(share_of(region, 0), region)


@pytest.mark.parametrize(("height", "width"), [(32, 48), (40, 56)])
def test_every_token_that_is_touched_is_drawn(height, width):
    region = torch.zeros(height, width)
    region[15:17, 20] = 1
    mask = noise_mask(region)
    assert mask.shape == (1, height // 8, width // 8)
    assert mask[0, :4, 2:4].all() and mask.sum() == 8


def test_what_is_put_back_is_the_old_one_to_the_last_bit():
    old, new = torch.rand(2, 6, 8, 3), torch.rand(2, 6, 8, 3)
    share = torch.zeros(6, 8)
    share[2:4, 2:5], share[3, 3] = 0.5, 1
    out = put_back(old, new, share)
    assert torch.equal(out[:, share == 0], old[:, share == 0])
    torch.testing.assert_close(out[:, 3, 3], new[:, 3, 3])
    torch.testing.assert_close(out[:, 2, 2], (old[:, 2, 2] + new[:, 2, 2]) / 2)


@pytest.fixture(scope="module")
def drawing(mini):
    model, clip, vae = mini[:3]
    latent = {"samples": torch.randn(1, 16, 20, 40, generator=torch.Generator().manual_seed(1))}
    positive, negative = NewBieEncodeCharacters.execute(clip, SCENE, "strict", "", latent=latent).result
    return {"model": model, "vae": vae, "positive": positive, "negative": negative, "scene": SCENE}, latent


@pytest.mark.parametrize("given", ["latent", "image", "both"])
def test_only_the_chosen_one_changes(drawing, given):
    inputs, latent = drawing
    old = decode(inputs["vae"], latent["samples"])
    sources = {"latent": {"latent": latent}, "image": {"image": old}, "both": {"latent": latent, "image": old}}[given]
    image, redrawn, mask = NewBieRedrawCharacter.execute(**inputs, character=2, **SETTINGS, **sources).result
    outside = mask[0] == 0
    assert torch.equal(image[:, outside], old[:, outside]) and not outside.all()
    assert (image[:, ~outside] - old[:, ~outside]).abs().max() > 0.01
    assert not mask[0, :, :128].any() and mask[0, :, 160:288].all()  # the first one's box, and its own
    assert "noise_mask" not in redrawn
    if given != "image":
        cells = torch.nn.functional.max_pool2d(mask, 16).repeat_interleave(2, 1).repeat_interleave(2, 2)[0] == 0
        torch.testing.assert_close(redrawn["samples"][:, :, cells], latent["samples"][:, :, cells], rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 165, 323, 3), (1, 3, 5, 3), (2, 160, 321, 4), (1, 161, 320, 1)])
def test_pictures_of_any_size_and_their_redrawn_latents(drawing, shape):
    """Twice, the second time with the latent of the first."""
    inputs, _ = drawing
    old = torch.rand(shape, generator=torch.Generator().manual_seed(2))
    image, latent, mask = NewBieRedrawCharacter.execute(**inputs, character=2, image=old, **SETTINGS).result
    again, _, _ = NewBieRedrawCharacter.execute(
        **inputs, character=2, image=image, latent=latent, **{**SETTINGS, "seed": 5}
    ).result
    outside, before = mask[0] == 0, old[..., :3].expand(-1, -1, -1, 3)
    for made in (image, again):
        assert made.shape == before.shape and torch.equal(made[:, outside], before[:, outside])
    assert not torch.equal(image, before) and not torch.equal(again, image)


def test_a_silhouette_instead_of_the_box(drawing):
    inputs, latent = drawing
    masks = torch.zeros(2, 160, 320)
    masks[0, :, 10:100], masks[1, 40:120, 200:240] = 1, 1
    _, _, changed = NewBieRedrawCharacter.execute(
        **inputs, character=2, margin=0.05, latent=latent, masks=masks, **SETTINGS
    ).result
    rows, columns = changed[0].any(1).nonzero().flatten(), changed[0].any(0).nonzero().flatten()
    assert (int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])) == (32, 127, 192, 247)


@pytest.mark.parametrize(("changed", "sentence"), [
    ({"character": 3, "latent": {"samples": torch.zeros(1, 16, 20, 40)}}, "character is 3, but the scene has 2"),
    ({"character": 1}, "No picture is connected"),
    ({"character": 1, "latent": {"samples": torch.zeros(1, 16, 20, 40)}, "image": torch.zeros(1, 64, 64, 3)},
     "different pictures"),
    ({"character": 1, "latent": {"samples": torch.zeros(2, 16, 20, 40)}, "image": torch.zeros(1, 160, 320, 3)},
     "different pictures"),
    ({"character": 1, "latent": {"samples": torch.zeros(1, 16, 20, 40)}, "masks": torch.ones(3, 8, 8)},
     "3 masks for 2 characters"),
])
def test_what_does_not_fit_is_said(drawing, changed, sentence):
    with pytest.raises(ValueError, match=sentence):
        NewBieRedrawCharacter.execute(**drawing[0], **SETTINGS, **changed)
