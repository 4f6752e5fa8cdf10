"""The WebSocket client against a server of a few lines that says exactly the bytes each test wants."""

from __future__ import annotations

import base64
import hashlib
import queue
import socket
import threading
from collections.abc import Callable

import pytest
from newbie_pack.client import websocket as ws


def accept(key: str) -> str:
    return base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()


@pytest.fixture
def serve():
    """serve(talk) -> a ws:// address; `talk(connection)` runs after the handshake. Errors in it fail the test."""
    threads, failures, listeners = [], [], []

    def start(talk: Callable[[socket.socket], None], answer: str | None = None) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def work() -> None:
            try:
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(10)
                    request = b""
                    while b"\r\n\r\n" not in request:
                        request += connection.recv(4096)
                    fields = dict(line.split(": ", 1) for line in request.decode().split("\r\n")[1:] if ": " in line)
                    assert fields["Upgrade"] == "websocket"
                    assert fields["Sec-WebSocket-Version"] == "13"
                    good = (
                        f"HTTP/1.1 101 Switching\r\nsec-websocket-accept: {accept(fields['Sec-WebSocket-Key'])}\r\n\r\n"
                    )
                    connection.sendall((answer or good).encode())
                    talk(connection)
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        threads.append(thread)
        return f"ws://127.0.0.1:{listener.getsockname()[1]}/ws?clientId=me"

    yield start
    for thread in threads:
        thread.join(10)
    for listener in listeners:
        listener.close()
    assert not failures, failures


def read_frame(connection: socket.socket) -> tuple[bytes, ws.Frame]:
    data = b""
    while (parsed := ws.parse_frame(data)) is None:
        more = connection.recv(4096)
        assert more, "the client closed before its frame was whole"
        data += more
    return data, parsed[0]


# --- frames: the examples of RFC 6455, section 5.7 -----------------------------------------------------------------


def test_the_standards_own_examples():
    assert ws.build_frame(ws.TEXT, b"Hello") == bytes.fromhex("810548656c6c6f")
    masked = ws.build_frame(ws.TEXT, b"Hello", bytes.fromhex("37fa213d"))
    assert masked == bytes.fromhex("818537fa213d7f9f4d5158")
    assert ws.parse_frame(masked) == (ws.Frame(True, ws.TEXT, b"Hello"), 11)
    assert ws.build_frame(ws.BINARY, bytes(256))[:4] == bytes.fromhex("827e0100")
    assert ws.build_frame(ws.BINARY, bytes(65536))[:10] == bytes.fromhex("827f0000000000010000")


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70001])
def test_every_length_form_comes_back(size):
    payload = bytes(range(256)) * (size // 256 + 1)
    payload = payload[:size]
    data = ws.build_frame(ws.BINARY, payload, b"\x01\x80\xfe\x07")
    assert ws.parse_frame(data + b"rest") == (ws.Frame(True, ws.BINARY, payload), len(data))


def test_an_incomplete_frame_is_none_at_every_cut():
    data = ws.build_frame(ws.TEXT, b"x" * 130, b"abcd")
    assert all(ws.parse_frame(data[:cut]) is None for cut in range(len(data)))


def test_extension_bits_and_absurd_lengths_are_refused():
    with pytest.raises(ws.WebSocketError, match="extension"):
        ws.parse_frame(b"\xc1\x00")
    with pytest.raises(ws.WebSocketError, match="too long"):
        ws.parse_frame(b"\x82\x7f" + (1 << 40).to_bytes(8, "big"))


# --- the connection ------------------------------------------------------------------------------------------------


def test_text_both_ways_and_our_frames_are_masked(serve):
    seen = []

    def talk(connection):
        raw, frame = read_frame(connection)
        seen.append((raw[1] & 0x80, frame.payload))
        connection.sendall(ws.build_frame(ws.TEXT, "抱抱".encode()))

    with ws.connect(serve(talk)) as client:
        client.send_text("héllo")
        assert client.receive(5) == "抱抱"
    assert seen == [(0x80, "héllo".encode())]


def test_fragments_are_joined_around_a_ping_that_is_answered(serve):
    answers: queue.Queue = queue.Queue()

    def talk(connection):
        connection.sendall(
            ws.build_frame(ws.TEXT, b"one ", final=False)
            + ws.build_frame(ws.PING, b"?")
            + ws.build_frame(ws.CONTINUATION, b"two ", final=False)
            + ws.build_frame(ws.CONTINUATION, b"three")
            + ws.build_frame(ws.BINARY, b"\x00\xff")
        )
        answers.put(read_frame(connection)[1])

    with ws.connect(serve(talk)) as client:
        assert client.receive(5) == "one two three"
        assert client.receive(5) == b"\x00\xff"
    assert answers.get(timeout=10) == ws.Frame(True, ws.PONG, b"?")


def test_a_time_out_in_the_middle_of_a_frame_loses_nothing(serve):
    go_on = threading.Event()
    frame = ws.build_frame(ws.TEXT, b"late but whole")

    def talk(connection):
        connection.sendall(frame[:5])
        assert go_on.wait(10)
        connection.sendall(frame[5:])

    with ws.connect(serve(talk)) as client:
        with pytest.raises(TimeoutError):
            client.receive(0.05)
        go_on.set()
        assert client.receive(5) == "late but whole"


def test_close_is_answered_and_ends(serve):
    answers: queue.Queue = queue.Queue()

    def talk(connection):
        connection.sendall(ws.build_frame(ws.CLOSE, (1001).to_bytes(2, "big")))
        answers.put(read_frame(connection)[1].opcode)

    client = ws.connect(serve(talk))
    assert client.receive(5) is None
    client.close()
    assert answers.get(timeout=10) == ws.CLOSE


def test_a_server_that_vanishes_ends_too(serve):
    client = ws.connect(serve(lambda connection: None))
    assert client.receive(5) is None
    client.close()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("HTTP/1.1 403 Forbidden\r\n\r\n", "refused.*403"),
        ("HTTP/1.1 101 Switching\r\nSec-WebSocket-Accept: nonsense\r\n\r\n", "handshake is wrong"),
    ],
)
def test_a_refused_handshake_says_so(serve, answer, words):
    with pytest.raises(ws.WebSocketError, match=words):
        ws.connect(serve(lambda connection: None, answer))


def test_nobody_listening_says_so():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ws.WebSocketError, match="cannot be reached"):
        ws.connect(f"ws://127.0.0.1:{port}/ws")
