"""`./run doctor --server URL`: what a running ComfyUI says about itself."""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import api, models
from .answers import understood
from .doctor import FINE, LITTLE, NOTE, WRONG, Finding, of_cards, of_disk, of_log, of_version
from .environment import ROOT
from .host import logged
from .problem import Problem

STUCK = 15 * 60  # seconds on one prompt
MOMENT = 1.0  # seconds
CHECK = "./run models check on that machine says what is missing"


def of_server(url: str) -> Iterator[Finding]:
    server = api.server(url)
    try:
        with understood(url, "/system_stats"):
            stats = api.ask(server, "/system_stats")
            system, devices = stats["system"], stats["devices"]
            yield of_version(str(system.get("comfyui_version", "of an unknown version")), f", at {url}")
            python, torch = str(system["python_version"]).split()[0], system.get("pytorch_version", "unknown")
            yield Finding("Python", FINE, f"{python}, torch {torch}, {system['os']}")
            yield from of_cards(devices)
            yield from of_their_disk(url, system.get("argv") or [])
            yield Finding("Memory", FINE, f"{system['ram_free'] / 1e9:.1f} of {system['ram_total'] / 1e9:.1f} GB free")
        with understood(url, "/object_info"):
            yield from of_nodes(server, api.ask(server, "/object_info"))
        with understood(url, "/queue"):
            yield of_queue(server)
    except Problem as problem:
        yield Finding("Server", WRONG, str(problem), "start ComfyUI there, as with ./run serve, or check the address")


def of_their_disk(url: str, argv: list[str]) -> Iterator[Finding]:
    """Of a server on this machine: where it writes its pictures, by its command line."""
    if urllib.parse.urlsplit(url).hostname not in ("127.0.0.1", "localhost", "::1") or not argv:
        return
    flag = "--output-directory"
    stated = argv[argv.index(flag) + 1] if flag in argv[:-1] else Path(argv[0]).parent / "output"
    if Path(stated).is_dir():
        yield of_disk(Path(stated), LITTLE)


def of_nodes(server: api.Server, known: dict[str, Any]) -> Iterator[Finding]:
    expected = {path.stem for path in (ROOT / "web" / "docs").glob("NewBie*.md")}
    missing = sorted(expected - known.keys())
    if len(missing) == len(expected):
        advice = "put this folder into custom_nodes there, install its requirements.txt, and restart that ComfyUI"
        yield Finding("Pack", WRONG, "this pack's nodes are not there", advice)
    elif missing:
        advice = "update the pack there: it is older than this one, or newer"
        yield Finding("Pack", WRONG, f"these of its nodes are not there: {', '.join(missing)}", advice)
    else:
        yield of_their_version(server)
        yield of_their_models(known)
    yield from of_log(logged(server), "its log")


def of_their_version(server: api.Server) -> Finding:
    ours = models.pack("version").pack_version()
    try:
        theirs = str(api.ask(server, "/newbie_xml/version")["version"])
    except (Problem, KeyError, TypeError):
        theirs = "of an unknown version"
    if theirs != ours:
        return Finding("Pack", NOTE, f"{theirs} there, {ours} here", "update the older one")
    return Finding("Pack", FINE, f"{theirs}, all of its nodes")


def of_their_models(known: dict[str, Any]) -> Finding:
    inputs = known["NewBieLoader"]["input"]["required"]
    lists = {name: inputs[name][1]["options"] for name in ("diffusion_model", "gemma", "jina", "vae")}
    offered = {name: [one for one in options if one not in ("none", options[0])] for name, options in lists.items()}
    if all(offered.values()):
        return Finding("Models", FINE, "files for the full model: " + ", ".join(found[0] for found in offered.values()))
    lacking = ", ".join(name for name, found in offered.items() if not found)
    return Finding("Models", NOTE, f"the mini; for the full model it lacks {lacking}", CHECK)


def of_queue(server: api.Server) -> Finding:
    running, waiting = queue_of(server)
    if waiting and not running:  # as between two prompts, for a moment
        time.sleep(MOMENT)
        running, waiting = queue_of(server)
    says = f"{len(running)} running, {len(waiting)} waiting"
    seconds = at_work(server, running)
    if seconds > STUCK:
        says += f"; the one that runs began {seconds / 60:.0f} minutes ago"
    if seconds > STUCK or (waiting and not running):
        advice = "if nothing is being drawn there, its prompt worker has died: restart that ComfyUI"
        return Finding("Queue", WRONG, says, advice)
    return Finding("Queue", FINE, says)


def queue_of(server: api.Server) -> tuple[list[Any], list[Any]]:
    queue = api.ask(server, "/queue")
    return queue["queue_running"], queue["queue_pending"]


def at_work(server: api.Server, running: list[Any]) -> float:
    """Seconds that the prompt has run: since it was sent, or since the one before it ended; 0 where none is told."""
    times = [entry[3].get("create_time") for entry in running if len(entry) > 3 and isinstance(entry[3], dict)]
    if running:
        for record in api.ask(server, "/history?max_items=1").values():
            times += [data.get("timestamp") for _, data in (record.get("status") or {}).get("messages", [])]
    known = [at / 1000 for at in times if isinstance(at, int | float)]
    return time.time() - max(known) if known else 0.0
