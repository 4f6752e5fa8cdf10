"""The commands of `./run create`, each behind a colon: `:seed 5`, `：种子 5`."""

from __future__ import annotations

import difflib
import json
import os
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...xml_prompt import system_language
from .. import workflow
from ..picture import write
from ..problem import Problem
from ..terminal import cut, padded, say
from ..workflow import SEED_END, Settings
from .lines import COMMAND
from .session import Session, whole


class Quit(Exception):
    """The session shall end."""


def set_seed(session: Session, typed: str) -> None:
    if session.seed is None:
        raise Problem("The workflow has no seed to set.")
    if typed:
        seed = secrets.randbits(64) if typed.lower() in ("random", "随机") else whole(typed)
        if seed >= SEED_END:
            raise Problem(f"The seed {seed} is too large: it may be 0 to {SEED_END - 1}.")
        session.seed = seed
    say(f"The next picture has the seed {session.seed}.")


def set_size(session: Session, typed: str) -> None:
    if typed:
        try:
            size = workflow.parse_size(re.sub(r"(?<=\d)[\s,、]+(?=\d)", "x", unicodedata.normalize("NFKC", typed)))
        except ValueError as error:
            raise Problem(f"{error}.") from None
        settings = replace(session.settings, size=size)
        workflow.apply(session.graph, settings)
        session.settings = settings
    size = session.settings.size
    say(f"The size is {size[0]}x{size[1]}." if size else "The size is the workflow's own.")


def set_input(session: Session, typed: str) -> None:
    try:
        settings = replace(session.settings, inputs=(*session.settings.inputs, workflow.parse_input(typed)))
    except ValueError as error:
        raise Problem(f"{error}.") from None
    workflow.apply(session.graph, settings)
    session.settings = settings
    say(f"Set {typed}.")


def again(session: Session, typed: str) -> None:
    session.picture(session.nth(typed).settings.xml, session.seed)


def edit(session: Session, typed: str) -> None:
    if session.terminal is None:
        raise Problem(":edit needs a terminal.")
    last = session.nth(typed).settings
    editor = (os.environ.get("VISUAL") or os.environ.get("EDITOR") or "").strip()
    text = (edited(editor, last.xml) if editor else session.terminal.ask(last.xml)).strip()
    if text in ("", last.xml):
        say("Nothing was changed.")
        return
    session.terminal.keep(text)  # what is wrong with it can be mended by the up arrow
    session.picture(text, last.seed)  # with the same seed, so that the change alone is seen


