"""Starting ComfyUI with this pack on loopback, waiting until it answers, and stopping it whatever happens.

The pack is found through a paths file of ours that names the folder above it, with every custom node disabled but
this one. So nothing is copied or linked, and nothing is ever written below the ComfyUI that is used: output, input,
user, temporary files and the database all have places of ours.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import api
from .answers import understood
from .environment import (
    Environment,
    about_us,
    free_port,
    lines_of,
    log_end,
    log_lines,
    models_folder,
    not_loaded,
    too_old,
    variables,
)
from .problem import Problem
from .terminal import Line

BOOT_SECONDS = 300.0  # a cold disk and a first start may be slow; a host that died is noticed at once
FIRST_NODE = "NewBieLoader"


@dataclass(frozen=True)
class Host:
    """A running ComfyUI."""

    url: str  # http://127.0.0.1:PORT
    process: subprocess.Popen[bytes]  # the guard, which ends with the host and the host with it
    log: Path
    kept: Path  # where the log lies afterwards
    seconds: float  # from start to the first answer

    def server(self) -> api.Server:
        return api.server(self.url, self.alive, str(self.kept))

    def alive(self) -> bool:
        return self.process.poll() is None


@contextlib.contextmanager
def running(
    environment: Environment, port: int = 0, device: str | None = None, flags: Sequence[str] = ()
) -> Iterator[Host]:
    """A host with this pack, stopped at the end. `port` 0 takes a free one; `device` is cpu, gpu or auto.

    flags: further ones, which win over ours. Raises Problem when it does not start, with the end of its log.
    """
    home = environment.home
    for name in ("output", "input", "user"):
        (home / name).mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="newbie-host-") as temporary:
        run = Path(temporary)
        log = run / "host.log"
        guard = [str(environment.python), "-P", str(Path(__file__).with_name("guard.py"))]
        command = [*guard, *arguments(environment, run, port, on_cpu(environment, device)), *flags]
        process = None
        try:
            start = time.monotonic()
            with log.open("wb") as out:
                process = subprocess.Popen(
                    command,
                    cwd=environment.comfyui,
                    env=variables(environment, os.environ),
                    stdin=subprocess.PIPE,  # the guard's sign that we are alive
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    # A group of its own: Ctrl-C reaches us alone, and we stop the whole group.
                    start_new_session=os.name != "nt",
                )
            url = f"http://127.0.0.1:{port}"
            wait_until_ready(url, process, log, start)
            yield Host(url, process, log, home / "host.log", time.monotonic() - start)
        finally:
            if process is not None:
                stop(process)
            if log.exists():
                shutil.copyfile(log, home / "host.log")


@contextlib.contextmanager
def announced(environment: Environment, port: int = 0, flags: Sequence[str] = ()) -> Iterator[Host]:
    """The same, telling the terminal, and making sure that the pack's nodes are there."""
    line = Line("Starting ComfyUI")
    try:
        with running(environment, port, flags=flags) as host:
            check_pack(host.server(), host.log)
            line.end(f"{host.seconds:.1f} s")
            yield host
    except Problem:
        line.end("failed")
        raise


@contextlib.contextmanager
def served(url: str | None, environment: Environment) -> Iterator[api.Server]:
    """The host that runs at that address, or else one of our own while it is needed."""
    if url is None:
        with announced(environment) as running:
            yield running.server()
    else:
        server = api.server(url)
        version = check_pack(server)
        if too_old(version):
            raise Problem(f"{url} is ComfyUI {version}: update it to 0.27 or newer.")
        yield server


# --- the command line ------------------------------------------------------------------------------------------------


