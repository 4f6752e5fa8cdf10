"""What is to be drawn: prompts out of files, each with its seed and settings, and the names of their pictures.

A file's ending says how it is read:

    .xml, .json    one prompt
    .txt           a prompt a line; XML goes on until its end
    .jsonl         one a line: {"prompt": ..., "seed": 7, "size": "384x256", "name": ..., "6.scheduler": "beta"}
    .csv           the same under a line of names
    a folder       all of these in it

A job's key is that of the graph that it sends, and of how often the same was asked for before it: so it is the same job
whenever the same command is run again.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..arguments import SETTINGS, read_text
from ..problem import Problem
from ..session.lines import prompts
from ..workflow import SEED_END, Prompt, Settings, apply, seed_of

KINDS = (".xml", ".json", ".txt", ".jsonl", ".csv")
PROMPT_NAMES = ("prompt", "xml")
MOST_NAME = 60  # bytes of a file's name that the prompt gives; the longest that all file systems take is 255
MARKUP = re.compile(r"</?[^\W\d][^<>]*>")
UNSEEN = {"\u115f", "\u1160", "\u3164", "\uffa0"}  # letters that show nothing: Hangul's fillers


@dataclass(frozen=True)
class Ask:
    """One prompt as a file has it: what is said for it alone."""

    prompt: str
    where: str  # prompts.txt:3
    name: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)  # seed, size, steps, guidance, eta
    inputs: tuple[tuple[str, str], ...] = ()  # (NODE.INPUT, value as typed)


@dataclass(frozen=True)
class Task:
    """One picture, or as many as its graph saves."""

    key: str
    stem: str  # of its files
    ask: Ask
    settings: Settings

    def graph(self, base: Prompt) -> Prompt:
        return apply(base, self.settings)


# --- reading ----------------------------------------------------------------------------------------------------------


def read(paths: Sequence[Path], leave_out: Path | None = None) -> list[Ask]:
    """Every prompt of the files and folders, in their order. Raises Problem with the file and the line."""
    asks = [ask for path in paths for file in files(path, leave_out) for ask in read_file(file)]
    if not asks:
        raise Problem(f"No prompt was found in {', '.join(map(str, paths))}: write one a line into a .txt.")
    return asks


def files(path: Path, leave_out: Path | None) -> list[Path]:
    """The file, or a folder's in the order of their names; none below `leave_out`, where pictures go."""
    if not path.is_dir():
        if path.suffix.lower() not in KINDS:
            raise Problem(f"{path} is of no kind that is read: rename it to one of {', '.join(KINDS)}.")
        return [path]
    outside = leave_out is None or leave_out.resolve() == path.resolve()
    return sorted(
        one
        for one in path.rglob("*")
        if one.suffix.lower() in KINDS
        and one.is_file()
        and not any(part.startswith(".") for part in one.relative_to(path).parts)
        and one.name != "manifest.jsonl"
        and (outside or leave_out.resolve() not in one.resolve().parents)
    )


def read_file(path: Path) -> Iterator[Ask]:
    text, kind = read_text(path), path.suffix.lower()
    if kind in (".xml", ".json"):
        yield Ask(said(text, str(path)), str(path), path.stem)
    elif kind == ".txt":
        for number, prompt in enumerate(prompts(text.splitlines()), 1):
            yield Ask(prompt, f"{path}, prompt {number}")
    elif kind == ".jsonl":
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield read_line(line, f"{path}:{number}")
    else:
        rows = csv.DictReader(io.StringIO(text, newline=""), strict=True, restkey="")
        try:
            for row in rows:
                where = f"{path}:{rows.line_num}"
                if "" in row:
                    raise Problem(f"{where} has more values than the first line has names: put quotes around commas.")
                values = {name.strip(): value for name, value in row.items() if value and value.strip()}
                if values:
                    yield read_row(values, where)
        except csv.Error as error:
            raise Problem(f"{path}:{rows.line_num} is not CSV: {error}.") from error


