"""Which files of NewBie are there, what is wrong with them, and which of them make a whole set that the loader takes.

First what lies in the models folders is found, before anything is opened: files that the host lists, releases, half
downloads. Then every source is judged as the loader judges it: headers and tokenizers are read, no weights. For
`./run models check`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from shlex import quote

from . import checkpoint, identify, lora, requirements
from .checkpoint import CheckpointError, Source, unreadable
from .identify import DIFFUSION, GEMMA, JINA, PARTS, VAE, prefix_before

SUFFIXES = (".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".pth", ".pkl", ".bin", ".gguf")  # the host's, and GGUF
HALF = (".part", ".crdownload", ".incomplete", ".aria2", ".download")
OF_FILES = ("diffusion_models", "text_encoders", "vae", "checkpoints", "loras")
OF_RELEASES = "diffusers"

Folders = Mapping[str, Sequence[Path]]  # name in models/ -> where the host looks


@dataclass
class Contents:
    """files: (name of the folder, its root, file); releases: what looks like one, wherever it lies."""

    files: list[tuple[str, Path, Path]] = field(default_factory=list)
    releases: list[Path] = field(default_factory=list)
    halves: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def contents(folders: Folders) -> Contents:
    """A file that two roots of one name list, once."""
    found = Contents()
    for name in (*OF_FILES, OF_RELEASES):
        seen: set[str] = set()
        for root in folders.get(name, ()):
            for folder, files in walk(root, seen, found):
                if looks_like_a_release(folder) and folder not in found.releases:
                    found.releases.append(folder)
                for path in files:
                    if path.suffix.lower() in HALF:
                        found.halves.append(path)
                    elif name != OF_RELEASES and path.suffix.lower() in SUFFIXES and real(path) not in seen:
                        seen.add(real(path))
                        found.files.append((name, root, path))
    found.halves = list(dict.fromkeys(found.halves))
    return found


def walk(root: Path, seen: set[str], found: Contents) -> Iterator[tuple[Path, list[Path]]]:
    """(folder, what lies in it that is no folder) in order, through links as the host does, each folder once.

    Safari's half download is a folder, and counts as a file here.
    """

    def tell(problem: OSError) -> None:
        if not isinstance(problem, FileNotFoundError | NotADirectoryError):
            found.problems.append(str(unreadable(root, problem)))

    for here, subfolders, files in os.walk(root, followlinks=True, onerror=tell):
        halves = [name for name in subfolders if name.lower().endswith(HALF)]
        subfolders[:] = sorted(set(subfolders) - set(halves) - {".git"})
        if real(here) in seen:
            subfolders.clear()
            continue
        seen.add(real(here))
        yield Path(here), [Path(here, name) for name in sorted([*files, *halves])]


def real(path: Path | str) -> str:
    return os.path.realpath(path)


def looks_like_a_release(folder: Path) -> bool:
    parts = checkpoint.parts_in(folder)
    return len(parts) > 1 and bool(parts & set(checkpoint.LISTED_BY))


# The survey

GIGABYTES = {DIFFUSION: 7.0, GEMMA: 7.8, JINA: 1.1, VAE: 0.3}  # of the usual files
REPOSITORY = "Comfy-Org/NewBie-image-Exp0.1_repackaged on Hugging Face"
STOCK = {  # the host's own loader of a part, and the prefixes with which it reads all of the file
    DIFFUSION: ("UNETLoader", ("", "model.", "model.model.", "model.diffusion_model.", "net.")),
    GEMMA: ("DualCLIPLoader", ("model.",)),
    JINA: ("DualCLIPLoader", ("model.",)),
    VAE: ("VAELoader", ("",)),
}
PREFIXED = ", {}: for NewBie Loader only, as ComfyUI's {} can't read it"
SILENT = " and loads none of its weights, without an error"


@dataclass(frozen=True)
class Found:
    """One part of NewBie that the loader takes. named: as its list has it; release: whether that is a release."""

    part: str
    named: str
    source: Source
    release: bool = False

    def line(self) -> str:
        header = self.source.header
        size, precision = f"{header.size / 1e9:.1f} GB", identify.precision_of(header)
        return line(self.part, f"{self.named}  {size}, {precision}{self.note()}  ({self.source.where})")

    def note(self) -> str:
        """About a file that the host's own loaders don't read: they are in graphs too."""
        loader, known = STOCK[self.part]
        before = prefix_before(self.source.header.shapes, *requirements.FIRST[self.part])
        if self.release or before in known:
            return ""
        names = f'behind "{before}"' if before else f'not behind "{known[0]}"'
        return PREFIXED.format(names, loader) + (SILENT if self.part in (GEMMA, JINA) else "")


@dataclass(frozen=True)
class Release:
    """A release of NewBie. named: as the loader's list has it, "" if it has it not.

    parts: those that can be used; problems: a sentence about each other.
    """

    folder: Path
    named: str
    parts: Mapping[str, Source]
    problems: Mapping[str, str]

    def lacks(self, files: set[str]) -> list[str]:
        """The parts without which it can't be used. files: parts that lie as files, for which it needs none."""
        others = files - {DIFFUSION} if self.named else set()
        return [part for part in PARTS if part not in self.parts and part not in others]


