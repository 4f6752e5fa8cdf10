"""Files of prompts, their seeds and settings, and the names that their pictures get."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from newbie_pack.client import arguments
from newbie_pack.client.problem import Problem
from newbie_pack.client.queue import batch
from newbie_pack.client.workflow import Settings, apply

sys.path.append(str(Path(__file__).parent))
from fake_comfy import GRAPH


def read(tmp_path, name, content, *more):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return batch.read([path, *more])


def test_a_text_is_a_prompt_a_line_and_xml_goes_on_to_its_end(tmp_path):
    text = "1girl, red hair\n\n<scene>\n  <n>a</n>\n</scene>\n<character_1><n>b</n></character_1>\n"
    text += "<general_tags>c</general_tags>\n<character_1><n>d</n></character_1>\n"
    assert [ask.prompt for ask in read(tmp_path, "p.txt", text)] == [
        "1girl, red hair",
        "<scene>\n  <n>a</n>\n</scene>",
        "<character_1><n>b</n></character_1>\n<general_tags>c</general_tags>",
        "<character_1><n>d</n></character_1>",
    ]


def test_an_xml_file_is_one_prompt_whatever_is_in_it(tmp_path):
    (ask,) = read(tmp_path, "Miku and Kaito.xml", "\ufeff<character_1/>\n\n<character_2/>\n")
    assert (ask.prompt, ask.name) == ("<character_1/>\n\n<character_2/>", "Miku and Kaito")


def test_a_jsonl_has_settings_a_line(tmp_path):
    lines = [
        {"prompt": "a", "seed": 7, "size": "384x256", "name": "first", "3.steps": 9},
        {"xml": "<b/>", "size": [256, 384], "guidance": 5, "eta": 0, "steps": None},
        "c",
    ]
    a, b, c = read(tmp_path, "p.jsonl", "\n".join(map(json.dumps, lines)))
    assert (a.prompt, a.name, a.settings, a.inputs) == (
        "a",
        "first",
        {"seed": 7, "size": (384, 256)},
        (("3.steps", "9"),),
    )
    assert (b.prompt, b.settings) == ("<b/>", {"size": (256, 384), "guidance": 5.0, "eta": 0.0})
    assert (c.prompt, c.settings, c.where) == ("c", {}, f"{tmp_path / 'p.jsonl'}:3")


def test_a_csv_is_the_same_under_a_line_of_names(tmp_path):
    text = '\ufeffprompt,seed,size,3.steps\r\n"red, hair\nand more",3,,\r\n,,,\r\nplain,,384x256,5\r\n'
    a, b = read(tmp_path, "p.csv", text)
    assert (a.prompt, a.settings, a.inputs) == ("red, hair\nand more", {"seed": 3}, ())
    assert (b.prompt, b.settings, b.inputs) == ("plain", {"size": (384, 256)}, (("3.steps", "5"),))


def test_a_folder_is_all_of_these_in_order_and_never_its_own_pictures(tmp_path):
    for name in (
        "b.txt",
        "a.xml",
        "c/d.TXT",
        "note.md",
        ".hidden/x.txt",
        "out/manifest.jsonl",
        "out/e.txt",
        "manifest.jsonl",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f'"{name}"')
    found = [ask.where.split(",")[0] for ask in batch.read([tmp_path], tmp_path / "out")]
    assert found == [str(tmp_path / name) for name in ("a.xml", "b.txt", "c/d.TXT")]
    assert len(batch.read([tmp_path], tmp_path)) == 4  # pictures beside the prompts


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("p.jsonl", '"a"\n{"prompt": "b"', r"p\.jsonl:2 is not JSON"),
        ("p.jsonl", "[1]", "neither a text nor an object"),
        ("p.jsonl", '{"seed": 1}', "p.jsonl:1 has no prompt"),
        ("p.jsonl", '{"prompt": 1}', "p.jsonl:1: the prompt is not text"),
        ("p.jsonl", '{"prompt": ["a"]}', "the prompt is not text"),
        ("p.jsonl", '{"prompt": "a", "xml": "b"}', "p.jsonl:1 has several prompts: keep one, under prompt or xml"),
        ("p.csv", "prompt,seed\na,1\n,2\n", "p.csv:3 has no prompt: write it under prompt or xml"),
        ("p.jsonl", '{"prompt": " "}', "the prompt is empty"),
        ("p.jsonl", '{"prompt": "a", "sed": 1}', "'sed' is not known: use prompt, xml, name, seed"),
        ("p.jsonl", '{"prompt": "a", "seed": -1}', "seed: -1 is not between 0"),
        ("p.jsonl", '{"prompt": "a", "seed": 1.5}', "seed: '1.5' is not a whole number"),
        ("p.jsonl", '{"prompt": "a", "size": "100x100"}', "size: 100x100: width and height must be multiples of 16"),
        ("p.jsonl", "[" * 100000, "is not JSON"),
        ("p.csv", "prompt,seed\na,1,2\n", r"p\.csv:2 has more values"),
        ("p.csv", 'prompt\n"a\n', "is not CSV"),
        ("p.csv", "text\na\n", "has no prompt"),
        ("p.csv", "", "No prompt was found"),
        ("p.txt", "\n \n", "No prompt was found"),
        ("p.xml", "", "the prompt is empty"),
        ("p.txt", b"\xff\xfea", "is not UTF-8"),
        ("p.docx", "a", "of no kind that is read"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_place(tmp_path, name, content, words):
    with pytest.raises(Problem, match=words):
        read(tmp_path, name, content)


def test_a_setting_that_the_workflow_has_no_place_for_names_the_line(tmp_path):
    asks = read(tmp_path, "p.jsonl", '{"prompt": "a", "9.x": 1}')
    with pytest.raises(Problem, match=r"p\.jsonl:1: '9\.x' names no input"):
        batch.tasks(asks, GRAPH, Settings())


def test_a_line_wins_over_the_command_and_seeds_over_the_line(tmp_path):
    asks = read(tmp_path, "p.jsonl", '{"prompt": "a", "seed": 5, "steps": 9}')
    (task,) = batch.tasks(asks, GRAPH, Settings(seed=1, steps=2))
    assert apply(GRAPH, task.settings)["3"]["inputs"]["seed"] == 5 and task.settings.steps == 9
    assert [task.settings.seed for task in batch.tasks(asks, GRAPH, Settings(), times=3)] == [5, 6, 7]
    assert [task.settings.seed for task in batch.tasks(asks, GRAPH, Settings(), seeds=[8, 2])] == [8, 2]


def test_keys_stay_the_same_from_run_to_run_and_follow_what_is_drawn(tmp_path):
    asks = read(tmp_path, "p.txt", "a\nb\na\n")
    keys = [task.key for task in batch.tasks(asks, GRAPH, Settings())]
    assert len(set(keys)) == 3 and keys == [task.key for task in batch.tasks(asks, GRAPH, Settings())]
    titled = {id: {**node, "_meta": {"title": "x"}} for id, node in GRAPH.items()}
    assert keys == [task.key for task in batch.tasks(asks, titled, Settings())]
    more = batch.tasks(read(tmp_path, "q.txt", "new\na\nb\na\n"), GRAPH, Settings())
    assert [task.key for task in more][1:] == keys  # a line before them changes nothing
    assert not {task.key for task in batch.tasks(asks, GRAPH, Settings(steps=9))} & set(keys)


HOSTILE = [
    "../../etc/passwd",
    "/etc/passwd",
    "C:\\Windows\\x",
    "..",
    ".",
    ".hidden",
    "con",
    "NUL.txt",
    "aux",
    'a/b\\c:d*e?f"g<h>i|j',
    "\x00\x1b]0;owned\x07",
    "\u202egnp.exe",
    "\ud800\udfff",
    "\u3164\u115f\uffa0",
    "x" * 5000,
    "名" * 500,
    "<character_1><n>miku</n></character_1>",
    "\u200b\ufeff\u2060",
    "-rf ~; $(reboot) `x` %00 %2e%2e",
    "a\nb\tc\u2028d\u2029",
    "e\u0301" * 300,
    "🎨🎨",
    "",
    " ",
    "CON .",
    "file.png.",
]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_name_is_letters_and_digits_in_this_folder(tmp_path, text):
    name = batch.file_name(batch.MARKUP.sub(" ", text))
    assert name and all(letter.isalnum() or letter == "-" for letter in name) and name[0] != "-"
    assert len(name.encode()) <= batch.MOST_NAME
    (task,) = batch.tasks([batch.Ask("a", "x", text)], GRAPH, Settings())
    path = tmp_path / f"{task.stem}.png"
    path.write_bytes(b"")
    assert list(tmp_path.iterdir()) == [path] and path.resolve().parent == tmp_path.resolve()


def test_names_say_what_is_in_the_picture():
    assert batch.file_name("1girl, red hair (long)") == "1girl-red-hair-long"
    assert batch.file_name("一个女孩，微笑") == "一个女孩-微笑"
    assert batch.file_name(batch.MARKUP.sub(" ", "<scene><n>miku</n> <3 >_<</scene>")).startswith("miku-3")


@pytest.mark.parametrize(("text", "seeds"), [("1-3", [1, 2, 3]), ("7", [7]), (" 1 , 5-6,1", [1, 5, 6, 1])])
def test_seeds(text, seeds):
    assert arguments.parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "3-1", "-1", "1-", "1-2-3", "0-99999999999", str(1 << 64), "1,,2", "1.5"])
def test_what_are_no_seeds_is_told(text):
    with pytest.raises(ValueError, match=r"seed|must go"):
        arguments.parse_seeds(text)
