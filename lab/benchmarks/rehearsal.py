"""Draws with the full model in a real ComfyUI: what runs on a card of a size, how fast, in how much memory.

    ./run bench fullsize_files DIR              first: files of the right names and shapes, random
    ./run bench rehearsal DIR                   1024x1024 at batch 1, 2 and 4, and 1024x1536, beside the stock nodes
    ./run bench rehearsal DIR --card 8          as on a card of 8 GB: this process takes the rest for as long
    ./run bench rehearsal DIR --prompts 20      20 prompts in a row: does anything load again, does memory grow
    ./run bench rehearsal DIR --people 4        as many tokens as two characters have with the real tokenizers
    ./run bench rehearsal                       the built-in mini, ours alone, also on a CPU

Ours is the first template with the files chosen in its loader; the stock graph has the host's own loaders,
encoders, KSampler and VAEDecode with the same steps. Every graph runs with other prompts and seeds. The graphs take
turns, twice each, because a machine that others use too is not the same for long: once to warm up, then --rounds times
by the clock, of which the medians count. At last comes a run under watch, which begins with nothing loaded: what is
taken on the device, or kept by the allocator after it was needed, above what was taken before the host started: the
host's own share of the driver counts. It is asked for every 50 ms, which takes the host's time, so that nothing is
timed meanwhile.

It fails where a picture does not come; where ours takes more than 1.03 of the stock nodes' time, for sampling or for
the whole prompt, or of their peak (encoding and decoding take a tenth of a second: the events that bound them come too
coarsely to judge either alone); and where prompts in a row load models again, take more and more memory, on the device
or in main memory, or one takes much longer. Flags for the host may follow, as in --flags=--disable-dynamic-vram.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import re
import shlex
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ...client import answers, api, environment, host, workflow
from ...client.problem import Problem
from .fullsize import BATCHES, NEGATIVE, SHIFT, SIZES, STEPS, TARGET, chosen, xml_of
from .host import ROOT, on_cpu

GIB = 2**30
LOOK = 0.05  # seconds between two looks at the memory
NOTHING = 0.25  # GiB that the allocator may keep when nothing is loaded
PATIENCE = 60.0  # seconds for the host to give all else back
GROWTH = 0.05  # GiB that prompts in a row may leave behind on the device
# The same in main memory: what the encodings of past prompts may take (isolation/gemma_text.py), and as much for
# all else on the machine, whose memory is everyone's.
RAM_GROWTH = 2 * 0.25
LOADED = 0.05  # seconds in loaders from which on one has loaded
SLOWER = 1.5  # times the median of prompts in a row: what a model that is loaded again would take at least
STAGES = {
    "load": ("NewBieLoader", "UNETLoader", "DualCLIPLoader", "VAELoader", "ModelSamplingAuraFlow"),
    "encode": ("NewBieXMLPrompt", "NewBieEncodeCharacters", "CLIPTextEncode"),
    "sample": ("NewBieSample", "KSampler"),
    "decode": ("NewBieDecode", "VAEDecode"),
}

JUDGED = ("sample_s", "seconds", "peak_gb")  # by fullsize's target
# What the host's log says when it has made a model from files: a diffusion model, encoders, a VAE.
MADE = ("model weight dtype", "CLIP/text encoder model load device", "VAE load device")

# What the log says of each set of kernels that the host may compute with: fused and fp8 ones come with comfy-kitchen.
KERNELS = re.compile(r"Found comfy_kitchen backend (\w+): \{'available': True, 'disabled': False")

CLOCKED = (*(f"{stage}_s" for stage in STAGES), "seconds")

Row = dict[str, Any]
Graph = Callable[[int, tuple[int, int], int], api.Prompt]  # the prompt's number and seed, size, batch


# --- graphs ----------------------------------------------------------------------------------------------------------


def ours(files: dict[str, str], steps: int, people: int = 2) -> Graph:
    graph = workflow.load(ROOT / workflow.DEMO)

    def prompt(number: int, size: tuple[int, int], batch: int) -> api.Prompt:
        settings = workflow.Settings(xml=xml_of(number, people), seed=number, steps=steps, size=size)
        made = workflow.apply(graph, settings)
        of_type = {node["class_type"]: node["inputs"] for node in made.values()}
        of_type["NewBieLoader"] |= files
        of_type["NewBieEncodeCharacters"] |= {"negative": NEGATIVE if files else ""}
        of_type["NewBieSample"] |= {"guidance_end": 1.0}  # as the stock sampler guides
        of_type["NewBieSize"] |= {"batch_size": batch}
        return made

    return prompt


def stock(files: dict[str, str], steps: int, people: int = 2) -> Graph:
    def prompt(number: int, size: tuple[int, int], batch: int) -> api.Prompt:
        nodes = {
            "1": ("UNETLoader", {"unet_name": files["diffusion_model"], "weight_dtype": "default"}),
            "2": ("DualCLIPLoader", {"clip_name1": files["gemma"], "clip_name2": files["jina"], "type": "newbie"}),
            "3": ("VAELoader", {"vae_name": files["vae"]}),
            "4": ("ModelSamplingAuraFlow", {"model": ["1", 0], "shift": SHIFT}),
            "5": ("CLIPTextEncode", {"clip": ["2", 0], "text": xml_of(number, people)}),
            "6": ("CLIPTextEncode", {"clip": ["2", 0], "text": NEGATIVE}),
            "7": ("EmptySD3LatentImage", {"width": size[0], "height": size[1], "batch_size": batch}),
            "8": ("KSampler", {"model": ["4", 0], "positive": ["5", 0], "negative": ["6", 0], "latent_image": ["7", 0],
                               "seed": number, "steps": steps, "cfg": 7.5, "sampler_name": "euler_ancestral",
                               "scheduler": "simple", "denoise": 1.0}),
            "9": ("VAEDecode", {"samples": ["8", 0], "vae": ["3", 0]}),
            "10": ("SaveImage", {"images": ["9", 0], "filename_prefix": "stock"}),
        }  # fmt: skip
        return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}

    return prompt


# --- watching --------------------------------------------------------------------------------------------------------


@dataclass
class Watch:
    """What happens while a prompt runs: seconds of each stage, and the most that was seen taken on the device."""

    at: api.Server
    before: float = 0.0  # GiB
    peak: float = 0.0  # of looking()
    seconds: dict[str, float] = field(default_factory=dict)
    stage: str = ""
    since: float = field(default_factory=time.monotonic)

    def device(self) -> dict[str, Any]:
        """What the host says of its device. Of a CPU, whose memory everyone shares: nothing is taken."""
        found = api.ask(self.at, "/system_stats")["devices"][0]
        nothing = {"vram_total": 0, "vram_free": 0, "torch_vram_total": 0, "torch_vram_free": 0}
        return nothing if found["type"] == "cpu" else found

    def taken(self) -> float:
        """GiB in use."""
        device = self.device()
        return (device["vram_total"] - device["vram_free"]) / GIB - self.before

    def reserved(self) -> float:
        """GiB in use, or kept by the allocator for the next use: what a look can't miss by coming late."""
        device = self.device()
        return (device["vram_total"] - device["vram_free"] + device["torch_vram_free"]) / GIB - self.before

    def main_memory(self) -> float:
        """GiB of main memory in use, by the host and by all else on its machine."""
        system = api.ask(self.at, "/system_stats")["system"]
        return (system["ram_total"] - system["ram_free"]) / GIB

    def empty(self) -> None:
        """Has the host give back all that it holds. Raises HostError where it doesn't."""
        api.ask(self.at, "/free", {"unload_models": True, "free_memory": True})
        until = time.monotonic() + PATIENCE
        while self.device()["torch_vram_total"] / GIB > NOTHING:
            if time.monotonic() > until:
                raise api.HostError(f"ComfyUI still keeps memory {PATIENCE:.0f} s after it was asked to free it.")
            time.sleep(LOOK)

    def follow(self, kinds: dict[str, str]) -> Callable[[api.Progress], None]:
        """kinds: title -> type of node."""

        def show(progress: api.Progress) -> None:
            kind = kinds.get(progress.title, "")
            self.enter(next((name for name, types in STAGES.items() if kind in types), "rest"))

        return show

    def enter(self, stage: str) -> None:
        now = time.monotonic()
        if self.stage:
            self.seconds[self.stage] = self.seconds.get(self.stage, 0.0) + now - self.since
        self.stage, self.since = stage, now

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        self.empty()
        done = threading.Event()

        def look() -> None:
            while not done.wait(LOOK):
                self.peak = max(self.peak, self.reserved())

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def run(at: api.Server, before: float, prompt: api.Prompt, looking: bool = False) -> Row:
    """One prompt to its end: pictures, seconds, what it leaves taken; or the error that a user would see.

    looking: from nothing loaded, with the peak, and slower for both.
    """
    watch = Watch(at, before)
    kinds = {answers.title_of(prompt, name): node["class_type"] for name, node in prompt.items()}
    begin = time.monotonic()
    try:
        with watch.looking() if looking else contextlib.nullcontext():
            pictures = api.draw(at, prompt, watch.follow(kinds)).pictures
    except api.HostError as problem:
        return {"error": str(problem).splitlines()[0]}
    watch.enter("")
    stages = {f"{name}_s": round(seconds, 3) for name, seconds in watch.seconds.items() if name in STAGES}
    saved = sum(picture.kind == "output" for picture in pictures)
    whole = {"pictures": saved, "seconds": round(time.monotonic() - begin, 3)}
    peak = {"peak_gb": round(watch.peak, 3)} if looking else {}
    return stages | whole | peak | {"held_gb": round(watch.taken(), 3), "ram_gb": round(watch.main_memory(), 3)}


