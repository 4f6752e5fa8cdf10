"""What lies in the models folders, of NewBie's and otherwise: headers alone are read. For `./run models check`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from . import kinds, lora, source
from .checkpoint import CheckpointError
from .kinds import DIFFUSION, GEMMA, JINA, NEEDS, VAE
from .source import Source

PARTS = (DIFFUSION, GEMMA, JINA, VAE)
SUFFIXES = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf")
FOLDERS = ("diffusion_models", "text_encoders", "vae", "checkpoints", "loras")  # of files; releases lie in diffusers
GIGABYTES = {DIFFUSION: 7.0, GEMMA: 7.8, JINA: 1.1, VAE: 0.3}  # of the usual files
REPOSITORY = "Comfy-Org/NewBie-image-Exp0.1_repackaged on Hugging Face"

Folders = Mapping[str, Sequence[Path]]  # name in models/ -> where the host looks


@dataclass(frozen=True)
class Found:
    """One part of NewBie. named: as the loader's list has it."""

    part: str
    named: str
    source: Source

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for path in self.source.paths)

    def line(self) -> str:
        precision = kinds.precisions([self.source.header])
        return f"{self.part:16} {self.named}  {self.size / 1e9:.1f} GB, {precision}  ({self.source.where})"


@dataclass(frozen=True)
class Survey:
    """found: NewBie's parts, usable as they lie; the others are sentences.

    problems: NewBie's files that can't be used as they are, and broken ones; others: files of other models; advice:
    what to get and where to put it.
    """

    found: tuple[Found, ...]
    problems: tuple[str, ...]
    others: tuple[str, ...]
    advice: tuple[str, ...]

    @property
    def complete(self) -> bool:
        return not self.advice


def survey(folders: Folders) -> Survey:
    found: list[Found] = []
    problems: list[str] = []
    others: list[str] = []
    for folder, root, path in files(folders):
        try:
            own = source.of_file(path)
        except CheckpointError as problem:
            problems.append(str(problem))
            continue
        kind = kinds.kind_of(own.header)
        if lora.passed_over(own.header):
            problems.append(f"{path} is a LoRA with names that ComfyUI passes over: run ./run models lora {path}")
        elif folder == kinds.LORAS:
            continue  # the host's matter
        elif kind is None or not kind.part:
            others.append(f"{path}: {kind.what if kind else 'not known here'}")
        elif kind.folder != folder:
            problems.append(f"{path} is {kind.what}: move it into models/{kind.folder}.")
        elif kind.part in (GEMMA, JINA) and "spiece_model" not in own.header.shapes:
            problems.append(f"{path} is {kind.what} without its tokenizer: get {NEEDS[kind.part].usual} instead.")
        else:
            found.append(Found(kind.part, path.relative_to(root).as_posix(), own))
    for name, release in source.releases(folders.get("diffusers", ())).items():
        for part in PARTS:
            try:
                own = source.of_folder(release, part)
                kinds.expect(own.where, own.header, part)
            except CheckpointError as problem:
                problems.append(str(problem))
            else:
                found.append(Found(part, name, own))
    return Survey(tuple(found), tuple(problems + misfits(found)), tuple(others), tuple(missing(found, folders)))


def files(folders: Folders) -> Iterator[tuple[str, Path, Path]]:
    """(name of the folder, its root, file), in order; a file that two folders list, once."""
    seen: set[Path] = set()
    for folder in FOLDERS:
        for root in folders.get(folder, ()):
            for path in sorted(root.rglob("*")) if root.is_dir() else ():
                if path.suffix.lower() in SUFFIXES and path.is_file() and path.resolve() not in seen:
                    seen.add(path.resolve())
                    yield folder, root, path


def missing(found: Sequence[Found], folders: Folders) -> Iterator[str]:
    there = {one.part for one in found}
    for part in PARTS:
        if part not in there:
            need = NEEDS[part]
            places = sorted(folders.get(need.folder, ()), key=lambda place: place.name != need.folder)
            place = places[0] if places else Path("models", need.folder)
            what = f"{need.usual} ({GIGABYTES[part]:.1f} GB, from {REPOSITORY})"
            yield f"{part:16} missing: put {what} into {place}"


def misfits(found: Sequence[Found]) -> list[str]:
    """The sentence about a pair that does not fit, where no diffusion model has encoders that do."""
    sets = [
        [(one.source.where, one.source.header) for one in found if one.part == part]
        for part in (DIFFUSION, GEMMA, JINA)
    ]
    last: list[str] = []
    for three in product(*sets):
        try:
            kinds.check_pair(*three)
        except CheckpointError as problem:
            last = [str(problem)]
        else:
            return []
    return last
