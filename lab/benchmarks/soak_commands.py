"""The soak's two commands: `./run queue`, killed and out of disk, and `./run create` from a pipe, on hosts that die."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...client.queue import manifest
from .host import ROOT

WRONG = "<character_1><n>rin</n> <pose>standing </character_1>"
EACH = 12  # every so manieth prompt is a wrong one
PATIENCE = 1200.0  # seconds that a command may take
ENDED = ("does not answer", "no longer has", "Interrupted", "ComfyUI stopped")  # what ends a prompt of create's
SMALL = "512k"  # a disk for a few pictures


@dataclass(frozen=True)
class Told:
    command: str
    prompts: int
    sentence: str
    faults: tuple[str, ...]


def prompts(many: int) -> list[str]:
    return [WRONG if n % EACH == EACH - 1 else f"1girl, red hair, number {n}" for n in range(many)]


def queue(home: Path, url: str, many: int, steps: int) -> Told:
    """Killed at a third and at two thirds, and run again until it says that it has ended."""
    folder = home / "queue"
    folder.mkdir()
    asked = prompts(many)
    (folder / "prompts.jsonl").write_text("".join(f"{json.dumps(text)}\n" for text in asked))
    arguments = ["queue", str(folder / "prompts.jsonl"), "--server", url, "--steps", str(steps), "--size", "256x256"]
    end, kills, codes = time.monotonic() + PATIENCE, 0, Counter[int]()
    with small_disk(folder) as (out, full):
        while time.monotonic() < end:
            process = run([*arguments, "--out", str(out)])
            while process.poll() is None:
                if kills < 2 and len(list(out.glob("*.png"))) > many * (kills + 1) // 3:
                    process.kill()
                    kills += 1
                time.sleep(0.05)
            said = process.communicate()[0]
            codes[process.returncode] += 1
            if process.returncode in (0, 1):
                break
            if "No space left" in said:
                full()
        return judged(asked, out, said, codes)


def judged(asked: Sequence[str], out: Path, said: str, codes: Counter[int]) -> Told:
    lines = list(manifest.lines(out / manifest.NAME))
    last = {line["job"]: line for line in lines}
    done = [line for line in last.values() if line.get("state") == manifest.DONE]
    failed = [line for line in last.values() if line.get("state") == manifest.FAILED]
    faults = []
    wrong = sum(text == WRONG for text in asked)
    if len(done) != len(asked) - wrong or len(failed) != wrong:
        faults.append(f"queue: {len(done)} pictures and {len(failed)} failures of {len(asked)} prompts: {said[-500:]}")
    ended = Counter(line["job"] for line in lines if "state" in line)
    if any(count > 1 for count in ended.values()):
        faults.append(f"queue: {sum(count > 1 for count in ended.values())} prompts ended twice.")
    for line in done:
        if hashlib.sha256((out / line["file"]).read_bytes()).hexdigest() != line["sha256"]:
            faults.append(f"queue: {line['file']} is not what was written down.")
    strangers = {path.name for path in out.iterdir() if path.suffix in (".png", ".part")}
    strangers -= {line["file"] for line in done}
    if strangers:
        faults.append(f"queue: {len(strangers)} files belong to no prompt.")
    again = len([line for line in lines if "sent" in line]) - len(last)
    ends = ", ".join(f"{count} x {code}" for code, count in sorted(codes.items()))
    sentence = f"{len(done)} pictures, {len(failed)} failed, {again} sent again; exit codes {ends}"
    return Told("queue", len(asked), sentence, tuple(faults))


def create(home: Path, url: str, many: int, steps: int) -> Told:
    """A pipe of prompts: each is a picture or says why not. Where its host has gone it ends, and is started again."""
    out = home / "create"
    out.mkdir()
    asked, left, drawn, wrong, gone = prompts(many), many, 0, 0, 0
    faults, end = [], time.monotonic() + PATIENCE
    while left and time.monotonic() < end:
        process = run(["create", "--server", url, "--steps", str(steps), "--size", "256x256", "--out", str(out)])
        said, _ = process.communicate("\n".join(asked[-left:]) + "\n", timeout=PATIENCE)
        told = [said.count(".png  "), said.count("is never closed"), sum(said.count(words) for words in ENDED)]
        drawn, wrong, gone = drawn + told[0], wrong + told[1], gone + told[2]
        left -= sum(told)
        if process.returncode not in (0, 1) or (left and not told[2]):
            faults.append(f"create: exit code {process.returncode}: {said[-500:]}")
            break
        time.sleep(1.0 if left else 0.0)  # a host is being started
    pictures = len(list(out.glob("*.png")))
    if pictures != drawn or left:
        faults.append(f"create: {pictures} pictures, {drawn} told, {left} prompts left.")
    sentence = f"{drawn} pictures, {wrong} wrong, {gone} ended with their host or queue"
    return Told("create", many, sentence, tuple(faults))


def run(typed: Sequence[str]) -> subprocess.Popen[str]:
    module = {"queue": "client.queue.command", "create": "client.session.command"}[typed[0]]
    command = [sys.executable, "-P", str(ROOT / "client" / "inside.py"), module, *typed[1:]]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True, encoding="utf-8")


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[tuple[Path, object]]:
    """A folder on a disk with room for a few pictures, and what makes more; where we may not mount, an ordinary one."""
    out = folder / "out"
    out.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(out)]
    if sys.platform != "linux" or os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        yield out, lambda: None
        return
    try:
        yield out, lambda: subprocess.run(["mount", "-o", "remount,size=256m", str(out)], check=True)
    finally:
        subprocess.run(["umount", "-l", str(out)], capture_output=True)