# --- rows ------------------------------------------------------------------------------------------------------------


def sizes_and_batches(sizes: Sequence[str], batches: Sequence[int]) -> Iterator[tuple[str, int]]:
    """Every batch in the first size, the first batch in the others."""
    for size in sizes:
        for batch in batches if size == sizes[0] else batches[:1]:
            yield size, batch


def drawn(
    at: api.Server, before: float, graph: Graph, number: int, size: str, batch: int = 1, looking: bool = False
) -> Row:
    """One run with a prompt and seed of this number."""
    found = run(at, before, graph(number, workflow.parse_size(size), batch), looking)
    if found.get("pictures", batch) != batch:
        found["error"] = f"{found['pictures']} pictures came instead of {batch}"
    return found


def tables(
    at: api.Server, before: float, graphs: dict[str, Graph], wanted: Sequence[tuple[str, int]], rounds: int
) -> Iterator[Row]:
    """The graphs take turns at every size, so that each has to make room for itself."""
    numbers = itertools.count(1)
    for size, batch in wanted:
        turns: dict[str, list[list[Row]]] = {name: [] for name in graphs}
        for looks, (name, graph) in itertools.product(((), (True,)), graphs.items()):
            all_looks = (False, *[False] * rounds, *looks)
            runs = [drawn(at, before, graph, next(numbers), size, batch, looking) for looking in all_looks]
            turns[name].append(runs)
        for name, runs in turns.items():
            yield {"way": name, "size": size, "batch": batch, **joined(runs)}