def edited(editor: str, text: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prompt.xml"
        path.write_text(f"{text}\n", "utf-8", "surrogateescape")
        try:
            code = subprocess.run([*shlex.split(editor), str(path)]).returncode
            if code:
                raise Problem(f"{editor} ended with code {code}: the prompt stays as it was.")
            return path.read_text("utf-8-sig")
        except UnicodeDecodeError:
            raise Problem("The editor saved no UTF-8 text: save the prompt as UTF-8.") from None
        except (OSError, ValueError) as error:  # ValueError: quotes that are never closed
            raise Problem(f"{editor} does not start ({error}): set EDITOR to another.") from error


def open_picture(session: Session, typed: str) -> None:
    path = str(session.nth(typed).paths[0].absolute())
    if sys.platform == "win32":
        os.startfile(path)
        return
    opener = shutil.which("open" if sys.platform == "darwin" else "xdg-open")
    desktop = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if opener is None or not desktop:
        raise Problem(f"No window can be opened from here: open {path} yourself, or start with --show.")
    say(f"Opening {path}")
    nowhere = subprocess.DEVNULL
    subprocess.Popen([opener, path], stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True)


def history(session: Session, typed: str) -> None:
    columns = shutil.get_terminal_size().columns - 1
    for number, one in enumerate(session.drawn, 1):
        seed = "" if one.settings.seed is None else f"  seed {one.settings.seed}"
        say(cut(f"{number:3}  {one.paths[0].name}{seed}  {' '.join(one.settings.xml.split())}", columns))
    if not session.drawn:
        say("Nothing has been drawn yet.")


def save(session: Session, typed: str) -> None:
    """The ending says what: the picture, its prompt, or the whole session as a list for `./run queue`."""
    last = session.nth("")
    path = new_file(typed) if typed else last.paths[0].with_suffix(".xml")
    if path.exists():
        raise Problem(f"{path} exists already: choose another name.")
    ending = path.suffix.lower()
    if ending == ".png":
        try:
            data = last.paths[0].read_bytes()
        except OSError as error:
            raise Problem(f"{last.paths[0]} cannot be read: {error.strerror}.") from error
    elif ending in (".xml", ".txt"):
        data = f"{last.settings.xml}\n".encode("utf-8", "surrogateescape")
    elif ending == ".jsonl":
        data = "".join(json.dumps(row(one.settings)) + "\n" for one in session.drawn).encode()
    else:
        raise Problem(
            f"The ending of {path} does not say what to save: .png is the last picture, .xml or .txt its prompt, "
            ".jsonl all prompts and what was set for them, for ./run queue."
        )
    write(path, data)
    say(str(path.absolute()))


def new_file(typed: str) -> Path:
    """Raises Problem for what no file can be called."""
    try:
        path = Path(typed).expanduser()
        path.lstat()
    except FileNotFoundError:
        return path
    except (OSError, RuntimeError, ValueError) as error:  # too long a name, nobody's home, a NUL
        raise Problem(f"{typed!r} can't be the name of a file ({error}): choose another.") from error
    return path


def row(settings: Settings) -> dict[str, Any]:
    """The prompt with what was set for it, as a line of a file for `./run queue`."""
    said = {name: getattr(settings, name) for name in ("seed", "steps", "guidance", "eta")}
    size = "x".join(map(str, settings.size)) if settings.size else None
    given = {"prompt": settings.xml, **said, "size": size, **dict(settings.inputs)}
    return {name: value for name, value in given.items() if value is not None}


def leave(session: Session, typed: str) -> None:
    raise Quit


def show_help(session: Session, typed: str) -> None:
    chinese = system_language() == "zh"
    for command in COMMANDS:
        name = command.names[1 if chinese else 0]
        say(f"  :{padded(f'{name} {command.takes}', 20)} {command.chinese if chinese else command.help}")


@dataclass(frozen=True)
class Command:
    names: tuple[str, ...]  # English, Chinese, more
    takes: str
    help: str
    chinese: str
    work: Callable[[Session, str], None]


COMMANDS = (
    Command(
        ("seed", "种子"),
        "[N|random]",
        "the next picture's seed, which then counts up",
        "下一张的种子，之后逐张加一",
        set_seed,
    ),
    Command(("size", "尺寸", "大小"), "[WxH]", "the pictures' size from now on", "此后图片的尺寸", set_size),
    Command(("set", "设置"), "NODE.INPUT=VALUE", "any input of the workflow", "工作流里的任何输入", set_input),
    Command(
        ("again", "再来", "重画"),
        "[N]",
        "draw the last prompt, or number N, with the next seed",
        "用下一个种子重画上一条（或第 N 条）提示词",
        again,
    ),
    Command(
        ("edit", "编辑", "修改"),
        "[N]",
        "change the last prompt, or number N, and draw it with the same seed",
        "修改上一条（或第 N 条）提示词，用同一个种子再画",
        edit,
    ),
    Command(("open", "打开"), "[N]", "open the last picture, or number N", "打开上一张（或第 N 张）图片", open_picture),
    Command(("history", "历史"), "", "list what was drawn", "列出画过的", history),
    Command(
        ("save", "保存"),
        "[FILE]",
        "the last picture (.png), its prompt (.xml, .txt), or all prompts for ./run queue (.jsonl)",
        "上一张图片（.png）、它的提示词（.xml、.txt），或供 ./run queue 使用的全部提示词（.jsonl）",
        save,
    ),
    Command(("quit", "退出", "exit", "q"), "", "end the session, as Ctrl-D does", "结束会话，与 Ctrl-D 相同", leave),
    Command(("help", "帮助", "h", "?"), "", "this list", "本列表", show_help),
)


def command_of(text: str) -> Callable[[Session], None] | None:
    """What a line that is a command does; None for a prompt. Raises Problem for a command that there is not."""
    found = COMMAND.fullmatch(text)
    if found is None:
        return None
    command, typed = named(unicodedata.normalize("NFKC", found[1] or found[3]).lower()), (found[2] or "").strip(" \t。")
    return lambda session: command.work(session, typed)


def named(name: str) -> Command:
    """The command of that name. Raises Problem with the nearest one."""
    known = {name: command for command in COMMANDS for name in command.names}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, 1)
    meant = f"did you mean :{near[0]}?" if near else ":help lists them."
    raise Problem(f"There is no command :{name}; {meant} (To begin a prompt like that, put a space before the colon.)")
