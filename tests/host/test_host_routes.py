"""What the page asks of the pack, over real HTTP."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

CHECK = "/newbie_xml/check"


def answer(host, path, body=None, **headers):
    """(status, text) of a GET, or of a POST with a body."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(host.url + path, body, named)) as found:
            return found.status, found.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


@pytest.mark.parametrize(("name", "title"), [("language", "The prompt language"), ("language.zh", "提示词语言")])
def test_the_language_has_its_page(host, name, title):
    status, text = answer(host, f"/newbie_xml/{name}")
    assert status == 200 and f"<h1>{title}</h1>" in text


def test_there_are_no_other_pages(host):
    assert answer(host, "/newbie_xml/..%2F__init__")[0] == 404


def test_help_is_where_the_page_looks_first(host):
    pack = next(path for path in json.loads(answer(host, "/extensions")[1]) if path.endswith("/newbie.js"))
    docs = pack.replace("newbie.js", "docs")
    assert answer(host, f"{docs}/NewBieSize/en.md") == answer(host, f"{docs}/NewBieSize.md")
    assert answer(host, f"{docs}/NewBieSize/zh.md") != answer(host, f"{docs}/NewBieSize.md")
    assert answer(host, f"{docs}/NewBieSize/en.md")[1].startswith("#")
    assert answer(host, f"{docs}/NewBieSize/zh-TW.md") == answer(host, f"{docs}/NewBieSize/zh.md")
    assert answer(host, f"{docs}/NewBieNothing/en.md")[0] == answer(host, f"{docs}/NewBieSize/ja.md")[0] == 404


def test_a_prompt_is_judged(host):
    body = json.dumps({"text": "<character_1><n>a</n>"}).encode()
    status, text = answer(host, CHECK, body, Content_Type="application/json")
    assert status == 200 and json.loads(text)["problem"]["line"] == 1
    assert "position" in json.loads(answer(host, CHECK)[1])["character"]


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (415, b'{"text": ""}', {"Content_Type": "text/plain"}),  # as a form on another site could send it
        (403, b'{"text": ""}', {"Content_Type": "application/json", "Origin": "http://elsewhere.example"}),
        (413, b" " * 1_000_001, {"Content_Type": "application/json"}),
        (400, b"{", {"Content_Type": "application/json"}),
        (400, b"\xff", {"Content_Type": "application/json"}),
        (400, b"[" * 100_000, {"Content_Type": "application/json"}),
    ],
)
def test_what_is_no_question_of_the_page_is_refused(host, status, body, headers):
    assert answer(host, CHECK, body, **headers)[0] == status
    assert answer(host, CHECK)[0] == 200