@dataclass(frozen=True)
class Survey:
    """found: NewBie's parts, each usable by itself; chosen: a set of them that goes together; the rest are sentences.

    problems: NewBie's files that can't be used as they are, and broken ones; others: files of other models; advice:
    what to get and where to put it.
    """

    found: tuple[Found, ...]
    chosen: tuple[Found, ...]
    problems: tuple[str, ...]
    others: tuple[str, ...]
    advice: tuple[str, ...]

    @property
    def complete(self) -> bool:
        return bool(self.chosen)

    def inputs(self) -> dict[str, str]:
        """What to choose in the loader for the set: a release's parts come with it."""
        return {one.part: "none" if one.release and one.part != DIFFUSION else one.named for one in self.chosen}


def survey(folders: Folders) -> Survey:
    there = contents(folders)
    releases, strangers = look_at_releases(there.releases, folders)
    found, problems, others = look_at_files(there, releases)
    found += [
        Found(part, release.named, own, release=True)
        for release in releases
        if release.named
        for part, own in release.parts.items()
    ]
    chosen, misfits = together(found)
    advice = [] if chosen else missing(found, releases, folders)
    problems = [
        *(place for release in releases for place in misplaced(release.folder, folders.get(OF_RELEASES, ()))),
        *(wrong for release in releases for part, wrong in release.problems.items() if line(part, wrong) not in advice),
        *problems,
        *misfits,
        *halves(there),
        *there.problems,
    ]
    return Survey(tuple(found), chosen, tuple(problems), tuple(others + strangers), tuple(advice))


def line(part: str, text: str) -> str:
    return f"{part:16} {text}"


# --- one by one ------------------------------------------------------------------------------------------------------


def look_at_files(there: Contents, releases: Sequence[Release]) -> tuple[list[Found], list[str], list[str]]:
    """(usable parts, sentences about what can't be used, sentences about other models' files)"""
    found: list[Found] = []
    problems: dict[Path, str] = {}
    others: dict[Path, str] = {}
    for folder, root, path in there.files:
        within = any(path.is_relative_to(release.folder) for release in releases)  # told of already, as a whole
        try:
            one = look_at_file(folder, root, path)
        except CheckpointError as problem:
            if not within:
                problems.setdefault(path, str(problem))
            continue
        if isinstance(one, Found):
            found.append(one)
        elif one and not within:
            others[path] = one
    for one in found:  # one folder may be the place of two names
        problems.pop(one.source.where, None)
    return found, list(problems.values()), list(others.values())


def look_at_file(folder: str, root: Path, path: Path) -> Found | str:
    """A part of NewBie, or a sentence about a file of another model, "" where it is the host's matter.

    Raises CheckpointError for one that can't be used as it is.
    """
    own = checkpoint.of_file(path, requirements.wanted(part for part in PARTS if PARTS[part].folder == folder))
    kind = identify.kind_of(own.header)
    if kind is not None and kind.folder == identify.LORAS and lora.passed_over(own.header):
        lora.named(path, own.header)  # raises for one that can't be converted either
        raise CheckpointError(f"{path} is a LoRA whose names ComfyUI ignores: run ./run models lora {quote(str(path))}")
    if folder == identify.LORAS:
        return ""
    if kind is not None and kind.meant:
        raise CheckpointError(requirements.not_in_this_form(own, kind))
    if kind is None or not kind.part:
        parts = requirements.shards_missing(own)
        if parts:
            raise CheckpointError(parts)
        return f"{path}: {kind.what if kind else 'not a known model'}"
    if kind.folder != folder:
        raise CheckpointError(f"{path} is {kind.what}: move it into models/{kind.folder}.")
    requirements.require(own, kind.part)
    return Found(kind.part, path.relative_to(root).as_posix(), own)


