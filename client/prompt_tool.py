"""What `./run prompt` does, in the Python that has lxml: a prompt's file in, what it is understood to say out.

Exit codes: 0 fine, 1 with warnings (check alone), 2 for a prompt or a file that can't be read.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ..xml_prompt import (
    PromptError,
    PromptWarning,
    Scene,
    convert,
    layout,
    parse,
    render_json,
    render_tags,
    render_xml,
    report,
    system_language,
    text_of,
    to_xml,
)
from .arguments import read_text, size
from .problem import Problem, shown
from .session.verdict import pointed
from .terminal import counted

SQUARE = (1, 1)


def main(arguments: Sequence[str]) -> int:
    options = parser().parse_args(arguments)
    return options.work(options)


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(prog="./run prompt", description="Shows how a prompt is understood.")
    tasks = whole.add_subparsers(required=True, metavar="show|check|render|convert")
    show = tasks.add_parser("show", help="everything, boxes included, as one JSON object")
    check = tasks.add_parser(
        "check", help="what is wrong, and where; exit code 0 if fine, 1 for warnings, 2 for an error"
    )
    render = tasks.add_parser("render", help="the text that the text encoders read")
    plain = tasks.add_parser("convert", help="plain tags, or A: ... B: ..., as XML; what was guessed goes to stderr")
    for task, work in ((show, show_one), (check, check_all), (render, render_one), (plain, convert_one)):
        task.set_defaults(work=work)
        many = {"nargs": "+"} if task is check else {}
        task.add_argument("file", metavar="FILE", help="a UTF-8 file, or - for standard input", **many)
    for task in (show, render):
        task.add_argument("--size", type=size, metavar="WxH", default=SQUARE, help="the picture's size, for the boxes")
    render.add_argument("--form", choices=("xml", "json", "tags"), default="xml", help="default: %(default)s")
    return whole


def show_one(options: argparse.Namespace) -> int:
    scene = read(options.file)
    if scene is None:
        return 2
    boxes = layout(scene, options.size[0] / options.size[1])
    sys.stdout.write(json.dumps(report(scene, boxes), ensure_ascii=False, indent=2) + "\n")
    return 0


def check_all(options: argparse.Namespace) -> int:
    """The worst of all files decides."""
    worst = 0
    for file in options.file:
        scene = read(file)
        if scene is None:
            worst = 2
            continue
        for warning in scene.warnings:
            sys.stdout.write(told(file, warning))
        people, warnings = len(scene.characters), len(scene.warnings)
        sys.stdout.write(f"{in_line(file)}: {counted(people, 'character')}, {counted(warnings, 'warning')}\n")
        worst = max(worst, 1 if warnings else 0)
    return worst


def render_one(options: argparse.Namespace) -> int:
    scene = read(options.file)
    if scene is None:
        return 2
    if options.form == "xml":
        segments = render_xml(scene)
    elif options.form == "json":
        segments = render_json(scene, layout(scene, options.size[0] / options.size[1]))
    else:
        segments = render_tags(scene)
    sys.stdout.write(text_of(segments).rstrip("\n") + "\n")
    return 0


def convert_one(options: argparse.Namespace) -> int:
    scene = read(options.file, convert)
    if scene is None:
        return 2
    for warning in scene.warnings:
        sys.stderr.write(told(options.file, warning))
    sys.stdout.write(to_xml(scene).rstrip("\n") + "\n")
    return 0


def read(file: str, reader: Callable[[str], Scene] = parse) -> Scene | None:
    """The scene in a file; None after its error has been told. Boxes that contradict each other are an error too."""
    try:
        scene = reader(read_text(file if file == "-" else Path(file)))
        layout(scene)
    except Problem as problem:
        sys.stderr.write(f"{shown(str(problem))}\n")
    except PromptError as error:
        sys.stderr.write(told(file, error))
        if error.source and error.line:
            sys.stderr.write(pointed(error.source, error.column))
    else:
        return scene
    return None


def told(file: str, said: PromptError | PromptWarning) -> str:
    """As compilers write it, in the process's language."""
    place = f"{in_line(file)}:{said.line}:{said.column}" if said.line else in_line(file)
    return shown(f"{place}: {said.message.text(system_language())}\n")


def in_line(file: str) -> str:
    """A file's name on one line, for programs that read ours line by line."""
    return shown(file).replace("\n", "\\n")