def joined(turns: Sequence[Sequence[Row]]) -> Row:
    """Medians of the runs by the clock, not of each turn's first, and memory of the last, which was watched.

    Or the first error.
    """
    broken = next((found for turn in turns for found in turn if "error" in found), None)
    if broken is not None:
        return {"error": broken["error"]}
    timed = [row for turn in turns for row in turn[1:] if "peak_gb" not in row]
    seconds = {key: round(statistics.median(row.get(key, 0.0) for row in timed), 3) for key in CLOCKED}
    return turns[-1][-1] | seconds


def ratios(rows: Sequence[Row]) -> Iterator[Row]:
    """Ours / stock for every size and batch that both finished."""
    finished = {(row["way"], row["size"], row["batch"]): row for row in rows if "error" not in row}
    for (way, size, batch), row in finished.items():
        other = finished.get(("stock", size, batch))
        if way == "ours" and other is not None:
            keys = [key for key in (*CLOCKED, "peak_gb") if other.get(key) and row.get(key)]
            yield {"way": "ours/stock", "size": size, "batch": batch} | {k: round(row[k] / other[k], 3) for k in keys}


def in_a_row(at: api.Server, before: float, graph: Graph, count: int, size: str, log: Path) -> Iterator[Row]:
    """Prompts, each with another first character. log: the host's, which tells how many models each had made."""
    for number in range(1, count + 1):
        earlier = models_made(log)
        found = drawn(at, before, graph, number, size)
        made = models_made(log) - earlier
        yield {"way": "ours", "prompt": number, "size": size, "batch": 1, "made": made, **found}


