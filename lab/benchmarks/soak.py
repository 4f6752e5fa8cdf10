"""Draws prompts of every kind while hosts are killed, and counts how each ends and what memory does.

    ./run bench soak                                300 prompts, 4 clients, 2 kills
    ./run bench soak --prompts 12 --clients 2 --kills 1 --steps 2

Kinds: valid, malformed (broken XML), hostile (control letters, terminal escapes, entities, numbers that are none), huge
(4,096 tags), cancelled (stopped after its first step), disconnecting (the client goes and comes back for the picture),
duplicate (sent twice under one id), cleared (the whole queue is, behind it) and killed (its host is, after its first
step; another host follows).

A fifth of the prompts goes through `./run queue` meanwhile, which is killed twice itself and once finds its disk full
(where a small one may be mounted); a fifteenth through `./run create`, from a pipe. They are soak_commands' part.

It fails where a prompt does not end in exactly one of picture, error and cancelled, or ends as its kind must not; where
a prompt saved two pictures, or one that is told to have failed saved any; and where the main memory of one host grows
by over 5 % from the second third of its valid prompts to the last.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from ...client import answers, api, environment, host, workflow
from ...client.picture import checked
from ...client.problem import Problem
from .host import ROOT
from .soak_commands import Told, create, queue

HOWS = PICTURE, ERROR, CANCELLED, LOST = "picture", "error", "cancelled", "lost"
ENDS = {  # how a prompt of a kind may end while its host lives
    "valid": {PICTURE},
    "malformed": {ERROR},
    "hostile": {PICTURE, ERROR},
    "huge": {PICTURE, ERROR},
    "cancelled": {CANCELLED, PICTURE},  # it may be done before it is stopped
    "disconnecting": {PICTURE},
    "duplicate": {PICTURE},
    "cleared": {PICTURE, ERROR},  # it may be at work already
    "killed": {ERROR},
}
SHARES = {
    "valid": 10,
    "malformed": 3,
    "hostile": 3,
    "huge": 1,
    "cancelled": 2,
    "disconnecting": 2,
    "duplicate": 1,
    "cleared": 1,
}
MALFORMED = ("<scene><character_1>miku</scene>", "<character_1><n>a</n>", "<character_1/><character_1/>")
HOSTILE = (
    "<character_1><n>\x1b]0;owned\x07miku</n></character_1>",
    "<!DOCTYPE x [<!ENTITY a 'b'>]><scene>&a;</scene>",
    "<scene>" + "<a>" * 500,
    "<character_1><n>\ud800\u202e\u0000</n></character_1>",
    "<character_1><bbox>nan, inf, -1e308, 1e309</bbox></character_1>",
    "(((" * 3000,
    "<character_1><n>名\U0001f600\u200d</n><pose weight='1e99'>x</pose></character_1>",
)
LONG = 50  # steps of a prompt that is not to end by itself
GROWTH = 1.05  # of one process's main memory
PATIENCE = 300.0  # seconds that a disconnected prompt's picture may take


@dataclass(frozen=True)
class Ended:
    number: int
    kind: str
    how: str
    seconds: float
    life: int  # of which host: 0 the first, 1 after the first kill, ...
    killed: bool  # whether that host was killed meanwhile
    cleared: bool  # or its queue cleared
    sentence: str = ""
    resident: int = 0  # bytes of the host's process afterwards


class Hosts:
    """One host after the other; whoever asks for a server waits until one answers."""

    def __init__(self, here: environment.Environment) -> None:
        self.here, self.life, self.clears = here, -1, 0
        self.port = host.free_port()  # the same for all, as where a service is started again
        self.ready, self.over = threading.Event(), threading.Event()
        self.running: host.Host | None = None

    def serve(self) -> None:
        """Starts hosts until it is over; a killed one is followed by another."""
        while not self.over.is_set():
            with host.running(self.here, self.port) as running:
                self.running, self.life = running, self.life + 1
                self.ready.set()
                while running.alive() and not self.over.is_set():
                    self.over.wait(0.05)
                self.ready.clear()

    def kill(self) -> None:
        assert self.running is not None
        self.ready.clear()
        with contextlib.suppress(psutil.Error):
            process(self.running).kill()

    def server(self) -> tuple[api.Server, int]:
        if not self.ready.wait(host.BOOT_SECONDS):
            raise Problem("No host has answered for too long.")
        assert self.running is not None
        return self.running.server(), self.life

    def resident(self) -> int:
        try:
            return process(self.running).memory_info().rss if self.running else 0
        except psutil.Error:
            return 0


def process(running: host.Host) -> psutil.Process:
    """The host's own, which the guard started."""
    return psutil.Process(running.process.pid).children()[0]


