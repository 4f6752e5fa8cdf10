"""Where things are: this pack's own environment below the repository, or the ComfyUI that a user has. And what its log
says, which ports are free, and the way into its Python.

Looks, and makes nothing; set-up is what installs.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .problem import Problem

ROOT = Path(__file__).resolve().parent.parent  # this repository
WHOLE = (ROOT / "setup").is_dir()  # or the registry's archive, which has no set-up, no server and no lab
OLDEST = (0, 27)  # of ComfyUI
USUAL_PORT = 8188  # ComfyUI's own
# Asked of a Python: which of the modules named are not there.
ABSENT = "import importlib.util as u, json, sys; print(json.dumps([n for n in sys.argv[1:] if not u.find_spec(n)]))"
LEVEL = re.compile(r"^\[\w+\] ")  # of a log's line
NOT_LOADED = re.compile("calling comfy_entrypoint|Cannot import|did not return a|module for custom nodes")
PACKAGES = {"cv2": "opencv-python-headless"}  # modules that are called otherwise than their package


@dataclass(frozen=True)
class Environment:
    """What the commands need to know about where they are."""

    root: Path  # this repository
    home: Path  # everything the host writes lies below this folder
    python: Path
    comfyui: Path  # the folder with the host's main.py
    ours: bool  # installed by us, or the user's own

    @property
    def log(self) -> Path:
        return self.home / "setup.log"


def locate(root: Path = ROOT, variables: Mapping[str, str] = os.environ) -> Environment:
    """The environment that the variables ask for; looks, and makes nothing. Raises Problem."""
    home = Path(variables.get("NEWBIE_HOME") or root / ".comfyui").expanduser().absolute()
    if home.exists() and not home.is_dir():
        raise Problem(f"{home} is a file: set NEWBIE_HOME to a folder, or to one that can be made.")
    theirs = variables.get("COMFYUI_PATH") or around(root)
    if not theirs:
        if variables.get("COMFYUI_PYTHON"):
            raise Problem("COMFYUI_PYTHON is set but COMFYUI_PATH is not: set both, or neither.")
        if not WHOLE:
            raise Problem(f"{root} is not in a ComfyUI's custom_nodes: set COMFYUI_PATH to your ComfyUI's folder.")
        # NEWBIE_HOME moves the virtual environment too, to keep several gigabytes together.
        venv = home / "venv" if variables.get("NEWBIE_HOME") else root / ".venv"
        return Environment(root, home, venv_python(venv), home / "ComfyUI", ours=True)
    comfyui = Path(theirs).expanduser().absolute()
    if not (comfyui / "main.py").is_file():
        raise Problem(f"COMFYUI_PATH is {comfyui}, which contains no main.py: set it to ComfyUI's own folder.")
    python = variables.get("COMFYUI_PYTHON")
    return Environment(root, home, Path(python).expanduser() if python else their_python(comfyui), comfyui, ours=False)


def around(root: Path) -> Path | None:
    """The ComfyUI in whose custom_nodes the archive lies; the repository, which has a set-up, goes by COMFYUI_PATH."""
    comfyui = root.parent.parent
    installed = root.parent.name == "custom_nodes" and (comfyui / "main.py").is_file()
    return comfyui if installed and not (root / "setup").is_dir() else None


def venv_python(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def their_python(comfyui: Path) -> Path:
    """The Python beside an existing ComfyUI: its virtual environment, the portable build's, or else this one."""
    places = [venv_python(comfyui / name) for name in (".venv", "venv")]
    places.append(comfyui.parent / "python_embeded" / "python.exe")
    return next((place for place in places if place.is_file()), Path(sys.executable))


def check_theirs(environment: Environment, wanted: tuple[str, ...]) -> None:
    """Whether an existing ComfyUI's Python has what is needed. Installs nothing into it."""
    names = ("torch", "aiohttp", *wanted)
    try:
        missing = [PACKAGES.get(name, name) for name in answered(environment, ABSENT, *names)]
    except Problem as problem:
        python = environment.python
        raise Problem(f"{python} does not run ({problem}): set COMFYUI_PYTHON to your ComfyUI's Python.") from problem
    if "torch" in missing or "aiohttp" in missing:
        raise Problem(
            f"{environment.python} cannot run ComfyUI because it lacks {missing[0]}: "
            "set COMFYUI_PYTHON to the Python your ComfyUI runs with."
        )
    if missing:
        raise Problem(
            f"{environment.python} lacks {', '.join(missing)}: "
            f'run "{environment.python}" -m pip install {" ".join(missing)}'
        )


def too_old(version: str) -> bool:
    """Whether ComfyUI of this version lacks what the pack needs; of an unknown one that can't be told."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    return bool(numbers) and numbers < OLDEST


def models_folder(home: Path) -> Path:
    """Our host's models, outside its own folder, so that a newer host keeps them."""
    for name in ("diffusion_models", "loras", "text_encoders", "vae"):
        (home / "models" / name).mkdir(parents=True, exist_ok=True)
    return home / "models"


def variables(environment: Environment, inherited: Mapping[str, str]) -> dict[str, str]:
    changed = {name: value for name, value in inherited.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    changed["PYTHONUTF8"] = "1"
    if not environment.ours:
        changed["PYTHONDONTWRITEBYTECODE"] = "1"
    return changed


def answered(environment: Environment, code: str, *words: str) -> Any:
    """The JSON that the environment's Python prints last when it runs this code. Raises Problem, which says why not."""
    command = [str(environment.python), "-P", "-c", code, *words]
    inherited = variables(environment, os.environ)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=inherited, check=True)
        return json.loads(done.stdout.splitlines()[-1])
    except subprocess.CalledProcessError as error:
        said = lines_of(error.stderr) or [f"exit code {error.returncode}"]
        raise Problem(said[-1]) from error
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError) as error:
        raise Problem(getattr(error, "strerror", None) or "it gives no answer") from error


# What a ComfyUI's log says


def log_end(log: Path, lines: int = 12) -> str:
    return "\n".join(log_lines(log)[-lines:])


def log_lines(log: Path) -> list[str]:
    return lines_of(log.read_text("utf-8", "replace"))


def lines_of(text: str) -> list[str]:
    """A log's lines that say something, without their colours."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return [line for line in text.splitlines() if line.strip()]


def not_loaded(lines: list[str]) -> list[str]:
    """Of a log's lines, those that say which nodes could not be loaded, and why."""
    return list(dict.fromkeys(LEVEL.sub("", line.strip()) for line in lines if NOT_LOADED.search(line)))


def about_us(line: str) -> bool:
    """Whether a line names this pack's folder, here or on another machine."""
    return re.search(rf"[\\/]{re.escape(ROOT.name)}(?=[\s:]|$)", line) is not None


# Ports of this machine's loopback


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        if os.name != "nt":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


# From the launcher's Python into the environment's


def run_module(python: Path, root: Path, module: str, arguments: Sequence[str]) -> int:
    """Becomes main(arguments) of a module of the pack, in that Python."""
    return become([str(python), "-P", str(root / "client" / "inside.py"), module, *arguments])


def become(command: Sequence[str]) -> int:
    """One process for one command: signals, terminal and exit code are the program's own. Windows waits for it."""
    inherited = dict(os.environ, PYTHONUTF8="1")
    sys.stdout.flush()
    try:
        if os.name != "nt":
            os.execve(command[0], list(command), inherited)
        return subprocess.run(command, env=inherited).returncode
    except OSError as error:
        raise Problem(f"{command[0]} does not run: {error.strerror or error}.") from error
