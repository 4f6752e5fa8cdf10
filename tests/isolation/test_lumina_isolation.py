"""Lumina 2 shares NewBie's transformer, with one text encoder and no pooled vector: the same isolation serves it."""

from __future__ import annotations

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import random_mini
import torch
from conditionings import entry, plan_of
from newbie_pack.isolation.encode import encode, encode_negative
from newbie_pack.xml_prompt import layout, parse
from plans import weights_of

PROMPT = (
    "<character_1><bbox>[0, 0, 500, 1000]</bbox><n>miku</n></character_1>"
    "<character_2><bbox>[500, 0, 1000, 1000]</bbox><n>kaito</n><appearance>{}</appearance>"
    "<negative>hat</negative></character_2><general_tags><background>night_sky</background></general_tags>"
)
SCENE, OTHER = (parse(PROMPT.format(tags)) for tags in ("(blue hair:1.3)", "(pink hair:1.3)"))


@pytest.fixture(scope="module")
def clip():
    import comfy.sd
    import comfy.supported_models_base
    from comfy.text_encoders.lumina2 import LuminaTokenizer, te

    pieces, size = random_mini.tokenizer(pad=0, eos=1, bos=2)
    config = {
        "vocab_size": size,
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    }
    made = comfy.sd.CLIP(
        comfy.supported_models_base.ClipTarget(LuminaTokenizer, te(dtype_llama=torch.float32)),
        tokenizer_data={"spiece_model": pieces},
        model_options={"gemma2_2b_model_config": config, "dtype": torch.float32},
    )
    fill(made.cond_stage_model, 0)
    return made


@pytest.fixture(scope="module")
def model():
    import comfy.model_patcher
    import comfy.supported_models

    config = {key: value for key, value in random_mini.DIFFUSION.items() if key != "clip_text_dim"}
    made = comfy.supported_models.Lumina2({**config, "dtype": torch.float32})
    network = made.get_model({}, device=torch.device("cpu"))
    fill(network.diffusion_model, 1)
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(network, load_device=cpu, offload_device=cpu)


def fill(module, seed):
    generator = torch.Generator().manual_seed(seed)
    state = random_mini.randomise(module, generator)
    module.load_state_dict({name: value.float() for name, value in state.items()})


@pytest.mark.parametrize("mode", ["strict", "gentle"])
def test_its_encoder_alone_makes_the_conditioning(clip, mode):
    conditioning = encode(clip, SCENE, layout(SCENE), mode)
    features, extra = entry(conditioning)
    plan = plan_of(conditioning)
    assert features.shape == (1, len(plan.owners), 48) and set(plan.owners) == {0, 1, 2}
    assert set(weights_of(plan)) == {1.0, 1.3} and {token.owner for token in plan.tokens if token.weight != 1} == {2}
    assert extra["pooled_output"] is None and "attention_mask" not in extra


def test_an_unpatched_model_and_the_hosts_sampler_obey(clip, model):
    """Strict: the first joint layer outside the second one's region, bit for bit."""
    import comfy.sample

    seen: list[torch.Tensor] = []
    handle = model.model.diffusion_model.layers[0].register_forward_hook(lambda _m, _a, out: seen.append(out.clone()))

    def first_layers(scene):
        seen.clear()
        boxes = layout(scene)
        positive = encode(clip, scene, boxes, "strict")
        negative = encode_negative(clip, scene, boxes, "strict", "bad")
        latent = torch.zeros(1, 16, 12, 16)
        noise = comfy.sample.prepare_noise(latent, 3)
        comfy.sample.sample(model, noise, 1, 4.0, "euler", "simple", positive, negative, latent, seed=3)
        lengths = [len(plan_of(c).owners) for c in (positive, negative)]
        found = {out.shape[1] - 48: out[:, -48:].unflatten(1, (6, 8)) for out in seen}
        return [found[length] for length in lengths]

    try:
        (image, negative), (image_2, negative_2) = map(first_layers, (SCENE, OTHER))
    finally:
        handle.remove()
    assert torch.equal(image[:, :, :4], image_2[:, :, :4])
    assert (image[:, :, 4:] != image_2[:, :, 4:]).any(-1).all()
    assert torch.equal(negative, negative_2)


def test_z_image_says_that_it_is_not_served(clip):
    from comfy.ldm.lumina.model import NextDiT
    from newbie_pack.isolation.nextdit import check_fits

    config = {key: value for key, value in random_mini.DIFFUSION.items() if key != "clip_text_dim"}
    z_image = NextDiT(**config, pad_tokens_multiple=32, z_image_modulation=True, operations=torch.nn, device="meta")
    plan = plan_of(encode(clip, SCENE, layout(SCENE), "strict"))
    with pytest.raises(ValueError, match="set the mode of Encode Characters to off"):
        check_fits(plan, z_image, torch.zeros(1, len(plan.owners), 48), None)
