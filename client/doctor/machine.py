"""What this machine has; looked at in whatever Python there is, before any set-up too."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .. import models
from ..environment import ROOT, Environment, locate, variables
from ..logs import words
from ..ports import port_is_free
from ..problem import Problem
from .findings import FINE, LITTLE, NOTE, WRONG, Finding, of_cards, of_disk, of_log, of_version

NEEDED = {True: LITTLE, False: 10e9}  # bytes: installed already, or not
USUAL_PORT = 8188

# What the Python that ComfyUI runs in has, asked of itself.
PROBE = """
import importlib.util as u, json, sys
found = {"version": sys.version.split()[0], "missing": [n for n in sys.argv[1:] if u.find_spec(n) is None]}
if "torch" not in found["missing"]:
    import torch
    accelerator = getattr(torch, "accelerator", None)  # since 2.6
    found["torch"], found["devices"] = torch.__version__, [] if accelerator else None
    if accelerator and accelerator.is_available():
        kind = accelerator.current_accelerator()
        module = torch.get_device_module(kind)
        for n in range(accelerator.device_count()):
            free, total = module.mem_get_info(n) if hasattr(module, "mem_get_info") else (0, 0)
            name = module.get_device_name(n) if hasattr(module, "get_device_name") else str(kind)
            found["devices"].append({"name": name, "vram_free": free, "vram_total": total})
print(json.dumps(found))
"""


def of_machine() -> Iterator[Finding]:
    yield Finding("System", FINE, f"{sys.platform}, Python {sys.version.split()[0]} for ./run")
    yield of_pack()
    try:
        environment = locate()
    except Problem as problem:
        yield Finding("ComfyUI", WRONG, str(problem))
        return
    installed = (environment.comfyui / "main.py").is_file()
    if installed:
        file = environment.comfyui / "comfyui_version.py"
        stated = re.search(r'__version__ = "(.+?)"', file.read_text("utf-8") if file.is_file() else "")
        yield of_version(stated[1] if stated else "of an unknown version", f", in {environment.comfyui}")
    else:
        says = f"is not installed in {environment.comfyui}"
        yield Finding("ComfyUI", WRONG, says, "./run setup, or set COMFYUI_PATH")
    yield from of_python(environment)
    yield of_disk(environment.home, NEEDED[installed or not environment.ours])
    yield from of_models(environment)
    yield of_port()
    log = environment.home / "host.log"
    if log.is_file():
        yield from of_log(words(log), f"the last start ({log})")


def of_pack() -> Finding:
    version = models.pack("version").pack_version()
    small = [file.name for file in mini_files() if not file.is_file() or file.stat().st_size < 10_000]
    if small:
        advice = "git lfs pull, or copy the folder anew"
        return Finding("Pack", WRONG, f"{version}, but the mini's {', '.join(small)} is not there whole", advice)
    return Finding("Pack", FINE, f"{version}, in {ROOT}, with the mini model")


def mini_files() -> list[Path]:
    names = ("diffusion_model", "gemma", "jina", "vae")
    return [ROOT / "mini" / "weights" / f"{name}.safetensors" for name in names]


def of_python(environment: Environment) -> Iterator[Finding]:
    """The Python that ComfyUI runs in, what it lacks, and the graphics cards that its torch sees."""
    command = [str(environment.python), "-c", PROBE, "torch", "aiohttp", "lxml"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=120, env=variables(environment, os.environ), check=True
        )
        found = json.loads(answer.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        why = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1:]
        advice = "./run setup" if environment.ours else "set COMFYUI_PYTHON to your ComfyUI's Python"
        yield Finding("Python", WRONG, f"{environment.python} does not run: {''.join(why)}", advice)
        return
    where = f"{found['version']}, {environment.python}"
    if found["missing"]:
        names = " ".join(found["missing"])
        install = "./run setup" if environment.ours else f'"{environment.python}" -m pip install {names}'
        yield Finding("Python", WRONG, f"{where}, lacks {names}", install)
    else:
        yield Finding("Python", FINE, f"{where}, torch {found['torch']}")
    if found.get("devices") is not None:  # an older torch can't be asked
        yield from of_cards(found["devices"])


def of_models(environment: Environment) -> Iterator[Finding]:
    """What ./run models check says, in short."""
    try:
        found = models.pack("model_loader.check").survey(models.folders_of(environment))
    except Problem as problem:
        yield Finding("Models", WRONG, str(problem))
        return
    for problem in found.problems:
        yield Finding("Models", WRONG, problem.replace("\n", " "), "./run models check says more")
    if found.complete:
        yield Finding("Models", FINE, "the full model is there", "./run models check says what to choose")
    else:
        yield Finding("Models", NOTE, "no full model; the mini needs none", "./run models check says what is missing")


def of_port() -> Finding:
    if port_is_free(USUAL_PORT):
        return Finding("Port", FINE, f"{USUAL_PORT} is free")
    advice = f"./run doctor --server http://127.0.0.1:{USUAL_PORT} if that is ComfyUI; ./run serve takes another port"
    return Finding("Port", NOTE, f"{USUAL_PORT} is taken", advice)