def arguments(environment: Environment, run: Path, port: int, cpu: bool) -> list[str]:
    """The host's command line. Writes the paths file into `run`."""
    root, home = environment.root, environment.home
    flags = ["--listen", "127.0.0.1", "--port", str(port), "--disable-auto-launch", "--disable-api-nodes"]
    flags += ["--use-pytorch-cross-attention"]  # the CPU's default treats masks differently
    flags += ["--cpu"] if cpu else []
    flags += ["--disable-all-custom-nodes", "--whitelist-custom-nodes", root.name]
    if root.parent != environment.comfyui / "custom_nodes":
        paths = run / "paths.yaml"
        # JSON is YAML, and quotes any folder name right.
        paths.write_text(json.dumps({"newbie": {"custom_nodes": str(root.parent)}}), "utf-8")
        flags += ["--extra-model-paths-config", str(paths)]
    flags += ["--output-directory", str(home / "output"), "--input-directory", str(home / "input")]
    flags += ["--temp-directory", str(run), "--user-directory", str(home / "user")]
    flags += ["--database-url", "sqlite:///:memory:"]  # it holds the host's list of assets, which we don't use
    if environment.ours:
        flags += ["--models-directory", str(models_folder(home))]
    return [str(environment.python), "-u", str(environment.comfyui / "main.py"), *flags]


def on_cpu(environment: Environment, device: str | None = None) -> bool:
    """Whether the host must be told to use the CPU. NEWBIE_DEVICE decides, or else what the host's torch finds."""
    device = device or os.environ.get("NEWBIE_DEVICE", "auto")
    if device not in ("cpu", "gpu", "auto"):
        raise Problem(f"NEWBIE_DEVICE is {device!r}: set it to cpu, gpu or auto.")
    if device != "auto":
        return device == "cpu"
    # Asking torch takes seconds. On Linux, a machine without any of these has nothing for it to find.
    files = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg", "/dev/accel", "/dev/dri")
    if sys.platform.startswith("linux") and not any(Path(file).exists() for file in files):
        return True
    code = "import sys, torch; sys.exit(0 if torch.accelerator.is_available() else 3)"
    command = [str(environment.python), "-c", code]
    return subprocess.run(command, capture_output=True, env=variables(environment, os.environ)).returncode != 0


# --- the process -----------------------------------------------------------------------------------------------------


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path, start: float) -> None:
    while True:
        if process.poll() is not None:
            code = process.returncode
            raise Problem(f"ComfyUI stopped while starting (exit code {code}). The end of its log:\n{log_end(log)}")
        with contextlib.suppress(Problem):
            api.ask(api.server(url), "/system_stats")
            return
        if time.monotonic() - start > BOOT_SECONDS:
            raise Problem(f"ComfyUI did not answer within {BOOT_SECONDS:.0f} s. The end of its log:\n{log_end(log)}")
        time.sleep(0.1)


def check_pack(server: api.Server, log: Path | None = None) -> str:
    """The host's version. Raises Problem when none answers, or one without this pack's nodes.

    `log`: of one that we have started.
    """
    with understood(server.url, "/system_stats"):
        version = api.ask(server, "/system_stats").get("system", {}).get("comfyui_version", "of an unknown version")
    if api.ask(server, f"/object_info/{FIRST_NODE}"):
        return str(version)
    told = not_loaded(log_lines(log) if log else logged(server))
    mine = [line for line in told if about_us(line)] or told
    where = f"{server.log} may say why" if server.log else "put it into custom_nodes there, and restart that ComfyUI"
    raise Problem(
        f"ComfyUI {version} runs at {server.url} (0.27 or newer is needed), but this pack's nodes did not load: "
        + (mine[-1] if mine else f"{where}.")
    )


def logged(server: api.Server) -> list[str]:
    """What the host has logged, as far as it tells."""
    with contextlib.suppress(Problem, KeyError, TypeError):
        return lines_of("".join(entry["m"] for entry in api.ask(server, "/internal/logs/raw")["entries"]))
    return []


def stop(process: subprocess.Popen[bytes], patience: float = 10.0) -> None:
    """Asks the host and all its children to end, and makes them if they don't, or if Ctrl-C comes again."""
    if os.name == "nt":
        # Windows has no groups to signal; taskkill takes the children too.
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True)
        process.wait()
        return
    try:
        signal_group(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
    finally:
        signal_group(process, signal.SIGKILL)
        process.wait()


def signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