def look_at_releases(folders: Sequence[Path], known: Folders) -> tuple[list[Release], list[str]]:
    """(NewBie's, sentences about other models')"""
    roots = known.get(OF_RELEASES, ())
    listed = {folder: name for name, folder in checkpoint.releases(roots).items()}
    found: list[Release] = []
    others: list[str] = []
    for folder in dict.fromkeys([*listed, *folders]):
        release, ours = look_at_release(folder, listed.get(folder, ""))
        if release.named or ours:
            found.append(release)
        elif any(folder.is_relative_to(root) for root in roots):
            others.append(f"{folder}: a release of another model")
    return found, others


def look_at_release(folder: Path, named: str) -> tuple[Release, bool]:
    """A folder, and whether a part of it, other than the VAE, is NewBie's."""
    parts: dict[str, Source] = {}
    problems: dict[str, str] = {}
    ours = False
    for part in PARTS:
        try:
            own = checkpoint.of_folder(folder, part)
            kind = identify.kind_of(own.header)
            ours = ours or (kind is not None and (kind.part or kind.meant) in (DIFFUSION, GEMMA, JINA))
            requirements.require(own, part)
        except CheckpointError as problem:
            problems[part] = str(problem)
        else:
            parts[part] = own
    return Release(folder, named, parts, problems), ours


def misplaced(release: Path, roots: Sequence[Path]) -> Iterator[str]:
    if release.parent in roots:
        return
    place = roots[0] if roots else Path("models", OF_RELEASES)
    if release.name in (*OF_FILES, OF_RELEASES):
        yield f"{release} holds a release's folders directly: move them into a folder, such as {place}/NewBie."
    else:
        yield f"{release} is a release: move the whole folder into {place}."


def halves(there: Contents) -> Iterator[str]:
    files = {path for _, _, path in there.files}
    for path in there.halves:
        if path.suffix != checkpoint.CONTROL or path.with_suffix("") not in files:  # such a file is told of itself
            yield f"{path} is an unfinished download: let it finish, or delete it and download the file again."


# --- what goes together ----------------------------------------------------------------------------------------------


def candidates(found: Sequence[Found], model: Found) -> Iterator[tuple[Found, ...]]:
    """What the loader takes with this diffusion model: files, and, before them, what its own release has."""
    own = [one for one in found if not one.release or (model.release and one.named == model.named)]
    own.sort(key=lambda one: one.release != model.release)
    yield from product([model], *([one for one in own if one.part == part] for part in (GEMMA, JINA, VAE)))


def misfit(four: Sequence[Found]) -> str:
    """Why they don't go together; "" where they do."""
    try:
        requirements.check_pair(*(one.source for one in four[:3]))
    except CheckpointError as problem:
        return str(problem)
    return ""


def together(found: Sequence[Found]) -> tuple[tuple[Found, ...], list[str]]:
    """(the first set that goes together, or (); why nothing goes with a diffusion model, for every such one)"""
    chosen: tuple[Found, ...] = ()
    why: dict[str, None] = {}
    for model in (one for one in found if one.part == DIFFUSION):
        tried = [(four, misfit(four)) for four in candidates(found, model)]
        fitting = [four for four, problem in tried if not problem]
        chosen = chosen or next(iter(fitting), ())
        if not fitting:
            why |= dict.fromkeys(problem for _, problem in tried)
    return chosen, list(why)


def missing(found: Sequence[Found], releases: Sequence[Release], folders: Folders) -> list[str]:
    """What to get, for that form of the release which lacks the least."""
    files = {one.part for one in found if not one.release}
    lacks = [part for part in PARTS if part not in files]
    best = min(releases, key=lambda release: len(release.lacks(files)), default=None)
    if best is not None and len(best.lacks(files)) < len(lacks):
        return [line(part, best.problems[part]) for part in best.lacks(files)]
    return [line(part, f"missing: put {usual(part)} into {place(part, folders)}") for part in lacks]


def usual(part: str) -> str:
    return f"{requirements.USUAL[part]} ({GIGABYTES[part]:.1f} GB, from {REPOSITORY})"


def place(part: str, folders: Folders) -> Path:
    """The folder that is called so, before the host's older names."""
    name = PARTS[part].folder
    places = sorted(folders.get(name, ()), key=lambda place: place.name != name)
    return places[0] if places else Path("models", name)
