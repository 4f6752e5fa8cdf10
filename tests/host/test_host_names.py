"""Names that the host's streams can't encode, or that a terminal would obey: a sentence, and the next prompt works."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from graphs import afresh, changed, node_of

ROOT = Path(__file__).resolve().parent.parent.parent
TITLE = "\x1b]0;taken over\x07"  # sets the title of a terminal
FILES = {  # as bytes on the disk -> as told
    b"caf\xe9 \xff.safetensors": r"caf\udce9 \udcff.safetensors",
    "👋 ünï.safetensors".encode(): r"\U0001f44b ün\xef.safetensors",
    b"\x1b]0;taken over\x07.safetensors": r"\x1b]0;taken over\x07.safetensors",
}


@pytest.fixture(scope="module")
def gbk(comfyui, tmp_path_factory):
    """A host as on a Chinese Windows, with model files that strangers named."""
    from newbie_pack.client import host as hosts
    from newbie_pack.client.environment import Environment

    home = tmp_path_factory.mktemp("gbk")
    for folder in ("diffusion_models", "text_encoders", "vae"):
        for name in FILES:
            (hosts.models_folder(home) / folder / os.fsdecode(name)).write_bytes(b"not a model")
    environment = Environment(ROOT, home, Path(sys.executable), comfyui, ours=True)
    patch = pytest.MonkeyPatch()
    plain = hosts.variables
    patch.setattr(hosts, "variables", lambda *args: {**plain(*args), "PYTHONUTF8": "0", "PYTHONIOENCODING": "gbk"})
    with hosts.running(environment, device="cpu") as running:
        yield running
    patch.undo()


@pytest.fixture
def told(gbk, workflow):
    """Queues a prompt that fails, and one that is right after it; -> the sentence."""
    from newbie_pack.client import api

    server = api.server(gbk.url, gbk.alive)

    def fail(prompt):
        with pytest.raises(api.HostError) as caught:
            api.draw(server, prompt)
        right = changed(afresh(workflow()), "NewBieSample", steps=1)
        assert [one.kind for one in api.draw(server, right).pictures if one.kind == "output"] == ["output"]
        log = gbk.log.read_bytes()
        assert TITLE.encode() not in log and b"\xed\xb3" not in log
        return str(caught.value)

    return fail


@pytest.mark.parametrize("name", FILES, ids=ascii)
@pytest.mark.parametrize("key", ["diffusion_model", "gemma"])
def test_a_model_file_that_a_stranger_named(told, workflow, key, name):
    prompt = changed(workflow(), "NewBieLoader", **{key: os.fsdecode(name)})
    if key == "gemma":  # the other files are wrong as well, so that this one is looked at
        prompt = changed(prompt, "NewBieLoader", diffusion_model=os.fsdecode(name))
    sentence = told(prompt)
    assert FILES[name] in sentence and "\x1b" not in sentence


@pytest.mark.parametrize("wrong", ["👋", "⁂ é", TITLE, "\udcff", "\u2028"], ids=ascii)
def test_a_prompt_that_is_wrong_when_it_runs(told, workflow, wrong):
    prompt = workflow()
    prompt["90"] = {
        "class_type": "PrimitiveStringMultiline",
        "inputs": {"value": f"<character_1><n>{wrong}</n><pose>{wrong}</character_1>"},
        "_meta": {"title": "text"},
    }
    node_of(prompt, "NewBieXMLPrompt")["inputs"]["xml"] = ["90", 0]
    assert told(prompt).startswith("NewBie XML Prompt: ")


@pytest.mark.parametrize("wrong", ["👋", TITLE], ids=ascii)
def test_a_prompt_that_is_wrong_before_it_runs(told, workflow, wrong):
    sentence = told(changed(workflow(), "NewBieXMLPrompt", xml=f"<character_1>{wrong}<pose>{wrong}"))
    assert sentence.startswith("NewBie XML Prompt: line 1, column ")


WRONG = [
    ("guidance", float("nan")), ("eta", float("nan")), ("steps", -3), ("renorm", float("inf")), ("denoise", 1e300),
    ("steps", "abc"), ("eta", {"a": 1}), ("guidance", None), ("sampler", "👋"), ("sampler", 5), ("shift", []),
    ("model", "abc"), ("positive", None), ("latent", 3),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), WRONG, ids=str)
def test_a_wrong_setting_is_told_once(told, workflow, key, value):
    """As a program may send it; every kind at every input is in tests/nodes/test_wrong_inputs.py."""
    sentence = told(changed(afresh(workflow()), "NewBieSample", **{key: value}))
    assert sentence.startswith("NewBie Sample: "), sentence
    assert len(sentence.splitlines()) == 1, sentence
