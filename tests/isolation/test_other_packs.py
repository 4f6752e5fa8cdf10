"""Isolation beside what other packs do, each stood in for by a few lines that behave as it does.

After every failure the same model draws a valid prompt as it did before.
"""

from __future__ import annotations

import copy
import io
import logging
import math
import re

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import random_sd
import torch
from comfy.utils import common_upscale
from comfy_extras.nodes_easycache import EasyCacheNode, LazyCacheNode
from conditionings import plan_of
from newbie_pack.isolation.encode import encode, encode_plain
from newbie_pack.isolation.plan import Options, coordinates, misfit, on_grid, places_in
from newbie_pack.xml_prompt import Box, parse

import nodes as stock

XML = "<character_1><n>{}</n></character_1><character_2><n>{}</n></character_2><general_tags>sky</general_tags>"
BOXES = (Box(0, 0, 500, 1000), Box(500, 0, 1000, 1000))
KINDS = ("NewBie", "SD15")


def encoded(clip, second="kaito", size=None, **options):
    return encode(clip, parse(XML.format("miku", second)), BOXES, "strict", Options(**options), size=size)


def with_other_second_character(conditioning):
    """Its own tokens' features replaced, as other words of the same length would."""
    ((features, values),) = conditioning
    other, theirs = features.clone(), torch.tensor(plan_of(conditioning).owners) == 2
    other[:, theirs] = torch.randn(other[:, theirs].shape, generator=torch.Generator().manual_seed(1))
    return [[other, values]]


class Drawing:
    """A model and what its first layer that is isolated makes of the picture, call by call."""

    def __init__(self, kind, mini):
        self.model, self.clip = mini[:2] if kind == "NewBie" else (random_sd.model(kind), random_sd.clip(kind))
        self.channels = 16 if kind == "NewBie" else 4
        network = self.model.model.diffusion_model
        if kind == "NewBie":
            self.layer, self.cell = network.layers[0], 2
        else:
            self.layer, self.cell = next(m for n, m in network.named_modules() if n.endswith(".attn2")), 1
        self.positive, self.negative = encoded(self.clip), encode_plain(self.clip, "bad")

    def draw(self, model, positive, height=8, width=16, steps=2, batch=1):
        latent = {"samples": torch.zeros(batch, self.channels, height, width)}
        return stock.KSampler().sample(
            model, 3, steps, 4.0, "euler", "simple", positive, self.negative, latent, 1.0
        )[0]["samples"]

    def images(self, model, positive, rows, columns, **size):
        """[[B, rows, columns, D]] of all calls with the positive's text and a picture of that size."""
        seen = []
        caption = positive[0][0].shape[1]

        def note(_module, _args, kwargs, out):
            joint = out.shape[1] == caption + rows * columns
            cross = out.shape[1] == rows * columns and "context" in kwargs and kwargs["context"].shape[1] == caption
            if joint or cross:
                seen.append(out[:, -rows * columns :].clone().unflatten(1, (rows, columns)))

        handle = self.layer.register_forward_hook(note, with_kwargs=True)
        try:
            self.draw(model, positive, **size)
        finally:
            handle.remove()
        return seen

    def changed(self, model, positive, rows, columns, other=None, **size):
        """[rows, columns] of each picture of the first call: what other words of the second character reach."""
        first, second = (
            self.images(model, one, rows, columns, **size)[0]
            for one in (positive, other or with_other_second_character(positive))
        )
        return (first != second).any(-1)


@pytest.fixture(params=KINDS)
def drawing(request, mini):
    return Drawing(request.param, mini)


@pytest.fixture
def newbie(mini):
    return Drawing("NewBie", mini)


@pytest.fixture
def valid_afterwards(drawing):
    """A valid prompt gives the same picture when the test has done its worst."""
    before = drawing.draw(drawing.model, drawing.positive)
    yield
    assert torch.equal(drawing.draw(drawing.model, drawing.positive), before)
    assert not any(drawing.model.callbacks.values())


def right_half(rows, columns):
    return torch.arange(columns).expand(rows, -1) >= columns // 2


# --- caches ----------------------------------------------------------------------------------------------------------


