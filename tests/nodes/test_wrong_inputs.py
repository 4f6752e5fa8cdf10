"""Every kind of wrong value at every input of every node: a sentence or a success, and nothing is broken afterwards."""

from __future__ import annotations

import asyncio
import math
from fractions import Fraction

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import torch
from comfy.nested_tensor import NestedTensor
from comfy_api.latest import io
from loras import listed
from newbie_pack.model_loader import mini as loader
from newbie_pack.nodes import NODES, NewBieExtension
from newbie_pack.nodes.common import CONNECT
from newbie_pack.xml_prompt import parse
from safetensors.torch import save_file

CLASSES = {cls.GET_SCHEMA().node_id: cls for cls in asyncio.run(NewBieExtension().get_node_list())}
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
XML = "<character_1><n>miku</n></character_1><character_2><n>kaito</n></character_2>"
NAN = float("nan")


def latent(*shape, value=0.0):
    return {"samples": torch.full(shape, value)}


EVERYWHERE = [None, NAN, math.inf, -math.inf, -3, 1e300, 10**400, 0.5, True, "abc", "", "\udcff\x1b[31m", b"abc", [],
              [1, 2], {}, {"samples": None}, object(), torch.zeros(3), Fraction(1, 3), parse(XML), io]
OF_KIND = {
    "LATENT": [
        latent(1, 16, 4, 4, value=NAN), latent(1, 16, 4, 4, value=math.inf), latent(1, 16, 1, 4, 4), latent(16, 4, 4),
        latent(1, 16, 0, 4), latent(0, 16, 4, 4), latent(1, 5, 4, 4, value=1.0), latent(4), {"samples": "abc"},
        {"samples": NestedTensor([torch.zeros(1, 16, 1, 4, 4), torch.zeros(1, 8, 4)])},
    ],
    "CONDITIONING": [
        [[torch.zeros(1, 3, 40), {}]], [[torch.full((1, 3, 48), NAN), {"pooled_output": torch.zeros(1, 32)}]],
        [[torch.zeros(1, 3, 48), {"pooled_output": torch.full((1, 32), NAN)}]], [[]], [None], ["abc"],
        [[torch.zeros(1, 3, 48), None]], [["abc", {}]], [[torch.zeros(3), {"pooled_output": torch.zeros(1, 32)}]],
    ],
    "MASK": [
        torch.full((1, 8, 8), NAN), torch.zeros(()), torch.zeros(1, 0, 8), torch.zeros(5, 8, 8),
        torch.full((8, 8), 0.3), torch.zeros(1, 8, 8), torch.full((1, 8, 8), math.inf),
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def a_lora(tmp_path_factory):
    """The only one in the host's list."""
    folder = tmp_path_factory.mktemp("loras")
    save_file({"x.lora_A.weight": torch.zeros(1, 2), "x.lora_B.weight": torch.zeros(2, 1)}, folder / "x.safetensors")
    with listed(folder):
        yield "x.safetensors"


@pytest.fixture(scope="module")
def right(weights, a_lora):
    """For every node what it takes gladly."""
    patch = pytest.MonkeyPatch()
    patch.setattr(loader, "WEIGHTS", weights)
    node = {name: cls.execute for name, cls in CLASSES.items()}
    loaded = {"diffusion_model": "NewBie mini (built in)", "gemma": "none", "jina": "none", "vae": "none"}
    model, clip, vae = node["NewBieLoader"](**loaded, precision="default").result
    scene = parse(XML)
    positive, negative = node["NewBieEncodeCharacters"](clip, scene, "auto", "", latent(1, 16, 4, 4)).result
    sockets = {
        "MODEL": model, "CLIP": clip, "VAE": vae, "NEWBIE_SCENE": scene, "LATENT": latent(1, 16, 4, 4),
        "MASK": torch.ones(1, 8, 8), "IMAGE": torch.ones(1, 32, 32, 3),
        "BOUNDING_BOX": [[{"x": 0, "y": 0, "width": 16, "height": 16}]],
    }
    named = {"positive": positive, "negative": negative, "steps": 1, "sampler": "euler_ancestral", "count": 2,
             "lora": a_lora}
    made = {}
    for name, cls in CLASSES.items():
        made[name] = {}
        for item in cls.define_schema().inputs:
            kind = item.get_io_type()
            if isinstance(item, io.DynamicCombo.Input):
                made[name][item.id] = {item.id: "custom", "width": 32, "height": 32}
            elif kind in sockets:
                made[name][item.id] = sockets[kind]
            elif item.id in named and not (kind == "STRING" and item.id in ("positive", "negative")):
                made[name][item.id] = named[item.id]
            elif kind in WIDGETS:
                made[name][item.id] = item.default
    yield made
    patch.undo()


def run(name, inputs):
    return CLASSES[name].EXECUTE_NORMALIZED(**inputs).result


def finite(result):
    if isinstance(result, torch.Tensor):
        return bool(result.isfinite().all())
    if isinstance(result, dict):
        return all(finite(one) for one in result.values())
    if isinstance(result, list | tuple):
        return all(finite(one) for one in result)
    return True


def inputs_of():
    return [(name, item.id) for name, cls in CLASSES.items() for item in cls.define_schema().inputs]


@pytest.mark.parametrize("name", NODES)
def test_what_is_right_runs(right, name):
    assert finite(run(name, right[name]))


@pytest.mark.parametrize(("name", "key"), inputs_of())
def test_a_wrong_value_is_told_in_a_sentence_or_does_no_harm(right, name, key):
    item = next(one for one in CLASSES[name].define_schema().inputs if one.id == key)
    refused = 0
    for value in EVERYWHERE + OF_KIND.get(item.get_io_type(), []):
        try:
            result = run(name, {**right[name], key: value})
        except Exception as problem:
            said = str(problem)
            refused += 1
            assert isinstance(problem, ValueError | RuntimeError), (value, repr(problem))
            assert ": " in said and said.endswith("."), (value, said)
            assert all(letter.isprintable() for letter in said) and len(said) < 700, (value, said)
            said.encode("utf-8")
        else:
            assert finite(result), value
    assert refused, "the test gave it nothing wrong"
    assert finite(run(name, right[name]))


def numbers():
    return [
        (name, item)
        for name, cls in CLASSES.items()
        for item in cls.define_schema().inputs
        if item.get_io_type() in ("INT", "FLOAT")
    ]


@pytest.mark.parametrize(("name", "item"), numbers(), ids=lambda one: one if isinstance(one, str) else one.id)
def test_a_number_is_finite_and_within_the_limits_that_the_widget_has(right, name, item):
    assert item.min is not None and item.max is not None
    beyond = [item.min - 1, item.max + 1] if item.get_io_type() == "INT" else [item.min - 1e-3, item.max + 1e-3]
    for value in (NAN, math.inf, *beyond):
        with pytest.raises(ValueError, match=rf"^{item.id} is .*: enter a (whole )?number from"):
            run(name, {**right[name], item.id: value})


def test_a_whole_number_may_arrive_as_a_float(right):
    """As other packs' arithmetic gives it."""
    assert run("NewBieSeeds", {"seed": 3.0, "count": 2}) == ([3, 4],)
    with pytest.raises(ValueError, match=r"^count is 2\.5: enter a whole number from 1 to 100\.$"):
        run("NewBieSeeds", {"seed": 3, "count": 2.5})


@pytest.mark.parametrize("kind", CONNECT)
def test_nothing_at_a_socket_says_what_to_connect(right, kind):
    for name, cls in CLASSES.items():
        for item in cls.define_schema().inputs:
            if item.get_io_type() == kind and not item.optional:
                with pytest.raises(ValueError, match=f"^{item.id} is empty: {CONNECT[kind]}"):
                    run(name, {**right[name], item.id: None})


def test_a_number_that_the_schedule_cannot_be_made_with(right):
    with pytest.raises(ValueError, match="kl_optimal can't make a schedule of 1 step: use more steps"):
        run("NewBieSample", {**right["NewBieSample"], "scheduler": "kl_optimal"})
    with pytest.raises(ValueError, match=r"denoise is 1e-30: use at least 0\.001, or 0 to leave"):
        run("NewBieSample", {**right["NewBieSample"], "denoise": 1e-30})
    with pytest.raises(ValueError, match=r"guidance_start 0\.9 and guidance_end 0\.2 leave no steps between them"):
        run("NewBieSample", {**right["NewBieSample"], "guidance_start": 0.9, "guidance_end": 0.2})


def test_a_video_latent_reaches_the_guider_and_is_told(right):
    guider = run("NewBieGuider", right["NewBieGuider"])[0]
    (sampler,) = run("NewBieSampler", right["NewBieSampler"])
    sigmas = torch.tensor([1.0, 0.0])
    for bad in (torch.zeros(1, 16, 1, 4, 4), NestedTensor([torch.zeros(1, 16, 4, 4), torch.zeros(1, 8, 4)])):
        with pytest.raises(ValueError, match="but this model draws images of 16 channels: use NewBie Size"):
            guider.sample(bad, bad, sampler, sigmas)
    good = torch.zeros(1, 16, 4, 4)
    with pytest.raises(ValueError, match="The latent contains NaN or infinity"):
        guider.sample(good, good * NAN, sampler, sigmas)
    with pytest.raises(ValueError, match="The sigmas contain NaN"):
        guider.sample(good, good, sampler, sigmas * NAN)
    assert guider.sample(good, good, sampler, sigmas).isfinite().all()


def test_a_picture_of_nan_is_an_error_and_never_black(right, monkeypatch):
    model = right["NewBieSample"]["model"]
    monkeypatch.setattr(model.model.diffusion_model, "forward", lambda x, *_, **__: x * NAN)
    with pytest.raises(RuntimeError, match="Sampling produced NaN or infinity, which would give a black picture"):
        run("NewBieSample", right["NewBieSample"])
    monkeypatch.undo()
    vae = right["NewBieDecode"]["vae"]
    monkeypatch.setattr(vae, "decode", lambda samples: torch.full((1, 32, 32, 3), NAN))
    monkeypatch.setattr("copy.copy", lambda one: one)
    with pytest.raises(RuntimeError, match="The VAE returned NaN or infinity, which would give a black picture"):
        run("NewBieDecode", right["NewBieDecode"])