def models_made(log: Path) -> int:
    """How many models the host has made from files since it started."""
    return sum(any(mark in line for mark in MADE) for line in environment.log_lines(log))


def setting(at: api.Server, log: Path) -> str:
    """What the figures are of: the host's version, its torch, its device, and the kernels it found."""
    stats = api.ask(at, "/system_stats")
    system, device = stats["system"], stats["devices"][0]["name"]
    lines = environment.log_lines(log)
    kernels = sorted(found[1] for line in lines if (found := KERNELS.search(line))) or ["torch's own"]
    versions = f"ComfyUI {system['comfyui_version']}, torch {system['pytorch_version']}"
    return f"{versions} on {device}, kernels: {', '.join(kernels)}"


def faults(rows: Sequence[Row]) -> list[str]:
    """What must not be: pictures that did not come, ours over the target, and what row_faults finds."""
    broken = [f"{row['way']} {row['size']} x {row['batch']}: {row['error']}" for row in rows if "error" in row]
    over = [
        f"{row['size']} x {row['batch']}: {key} is {row[key]:.3f} of the stock nodes', above {TARGET}"
        for row in ratios(rows)
        for key in JUDGED
        if row.get(key, 0.0) > TARGET
    ]
    return [*broken, *over, *row_faults([row for row in rows if "prompt" in row and "error" not in row])]


def row_faults(prompts: Sequence[Row]) -> Iterator[str]:
    """Of prompts in a row: one that loads again, growth, and one that takes much longer."""
    for row in prompts:
        if row["prompt"] > 1 and row.get("load_s", 0.0) > LOADED:
            yield f"prompt {row['prompt']} loaded again: {row['load_s']:.1f} s in the loader"
        if row["prompt"] > 1 and row["made"]:
            yield f"prompt {row['prompt']} made models from their files again, as ComfyUI's log says: {row['made']}"
    settled = [row for row in prompts if row["prompt"] > 2]  # the first two warm up
    if len(settled) < 2:
        return
    for key, allowed, what in (("held_gb", GROWTH, "the device"), ("ram_gb", RAM_GROWTH, "main memory")):
        grown = settled[-1][key] - settled[0][key]
        if grown > allowed:
            yield f"{grown:.2f} GB more of {what} are taken after the last prompt than after the third"
    usual = statistics.median(row["seconds"] for row in settled)
    for row in settled:
        if row["seconds"] > SLOWER * usual:
            yield f"prompt {row['prompt']} took {row['seconds']:.1f} s where {usual:.1f} s are usual"


# --- the card --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def smaller_card(gigabytes: float) -> Iterator[None]:
    """Takes what the device has above so many GiB, so that whoever comes finds no more. 0: takes nothing.

    Raises Problem where it has not so many.
    """
    if not gigabytes:
        yield
        return
    device = torch.accelerator.current_accelerator()
    free, _ = free_and_whole(device)
    if free < gigabytes:
        raise Problem(f"The card has {free:.1f} GB free, less than --card {gigabytes:g}: name a smaller size.")
    ballast = torch.empty(int((free - gigabytes) * GIB), dtype=torch.uint8, device=device)
    try:
        yield
    finally:
        del ballast
        torch.accelerator.memory.empty_cache()


