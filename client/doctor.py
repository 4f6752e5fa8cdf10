"""`./run doctor`: what is missing or wrong on this machine, and what to do about it.

It looks in whatever Python there is, before any set-up too. What a running server says of itself: doctor_server.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import models
from .environment import (
    ROOT,
    USUAL_PORT,
    WHOLE,
    Environment,
    about_us,
    answered,
    locate,
    log_lines,
    not_loaded,
    port_is_free,
    run_module,
    too_old,
)
from .problem import Problem
from .terminal import padded, say

FINE, NOTE, WRONG = "fine", "note", "wrong"
LITTLE = 2e9  # bytes of disk with which pictures soon can't be saved
GPU_NEEDED = 8e9  # bytes of the full model's smallest card, docs/fullsize.md
NEEDED = {True: LITTLE, False: 10e9}  # bytes: installed already, or not

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


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, and what to do."""

    about: str
    state: str  # FINE, NOTE: worth knowing, or WRONG: something has to be done
    says: str
    advice: str = ""


def of_version(version: str, where: str) -> Finding:
    if too_old(version):
        return Finding("ComfyUI", WRONG, f"{version}{where}", "update it: this pack needs 0.27 or newer")
    return Finding("ComfyUI", FINE if version[:1].isdigit() else NOTE, f"{version}{where}")


def of_cards(devices: list[dict[str, Any]]) -> Iterator[Finding]:
    """name, vram_free and vram_total of each: as the host tells them, too."""
    cards = [one for one in devices if one.get("type") != "cpu"]
    for one in cards:
        free, total = one["vram_free"], one["vram_total"]
        text = f"{one['name']}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free" if total else one["name"]
        short = total and free < GPU_NEEDED
        advice = "for the full model, free 8 GB: close what else uses the card" if short else ""
        yield Finding("GPU", NOTE if short else FINE, text, advice)
    if not cards:
        there = Path("/dev/nvidiactl").exists()
        says = "torch sees none, though an NVIDIA driver is there" if there else "none: pictures are drawn on the CPU"
        cpu = ", or set NEWBIE_DEVICE=cpu" if WHOLE else ""
        advice = f"install a torch for your card and driver (pytorch.org){cpu}" if there else ""
        yield Finding("GPU", WRONG if there else NOTE, says, advice)


def of_disk(folder: Path, needed: float) -> Finding:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    says = f"{free / 1e9:.1f} GB free in {folder}"
    if free < needed:
        move = ", or set NEWBIE_HOME to a folder on another disk" if WHOLE else ""
        advice = f"free some: {needed / 1e9:.0f} GB are needed{move}"
        return Finding("Disk", WRONG, says, advice)
    return Finding("Disk", FINE, says)


def of_log(lines: list[str], where: str) -> Iterator[Finding]:
    """Nodes that could not be loaded, and why. Ours must be; those of others are worth knowing."""
    for line in not_loaded(lines):
        advice = "with ComfyUI's Python: -m pip install -r requirements.txt; then restart it" if "lxml" in line else ""
        yield Finding("Nodes", WRONG if about_us(line) else NOTE, f"{where} says: {line}", advice)


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
    yield of_disk(environment.home if WHOLE else environment.comfyui, NEEDED[installed or not environment.ours])
    yield from of_models(environment)
    if WHOLE:  # ./run serve wants it
        yield of_port()
    log = environment.home / "host.log"
    if log.is_file():
        yield from of_log(log_lines(log), f"the last start ({log})")


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
    try:
        found = answered(environment, PROBE, "torch", "aiohttp", "lxml")
    except Problem as problem:
        advice = "./run setup" if environment.ours else "set COMFYUI_PYTHON to your ComfyUI's Python"
        yield Finding("Python", WRONG, f"{environment.python} does not run: {problem}", advice)
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


def main(typed: Sequence[str]) -> int:
    """Returns 0 where nothing is wrong, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="./run doctor", description="Says what is missing or wrong.")
    parser.add_argument("--json", action="store_true", help="print one JSON object: {wrong, findings}")
    parser.set_defaults(server=None)
    if WHOLE:
        from .arguments import add_server

        add_server(parser, "look at a ComfyUI that runs, such as http://127.0.0.1:8188 (default: at this machine)")
    options = parser.parse_args(typed)
    if options.server is None:
        findings = list(of_machine())
    elif importlib.util.find_spec("aiohttp"):
        from .doctor_server import of_server  # needs aiohttp

        findings = list(of_server(options.server))
    else:
        python = locate().python
        if not python.exists():
            raise Problem("A server can be asked once the set-up is done: ./run setup, or set COMFYUI_PATH.")
        return run_module(python, ROOT, "client.doctor", typed)
    wrong = sum(finding.state == WRONG for finding in findings)
    if options.json:
        sys.stdout.write(json.dumps({"wrong": wrong, "findings": [asdict(one) for one in findings]}) + "\n")
        return min(wrong, 1)
    width = max(len(finding.about) for finding in findings) + 2
    for one in findings:
        say(f"{one.state:5}  {padded(one.about, width)}{one.says}")
        if one.advice:
            say(f"       {' ' * width}-> {one.advice}")
    say({0: "Nothing is wrong.", 1: "1 thing is wrong."}.get(wrong, f"{wrong} things are wrong."))
    return min(wrong, 1)