class ReplacedForward:
    """As a fork of TeaCache does it: a forward of its own for the time of a pass, which asks no wrappers."""

    def __init__(self, network, skip=()):
        self.network, self.skip, self.calls, self.last = network, skip, 0, {}

    def __call__(self, apply_model, arguments):
        self.network.forward = self.forward
        try:
            return apply_model(arguments["input"], arguments["timestep"], **arguments["c"])
        finally:
            del self.network.forward

    def forward(self, x, timesteps, context, num_tokens, attention_mask=None, transformer_options=None, **unknown):
        self.calls += 1
        key = context.shape[1]
        if self.calls not in self.skip or key not in self.last:
            known = {"clip_text_pooled": unknown["clip_text_pooled"]}
            self.last[key] = self.network._forward(
                x, timesteps, context, num_tokens, attention_mask, transformer_options=transformer_options, **known
            )
        return self.last[key]


def patched(model, wrapper):
    clone = model.clone()
    clone.set_model_unet_function_wrapper(wrapper)
    return clone


def test_a_replaced_forward_is_isolated_like_the_models_own(newbie):
    model = patched(newbie.model, ReplacedForward(newbie.model.model.diffusion_model))
    assert torch.equal(newbie.draw(model, newbie.positive), newbie.draw(newbie.model, newbie.positive))
    assert torch.equal(newbie.changed(model, newbie.positive, 4, 8)[0], right_half(4, 8))


def test_a_replaced_forward_may_skip_steps(newbie, caplog):
    wrapper = ReplacedForward(newbie.model.model.diffusion_model, skip=(3, 4, 5, 6))
    ran = newbie.images(patched(newbie.model, wrapper), newbie.positive, 4, 8, steps=4)
    assert wrapper.calls == 8 and len(ran) == 2
    assert "isolat" not in caplog.text


@pytest.mark.parametrize("node", [EasyCacheNode, LazyCacheNode])
def test_the_hosts_caches_skip_steps(newbie, node, caplog):
    (model,) = node.execute(newbie.model, 100.0, 0.0, 1.0, False).result
    ran = newbie.images(model, newbie.positive, 4, 8, steps=8)
    assert 0 < len(ran) < 8 and "isolat" not in caplog.text
    assert torch.equal(newbie.changed(model, newbie.positive, 4, 8)[0], right_half(4, 8))


@pytest.mark.parametrize("sampler", ["heun", "dpmpp_2m_sde", "uni_pc", "res_multistep", "euler_ancestral_cfg_pp"])
def test_a_cache_skips_under_every_kind_of_sampler(newbie, sampler, caplog):
    """A step without a pass of the model is not one whose isolation was dropped."""
    (model,) = EasyCacheNode.execute(newbie.model, 0.9, 0.0, 1.0, False).result
    latent = {"samples": torch.zeros(1, 16, 8, 16)}
    with caplog.at_level("INFO"):
        stock.KSampler().sample(
            model, 2, 6, 4.0, sampler, "simple", newbie.positive, newbie.negative, latent, 1.0
        )
    assert re.search(r"skipped [1-9]\d*/", caplog.text) and "isolat" not in caplog.text


class Cached(torch.nn.Module):
    """As caches of blocks do it: in place of all layers, and in every second step it runs none of them."""

    def __init__(self, layers):
        super().__init__()
        self.layers, self.passes = [list(layers)], 0  # in a list: they are no submodules

    def forward(self, x, *rest, **options):
        self.passes += 1
        (layers,) = self.layers
        for layer in layers if self.passes % 4 in (1, 2) else ():  # a step has two passes
            x = layer(x, *rest, **options)
        return x


def test_a_cache_in_place_of_the_layers(newbie, caplog):
    """Layers that no longer run need not be isolated; those that do, are."""
    network = newbie.model.model.diffusion_model
    layers, cache = network.layers, Cached(network.layers)
    network.layers = torch.nn.ModuleList([cache])
    try:
        assert torch.equal(newbie.changed(newbie.model, newbie.positive, 4, 8)[0], right_half(4, 8))
    finally:
        network.layers = layers
    assert cache.passes == 8 and "did not reach" not in caplog.text