def read_line(line: str, where: str) -> Ask:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Problem(f"{where} is not JSON: {error}.") from error
    if isinstance(values, str):
        return Ask(said(values, where), where)
    if not isinstance(values, dict):
        raise Problem(f'{where} is neither a text nor an object: write {{"prompt": "..."}}.')
    return read_row({name: value for name, value in values.items() if value is not None}, where)


def read_row(values: dict[str, Any], where: str) -> Ask:
    """A row's values by their names; a name with a dot is an input of a node."""
    given = dict(values)
    texts = [given.pop(name) for name in PROMPT_NAMES if name in given]
    names = " or ".join(PROMPT_NAMES)
    if not texts:
        raise Problem(f"{where} has no prompt: write it under {names}.")
    if len(texts) > 1:
        raise Problem(f"{where} has several prompts: keep one, under {names}.")
    if not isinstance(texts[0], str):
        raise Problem(f"{where}: the prompt is not text: put quotes around it.")
    inputs = tuple((name, as_typed(given.pop(name))) for name in list(given) if "." in name)
    name, settings = str(given.pop("name", "")), {}
    for setting, reader in SETTINGS.items():
        if setting in given:
            value = given.pop(setting)
            value = "x".join(map(str, value)) if isinstance(value, list) else as_typed(value)
            try:
                settings[setting] = reader(value)
            except argparse.ArgumentTypeError as error:
                raise Problem(f"{where}: {setting}: {error}.") from error
    if given:
        known = ", ".join((*PROMPT_NAMES, "name", *SETTINGS))
        raise Problem(f"{where}: {next(iter(given))!r} is not known: use {known} or NODE.INPUT.")
    return Ask(said(texts[0], where), where, name, settings, inputs)


def as_typed(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def said(text: str, where: str) -> str:
    if not text.strip():
        raise Problem(f"{where}: the prompt is empty.")
    return text.strip()


# --- tasks ------------------------------------------------------------------------------------------------------------


def tasks(asks: Iterable[Ask], base: Prompt, common: Settings, seeds: Sequence[int] = (), times: int = 1) -> list[Task]:
    """Every prompt with every seed, or `times` with its own and those that follow it. Raises Problem."""
    made: list[Task] = []
    before: Counter[str] = Counter()
    for ask in asks:
        own = replace(common, xml=ask.prompt, inputs=common.inputs + ask.inputs, **ask.settings)
        first = own.seed if own.seed is not None else seed_of(base)
        name = file_name(ask.name or MARKUP.sub(" ", ask.prompt))
        several = seeds or ([(first + n) % SEED_END for n in range(times)] if first is not None else [None] * times)
        for seed in several:
            settings = replace(own, seed=seed)
            try:
                graph = apply(base, settings)
            except Problem as problem:
                raise Problem(f"{ask.where}: {problem}") from problem
            drawn = digest(graph)
            key = digest([drawn, before[drawn]]) if before[drawn] else drawn
            before[drawn] += 1
            number = "" if seed is None else f"-{seed}"
            made.append(Task(key, f"{name}{number}-{key[:8]}", ask, settings))
    return made


def digest(value: Any) -> str:
    """Of all that decides a picture: titles do not."""
    if isinstance(value, dict):
        value = {id: {"class_type": node["class_type"], "inputs": node["inputs"]} for id, node in value.items()}
    text = json.dumps(value, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def file_name(text: str) -> str:
    """Letters and digits of any script, and - for all between them: never a path, a hidden file or an escape."""
    letters = [
        letter if letter.isalnum() and letter not in UNSEEN else "-"
        for letter in unicodedata.normalize("NFKC", text[:1000])
    ]
    name = "-".join(part for part in "".join(letters).split("-") if part)
    return name.encode()[:MOST_NAME].decode("utf-8", "ignore").strip("-") or "picture"
