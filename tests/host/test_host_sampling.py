"""Contact sheets and SamplerCustomAdvanced in a real host: the very pictures of NewBie Sample alone."""

from __future__ import annotations

import io

import numpy as np
import pytest
from graphs import changed, node_of
from PIL import Image

FEW = 4


def pictures(server, prompt):
    from newbie_pack.client import api

    saved = [picture for picture in api.draw(server, prompt).pictures if picture.kind == "output"]
    return [np.asarray(Image.open(io.BytesIO(api.download(server, one))).convert("RGB")) for one in saved]


def test_a_list_of_seeds_draws_each_as_if_alone(server, workflow):
    demo = changed(workflow(), "NewBieSample", steps=FEW)
    listed = changed(demo, "NewBieSample", seed=["20", 0])
    listed["20"] = {"class_type": "NewBieSeeds", "inputs": {"seed": 7, "count": 2}}
    both = pictures(server, listed)
    assert len(both) == 2 and not np.array_equal(*both)
    for seed, picture in enumerate(both, 7):
        (alone,) = pictures(server, changed(demo, "NewBieSample", seed=seed))
        assert np.array_equal(alone, picture)


@pytest.mark.parametrize("cache", [None, "EasyCache", "LazyCache"])
def test_the_guider_and_the_sampler_draw_the_same_picture_in_samplercustomadvanced(server, workflow, cache):
    demo = changed(workflow(), "NewBieSample", steps=FEW)
    if cache is not None:
        often = {"reuse_threshold": 0.9, "start_percent": 0.0, "end_percent": 1.0, "verbose": False}
        model = node_of(demo, "NewBieSample")["inputs"]["model"]
        demo = changed(demo, "NewBieSample", model=["26", 0])
        demo["26"] = {"class_type": cache, "inputs": {"model": model, **often}}
    said = node_of(demo, "NewBieSample")["inputs"]
    custom = changed(demo, "NewBieDecode", samples=["24", 0])
    for id in [id for id, node in custom.items() if node["class_type"] == "NewBieSample"]:
        del custom[id]
    guidance = ("positive", "negative", "guidance", "guidance_start", "guidance_end", "renorm")
    custom |= {
        "20": {"class_type": "ModelSamplingAuraFlow", "inputs": {"model": said["model"], "shift": said["shift"]}},
        "21": {"class_type": "NewBieGuider", "inputs": {"model": ["20", 0], **{key: said[key] for key in guidance}}},
        "22": {"class_type": "NewBieSampler", "inputs": {key: said[key] for key in ("sampler", "eta", "s_noise")}},
        "23": {
            "class_type": "BasicScheduler",
            "inputs": {"model": ["20", 0], "scheduler": said["scheduler"], "steps": FEW, "denoise": 1.0},
        },
        "25": {"class_type": "RandomNoise", "inputs": {"noise_seed": said["seed"]}},
        "24": {
            "class_type": "SamplerCustomAdvanced",
            "inputs": {
                "noise": ["25", 0], "guider": ["21", 0], "sampler": ["22", 0], "sigmas": ["23", 0],
                "latent_image": said["latent"],
            },
        },
    }
    (ours,), (theirs,) = pictures(server, demo), pictures(server, custom)
    assert np.array_equal(ours, theirs)
