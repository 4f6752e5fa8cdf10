"""Text features of another model's width are told before the first step."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import random_sd
import torch
from newbie_pack.sampling.guidance import check_fit, guider_for
from newbie_pack.sampling.sample import sample


def model_of(**config):
    return SimpleNamespace(model=SimpleNamespace(model_config=SimpleNamespace(unet_config=config)))


def entry(width, pooled=None):
    return torch.zeros(1, 3, width), {} if pooled is None else {"pooled_output": torch.zeros(1, pooled)}


NEWBIE = model_of(cap_feat_dim=2560, clip_text_dim=1024)


def test_what_fits_and_what_says_nothing():
    check_fit(NEWBIE, [entry(2560, 1024), entry(2560, 1024)])
    check_fit(model_of(cap_feat_dim=2304), [entry(2304)])  # Lumina 2 has no Jina
    check_fit(model_of(context_dim=768), [entry(768, 1280)])


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (entry(2304, 1024), "The text features are 2304 wide, but this model takes 2560 from Gemma"),
        (entry(2560), r"The text was encoded for another model \(it has no vector from Jina\)"),
        (entry(2560, 768), "The text features are 768 wide, but this model takes 1024 from Jina"),
    ],
)
def test_what_does_not_fit(bad, says):
    with pytest.raises(ValueError, match=says):
        check_fit(NEWBIE, [entry(2560, 1024), bad])


def test_the_sampler_asks(mini):
    model = mini[0]
    fits, bad = [list(entry(48, 32))], [list(entry(40, 32))]
    latent = {"samples": torch.zeros(1, 16, 8, 8)}
    sample(model, fits, fits, latent, seed=1, steps=1)
    with pytest.raises(ValueError, match="The text features are 40 wide, but this model takes 48 from Gemma"):
        sample(model, fits, bad, latent, seed=1, steps=1)
    with pytest.raises(ValueError, match="The text features are 40 wide"):
        guider_for(model, bad, fits, 7.5, 0.0, 1.0, 0.0)


def picture(*shape):
    return {"samples": torch.randn(*shape, generator=torch.Generator().manual_seed(0))}


@pytest.mark.parametrize(
    ("latent", "says"),
    [
        (picture(1, 4, 6, 8), "The latent is 1 x 4 x 6 x 8, but this model draws images of 16 channels: use NewBie"),
        (picture(1, 16, 1, 6, 8), "The latent is 1 x 16 x 1 x 6 x 8, but"),
        (picture(16, 6, 8), "The latent is 16 x 6 x 8, but"),
        ({**picture(2, 16, 6, 8), "batch_index": [0]}, r"holds 2 images but 1 batch indices \(batch_index\): remove"),
        ({"samples": torch.full((1, 16, 6, 8), float("nan"))}, "The latent contains NaN or infinity"),
    ],
)
def test_a_latent_of_another_model_is_refused_in_one_sentence(mini, latent, says):
    model, clip, _, _ = mini
    prompt = clip.encode_from_tokens_scheduled(clip.tokenize(""))
    with pytest.raises(ValueError, match=says):
        sample(model, prompt, prompt, latent, seed=1, steps=1)


def test_a_model_of_another_kind_is_refused_in_one_sentence():
    """The shift that NewBie Sample sets would make noise of every step of SD1.5."""
    unet, text = random_sd.model("SD15"), random_sd.clip("SD15")
    prompt = text.encode_from_tokens_scheduled(text.tokenize(""))
    with pytest.raises(ValueError, match=r"NewBie Sample works only with rectified-flow models .*: use KSampler"):
        sample(unet, prompt, prompt, picture(1, 4, 16, 16), seed=1, steps=1)
