"""Training data: pictures drawn by worker processes, their prompts as tokens, gathered into one set of arrays a group.

A group is one canvas size with few or many people, so that batches don't pad short captions to the longest.
"""

from __future__ import annotations

import multiprocessing
import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...isolation.plan import coverage as region_coverage
from ...isolation.plan import fractions
from ...xml_prompt import regions
from ..drawing.attributes import BACKGROUND, RENDERING, UNSEEN_FROM_BEHIND, VALUES
from ..drawing.draw import render
from ..drawing.scenes import Picture, sample_picture
from . import prompts, tokens
from .world import LEAKY, PLAIN, WIDE, World

PEOPLE = 8  # most people in one picture
VARIANTS = ("boxes", "boxes", "any", "any")  # prompts a picture; the first ISOLATED are also kept piece by piece
ISOLATED = 2
TOKEN_PIXELS = 16  # a token's side: 8 (autoencoder) x 2 (patch)


@dataclass(frozen=True)
class Group:
    size: tuple[int, int]  # width, height in pixels
    people: tuple[int, ...]
    length: int  # caption tokens kept
    jina_length: int
    share: float  # of the training pictures
    world: World = PLAIN

    @property
    def grid(self) -> tuple[int, int]:
        """Image tokens: rows, columns."""
        return self.size[1] // TOKEN_PIXELS, self.size[0] // TOKEN_PIXELS


GROUPS = tuple(
    Group(size, people, length, jina_length, share * part)
    for size, share in (((320, 320), 0.5), ((384, 256), 0.3), ((256, 384), 0.2))
    for people, length, jina_length, part in (((1, 2), 112, 120, 0.56), ((3, 4), 184, 192, 0.44))
)
WIDE_GROUPS = tuple(
    Group(size, people, length, length + 8, share * part, WIDE)
    for size, share in (((320, 320), 0.54), ((384, 256), 0.24), ((256, 384), 0.14), ((512, 512), 0.08))
    for people, length, part in (((1, 2), 128, 0.48), ((3, 4), 200, 0.38), ((5, 6, 7, 8), 376, 0.14))
)
LEAKY_GROUPS = tuple(  # longer prompts, more often of four; few shapes, which compile sooner
    Group(size, people, length, length, share, LEAKY)
    for size, people, length, share in (
        ((320, 320), (1,), 144, 0.25), ((320, 320), (2,), 192, 0.2), ((384, 256), (3, 4), 256, 0.55))
)
WORLDS = {"plain": GROUPS, "wide": WIDE_GROUPS, "leaky": LEAKY_GROUPS}


def sample(group: Group, rng: random.Random) -> Picture:
    people = rng.choices(group.people, [group.world.people[n] for n in group.people])[0]
    return sample_picture(rng, group.size, people, world=group.world)


Sampler = Callable[[Group, random.Random], Picture]


def labels(picture: Picture) -> tuple[np.ndarray, np.ndarray]:
    """True boxes [PEOPLE, 4] in pixels (left, top, right, bottom) and attribute indices [PEOPLE, 10].

    -1: nobody, or what can't be seen from behind.
    """
    boxes = np.zeros((PEOPLE, 4), np.float32)
    values = np.full((PEOPLE, len(VALUES)), -1, np.int64)
    for i, figure in enumerate(picture.figures):
        boxes[i] = figure.x, figure.y, figure.x + figure.width, figure.y + figure.height
        hidden = UNSEEN_FROM_BEHIND if figure.look["facing"] == "from_behind" else ()
        values[i] = [-1 if attribute in hidden else options.index(figure.look[attribute])
                     for attribute, options in VALUES.items()]
    return boxes, values


def meeting(picture: Picture) -> np.ndarray:
    """[4] in pixels: where two people's hands meet, or zeros."""
    for figure in picture.figures:
        if figure.partner is not None:
            other = picture.figures[figure.partner]
            left, right = (f.x + f.width / 2 for f in sorted((figure, other), key=lambda f: f.x + f.width / 2))
            top, bottom = max(figure.y, other.y), min(figure.y + figure.height, other.y + other.height)
            middle, half = (left + right) / 2, (right - left) / 4
            return np.array([middle - half, top + 0.3 * (bottom - top), middle + half, top + 0.75 * (bottom - top)])
    return np.zeros(4)


def coverage(description: prompts.Description, grid: tuple[int, int]) -> np.ndarray:
    """[PEOPLE, N] bool: the image tokens of each character's regions, in the scene's order."""
    covered = np.zeros((PEOPLE, grid[0] * grid[1]), bool)
    for i, region in enumerate(fractions(regions(description.scene, description.boxes))):
        covered[i] = (region_coverage(region, *grid) > 0).numpy()
    return covered


def prompt_tokens(
    picture: Picture, variant: int, group: Group, rng: random.Random, tokenizers: tokens.Tokenizers
) -> tuple[prompts.Description, tokens.Tokens]:
    world = group.world
    description, apart = prompts.describe(picture, rng, world=world), world.apart > 0 and variant < ISOLATED
    form = "boxes"
    if VARIANTS[variant] == "any" or world.apart == 0:
        form = rng.choices(list(world.forms), list(world.forms.values()))[0]
    made = tokens.tokenize(prompts.segments(description, form), apart, tokenizers)
    if len(made.ids) > group.length:  # the template form of a full picture: say it shorter
        made = tokens.tokenize(prompts.segments(description, "xml"), apart, tokenizers)
    return description, made