def free_and_whole(device: torch.device) -> tuple[float, float]:
    """GiB of the device, as it says itself."""
    torch.zeros(1, device=device)  # this process's own share is taken before it is asked what is free
    free, whole = torch.get_device_module(device).mem_get_info()
    return free / GIB, whole / GIB


def taken_before(cpu: bool) -> float:
    """GiB that are taken on the device before a host starts, by this process and any other.

    0 for a CPU, and for a device that can't be asked (MPS).
    """
    device = None if cpu else torch.accelerator.current_accelerator()
    if device is None or not hasattr(torch.get_device_module(device), "mem_get_info"):
        return 0.0
    free, whole = free_and_whole(device)
    return whole - free


def show(row: Row) -> str:
    name = f"prompt {row['prompt']}" if "prompt" in row else row["way"]
    head = f"{name:11}{row['size']:>10}{row['batch']:>6}"
    if "error" in row:
        return f"{head}  {row['error']}"
    columns = (*CLOCKED, "peak_gb", "held_gb", "ram_gb")
    return head + "".join(f"{row[key]:>9.2f}" if key in row else f"{'':9}" for key in columns)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./run bench rehearsal", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="a models folder, as fullsize_files writes it")
    parser.add_argument("--form", choices=("split", "folder"), default="split", help="what ours loads")
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="WxH", help="the first with every batch")
    parser.add_argument("--batches", nargs="+", type=int, default=BATCHES)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--people", type=int, choices=(2, 4), default=2, help="characters in the prompt")
    parser.add_argument("--ways", nargs="+", choices=("stock", "ours"), default=("stock", "ours"))
    parser.add_argument("--rounds", type=int, default=2, help="runs by the clock in each of a graph's two turns")
    parser.add_argument("--prompts", type=int, default=0, help="instead, draw this many prompts in a row, ours alone")
    parser.add_argument("--card", type=float, default=0, metavar="GB", help="as if the card had no more")
    parser.add_argument("--flags", type=shlex.split, default=[], help="further flags of ComfyUI, in one string")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args(arguments)
    if options.prompts and "ours" not in options.ways:
        parser.error("--prompts draws with ours alone: leave --ways out.")
    drawing = (options.steps, options.people)
    flags, graphs = list(options.flags), {"ours": ours({}, *drawing)}
    if options.folder:
        files = chosen(options.folder, options.form)
        made = {"stock": stock(files["stock"], *drawing), "ours": ours(files["ours"], *drawing)}
        graphs = {name: made[name] for name in options.ways}
        flags += ["--models-directory", str(options.folder.absolute())]
    here = environment.locate(ROOT)
    cpu = on_cpu(here)
    if cpu and options.card:
        parser.error("--card needs a card: this runs on the CPU.")
    rows: list[Row] = []

    def tell(row: Row) -> None:
        print(json.dumps(row) if options.json else show(row), flush=True)

    with contextlib.ExitStack() as stack:
        stack.enter_context(smaller_card(options.card))
        before = taken_before(cpu)
        running = stack.enter_context(host.running(here, flags=flags))
        host.check_pack(running)
        at = api.server(running.url, running.alive)
        if not options.json:
            print(setting(at, running.log))
            print("".join([f"{'':11}{'size':>10}{'batch':>6}", *(f"{f'{stage} s':>9}" for stage in STAGES),
                           f"{'whole s':>9}{'peak GB':>9}{'held GB':>9}{'RAM GB':>9}"]))  # fmt: skip
        wanted = list(sizes_and_batches(options.sizes, options.batches))
        for row in (
            in_a_row(at, before, graphs["ours"], options.prompts, options.sizes[0], running.log)
            if options.prompts
            else tables(at, before, graphs, wanted, options.rounds)
        ):
            rows.append(row)
            tell(row)
    for row in ratios(rows):
        tell(row)
    for fault in (found := faults(rows)):
        print(fault, file=sys.stderr)
    return 1 if found else 0
