"""`./run prompt`: exit codes, what goes where, and that it answers at once."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from newbie_pack.client import inside, prompt_tool
from newbie_pack.xml_prompt import parse

FINE = "<character_1> <n>初音</n> <position>left</position> </character_1>"
WARNED = "<character_1> <n>miku</n> <hairs>blue</hairs> </character_1>"
WRONG = "<scene>\n<character_1> <n>初音</n> <pose>b</character_1> </scene>"


@pytest.fixture
def file(tmp_path):
    def written(text: str, name: str = "a.xml") -> str:
        (tmp_path / name).write_text(text, "utf-8")
        return str(tmp_path / name)

    return written


def test_show_prints_one_json_object(file, capsys):
    assert prompt_tool.main(["show", file(FINE)]) == 0
    (character,) = json.loads(capsys.readouterr().out)["characters"]
    assert (character["id"], character["name"]) == ("character_1", "初音")
    left, top, right, bottom = character["box"]
    assert 0 <= left < right <= 1000 and 0 <= top < bottom <= 1000
    assert left + right < 1000


def test_the_pictures_size_changes_the_boxes(file, capsys):
    boxes = []
    for size in ("256x384", "384x256"):
        assert prompt_tool.main(["show", "--size", size, file(FINE)]) == 0
        boxes.append(json.loads(capsys.readouterr().out)["characters"][0]["box"])
    assert boxes[0] != boxes[1]


@pytest.mark.parametrize(
    ("texts", "code", "last"),
    [
        ((FINE,), 0, "1 character, 0 warnings"),
        ((WARNED, FINE), 1, "1 character, 0 warnings"),
        ((WARNED, WRONG, FINE), 2, "1 character, 0 warnings"),
        (("",), 1, "0 characters, 1 warning"),
    ],
)
def test_check_says_the_worst(file, capsys, texts, code, last):
    assert prompt_tool.main(["check", *(file(text, f"{i}.xml") for i, text in enumerate(texts))]) == code
    assert capsys.readouterr().out.splitlines()[-1].endswith(last)


def test_a_warning_and_an_error_name_their_place(file, capsys):
    name, wrong = file(WARNED, "warned.xml"), file(WRONG, "wrong.xml")
    assert prompt_tool.main(["check", name, wrong]) == 2
    told = capsys.readouterr()
    assert told.out.startswith(f"{name}:1:27: ")
    assert told.err.splitlines() == [
        f"{wrong}:2:25: <pose> is never closed. Write </pose> before </character_1>.",
        "    <character_1> <n>初音</n> <pose>b</character_1> </scene>",
        "                     \u3000\u3000     ^",  # Chinese letters are twice as wide
    ]


@pytest.mark.skipif(os.name == "nt", reason="no file has such a name there")
def test_a_file_whose_name_has_a_line_end_is_told_on_one_line(file, capsys):
    name = file(WARNED, "a\nb.xml")
    assert prompt_tool.main(["check", name]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all("a\\nb.xml:" in line for line in lines)


@pytest.mark.parametrize("typed", ["<n>\x1b[31m</n>", "<n>红\x00</n>"])
def test_letters_that_a_terminal_obeys_are_shown_and_the_caret_stands_below_its_place(file, capsys, typed):
    name = file(typed, "a\x1b]0;x\x07.xml")
    assert prompt_tool.main(["check", name]) == 2
    place, line, caret = capsys.readouterr().err.splitlines()
    assert "\x1b" not in place + line and "\\x1b]0;x\\x07.xml:1:" in place
    width = sum(2 if ord(letter) > 0x2E7F else 1 for letter in line[: line.index("\\x")])
    assert sum(2 if letter == "\u3000" else 1 for letter in caret) == width + 1


@pytest.mark.parametrize(
    ("locale", "warned", "refused"), [("zh_CN.UTF-8", "不是已知字段", "没有结束"), ("C", "not a known", "never")]
)
def test_messages_are_in_the_language_of_the_process(file, capsys, monkeypatch, locale, warned, refused):
    monkeypatch.setenv("LC_ALL", locale)
    prompt_tool.main(["check", file("<character_1><shoes>red</shoes></character_1>")])
    assert warned in capsys.readouterr().out
    prompt_tool.main(["check", file("<character_1>")])
    assert refused in capsys.readouterr().err


@pytest.mark.parametrize(
    ("form", "beginning"), [("xml", "<character_1>\n<n>初音</n>"), ("json", "{"), ("tags", "初音\n")]
)
def test_render_prints_what_the_encoders_read(file, capsys, form, beginning):
    assert prompt_tool.main(["render", "--form", form, file(FINE)]) == 0
    assert capsys.readouterr().out.startswith(beginning)


@pytest.mark.parametrize("task", ["show", "check", "render"])
def test_a_file_that_cannot_be_read_is_a_sentence(task, tmp_path, capsys):
    (tmp_path / "latin.xml").write_bytes(b"\xe9")
    assert prompt_tool.main([task, str(tmp_path / "none.xml")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert prompt_tool.main([task, str(tmp_path / "latin.xml")]) == 2
    assert "is not UTF-8" in capsys.readouterr().err


def test_standard_input(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(FINE.encode())))
    assert prompt_tool.main(["check", "-"]) == 0
    assert capsys.readouterr().out == "-: 1 character, 0 warnings\n"


def test_the_module_runs_as_the_pack_it_is(file):
    """As ./run starts it: in the environment's Python, whatever this folder is called."""
    root = Path(inside.__file__).resolve().parent.parent
    command = [sys.executable, str(root / "client" / "inside.py"), "client.prompt_tool", "check", file(WARNED)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.endswith("1 character, 1 warning\n")


def test_nothing_heavy_is_imported(file):
    """It answers within a second because of what it leaves out."""
    root = Path(inside.__file__).resolve().parent.parent
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from client import inside; from pathlib import Path; "
        "inside.load_pack(Path(sys.argv[1])); import newbie_pack.client.prompt_tool; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'comfy', 'aiohttp')))"
    )
    assert subprocess.run([sys.executable, "-c", code, str(root)]).returncode == 0


def test_plain_tags_become_xml(file, capsys):
    path = file("1girl, blue hair; 1boy, red hair")
    assert prompt_tool.main(["convert", path]) == 0
    scene = parse(capsys.readouterr().out)
    assert [character.gender for character in scene.characters] == ["girl", "boy"]
    assert [character.tags("appearance")[0].text for character in scene.characters] == ["blue hair", "red hair"]
