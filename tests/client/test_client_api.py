"""The API client against a small host of our own: real HTTP, real WebSocket, the real host's answers."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from newbie_pack.client import api
from newbie_pack.client import websocket as ws
from newbie_pack.client.problem import Problem

PROMPT = {
    "1": {"class_type": "NewBieXMLPrompt", "inputs": {"xml": "<a>"}, "_meta": {"title": "XML prompt"}},
    "2": {"class_type": "NewBieSample", "inputs": {}},
}
ID = "11111111-2222-3333-4444-555555555555"


class FakeHost:
    """Answers as told; `events` go out over the socket once a prompt is queued."""

    def __init__(self) -> None:
        self.refuse: dict | None = None
        self.node_errors: dict = {}
        self.events: list[tuple[str, dict]] = []
        self.record: dict | None = {"outputs": {}, "status": {"messages": []}}
        self.asked: list[tuple[str, dict | None]] = []
        self.files: dict[str, bytes] = {}
        self.queued = threading.Event()
        self.stopped = threading.Event()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                if url.path == "/ws":
                    return fake.socket(self)
                fake.asked.append((url.path, None))
                if url.path == f"/history/{ID}":
                    return self.answer(200, json.dumps({ID: fake.record} if fake.record else {}).encode())
                name = parse_qs(url.query).get("filename", [""])[0]
                if url.path == "/view" and name in fake.files:
                    return self.answer(200, fake.files[name])
                return self.answer(404, b"")

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                fake.asked.append((self.path, body))
                if self.path != "/prompt":
                    return self.answer(200, b"")
                if fake.refuse is not None:
                    return self.answer(400, json.dumps(fake.refuse).encode())
                self.answer(200, json.dumps({"prompt_id": ID, "number": 1, "node_errors": fake.node_errors}).encode())
                fake.queued.set()

            def answer(self, code: int, body: bytes) -> None:
                self.send_response(code)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def socket(self, handler: BaseHTTPRequestHandler) -> None:
        key = handler.headers["Sec-WebSocket-Key"]
        answer = base64.b64encode(hashlib.sha1((key + ws.ACCEPT_KEY).encode()).digest()).decode()
        out = handler.connection
        out.sendall(f"HTTP/1.1 101 Switching\r\nSec-WebSocket-Accept: {answer}\r\n\r\n".encode())
        self.queued.wait(10)
        for kind, data in self.events:
            out.sendall(ws.build_frame(ws.TEXT, json.dumps({"type": kind, "data": data}).encode()))
            out.sendall(ws.build_frame(ws.BINARY, b"\x00\x00\x00\x01preview"))
        self.stopped.wait(10)


@pytest.fixture
def fake():
    host = FakeHost()
    yield host
    host.queued.set()
    host.stopped.set()
    host.server.shutdown()
    host.server.server_close()


def of_prompt(**data: object) -> dict:
    return {"prompt_id": ID, **data}


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
    assert fake.asked[0] == ("/prompt", {"prompt": PROMPT, "client_id": server.client})


def test_a_failed_node_gives_its_title_and_its_sentence(fake):
    fake.events = [
        (
            "execution_error",
            of_prompt(node_id="1", node_type="NewBieXMLPrompt", exception_message="line 1: no such tag\n"),
        ),
        ("executing", of_prompt(node=None)),
    ]
    with pytest.raises(api.HostError) as caught:
        api.draw(api.server(fake.url), PROMPT)
    assert str(caught.value) == "XML prompt: line 1: no such tag"


def test_half_a_graph_is_refused_and_taken_out_of_the_queue(fake):
    """The host answers 200 where one branch is in order, and would run that one alone."""
    error = {"type": "custom_validation_failed", "message": "m", "details": "xml - line 1: no such tag"}
    fake.node_errors = {"1": {"errors": [error], "dependent_outputs": ["9"], "class_type": "NewBieXMLPrompt"}}
    with pytest.raises(api.HostError) as caught:
        api.draw(api.server(fake.url), PROMPT)
    assert str(caught.value) == "XML prompt: line 1: no such tag"
    assert fake.asked[1:] == [("/queue", {"delete": [ID]}), ("/interrupt", {"prompt_id": ID})]


def test_a_preview_is_not_taken_for_the_picture(fake, tmp_path):
    from newbie_pack.client.picture import draw_to

    fake.events = [("executing", of_prompt(node=None))]
    preview = {"filename": "layout.png", "subfolder": "", "type": "temp"}
    image = {"filename": "a.png", "subfolder": "", "type": "output"}
    fake.record = {"outputs": {"8": {"images": [preview]}, "9": {"images": [image]}}, "status": {"messages": []}}
    fake.files = {"layout.png": b"boxes", "a.png": b"picture"}
    draw_to(api.server(fake.url), PROMPT, tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes() == b"picture"


def test_an_interrupted_prompt_says_so(fake):
    fake.events = [("execution_interrupted", of_prompt(node_id="2"))]
    with pytest.raises(api.Interrupted):
        api.draw(api.server(fake.url), PROMPT)


def test_ctrl_c_interrupts_the_prompt_on_the_host(fake):
    fake.events = [("executing", of_prompt(node="2"))]

    def press(progress: api.Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        api.draw(api.server(fake.url), PROMPT, press)
    assert fake.asked[1:] == [("/queue", {"delete": [ID]}), ("/interrupt", {"prompt_id": ID})]


def test_without_messages_the_history_tells(fake, monkeypatch):
    monkeypatch.setattr(api, "LOOK_AGAIN", 0.02)
    fake.record = {
        "outputs": {},
        "status": {"messages": [["execution_error", of_prompt(node_id="2", exception_message="no")]]},
    }
    with pytest.raises(api.HostError, match="NewBieSample: no"):
        api.draw(api.server(fake.url), PROMPT)


def test_a_host_that_died_is_noticed(fake, monkeypatch):
    monkeypatch.setattr(api, "LOOK_AGAIN", 0.02)
    fake.record = None
    with pytest.raises(Problem, match="stopped while drawing"):
        api.draw(api.server(fake.url, alive=lambda: False), PROMPT)


def test_nobody_there_is_one_sentence():
    with pytest.raises(Problem, match=r"http://127\.0\.0\.1:1 does not answer"):
        api.queue(api.server("http://127.0.0.1:1"), PROMPT)


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
                {"type": "missing_node_type", "message": "Node 'NewBieX' not found.", "details": "Node ID '#3'"},
            ),
            "ComfyUI refused the prompt: Node 'NewBieX' not found. (is this pack loaded, and up to date?)",
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
    assert api.refusal(PROMPT, json.dumps(answer).encode()) == "NewBieSample: Required input is missing: clip"


def test_an_answer_that_is_no_json_is_quoted():
    assert api.refusal(PROMPT, b"<html>busy") == "ComfyUI refused the prompt: <html>busy"


def test_a_node_made_by_another_has_its_makers_title():
    assert api.title_of(PROMPT, "1.0.3") == "XML prompt"
    assert api.title_of(PROMPT, "77") == "node 77"
