"""Draws the same pictures in several ComfyUIs, whichever folders they lie in: which versions run this pack.

    ./run bench versions DIR [DIR ...]      the ComfyUI of the set-up first, then those in these folders

Each is started with this pack alone, in the Python that COMFYUI_PYTHON names or else in this one, and draws with the
built-in mini: the first template; the same through NewBie Guider and NewBie Sampler; and the same prompt with the
host's own KSampler. Then comes a setting that is wrong, which must be told in a sentence, and the first again. Nothing
is written to any of these folders.

It fails where one does not start, lacks a node, draws nothing, or draws another picture than the first ComfyUI did.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ...client import api, environment, host, workflow
from ...client.problem import Problem
from .host import ROOT

NEAR = 2 / 255  # what rounding in other versions of the same operations may change
STEPS = 8


@dataclass(frozen=True)
class Verdict:
    comfyui: str  # its version
    starts: float  # seconds
    nodes: int
    differs: dict[str, float]  # graph -> the largest difference from the first ComfyUI's picture, 0..1
    problem: str = ""

    @property
    def passes(self) -> bool:
        return not self.problem and all(value <= NEAR for value in self.differs.values())

    def __str__(self) -> str:
        if self.problem:
            return f"{self.comfyui:8} fails: {self.problem}"
        pictures = ", ".join(f"{name} {value:.4f}" for name, value in self.differs.items())
        return f"{self.comfyui:8} {self.nodes} nodes, started in {self.starts:.0f} s; {pictures}"


def graphs() -> dict[str, workflow.Prompt]:
    """Three ways to one picture."""
    whole = workflow.load(ROOT / workflow.DEMO)
    of = {node["class_type"]: (id, node["inputs"]) for id, node in whole.items()}
    at, said = of["NewBieSample"]
    said["steps"] = STEPS
    parts, stock = copy.deepcopy(whole), copy.deepcopy(whole)
    guidance = ("positive", "negative", "guidance", "guidance_start", "guidance_end", "renorm")
    shifted = {"class_type": "ModelSamplingAuraFlow", "inputs": {"model": said["model"], "shift": said["shift"]}}
    schedule = {"model": ["90", 0], "scheduler": said["scheduler"], "steps": STEPS, "denoise": 1.0}
    custom = {"noise": ["94", 0], "guider": ["91", 0], "sampler": ["92", 0], "sigmas": ["93", 0]}
    parts |= {
        "90": shifted,
        "91": {"class_type": "NewBieGuider", "inputs": {"model": ["90", 0], **{key: said[key] for key in guidance}}},
        "92": {"class_type": "NewBieSampler", "inputs": {key: said[key] for key in ("sampler", "eta", "s_noise")}},
        "93": {"class_type": "BasicScheduler", "inputs": schedule},
        "94": {"class_type": "RandomNoise", "inputs": {"noise_seed": said["seed"]}},
        at: {"class_type": "SamplerCustomAdvanced", "inputs": {**custom, "latent_image": said["latent"]}},
    }
    ksampler = {"seed": said["seed"], "steps": STEPS, "cfg": 4.0, "sampler_name": "euler", "scheduler": "simple"}
    ends = {"positive": said["positive"], "negative": said["negative"], "latent_image": said["latent"]}
    stock |= {
        "90": shifted,
        at: {"class_type": "KSampler", "inputs": {"model": ["90", 0], "denoise": 1.0, **ksampler, **ends}},
    }
    return {"whole": whole, "in parts": parts, "KSampler": stock}


def drawn(server: api.Server, prompt: workflow.Prompt) -> np.ndarray:
    """[H, W, 3] in 0..1. Raises Problem."""
    (saved,) = [picture for picture in api.draw(server, prompt).pictures if picture.kind == "output"]
    return np.asarray(Image.open(io.BytesIO(api.download(server, saved))).convert("RGB"), np.float32) / 255


def version_of(comfyui: Path) -> str:
    found = re.search(r'"(.+)"', (comfyui / "comfyui_version.py").read_text("utf-8"))
    return found[1] if found else "unknown"


def tells_a_wrong_setting(server: api.Server, prompt: workflow.Prompt) -> bool:
    wrong = copy.deepcopy(prompt)
    (said,) = [node["inputs"] for node in wrong.values() if node["class_type"] == "NewBieSample"]
    said |= {"guidance": float("nan")}
    try:
        api.draw(server, wrong)
    except Problem as problem:
        return "guidance is nan: enter a number" in str(problem)
    return False


def judge(here: environment.Environment, first: dict[str, np.ndarray]) -> Verdict:
    """first: the first ComfyUI's pictures, which are put in here if it is empty."""
    version, differs = version_of(here.comfyui), {}
    try:
        with host.running(here) as running:
            server = running.server()
            nodes = [name for name in api.ask(server, "/object_info") if name.startswith("NewBie")]
            for name, prompt in graphs().items():
                picture = drawn(server, prompt)
                differs[name] = float(np.abs(picture - first.setdefault(name, picture)).max())
            if not tells_a_wrong_setting(server, graphs()["whole"]):
                return Verdict(version, running.seconds, len(nodes), differs, "a wrong setting is not told")
            drawn(server, graphs()["whole"])
            return Verdict(version, running.seconds, len(nodes), differs)
    except Problem as problem:
        return Verdict(version, 0.0, 0, differs, str(problem))


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="./run bench versions", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", type=Path, metavar="DIR", help="with a ComfyUI's main.py in it")
    parser.add_argument("--json", action="store_true", help="print one JSON object a ComfyUI")
    options = parser.parse_args(arguments)
    ours = environment.locate(ROOT)
    python = Path(os.environ.get("COMFYUI_PYTHON") or sys.executable)
    first, verdicts = {}, []
    with tempfile.TemporaryDirectory() as home:
        for folder in (ours.comfyui, *(folder.absolute() for folder in options.folders)):
            if not (folder / "main.py").is_file():
                raise Problem(f"There is no main.py in {folder}: name the folder of a ComfyUI.")
            here = environment.Environment(ROOT, Path(home), python, folder, ours=False)
            verdicts.append(judge(here, first))
            print(json.dumps(asdict(verdicts[-1])) if options.json else verdicts[-1], flush=True)
    return 0 if all(one.passes for one in verdicts) else 1

