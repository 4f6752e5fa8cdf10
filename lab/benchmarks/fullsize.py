"""Seconds and peak memory of the full model, stage by stage, beside the host's stock nodes.

    ./run bench fullsize_files DIR              first: files of the right names and shapes, random
    ./run bench fullsize DIR                    1024x1024 at batch 1, 2 and 4, and 1024x1536; a table
    ./run bench fullsize DIR --json             one JSON object a line
    ./run bench fullsize DIR --form folder      ours loads the authors' folder (files: --form both)
    ./run bench fullsize DIR --people 4         as many tokens as two characters have with the real tokenizers
    ./run bench fullsize DIR --scale tiny --sizes 64x64 --batches 1 --steps 2    on a CPU

The stock way is UNETLoader, DualCLIPLoader (newbie), VAELoader, ModelSamplingAuraFlow, CLIPTextEncode, KSampler (euler,
the same steps and guidance) and VAEDecode, on the same prompt's XML; ours isolates its characters. A stage's peak is
what the device's allocator held at most during it; ours and the stock nodes' each begin with nothing loaded. Real files
work as well: name a models folder with them. One precision in a folder: the first by name is taken.

It fails where ours takes more than 1.03 of the stock nodes' time for sampling, or of their memory in any stage but
loading, and where ours alone runs out of memory.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch

from ...client.models import below
from ...client.problem import Problem
from ...model_loader.check import PARTS, survey
from ...xml_prompt import layout, parse
from .fullsize_files import SCALES
from .host import add_host
from .small_host import shrunk

STEPS, GUIDANCE, SHIFT, SEED = 28, 7.5, 6.0, 1
SIZES, BATCHES = ("1024x1024", "1024x1536"), (1, 2, 4)
TARGET = 1.03  # ours / stock, in time and in memory
# What of each stage is judged by it. Encoding and decoding take a tenth of a second, which is no measure of time;
# loading is that of whichever way comes first in the process.
JUDGED = {"encode": ("peak_gb",), "sample": ("seconds", "peak_gb"), "decode": ("peak_gb",)}
FOLDERS = ("diffusion_models", "text_encoders", "vae", "diffusers")
PEOPLE = (  # the fields of each; a name for the first is given
    """<n>{first}</n><appearance>aqua hair, twintails, aqua eyes</appearance>
<clothing>grey shirt, black skirt</clothing><expression>smile</expression><position>left</position>""",
    """<n>kaito</n><appearance>blue hair, short hair</appearance><clothing>white coat, blue scarf</clothing>
<position>right</position>""",
    """<n>rin</n><appearance>blonde hair, short hair, blue eyes</appearance>
<clothing>white shirt, yellow skirt</clothing><expression>smile</expression><position>far left</position>""",
    """<n>len</n><appearance>blonde hair, ponytail, blue eyes</appearance>
<clothing>black coat, yellow tie</clothing><expression>grin</expression><position>far right</position>""",
)
SCENE = "<general_tags><background>stage, night sky</background><quality>masterpiece</quality></general_tags>"
NEGATIVE = "low quality, blurry"

Row = dict[str, Any]


def xml_of(number: int, people: int = 2) -> str:
    """A prompt with so many of PEOPLE, the first called by a number: each number is another prompt."""
    characters = (f"<character_{i}>{fields}</character_{i}>\n" for i, fields in enumerate(PEOPLE[:people], 1))
    return "".join([*characters, SCENE]).format(first=f"character {number}")


class Way(Protocol):
    """One way from files to a picture; every stage's result is kept for the next one."""

    def load(self) -> None: ...

    def encode(self, xml: str, width: int, height: int) -> None: ...

    def sample(self, width: int, height: int, batch: int, steps: int) -> None: ...

    def decode(self) -> None: ...