def test_a_model_that_never_asks_the_attention_is_said(newbie, caplog):
    """All of the run's passes went past every layer: nobody can tell what drew the picture."""
    network = newbie.model.model.diffusion_model
    wrapper = ReplacedForward(network)
    wrapper.forward = lambda x, *_args, **_kwargs: x
    newbie.draw(patched(newbie.model, wrapper), newbie.positive)
    assert caplog.text.count("did not reach the model's attention") == 1
    caplog.clear()
    newbie.draw(newbie.model, newbie.positive)
    assert not caplog.text


# --- tiles -----------------------------------------------------------------------------------------------------------


class Tiled:
    """As Tiled Diffusion does it: passes of several tiles in one batch, controls asked with the hint's part of each."""

    def __init__(self, height, width, overlap=0, told=True):
        self.tile, self.overlap, self.told = (height, width), overlap, told

    def boxes(self, whole):
        sides = []
        for size, tile in zip(whole, self.tile, strict=True):
            step = tile - self.overlap
            sides.append(sorted({min(start, size - tile) for start in range(0, size, step)}))
        return [(top, left) for top in sides[0] for left in sides[1]]

    def __call__(self, apply_model, arguments):
        x, passed = arguments["input"], arguments["c"]
        height, width = self.tile
        boxes = self.boxes(x.shape[-2:])

        def cut(picture, scale=1):
            return torch.cat([
                picture[..., top * scale : (top + height) * scale, left * scale : (left + width) * scale]
                for top, left in boxes
            ])

        tiles = cut(x)
        repeated = {key: torch.cat([value] * len(boxes)) if isinstance(value, torch.Tensor) else value
                    for key, value in passed.items()}
        control = self.controls.get(tuple(passed["c_crossattn"].shape[1:]))
        if self.told and control is not None:
            hint = common_upscale(control.cond_hint_original, 8 * x.shape[-1], 8 * x.shape[-2],
                                  control.upscale_algorithm, "center")
            control.cond_hint = cut(control.preprocess_image(hint).repeat(len(x), 1, 1, 1), 8).to(x)
            control.get_control(tiles, arguments["timestep"], repeated, 1, passed["transformer_options"])
        out, count = torch.zeros_like(x), torch.zeros_like(x)
        parts = apply_model(tiles, arguments["timestep"].repeat(len(boxes)), **repeated).split(len(x))
        for (top, left), part in zip(boxes, parts, strict=True):
            out[..., top : top + height, left : left + width] += part
            count[..., top : top + height, left : left + width] += 1
        return out / count

    def on(self, drawing, conditioning):
        """-> the model under it; conditioning: whose control is asked."""
        carrying = [(text, values["control"]) for text, values in conditioning if "control" in values]
        self.controls = {tuple(text.shape[1:]): control for text, control in carrying}
        return patched(drawing.model, self)


