"""The API client against a small host of our own: real HTTP, real WebSocket, the real host's answers and bad ones."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from newbie_pack.client import answers, api
from newbie_pack.client.picture import draw, write
from newbie_pack.client.problem import Problem

sys.path.append(str(Path(__file__).parent))
from aiohttp import web
from fake_host import ID, FakeHost

PROMPT = {
    "1": {"class_type": "NewBieXMLPrompt", "inputs": {"xml": "<a>"}, "_meta": {"title": "XML prompt"}},
    "2": {"class_type": "NewBieSample", "inputs": {}},
}
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63606060000000040001f61738"
    "550000000049454e44ae426082"
)


@pytest.fixture
def fake(request):
    host = FakeHost()
    host.jobs = getattr(request, "param", True)
    yield host
    host.stop()


both = pytest.mark.parametrize("fake", [True, False], ids=["jobs", "older"], indirect=True)


def taken_back(fake) -> bool:
    """Whether the prompt was cancelled, by the one way or the other."""
    if fake.jobs:
        return (f"/api/jobs/{ID}/cancel", {}) in fake.asked
    return fake.asked[-2:] == [("/queue", {"delete": [fake.id]}), ("/interrupt", {"prompt_id": fake.id})]


def of_prompt(**data: object) -> dict:
    return {"prompt_id": ID, **data}


@both
def test_draw_shows_progress_and_names_the_pictures(fake):
    fake.events = [
        ("status", {"status": {}}),
        ("executing", of_prompt(node="1")),
        ("progress", {"prompt_id": "another prompt", "node": "2", "value": 9, "max": 9}),
        ("executing", of_prompt(node="2")),
        ("progress", of_prompt(node="2", value=3, max=28)),
        ("executing", of_prompt(node=None)),
    ]
    image = {"filename": "a.png", "subfolder": "s", "type": "output"}
    fake.record = {"outputs": {"9": {"images": [image]}, "10": {"text": ["x"]}}, "status": {"messages": []}}
    fake.files["a.png"] = b"PNG"
    seen: list[api.Progress] = []
    server = api.server(fake.url)
    result = api.draw(server, PROMPT, seen.append)
    assert seen == [
        api.Progress("XML prompt"),
        api.Progress("NewBieSample"),
        api.Progress("NewBieSample", 3, 28),
    ]
    assert result.pictures == (api.Picture("a.png", "s", "output"),)
    assert api.download(server, result.pictures[0]) == b"PNG"
    path, body = fake.asked[0]
    assert (path, body["prompt"], set(body)) == ("/prompt", PROMPT, {"prompt", "client_id", "prompt_id"})


@both
def test_a_failed_node_gives_its_title_and_its_sentence(fake):
    error = of_prompt(
        node_id="1", node_type="NewBieXMLPrompt", exception_message="line 1: no such tag\n", exception_type="ValueError"
    )
    fake.events = [("execution_error", error), ("executing", of_prompt(node=None))]
    fake.record = {"outputs": {}, "status": {"messages": [["execution_error", error]]}}
    with pytest.raises(api.HostError) as caught:
        api.draw(api.server(fake.url), PROMPT)
    assert str(caught.value) == "XML prompt: line 1: no such tag" and caught.value.kinds == {"ValueError"}


@both
def test_half_a_graph_is_refused_and_taken_out_of_the_queue(fake):
    """The host answers 200 where one branch is in order, and would run that one alone."""
    error = {"type": "custom_validation_failed", "message": "m", "details": "xml - line 1: no such tag"}
    fake.node_errors = {"1": {"errors": [error], "dependent_outputs": ["9"], "class_type": "NewBieXMLPrompt"}}
    with pytest.raises(api.HostError) as caught:
        api.draw(api.server(fake.url), PROMPT)
    assert str(caught.value) == "XML prompt: line 1: no such tag"
    assert taken_back(fake)


def test_a_preview_is_not_taken_for_the_picture(fake, tmp_path):
    fake.events = [("executing", of_prompt(node=None))]
    preview = {"filename": "layout.png", "subfolder": "", "type": "temp"}
    image = {"filename": "a.png", "subfolder": "", "type": "output"}
    fake.record = {"outputs": {"8": {"images": [preview]}, "9": {"images": [image]}}, "status": {"messages": []}}
    fake.files = {"layout.png": b"boxes", "a.png": PNG}
    write(tmp_path / "out.png", draw(api.server(fake.url), PROMPT)[0][0])
    assert (tmp_path / "out.png").read_bytes() == PNG


@both
def test_an_interrupted_prompt_says_so(fake):
    fake.events = [("executing", of_prompt(node=None))]
    fake.record = {"outputs": {}, "status": {"messages": [["execution_interrupted", of_prompt(node_id="2")]]}}
    with pytest.raises(answers.Interrupted):
        api.draw(api.server(fake.url), PROMPT)


@both
def test_ctrl_c_interrupts_the_prompt_on_the_host(fake):
    fake.events = [("executing", of_prompt(node="2"))]

    def press(progress: api.Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        api.draw(api.server(fake.url), PROMPT, press)
    assert taken_back(fake)


@both
def test_without_messages_the_history_tells(fake, monkeypatch):
    monkeypatch.setattr(api, "LOOK_AGAIN", 0.02)
    fake.record = {
        "outputs": {},
        "status": {"messages": [["execution_error", of_prompt(node_id="2", exception_message="no")]]},
    }
    with pytest.raises(api.HostError, match="NewBieSample: no"):
        api.draw(api.server(fake.url), PROMPT)


@both
def test_a_host_that_died_is_noticed(fake, monkeypatch):
    monkeypatch.setattr(api, "LOOK_AGAIN", 0.02)
    fake.record = None
    with pytest.raises(Problem, match="stopped while drawing"):
        api.draw(api.server(fake.url, alive=lambda: False), PROMPT)


def test_nobody_there_is_one_sentence():
    with pytest.raises(Problem, match=r"http://127\.0\.0\.1:1 does not answer"):
        api.submit(api.server("http://127.0.0.1:1"), PROMPT)
    with pytest.raises(Problem, match=r"http://127\.0\.0\.1:1 does not answer"):
        api.draw(api.server("http://127.0.0.1:1"), PROMPT)


def test_a_name_that_is_no_server_is_told_without_the_systems_numbers():
    with pytest.raises(Problem, match=r"http://nowhere\.invalid does not answer \([^\[\d]+\): start it"):
        api.submit(api.server("http://nowhere.invalid"), PROMPT)


def test_a_missing_file_is_a_sentence_too(fake):
    with pytest.raises(Problem, match="404"):
        api.download(api.server(fake.url), api.Picture("gone.png", "", "output"))


# --- what the real host answers to prompts it refuses ----------------------------------------------------------------


def refused(errors: dict, error: dict | None = None) -> dict:
    default = {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation", "details": ""}
    return {"error": error or default, "node_errors": errors}


def one(node: str, **error: object) -> dict:
    return {node: {"errors": [error], "dependent_outputs": ["9"], "class_type": PROMPT[node]["class_type"]}}


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (
            refused(
                one(
                    "1",
                    type="custom_validation_failed",
                    message="Custom validation failed for node",
                    details="xml - line 2, column 5: <nam> is not closed - add </nam>",
                )
            ),
            "XML prompt: line 2, column 5: <nam> is not closed - add </nam>",
        ),
        (
            refused(one("2", type="value_smaller_than_min", message="Value 0 smaller than min of 1", details="steps")),
            "NewBieSample: Value 0 smaller than min of 1: steps",
        ),
        (
            refused(
                {},
                {
                    "type": "missing_node_type",
                    "message": "Node 'X' not found. The custom node may not be installed.",
                    "details": "Node ID '#3'",
                    "extra_info": {"node_id": "3", "class_type": "NewBieX", "node_title": "X"},
                },
            ),
            "ComfyUI refused the prompt: there is no node NewBieX there: install this pack, or update it, and restart "
            "that ComfyUI.",
        ),
        (
            refused({}, {"type": "prompt_no_outputs", "message": "Prompt has no outputs", "details": ""}),
            "ComfyUI refused the prompt: Prompt has no outputs",
        ),
    ],
)
def test_a_refused_prompt_is_one_sentence(fake, answer, sentence):
    fake.refuse = answer
    with pytest.raises(api.HostError) as caught:
        api.draw(api.server(fake.url), PROMPT)
    assert str(caught.value) == sentence


def test_the_same_error_on_two_outputs_is_said_once():
    error = {"type": "required_input_missing", "message": "Required input is missing", "details": "clip"}
    answer = refused({"2": {"errors": [error, error]}})
    found = answers.refusal(PROMPT, json.dumps(answer).encode())
    assert str(found) == "NewBieSample: Required input is missing: clip"
    assert found.kinds == {"required_input_missing"}


def test_an_answer_that_is_no_json_is_quoted():
    assert str(answers.refusal(PROMPT, b"<html>busy")) == "ComfyUI refused the prompt: <html>busy"


def test_a_node_made_by_another_has_its_makers_title():
    assert answers.title_of(PROMPT, "1.0.3") == "XML prompt"
    assert answers.title_of(PROMPT, "77") == "node 77"


# --- a server that misbehaves -----------------------------------------------------------------------------------------

IMAGE = {"filename": "a.png", "subfolder": "", "type": "output"}
NO_JSON = [b"", b"<html>", b"null", b"[]", b"1", b'"text"', b"{", b"\xff\xfe", b"[" * 5000, b'{"a": NaN}']
WRONG = [None, [], 1, "text", True, {"x": 1}]
RECORDS = [
    *WRONG[1:5],
    *({"outputs": wrong, "status": {"messages": []}} for wrong in [*WRONG[1:], {"9": 1}, {"9": {"images": [1]}}]),
    {"outputs": {"9": {"images": [{}]}}, "status": {"messages": []}},
    *({"outputs": {}, "status": wrong} for wrong in WRONG[1:5]),
    *({"outputs": {}, "status": {"messages": wrong}} for wrong in [1, True, [1], [[]], [["execution_error"]]]),
    {"outputs": {}, "status": {"messages": [["execution_error", 1]]}},
]


def says(body: bytes, status: int = 200):
    async def answer(request):
        return web.Response(body=body, status=status)

    return answer


def drawn(fake, tmp_path):
    """Draws with a client in a hurry. Whatever happens: a Problem, or a whole picture and nothing half-written."""
    fake.files.setdefault("a.png", PNG)
    path = tmp_path / "out.png"
    try:
        write(path, draw(api.server(fake.url), PROMPT)[0][0])
    except Problem as problem:
        assert str(problem).strip() and not list(tmp_path.iterdir())
        return str(problem)
    assert path.read_bytes() == PNG and list(tmp_path.iterdir()) == [path]
    return ""


@pytest.fixture
def hurry(monkeypatch):
    monkeypatch.setattr(api, "LOOK_AGAIN", 0.02)


@pytest.fixture
def impatient(hurry, monkeypatch):
    """For what never ends alone: whatever ends would be given up on a busy machine."""
    monkeypatch.setattr(api, "REQUEST", 0.5)
    monkeypatch.setattr(api, "PATIENCE", 0.3)


@pytest.mark.parametrize("body", NO_JSON)
@pytest.mark.parametrize("path", ["/prompt", "/api/jobs", "/history", "/queue", "/view"])
def test_an_answer_of_another_form_is_a_sentence(fake, impatient, tmp_path, path, body):
    fake.jobs = path == "/api/jobs"
    fake.record = None if path == "/queue" else {"outputs": {"9": {"images": [IMAGE]}}, "status": {"messages": []}}
    fake.answers[path] = says(body)
    assert drawn(fake, tmp_path)


@pytest.mark.parametrize("record", RECORDS, ids=repr)
def test_a_history_of_another_form_is_a_sentence(fake, impatient, tmp_path, record):
    fake.record = record
    assert drawn(fake, tmp_path)


@pytest.mark.parametrize("data", [*WRONG, {"prompt_id": ID, "node": [], "value": "x"}], ids=repr)
@pytest.mark.parametrize("kind", ["executing", "progress", "execution_error", "unheard of", 7, None])
def test_events_of_another_form_are_passed_over_or_a_sentence(fake, hurry, tmp_path, kind, data):
    fake.record = {"outputs": {"9": {"images": [IMAGE]}}, "status": {"messages": []}}
    odd = [json.dumps({"type": kind, "data": data}), "no json", "[]", "1", b"\x00"]
    fake.events = [*odd, ("executing", of_prompt(node=None))]
    told = drawn(fake, tmp_path)
    assert told == "" or "does not answer as ComfyUI does" in told


@pytest.mark.parametrize("status", [204, 301, 302, 400, 401, 403, 404, 405, 413, 500, 502, 503])
@pytest.mark.parametrize("path", ["/prompt", "/api/jobs", "/history", "/view", "/ws"])
def test_every_status_is_a_sentence(fake, hurry, request, tmp_path, path, status):
    fake.record = {"outputs": {"9": {"images": [IMAGE]}}, "status": {"messages": []}}
    fake.jobs = path == "/api/jobs"
    fake.answers[path] = says(b"" if status == 204 else b"busy", status)
    falls_back = path == "/api/jobs" and status == 404  # a host without the jobs API
    if not falls_back:
        request.getfixturevalue("impatient")
    assert bool(drawn(fake, tmp_path)) is not falls_back


@pytest.mark.parametrize("data", [b"", PNG[:-1], PNG[:40], b"GIF89a", PNG[:16] + bytes(8) + PNG[24:], b"\x00" + PNG])
def test_what_is_no_picture_is_not_kept(fake, hurry, tmp_path, data):
    fake.record = {"outputs": {"9": {"images": [IMAGE]}}, "status": {"messages": []}}
    fake.files["a.png"] = data
    assert "no complete PNG" in drawn(fake, tmp_path)


@pytest.mark.parametrize("path", ["/prompt", "/api/jobs", "/history", "/view"])
@pytest.mark.parametrize("pause", [0.05, 5.0], ids=["drips", "stops in the middle"])
def test_a_body_without_end_is_noticed(fake, impatient, tmp_path, path, pause):
    async def drip(request):
        answer = web.StreamResponse()
        await answer.prepare(request)
        for _ in range(200):
            await answer.write(b" ")
            await asyncio.sleep(pause)
        return answer

    fake.record = {"outputs": {"9": {"images": [IMAGE]}}, "status": {"messages": []}}
    fake.jobs, fake.answers[path] = path == "/api/jobs", drip
    assert "no complete answer within" in drawn(fake, tmp_path)


def test_a_body_that_is_too_long_is_noticed(fake, hurry, tmp_path, monkeypatch):
    monkeypatch.setattr(api, "MOST_BYTES", 1 << 20)
    fake.record = {"outputs": {"9": {"images": [IMAGE]}}, "status": {"messages": []}}
    fake.files["a.png"] = bytes(2 << 20)
    assert "more than 1 MiB" in drawn(fake, tmp_path)


@both
def test_a_prompt_that_is_nowhere_any_more_is_noticed(fake, hurry, tmp_path):
    fake.record, fake.queue = None, {"queue_running": [], "queue_pending": []}
    assert "no longer has this prompt" in drawn(fake, tmp_path)


@both
def test_a_worker_that_has_died_is_noticed_and_the_prompt_taken_back(fake, impatient, tmp_path):
    fake.record = None
    assert "no progress" in drawn(fake, tmp_path)
    assert taken_back(fake)


def test_progress_extends_the_deadline(fake, hurry, monkeypatch, tmp_path):
    """By a clock that goes on by most of the patience before every event."""
    now = [0.0]
    monkeypatch.setattr(api, "time", SimpleNamespace(monotonic=lambda: now[0]))

    async def slow(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for step in range(5):
            now[0] += 0.9 * api.PATIENCE
            await socket.send_json({"type": "progress", "data": of_prompt(node="2", value=step, max=20)})
            asked = len(fake.asked)
            while len(fake.asked) < asked + 3:  # by then the client has heard, and looked at its clock
                await asyncio.sleep(0.005)
        fake.record = {"outputs": {"9": {"images": [IMAGE]}}, "status": {"messages": []}}
        await socket.send_json({"type": "executing", "data": of_prompt(node=None)})
        await socket.receive()
        return socket

    fake.record, fake.answers["/ws"] = None, slow
    assert drawn(fake, tmp_path) == ""
    assert now[0] > 4 * api.PATIENCE


def test_a_socket_that_closes_leaves_it_to_the_history(fake, hurry, tmp_path):
    fake.record = {"outputs": {"9": {"images": [IMAGE]}}, "status": {"messages": []}}
    fake.close_socket = True
    assert drawn(fake, tmp_path) == ""


def test_a_server_that_speaks_no_http_is_a_sentence(impatient, tmp_path):
    import socket
    import threading

    for said in (b"SSH-2.0-x\r\n", b"", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"):
        listener = socket.create_server(("127.0.0.1", 0))

        def answer(listener=listener, said=said):
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(said)

        threading.Thread(target=answer, daemon=True).start()
        at = api.server(f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(Problem, match="does not answer"):
            api.ask(at, "/history/x")
        with pytest.raises(Problem, match="does not answer"):
            api.draw(at, PROMPT)
        listener.close()