def make_chunk(
    group: Group, pictures: int, seed: int, tokenizers: tokens.Tokenizers, sampler: Sampler = sample
) -> dict[str, np.ndarray]:
    rng = random.Random(seed)
    width, height = group.size
    count, rows = len(VARIANTS), group.grid[0] * group.grid[1]
    chunk = {
        "image": np.zeros((pictures, height, width, 3), np.uint8),
        "box": np.zeros((pictures, PEOPLE, 4), np.float32),
        "value": np.zeros((pictures, PEOPLE, len(VALUES)), np.int64),
        "meeting": np.zeros((pictures, 4), np.float32),
        "background": np.zeros(pictures, np.int64),
        "rendering": np.zeros(pictures, np.int64),
        "covers": np.zeros((pictures, ISOLATED, PEOPLE, rows), bool),
        "order": np.full((pictures, ISOLATED, PEOPLE), -1, np.int8),  # the figure that each character is
        "length": np.zeros((pictures, count), np.int16),
        "jina": np.ones((pictures, count, group.jina_length), np.int16),
        "jina_length": np.zeros((pictures, count), np.int16),
        "shared": np.ones((pictures, count, group.jina_length), np.int16),
        "shared_length": np.zeros((pictures, count), np.int16),
    }
    for name, fill in tokens.PAD_VALUES.items():
        chunk[name] = np.full((pictures, count, group.length), fill, np.int16)
    for i in range(pictures):
        picture = sampler(group, rng)
        chunk["image"][i] = render(picture)
        chunk["box"][i], chunk["value"][i] = labels(picture)
        chunk["meeting"][i] = meeting(picture)
        chunk["background"][i] = BACKGROUND.index(picture.background)
        chunk["rendering"][i] = RENDERING.index(picture.rendering)
        for v in range(count):
            description, made = prompt_tokens(picture, v, group, rng, tokenizers)
            if v < ISOLATED:
                chunk["covers"][i, v] = coverage(description, group.grid)
                chunk["order"][i, v, : len(description.order)] = description.order
            kept = min(len(made.ids), group.length)
            chunk["length"][i, v] = kept
            for name in tokens.PAD_VALUES:
                chunk[name][i, v, :kept] = getattr(made, name)[:kept]
            for name, ids in (("jina", made.jina), ("shared", made.jina_shared)):
                kept = min(len(ids), group.jina_length)
                chunk[name][i, v, :kept], chunk[f"{name}_length"][i, v] = ids[:kept], kept
    return chunk


def plan_chunks(pictures: int, chunk: int, groups: Sequence[Group], least: int = 1) -> list[int]:
    """The group of every chunk, mixed, so that each stretch of the work holds all of the groups; `least` of each."""
    chunks = []
    for index, group in enumerate(groups):
        chunks += [index] * max(least, round(pictures * group.share / chunk))
    random.Random(0).shuffle(chunks)
    return chunks


def work(
    worker: int, workers: int, chunks: list[int], chunk: int, seed: int, folder: Path, groups: Sequence[Group]
) -> None:
    os.nice(19)  # what trains meanwhile, and compiles, is waited for
    tokenizers = tokens.Tokenizers()
    for number in range(worker, len(chunks), workers):
        arrays = make_chunk(groups[chunks[number]], chunk, seed + 1000003 * number, tokenizers)
        unfinished = folder / f"{number}.part"
        with unfinished.open("wb") as file:
            np.savez(file, **arrays)
        unfinished.rename(folder / f"{number}.npz")


class Drawing:
    """Draws all chunks in the background; `arrived` yields the new ones as (group index, arrays).

    Of several trainers on one machine, each with its rank, the first one starts the drawing; each takes its own chunks.
    """

    def __init__(self, pictures: int, chunk: int, workers: int, seed: int, folder: Path, groups: Sequence[Group],
                 rank: int = 0, ranks: int = 1) -> None:
        self.folder, self.chunks = folder, plan_chunks(pictures, chunk, groups, ranks)
        by_group = [[n for n, group in enumerate(self.chunks) if group == index] for index in range(len(groups))]
        self.waiting = {number for numbers in by_group for number in numbers[rank::ranks]}
        self.processes: list[multiprocessing.process.BaseProcess] = []
        if rank:
            return
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.glob("*"):
            stale.unlink()
        context = multiprocessing.get_context("fork")
        self.processes = [
            context.Process(target=work, args=(w, workers, self.chunks, chunk, seed, folder, groups), daemon=True)
            for w in range(workers)
        ]
        for process in self.processes:
            process.start()

    def arrived(self, most: int = 1000) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        for number in sorted(self.waiting):
            path = self.folder / f"{number}.npz"
            if most and path.exists():
                with np.load(path) as file:
                    arrays = dict(file)
                path.unlink()
                self.waiting.discard(number)
                most -= 1
                yield self.chunks[number], arrays
        if any(p.exitcode not in (0, None) for p in self.processes):
            raise RuntimeError("A drawing process failed; its traceback is above.")

    def stop(self) -> None:
        """What is not drawn yet never will be."""
        self.waiting.clear()
        for process in self.processes:
            process.terminate()
        self.processes.clear()