@pytest.mark.parametrize(("tile", "overlap"), [((8, 8), 0), ((4, 8), 0), ((8, 12), 4), ((6, 10), 3)])
def test_in_tiles_boxes_are_of_the_picture(drawing, tile, overlap, valid_afterwards, caplog):
    """Each tile sees of the right half what is in it, at offsets of whole tokens and of half ones."""
    tiled = Tiled(*tile, overlap)
    model = tiled.on(drawing, drawing.positive)
    rows, columns = (side // drawing.cell for side in tile)
    changed = drawing.changed(model, drawing.positive, rows, columns)
    places = tiled.boxes((8, 16))
    assert len(changed) == len(places) > 1
    for one, (_, left) in zip(changed, places, strict=True):
        right_edges = left + (torch.arange(columns) + 1) * drawing.cell
        assert torch.equal(one, (right_edges > 8).expand(rows, -1)), left
    assert "tiles" not in caplog.text


def test_a_batch_in_tiles(newbie):
    """As Tiled Diffusion orders them: all pictures of the first tile, then all of the second."""
    changed = newbie.changed(Tiled(8, 8).on(newbie, newbie.positive), newbie.positive, 4, 4, batch=2)
    assert changed.flatten(1).any(1).tolist() == [False, False, True, True]


def test_an_interrupted_run_in_tiles_leaves_no_place_behind(newbie):
    before, tiled = newbie.draw(newbie.model, newbie.positive), Tiled(8, 8)
    model = tiled.on(newbie, newbie.positive)
    (control,) = tiled.controls.values()

    def interrupt(_apply_model, arguments):
        tiled(lambda tiles, *_a, **_k: tiles, arguments)
        if control.cond_hint is not None:
            control.cond_hint = control.cond_hint[1:]  # as with batches of one tile
            raise KeyboardInterrupt
        return arguments["input"]

    model.set_model_unet_function_wrapper(interrupt)
    with pytest.raises(KeyboardInterrupt):
        newbie.draw(model, newbie.positive)
    assert control.cond_hint is not None
    assert torch.equal(newbie.draw(newbie.model, newbie.positive), before)


def test_tiles_whose_places_nobody_tells_are_said_once(drawing, valid_afterwards, caplog):
    model = Tiled(8, 8, told=False).on(drawing, drawing.positive)
    drawing.draw(model, drawing.positive)
    assert caplog.text.count("does not say where each tile lies") == 1
    caplog.clear()
    drawing.draw(drawing.model, drawing.positive)
    assert not caplog.text


def cropped(conditioning, top, left, bottom, right, of, to=None):
    """As upscalers do it that draw every tile in a run of its own: a copy of the control, its hint cut and resized.

    Pixels of a picture of the size `of`; the hint's own pixels are larger or smaller.
    """
    ((features, values),) = conditioning
    control = values["control"].copy()
    hint = control.cond_hint_original
    height, width = hint.shape[-2:]
    rows = slice(math.floor(top * height / of[0]), math.ceil(bottom * height / of[0]))
    columns = slice(math.floor(left * width / of[1]), math.ceil(right * width / of[1]))
    size = to or (bottom - top, right - left)
    control.cond_hint_original = torch.nn.functional.interpolate(hint[..., rows, columns], size, mode="nearest-exact")
    control.set_previous_controlnet(None)
    return [[features, {**values, "control": control}]]


@pytest.mark.parametrize("left", [0, 32, 64, 96, 128])
@pytest.mark.parametrize("scale", [1, 4])
def test_in_a_run_a_tile_boxes_are_of_the_picture(drawing, left, scale, caplog):
    """A picture of 128 x 256 pixels in tiles of 128 x 128, drawn as they are or larger."""
    tile = 0, left, 128, left + 128
    positive = cropped(drawing.positive, *tile, (128, 256), (128 * scale, 128 * scale))
    other = cropped(with_other_second_character(drawing.positive), *tile, (128, 256), (128 * scale, 128 * scale))
    side = 16 * scale // drawing.cell
    changed = drawing.changed(drawing.model, positive, side, side, other, height=16 * scale, width=16 * scale)
    edges = left + (torch.arange(side) + 1) * 128 / side
    assert torch.equal(changed[0], (edges > 128).expand(side, -1))
    assert "tiles" not in caplog.text


def test_a_hint_that_is_no_part_of_the_picture_tells_no_place():
    hint = coordinates(torch.empty(1, 3, 64, 96))
    assert places_in(hint) == [(0.0, 0.0, 1.0, 1.0)]
    for wrong in (hint.roll(40, -1), hint.flip(-2), torch.zeros(1, 3, 8, 8), hint[:, :1], hint[..., :1, :1]):
        assert places_in(wrong) is None
    for part in (hint[..., 16:48, 24:], torch.nn.functional.interpolate(hint[..., 16:48, 24:], (80, 200))):
        ((left, top, right, bottom),) = places_in(part)
        assert (left, top, right, bottom) == pytest.approx((0.25, 0.25, 1.0, 0.75), abs=1e-3)


@pytest.mark.parametrize("whole", [(96, 160), (101, 67), (256, 256)])
def test_a_place_is_moved_onto_the_cells_of_the_latent(whole):
    height, width = whole
    for top, left, rows, columns in ((0, 0, 32, 32), (height - 32, width - 48, 32, 48), (13, 7, 41, 29)):
        exact = left / width, top / height, (left + columns) / width, (top + rows) / height
        told = [edge + 2e-4 for edge in exact]
        assert on_grid(tuple(told), rows, columns) == pytest.approx(exact, abs=1e-9)


# --- other shapes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made_for", "drawn", "said"),
    [
        (None, (8, 16), ()),
        ((8, 16), (8, 16), ()),
        ((8, 16), (16, 32), ()),  # a second pass, larger
        ((100, 150), (101, 150), ()),
        ((8, 16), (16, 8), ("128 x 64", "64 x 128")),
        ((16, 32), (8, 16), ("256 x 128", "128 x 64")),
        ((1, 1), (8, 8), ()),
        ((1, 1), (8, 16), ("a square", "128 x 64")),
    ],
)
def test_a_layout_for_another_shape_is_said_with_both_sizes(made_for, drawn, said):
    sentence = misfit(made_for, drawn)
    assert bool(sentence) == bool(said) and all(one in sentence for one in said)