# --- prompts ----------------------------------------------------------------------------------------------------------


def kinds(count: int, kills: int, chance: random.Random) -> list[str]:
    """Every kind by its share, each at least once where there is room, in a random order; kills at even distances."""
    whole = [kind for kind, share in SHARES.items() for _ in range(share)]
    others = count - kills
    drawn = list(SHARES)[:others] + [chance.choice(whole) for _ in range(others - len(SHARES))]
    chance.shuffle(drawn)
    for part in range(1, kills + 1):
        drawn.insert(count * part // (kills + 1), "killed")
    return drawn


def prompt_of(kind: str, number: int, steps: int, chance: random.Random) -> workflow.Prompt:
    hair, dress = (chance.choice(("red", "blue", "green", "blonde")) for _ in range(2))
    xml = {
        "malformed": chance.choice(MALFORMED),
        "hostile": chance.choice(HOSTILE),
        "huge": f"<character_1><appearance>{', '.join(f'tag {i}' for i in range(4096))}</appearance></character_1>",
    }.get(kind, f"<character_1><appearance>{hair}_hair, {dress}_dress</appearance></character_1>")
    steps = LONG if kind in ("cancelled", "killed") else steps
    settings = workflow.Settings(xml=xml, seed=number, steps=steps, size=(256, 256))
    made = workflow.apply(workflow.load(ROOT / workflow.DEMO), settings)
    for node in made.values():
        if node["class_type"] == "SaveImage":
            node["inputs"]["filename_prefix"] = prefix(number)
    return made


def prefix(number: int) -> str:
    return f"soak-{number:05}"


def draw(at: api.Server, kind: str, prompt: workflow.Prompt, hosts: Hosts) -> tuple[str, str]:
    """-> (how it ended, the sentence that was said)."""

    def show(progress: api.Progress) -> None:
        if progress.whole and kind == "cancelled":
            raise KeyboardInterrupt
        if progress.whole and kind == "killed":
            hosts.kill()

    try:
        if kind in ("disconnecting", "duplicate", "cleared"):
            job_id = api.submit(at, prompt)
            if kind == "duplicate":
                api.submit(at, prompt, job_id)
            if kind == "cleared":
                hosts.clears += 1
                api.ask(at, "/queue", {"clear": True})
            pictures = come_back_for(at, job_id)
        else:
            pictures = api.draw(at, prompt, show).pictures
        (saved,) = (picture for picture in pictures if picture.kind == "output")
        checked(api.download(at, saved), saved.filename)
        return PICTURE, ""
    except (KeyboardInterrupt, answers.Interrupted):
        return CANCELLED, ""
    except Problem as problem:
        return ERROR, str(problem)
    except ValueError:
        return LOST, "The prompt saved no picture, or several."


def come_back_for(at: api.Server, prompt_id: str) -> tuple[api.Picture, ...]:
    """Without a socket: the history alone tells."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        job = api.poll(at, prompt_id)
        if job is None:
            raise api.Gone("The host no longer has this prompt.")
        if job.ended:
            return job.pictures
        time.sleep(0.5)
    raise ValueError(prompt_id)


# --- the run ----------------------------------------------------------------------------------------------------------


def soak(
    here: environment.Environment, count: int, clients: int, kills: int, steps: int, seed: int
) -> tuple[list[Ended], list[Told]]:
    """-> (how each prompt of the clients ended, what the two commands made of theirs)."""
    chance = random.Random(seed)
    queued, asked = count // 5, count // 15
    waiting = list(enumerate(kinds(count - queued - asked, kills, chance)))
    prompts = [prompt_of(kind, number, steps, chance) for number, kind in waiting]
    hosts, ended, told, lock = Hosts(here), [], [], threading.Lock()
    serving = threading.Thread(target=hosts.serve)
    serving.start()

    def client() -> None:
        while True:
            with lock:
                if not waiting:
                    return
                number, kind = waiting.pop(0)
            at, life = hosts.server()
            start, clears = time.monotonic(), hosts.clears
            how, sentence = draw(at, kind, prompts[number], hosts)
            killed = not at.alive() or hosts.life != life or not hosts.ready.is_set()
            resident = hosts.resident() if how == PICTURE and not killed else 0
            cleared, seconds = hosts.clears != clears, time.monotonic() - start
            one = Ended(number, kind, how, seconds, life, killed, cleared, sentence, resident)
            with lock:
                ended.append(one)

    def command(work: Callable[..., Told], many: int) -> None:
        at, _ = hosts.server()
        told.append(work(here.home, at.url, many, steps))

    try:
        threads = [threading.Thread(target=client) for _ in range(clients)]
        threads += [threading.Thread(target=command, args=args) for args in ((queue, queued), (create, asked))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        hosts.over.set()
        serving.join()
    return ended, told


def faults(ended: Sequence[Ended], count: int, output: Path) -> list[str]:
    """What must not be, a line each."""
    found = []
    if sorted(one.number for one in ended) != list(range(count)):
        found.append(f"{count} prompts were to end once each, and {len(ended)} ends were counted.")
    for one in ended:
        may = ENDS[one.kind] | ({ERROR} if one.killed or one.cleared else set())
        if one.how not in may:
            found.append(f"Prompt {one.number} ({one.kind}) ended in {one.how}: {one.sentence or 'no word'}")
        files = len(list(output.glob(f"{prefix(one.number)}*")))
        files = min(files, 1) if one.kind == "duplicate" else files  # the host takes an id twice, and may draw twice
        if files > 1 or (files != (one.how == PICTURE) and not one.killed):
            found.append(f"Prompt {one.number} ({one.kind}) ended in {one.how} and saved {files} pictures.")
    for life, growth in growths(ended).items():
        if growth > GROWTH:
            found.append(f"Host {life + 1} grew to {growth:.3f} of its memory.")
    return found


def growths(ended: Sequence[Ended]) -> dict[int, float]:
    """Of every host with enough pictures: memory in the last third over that in the second."""
    found = {}
    for life in sorted({one.life for one in ended}):
        seen = [one.resident for one in ended if one.life == life and one.kind == "valid" and one.resident]
        third = len(seen) // 3
        if third >= 3:
            found[life] = statistics.median(seen[-third:]) / statistics.median(seen[third : 2 * third])
    return found


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="./run bench soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=300)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object a prompt")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="newbie-soak-") as folder:
        here = replace(environment.locate(ROOT), home=Path(folder))
        start = time.monotonic()
        ended, told = soak(here, options.prompts, options.clients, options.kills, options.steps, options.seed)
        seconds, wrong = time.monotonic() - start, faults(ended, len(ended), here.home / "output")
        wrong += [fault for one in told for fault in one.faults]
    if options.json:
        for one in ended:
            print(json.dumps(vars(one)))
    else:
        table = Counter((one.kind, one.how) for one in ended)
        for kind in ENDS:
            print(f"{kind:14}", *(f"{table[kind, how]} {how}" for how in HOWS if table[kind, how]))
        killed, cleared = sum(one.killed for one in ended), sum(one.cleared for one in ended)
        print(*(f"{one.command:14} {one.sentence}" for one in told), sep="\n")
        many = len(ended) + sum(one.prompts for one in told)
        print(f"{many} prompts in {seconds:.0f} s, {options.kills} kills with {killed} prompts under way")
        print(f"the queue cleared with {cleared} prompts under way")
        print(*(f"host {life + 1}: memory {growth:.3f}" for life, growth in growths(ended).items()), sep="\n")
    sys.stdout.flush()
    for line in wrong:
        sys.stderr.write(f"{line}\n")
    return 1 if wrong else 0