def empty(width: int, height: int, batch: int) -> dict[str, Any]:
    return {"samples": torch.zeros(batch, 16, height // 8, width // 8)}


class Stock:
    """The host's own nodes."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files = files

    def load(self) -> None:
        from comfy_extras.nodes_model_advanced import ModelSamplingAuraFlow

        import nodes

        files = self.files
        (model,) = nodes.UNETLoader().load_unet(files["diffusion_model"], "default")
        (self.clip,) = nodes.DualCLIPLoader().load_clip(files["gemma"], files["jina"], "newbie")
        (self.vae,) = nodes.VAELoader().load_vae(files["vae"])
        (self.model,) = ModelSamplingAuraFlow().patch_aura(model, SHIFT)

    def encode(self, xml: str, width: int, height: int) -> None:
        import nodes

        self.positive, self.negative = (nodes.CLIPTextEncode().encode(self.clip, text)[0] for text in (xml, NEGATIVE))

    def sample(self, width: int, height: int, batch: int, steps: int) -> None:
        import nodes

        settings = (SEED, steps, GUIDANCE, "euler", "simple", self.positive, self.negative)
        (self.latent,) = nodes.KSampler().sample(self.model, *settings, empty(width, height, batch))

    def decode(self) -> None:
        import nodes

        (self.images,) = nodes.VAEDecode().decode(self.vae, self.latent)


class Ours:
    """What this pack's nodes call."""

    def __init__(self, files: dict[str, str], mode: str) -> None:
        self.files, self.mode = files, mode

    def load(self) -> None:
        from ...isolation.plan import declare
        from ...model_loader import full

        self.model, self.clip, self.vae, isolation = full.load(**self.files, dtype=None)
        declare(self.clip, isolation)

    def encode(self, xml: str, width: int, height: int) -> None:
        from ...isolation.encode import encode, encode_negative

        scene = parse(xml)
        boxes = layout(scene, width / height)
        self.positive = encode(self.clip, scene, boxes, self.mode)
        self.negative = encode_negative(self.clip, scene, boxes, self.mode, NEGATIVE)

    def sample(self, width: int, height: int, batch: int, steps: int) -> None:
        from ...sampling.sample import sample

        settings = {"seed": SEED, "steps": steps, "eta": 0.0, "shift": SHIFT, "sampler": "euler"}
        settings |= {"guidance": GUIDANCE, "guidance_end": 1.0}  # as the stock sampler guides
        self.latent = sample(self.model, self.positive, self.negative, empty(width, height, batch), **settings)

    def decode(self) -> None:
        from ...sampling.decode import decode

        self.images = decode(self.vae, self.latent["samples"])


# --- measuring -------------------------------------------------------------------------------------------------------


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """-> seconds, and gigabytes that the device's allocator held at most meanwhile (nan on the CPU)."""
    device = torch.accelerator.is_available()
    if device:
        torch.accelerator.synchronize()
        torch.accelerator.reset_peak_memory_stats()
    start = time.perf_counter()
    work()
    if device:
        torch.accelerator.synchronize()
    seconds = time.perf_counter() - start
    return seconds, torch.accelerator.max_memory_allocated() / 1e9 if device else float("nan")


def forget() -> None:
    """Nothing of the last way stays on the device or in memory."""
    import comfy.model_management

    gc.collect()
    comfy.model_management.unload_all_models()
    gc.collect()
    comfy.model_management.soft_empty_cache()


def rows(
    name: str, way: Way, sizes: Sequence[str], batches: Sequence[int], steps: int, people: int = 2
) -> Iterator[Row]:
    """Load once; then every size and batch: a short run first, so that no one-time cost is measured, then the real.

    The real one has a prompt that has not been encoded before: ours would have kept what it read.
    """

    def row(stage: str, size: str, batch: int, work: Callable[[], object]) -> Row:
        found: Row = {"way": name, "stage": stage, "size": size, "batch": batch}
        try:
            seconds, peak = measured(work)
        except Exception as problem:  # what a user of this card would see; the next size may be smaller
            import comfy.model_management

            if not comfy.model_management.is_oom(problem):
                raise
            return found | {"error": "out of memory"}
        return found | {"seconds": round(seconds, 4), "peak_gb": round(peak, 4)}

    yield row("load", "", 0, way.load)
    numbers = itertools.count(10)  # of two digits, so that all prompts are of one length
    for size in sizes:
        width, height = map(int, size.split("x"))
        for batch in batches if size == sizes[0] else batches[:1]:
            earlier, xml = (xml_of(next(numbers), people) for _ in range(2))
            with contextlib.suppress(torch.OutOfMemoryError):
                way.encode(earlier, width, height)
                way.sample(width, height, batch, 1)
                way.decode()
            yield row("encode", size, batch, partial(way.encode, xml, width, height))
            sampled = row("sample", size, batch, partial(way.sample, width, height, batch, steps))
            yield sampled
            if "error" not in sampled:
                yield row("decode", size, batch, way.decode)


def ratios(found: Sequence[Row]) -> Iterator[Row]:
    """Ours / stock for every stage that both finished."""
    stock = {(row["stage"], row["size"], row["batch"]): row for row in found if row["way"] == "stock"}
    for row in found:
        other = stock.get((row["stage"], row["size"], row["batch"]))
        if row["way"] == "ours" and other and "seconds" in row and "seconds" in other:
            yield {
                **{key: row[key] for key in ("stage", "size", "batch")},
                "way": "ours/stock",
                "seconds": round(row["seconds"] / other["seconds"], 3),
                "peak_gb": round(row["peak_gb"] / other["peak_gb"], 3),
            }


def faults(found: Sequence[Row]) -> list[str]:
    """What must not be: ours over the target, or out of memory where the stock nodes are not."""
    stock = {(row["stage"], row["size"], row["batch"]): row for row in found if row["way"] == "stock"}
    return [
        f"ours, {row['stage']} {row['size']} x {row['batch']}: {row['error']}"
        for row in found
        if row["way"] == "ours"
        and "error" in row
        and "error" not in stock.get((row["stage"], row["size"], row["batch"]), {})
    ] + [
        f"{row['stage']} {row['size']} x {row['batch']}: {key} is {row[key]:.3f} of the stock nodes', above {TARGET}"
        for row in ratios(found)
        for key in JUDGED.get(row["stage"], ())
        if row[key] > TARGET
    ]


# --- the command -----------------------------------------------------------------------------------------------------


def chosen(folder: Path, form: str) -> dict[str, dict[str, str]]:
    """The loaders' inputs for each way, from what lies in the folder. Raises Problem where a part is missing."""
    found = survey(below(folder))
    files = {
        one.part: one.named
        for one in reversed(found.found)
        if len(one.source.paths) == 1 and "(folder)" not in one.named
    }
    release = next((one.named for one in found.found if "(folder)" in one.named), None)
    if any(part not in files for part in PARTS) or (form == "folder" and release is None):
        raise Problem("\n".join([f"{folder} lacks some of the files:", *found.advice, *found.problems]))
    ours = dict.fromkeys(PARTS, "none") | {"diffusion_model": release} if form == "folder" else files
    return {"stock": files, "ours": ours}


def show(row: Row) -> str:
    numbers = row.get("error") or f"{row['seconds']:9.3f} {row['peak_gb']:9.3f}"
    return f"{row['way']:11}{row['stage']:11}{row['size']:>10}{row['batch'] or '':>6} {numbers}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./run bench fullsize", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a models folder, as fullsize_files writes it")
    parser.add_argument("--form", choices=("split", "folder"), default="split", help="what ours loads")
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="WxH", help="the first with every batch")
    parser.add_argument("--batches", nargs="+", type=int, default=BATCHES)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--people", type=int, choices=(2, 4), default=2, help="characters in the prompt")
    parser.add_argument("--mode", choices=("auto", "strict", "gentle", "off"), default="auto", help="ours: isolation")
    parser.add_argument("--ways", nargs="+", choices=("stock", "ours"), default=("stock", "ours"))
    parser.add_argument("--scale", choices=("full", "tiny"), default="full", help="tiny: files of that scale")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args(arguments)
    add_host()
    import folder_paths

    for name in FOLDERS:
        folder_paths.add_model_folder_path(name, str(options.folder / name), is_default=True)
    found: list[Row] = []

    def tell(row: Row) -> None:
        found.append(row)
        known = {key: value for key, value in row.items() if value == value}  # nan, on the CPU, is not JSON
        print(json.dumps(known) if options.json else show(row), flush=True)

    if not options.json:
        print(f"{'':22}{'size':>10}{'batch':>6} {'seconds':>9} {'peak GB':>9}")
    small = shrunk(SCALES["tiny"]) if options.scale == "tiny" else contextlib.nullcontext()
    with small, torch.inference_mode():  # as the host's own execution does
        files = chosen(options.folder, options.form)
        for name in options.ways:
            way = Stock(files["stock"]) if name == "stock" else Ours(files["ours"], options.mode)
            for row in rows(name, way, options.sizes, options.batches, options.steps, options.people):
                tell(row)
            del way
            forget()
    for row in list(ratios(found)):
        tell(row)
    for fault in (wrong := faults(found)):
        print(fault, file=sys.stderr)
    return 1 if wrong else 0