def test_a_layout_for_another_shape_is_said_once_a_run_whatever_samples(drawing, caplog):
    positive = encoded(drawing.clip, size=(16, 8))
    for _ in range(2):
        caplog.clear()
        drawing.draw(drawing.model, positive)
        assert caplog.text.count("laid out for 64 x 128 pixels, but 128 x 64 are being drawn") == 1
    caplog.clear()
    (area,) = stock.ConditioningSetArea().append(encoded(drawing.clip, size=(8, 16)), 64, 64, 0, 0, 1.0)
    drawing.draw(drawing.model, area)
    assert not caplog.text


def test_after_an_interrupted_run_it_is_said_again(newbie, monkeypatch, caplog):
    positive = encoded(newbie.clip, size=(16, 8))
    layer = newbie.model.model.diffusion_model.layers[1]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(layer, "forward", lambda *_a, **_k: (_ for _ in ()).throw(KeyboardInterrupt))
        newbie.draw(newbie.model, positive)
    newbie.draw(newbie.model, positive)
    assert caplog.text.count("laid out for 64 x 128 pixels") == 2


# --- what nodes drop -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dropped", ["control", "model_conds"])
def test_half_of_what_it_brings_along_is_refused(drawing, dropped, valid_afterwards):
    ((features, values),) = drawing.positive
    half = [[features, {key: value for key, value in values.items() if key != dropped}]]
    with pytest.raises(ValueError, match="isolation of the characters was dropped: a node between"):
        drawing.draw(drawing.model, half)


def test_half_of_it_is_refused_after_an_interrupted_run_too(newbie, monkeypatch):
    """Nobody tells of the end of such a run, so the next begins with what it left."""
    layer = newbie.model.model.diffusion_model.layers[1]
    monkeypatch.setattr(layer, "forward", lambda *_a, **_k: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        newbie.draw(newbie.model.clone(), newbie.positive)
    monkeypatch.undo()
    ((features, values),) = newbie.positive
    half = [[features, {key: value for key, value in values.items() if key != "control"}]]
    with pytest.raises(ValueError, match="isolation of the characters was dropped"):
        newbie.draw(newbie.model, half)
    newbie.draw(newbie.model, newbie.positive)


def test_a_prompt_is_not_written_to_a_file_that_cannot_be_loaded(drawing, valid_afterwards):
    """As the host's Save Training Dataset does it."""
    with pytest.raises(ValueError, match="can't be saved to a file: it could not be loaded again"):
        torch.save({"conditioning": [drawing.positive]}, io.BytesIO())
    assert copy.deepcopy(drawing.positive)[0][1].keys() == drawing.positive[0][1].keys()
    plain, file = encode(drawing.clip, parse(XML.format("miku", "kaito")), BOXES, "off"), io.BytesIO()
    torch.save(plain, file)
    file.seek(0)
    assert torch.load(file, weights_only=True)[0][0].shape == plain[0][0].shape


def test_other_options_are_another_object(drawing):
    """For caches that know a prompt by its text's object."""
    texts = [encoded(drawing.clip, **options)[0][0] for options in ({}, {"strength": 0.5}, {"soft_edge": 0.1}, {})]
    assert len({id(text) for text in texts}) == len(texts)
    assert all(torch.equal(text, texts[0]) for text in texts)


def test_nothing_is_said_of_an_ordinary_run(drawing, caplog):
    with caplog.at_level(logging.INFO):
        drawing.draw(drawing.model, encoded(drawing.clip, size=(8, 16)))
    assert "NewBie" not in caplog.text
