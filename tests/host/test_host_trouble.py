"""What is told when a real host lacks something, runs out of it, or has lost its prompt worker."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from graphs import ROOT

KILLER = """
class Killer:
    INPUT_TYPES = classmethod(lambda cls: {"required": {}})
    RETURN_TYPES, FUNCTION, OUTPUT_NODE, CATEGORY = (), "run", True, "test"

    def run(self):
        raise SystemExit  # which the host's worker does not catch: its thread ends

NODE_CLASS_MAPPINGS = {"Killer": Killer}
"""


@pytest.mark.parametrize(
    ("graph", "sentence"),
    [
        (
            "NewBie two characters (full model)",
            "NewBie Loader: ComfyUI has no file 'NewBie-Image-Exp0.1-bf16.safetensors' for diffusion_model: put it",
        ),
        (
            {"1": {"class_type": "NewBieNoSuchNode", "inputs": {}}},
            "ComfyUI refused the prompt: there is no node NewBieNoSuchNode there: install this pack",
        ),
        (
            {
                "1": {
                    "class_type": "EmptyLatentImage",
                    "inputs": {"width": 16384, "height": 16384, "batch_size": 4096},
                },
                "2": {"class_type": "SaveLatent", "inputs": {"samples": ["1", 0], "filename_prefix": "x"}},
            },
            "EmptyLatentImage: ComfyUI ran out of memory: draw a smaller picture",
        ),
    ],
    ids=["no model file", "no node", "no memory"],
)
def test_what_a_host_lacks_is_one_sentence(server, workflow, graph, sentence):
    from newbie_pack.client import api

    with pytest.raises(api.HostError) as caught:
        api.draw(server, workflow(graph) if isinstance(graph, str) else graph)
    assert sentence in str(caught.value)


def test_the_doctor_finds_nothing_wrong_with_a_host_that_is_in_order(server, capsys):
    from newbie_pack.client import doctor
    from newbie_pack.version import pack_version

    assert doctor.main(["--server", server.url, "--json"]) == 0
    found = {one["about"]: one for one in json.loads(capsys.readouterr().out)["findings"]}
    assert found["Pack"] == {
        "about": "Pack",
        "state": "fine",
        "says": f"{pack_version()}, all of its nodes",
        "advice": "",
    }
    assert found["ComfyUI"]["state"] == "fine" and found["Queue"]["state"] == "fine"


def test_a_host_without_the_pack_whose_worker_dies(comfyui, tmp_path, monkeypatch, capsys):
    from newbie_pack.client import api, doctor, doctor_server
    from newbie_pack.client import host as hosts
    from newbie_pack.client.environment import Environment
    from newbie_pack.client.problem import Problem

    (tmp_path / "packs" / "killer").mkdir(parents=True)
    (tmp_path / "packs" / "killer" / "__init__.py").write_text(KILLER)
    (tmp_path / "paths.yaml").write_text(json.dumps({"killer": {"custom_nodes": str(tmp_path / "packs")}}))
    flags = ("--whitelist-custom-nodes", "killer", "--extra-model-paths-config", str(tmp_path / "paths.yaml"))
    environment = Environment(ROOT, tmp_path / "home", Path(sys.executable), comfyui, ours=True)
    monkeypatch.setattr(api, "PATIENCE", 3.0)
    monkeypatch.setattr(doctor_server, "STUCK", 1.0)
    with hosts.running(environment, device="cpu", flags=flags) as host:
        with (
            pytest.raises(Problem, match="this pack's nodes did not load: put it into custom_nodes there"),
            hosts.served(host.url, environment),
        ):
            pass
        with pytest.raises(Problem, match=r"has made no progress for 3 s.*: restart it"):
            api.draw(host.server(), {"1": {"class_type": "Killer", "inputs": {}}})
        assert doctor.main(["--server", host.url, "--json"]) == 1
        found = {one["about"]: one for one in json.loads(capsys.readouterr().out)["findings"]}
        assert found["Pack"]["state"] == "wrong" and "put this folder into custom_nodes" in found["Pack"]["advice"]
        assert found["Queue"]["state"] == "wrong" and "restart that ComfyUI" in found["Queue"]["advice"]
