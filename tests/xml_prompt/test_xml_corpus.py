"""The corpus in tests/data: prompts as people write them and what they say, mistakes as people make them and where.

Beside each prompt lies NAME.expected.json. In valid/ a key left out means nothing was said; a tag is its text, or
[text, weight]; an interaction is [kind, ids]; a warning is ["line:column", part of the message];
there are no others. plain/ is the same for convert: plain words that become characters. field/ holds inputs of the
shapes that people publish, with "read" (parse or convert) beside what they say, the ids from left to right ("across"),
their text for SD ("sd"), or the "error" that they are: its place and a part of it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from time import process_time

import pytest
from newbie_pack.xml_prompt import PromptError, convert, layout, parse, render_tags, report, text_of, to_xml

HERE = Path(__file__).parents[1] / "data"


def prompts(folder):
    return sorted(path for path in (HERE / folder).iterdir() if not path.name.endswith(".expected.json"))


def read(path):
    expected = json.loads(path.with_name(f"{path.stem}.expected.json").read_text(encoding="utf-8"))
    return path.read_bytes().decode("utf-8"), expected


def short(tags):
    return [tag["tag"] if tag["weight"] == 1 else [tag["tag"], tag["weight"]] for tag in tags]


def fields(named):
    return {name: short(tags) for name, tags in named.items()}


def said(scene):
    """The scene as an expectation writes it."""
    seen = report(scene, layout(scene))
    characters = [
        {
            "id": shown["id"],
            "name": shown["name"],
            "gender": shown["gender"],
            "fields": fields(shown["fields"]),
            "negative": short(shown["negative"]),
            "box": character.box and shown["box"],
            "more_boxes": shown["more_boxes"],
            "loras": [[lora["name"], lora["strength"]] for lora in shown["loras"]],
        }
        for character, shown in zip(scene.characters, seen["characters"], strict=True)
    ]
    return {
        "characters": [{key: value for key, value in character.items() if value} for character in characters],
        "general": fields(seen["general"]),
        "caption": seen["caption"],
        "system": seen["system"],
        "interactions": [[i["kind"], i["between"]] for i in seen["interactions"]],
        "spacing": seen["spacing"],
        "loras": [[lora["name"], lora["strength"]] for lora in seen["loras"]],
    }


def from_the_left(scene):
    """The ids, in the order in which the layout has them."""
    middles = [box.left + box.right for box in layout(scene)]
    return [scene.characters[i].id for i in sorted(range(len(middles)), key=middles.__getitem__)]


NOTHING = {
    "characters": [], "general": {}, "caption": "", "system": "", "interactions": [], "spacing": "", "loras": [],
}  # fmt: skip


READ = [(parse, path) for path in prompts("valid")] + [(convert, path) for path in prompts("plain")]


@pytest.mark.parametrize(("reader", "path"), READ, ids=lambda value: getattr(value, "name", value.__class__.__name__))
def test_what_a_prompt_says(reader, path):
    text, expected = read(path)
    warnings = expected.pop("warnings", [])
    scene = reader(text)
    assert said(scene) == NOTHING | expected
    assert [f"{w.line}:{w.column}" for w in scene.warnings] == [place for place, _ in warnings], scene.warnings
    for warning, (_, part) in zip(scene.warnings, warnings, strict=True):
        assert part in str(warning.message)
    assert said(parse(to_xml(scene))) == NOTHING | expected


@pytest.mark.parametrize("path", prompts("invalid"), ids=lambda path: path.name)
def test_where_a_mistake_is(path):
    text, expected = read(path)
    with pytest.raises(PromptError) as caught:
        parse(text)
    error = caught.value
    assert expected["message"] in str(error.message)
    assert f"{error.line}:{error.column}" == expected["place"]
    assert expected.get("hint", "") in str(error.message)
    assert error.source == text.replace("\r\n", "\n").split("\n")[error.line - 1]
    assert str(error).startswith(f"line {error.line}, column {error.column}: ")


@pytest.mark.parametrize("path", prompts("field"), ids=lambda path: path.name)
def test_what_people_write(path):
    text, expected = read(path)
    reader = {"parse": parse, "convert": convert}[expected.pop("read")]
    expected.pop("kind")
    if error := expected.pop("error", None):
        with pytest.raises(PromptError) as caught:
            reader(text)
        assert f"{caught.value.line}:{caught.value.column}" == error[0]
        assert error[1] in str(caught.value.message)
        return
    warnings, across, sd = (expected.pop(key, None) for key in ("warnings", "across", "sd"))
    scene = reader(text)
    assert said(scene) == NOTHING | expected
    assert [f"{w.line}:{w.column}" for w in scene.warnings] == [place for place, _ in warnings or ()], scene.warnings
    assert all(part in str(w.message) for w, (_, part) in zip(scene.warnings, warnings or (), strict=True))
    assert across is None or across == from_the_left(scene)
    assert sd is None or text_of(render_tags(scene)) == sd
    assert said(parse(to_xml(scene))) == NOTHING | expected


def test_every_expectation_has_its_prompt():
    for folder in ("valid", "plain", "invalid", "field"):
        stems = [path.stem for path in prompts(folder)]
        assert len(stems) == len(set(stems))
        assert {path.name for path in (HERE / folder).glob("*.expected.json")} == {f"{s}.expected.json" for s in stems}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (")" * 131_072, "more than 16384 brackets"),
        ("<n>" + "&" * 131_072, "more than 4096 .* that are not XML"),
        ("a" * (256 * 1024 + 1), "longer than 256 KB"),
        ("中" * (90 * 1024), "longer than 256 KB"),
        ("a," * 4097, "more than 4096 tags"),
        ("<a/>" * 2049, "more than 2048 elements"),
        ("1girl \ud800", "U\\+D800"),
        ("<n " + " ".join(f'a{i}="1"' for i in range(17)) + ">x</n>", "more than 16 attributes"),
        ('{"a":' + "[" * 100_000, "nested too deep"),
        ('{"character_1": {"bbox": [0, 0, 1, ' + "9" * 5000 + "]}}", "number in it is too long"),
        ('{"character_1": {"bbox": [0, 0, 1, ' + "9" * 400 + "]}}", "beyond 0..1000"),
    ],
)
def test_bounds(text, message):
    with pytest.raises(PromptError, match=message):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        ")" * 131_072,
        "a:" * 131_000,
        "a: " * 80_000,
        "1girl;" * 40_000,
        "(a" * 8 + ":" * 131_000,
        '{"image": {"tags": "' + "\\u4e2d" * 40_000 + '"}}',
        '{"a": "' + "\\" * 131_000,
        "a" * 131_072,
        "," * 131_072,
        "&" * 131_072,
        "＜" + " " * 131_000,
        "```" + " " * 131_000,
        "<" + " " * 131_000,
        "<pose>" + ")" * 131_000 + "</pose>",
        "1::a," * 800,
        "<n>" + "<x " * 80_000,
        "a<b " * 60_000,
        "// " * 80_000,
        "<!--" * 60_000,
        "/* " * 80_000,
        "<think>" * 36_000,
        "\\n" * 120_000,
        "&lt;n" * 50_000,
        "{a|" * 80_000,
        "[a:" * 80_000,
        "**a" * 80_000,
        "A:b\n" * 60_000,
        "# a\n" * 60_000,
        "__a" * 80_000,
        "a|" * 120_000,
        "a" * 130_000 + "|",
        "{" + "a" * 130_000,
        "1::a " * 50_000,
        "$a" * 100_000,
        "(a" + ":" * 131_000 + ")",
    ],
    ids=lambda text: text[:6].strip(),
)
def test_no_text_takes_long(text):
    """Milliseconds each; quadratic time would take minutes. The limit leaves room for a slow machine."""
    for reader in (parse, convert):
        start = process_time()
        with suppress(PromptError):
            reader(text)
        assert process_time() - start < 5


def test_a_negative_prompt_is_no_character():
    with pytest.raises(PromptError, match="line 2, column 1: A negative prompt does not belong here"):
        convert("1girl, smile\nNegative prompt: hat")
