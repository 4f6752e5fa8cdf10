"""Programs that the set-up runs with their output in its log: pip, and what its failures mean in a sentence."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from .environment import Environment
from .problem import Problem
from .terminal import Line


def pip(environment: Environment, title: str, arguments: list[str], log: IO[bytes], line: Line) -> None:
    """Runs pip in the virtual environment. Raises Problem with a plain sentence when it fails."""
    temporary = environment.home / "tmp"  # on the disk that was checked: a small /tmp is a common reason to fail
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    variables |= {
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_USER": "0",
        "PYTHONUTF8": "1",
        "TMPDIR": str(temporary),
        "TEMP": str(temporary),
    }
    command = [str(environment.python), "-m", "pip", arguments[0], "--progress-bar", "off", *arguments[1:]]
    start = environment.log.stat().st_size if environment.log.exists() else 0
    if run_logged(command, log, line, variables) != 0:
        raise Problem(explain(title, tail(environment.log, start), environment.log))


def explain(title: str, log: str, path: Path) -> str:
    """One sentence for a failed step: what its log shows, and what to do."""
    meanings = (
        (("No space left on device", "Errno 28", "not enough space"), "the disk is full: free some space"),
        (("DO NOT MATCH THE HASHES",), "a downloaded file is not the expected one (wrong hash): try again"),
        (
            (
                "NewConnectionError",
                "NameResolutionError",
                "Temporary failure in name resolution",
                "Failed to establish a new connection",
                "ConnectTimeout",
                "ReadTimeout",
                "Read timed out",
                "ProxyError",
                "SSLError",
                "Network is unreachable",
                "Connection reset",
                "ConnectionError",
            ),
            "the package index cannot be reached: check the network (and pip's proxy and index settings)",
        ),
        (
            ("from versions: none", "No matching distribution found", "is not a supported wheel"),
            "the package index has no suitable file, or could not be reached: check the network (and pip's proxy and "
            "index "
            "settings), and that this is a 64-bit Python 3.11, 3.12, 3.13 or 3.14",
        ),
        (("Permission denied", "Errno 13"), "a file could not be written: check who owns this folder"),
    )
    for words, meaning in meanings:
        if any(word in log for word in words):
            return f"{title}: {meaning}, then run this again (details: {path})."
    errors = [text.strip()[6:].strip() for text in log.splitlines() if text.strip().lower().startswith("error:")]
    reason = errors[-1] if errors else "it failed"
    return f"{title}: {reason.rstrip('.')} (details: {path})."


def run_logged(command: list[str], log: IO[bytes], line: Line, variables: Mapping[str, str]) -> int:
    """Runs a command with its output in the log, the seconds and its last words on the progress line."""
    log.write(f"\n$ {' '.join(command)}\n".encode())
    log.flush()
    start = time.monotonic()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=dict(variables)
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
