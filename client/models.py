"""`./run models check`: what NewBie Loader can load of the full model, or what is missing, and where it goes.
`./run models lora FILE`: a LoRA of the authors' trainer, and others, made readable for ComfyUI's LoraLoader.

Reads the files' headers, downloads nothing and starts no host.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import inside
from .environment import ROOT, Environment, answered, locate
from .problem import Problem

FOLDERS = ("diffusion_models", "text_encoders", "vae", "checkpoints", "loras", "diffusers")

# Where the ComfyUI that is used looks for models, its extra_model_paths.yaml included: it alone knows.
ASK = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
import folder_paths
extra = os.path.join(sys.argv[1], "extra_model_paths.yaml")
if os.path.isfile(extra):
    from utils.extra_config import load_extra_path_config
    load_extra_path_config(extra)
print(json.dumps({name: folder_paths.get_folder_paths(name) for name in sys.argv[2:]}))
"""


def main(typed: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="./run models", description="Checks the full model's files.")
    tasks = parser.add_subparsers(dest="task", required=True, metavar="check|lora")
    check = tasks.add_parser("check", help="list what is there and what is missing")
    check.add_argument("--folder", type=Path, help="a models folder to check instead of ComfyUI's own")
    lora = tasks.add_parser("lora", help="rename a LoRA of the authors' trainer for ComfyUI's LoraLoader")
    lora.add_argument("file", type=Path, help="the .safetensors file, beside its adapter_config.json; both stay")
    lora.add_argument("--out", type=Path, help="the new file (default: beside it, NAME-comfyui.safetensors)")
    options = parser.parse_args(typed)
    return convert_lora(options) if options.task == "lora" else check_files(options)


def convert_lora(options: argparse.Namespace) -> int:
    if options.file.is_dir():
        inner = options.file / "adapter_model.safetensors"
        raise Problem(f"{options.file} is a folder: give the file in it, such as {inner}.")
    target = options.out or options.file.with_name(f"{options.file.stem}-comfyui.safetensors")
    lora = pack("model_loader.lora")
    try:
        done = lora.convert(options.file, target)
    except lora.CheckpointError as problem:
        raise Problem(str(problem)) from problem
    except OSError as error:
        raise Problem(f"{options.file} cannot be converted to {target}: {error.strerror or error}.") from error
    layers = "1 layer" if done.layers == 1 else f"{done.layers} layers"
    if done.written:
        say(f"{target}: {layers}, for ComfyUI's LoraLoader; put it into models/loras.")
    else:
        say(f"{options.file}: {layers}, which the LoraLoader reads already; put it into models/loras.")
    if not done.scaled:
        say("Neither it nor an adapter_config.json beside it states its alpha, so ComfyUI applies it at scale 1.")
    return 0


def check_files(options: argparse.Namespace) -> int:
    """Returns 0 where one whole set of files is there, 1 where something is missing."""
    if options.folder is not None and not options.folder.is_dir():
        raise Problem(f"{options.folder} is not a folder: name a models folder.")
    within = options.folder / "models" if options.folder is not None else None
    if within is not None and within.is_dir() and not any((options.folder / name).is_dir() for name in FOLDERS):
        raise Problem(f"{options.folder} is not a models folder, but has one in it: name {within}.")
    folders = below(options.folder) if options.folder is not None else folders_of(locate())
    found = pack("model_loader.check").survey(folders)
    for title, lines in (
        ("NewBie's files", [one.line() for one in found.found]),
        ("Missing", found.advice),
        ("Not usable as they are", found.problems),
        ("Of other models", found.others),
    ):
        if lines:
            say(f"{title}:", *lines)
    if found.complete:
        choices = [f"{part:16} {name}" for part, name in found.inputs().items()]
        say("All parts are there. Choose in NewBie Loader:", *choices)
    else:
        say("No complete set of files was found. The built-in mini needs none of them.")
    return 0 if found.complete else 1


def say(*lines: str) -> None:
    """Names of files and tensors may hold what a terminal obeys, or what it can't show."""
    sys.stdout.write(pack("sentences").loggable("\n  ".join(line.replace("\n", "\\n") for line in lines)) + "\n")


def pack(module: str) -> Any:
    """One of the pack's modules that need nothing but Python."""
    if inside.PACKAGE not in sys.modules:
        inside.load_pack(ROOT)
    return importlib.import_module(f"{inside.PACKAGE}.{module}")


def below(models: Path) -> dict[str, list[Path]]:
    folders = {name: [models / name] for name in FOLDERS}
    folders["diffusion_models"].append(models / "unet")  # the host's older names
    folders["text_encoders"].append(models / "clip")
    return folders


def folders_of(environment: Environment) -> dict[str, list[Path]]:
    """Where the ComfyUI that the commands use looks for models. Raises Problem."""
    if environment.ours:
        return below(environment.home / "models")
    try:
        known = answered(environment, ASK, str(environment.comfyui), *FOLDERS)
    except Problem as problem:
        raise Problem(
            f"{environment.comfyui} does not say where its models are ({problem}): name the folder, as in ./run models "
            "check --folder DIR."
        ) from problem
    return {name: [Path(path) for path in paths] for name, paths in known.items()}
