"""A WebSocket client (RFC 6455), as much of it as the host's messages need: no extensions, no TLS.

The protocol is in `build_frame` and `parse_frame`, which do no I/O; `WebSocket` moves bytes.
"""

from __future__ import annotations

import base64
import hashlib
import os
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
ACCEPT_KEY = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # section 1.3
MESSAGE_LIMIT = 64 * 1024 * 1024  # bytes; the host's previews are far smaller


class WebSocketError(Exception):
    """The other side does not speak the protocol, or has gone."""


@dataclass(frozen=True)
class Frame:
    final: bool
    opcode: int
    payload: bytes


# --- frames, section 5.2 ---------------------------------------------------------------------------------------------


def build_frame(opcode: int, payload: bytes, mask: bytes | None = None, final: bool = True) -> bytes:
    """A frame's bytes. A client must give a mask of four random bytes; a server gives none."""
    head = bytearray([(0x80 if final else 0) | opcode])
    masked = 0x80 if mask else 0
    size = len(payload)
    if size < 126:
        head.append(masked | size)
    elif size < 1 << 16:
        head.append(masked | 126)
        head += size.to_bytes(2, "big")
    else:
        head.append(masked | 127)
        head += size.to_bytes(8, "big")
    return bytes(head) + (mask + apply_mask(payload, mask) if mask else payload)


def parse_frame(data: bytes | bytearray) -> tuple[Frame, int] | None:
    """The first frame in `data` and how many bytes it took; None while it is incomplete. Raises WebSocketError."""
    if len(data) < 2:
        return None
    if data[0] & 0x70:
        raise WebSocketError("a frame uses an extension that was not agreed on")
    size, at = data[1] & 0x7F, 2
    if size > 125:
        wide = 2 if size == 126 else 8
        if len(data) < at + wide:
            return None
        size, at = int.from_bytes(data[at : at + wide], "big"), at + wide
    if size > MESSAGE_LIMIT:
        raise WebSocketError(f"a frame of {size} bytes is too long")
    mask = b""
    if data[1] & 0x80:
        mask, at = bytes(data[at : at + 4]), at + 4
    if len(data) < at + size:
        return None
    payload = bytes(data[at : at + size])
    frame = Frame(bool(data[0] & 0x80), data[0] & 0x0F, apply_mask(payload, mask) if mask else payload)
    return frame, at + size


def apply_mask(payload: bytes, mask: bytes) -> bytes:
    """XOR with the repeated mask, section 5.3; as one big integer, which is fast without numpy."""
    size = len(payload)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")


# --- the connection --------------------------------------------------------------------------------------------------


class WebSocket:
    """One connection. A time-out in `receive` loses nothing: what has arrived waits for the next call."""

    def __init__(self, connection: socket.socket, received: bytes = b"") -> None:
        self._socket = connection
        self._buffer = bytearray(received)
        self._parts: list[bytes] = []  # of a fragmented message
        self._opcode = 0

    def send_text(self, text: str) -> None:
        self._send(TEXT, text.encode())

    def receive(self, timeout: float | None = None) -> str | bytes | None:
        """The next message, or None once the other side has closed. Raises TimeoutError and WebSocketError."""
        while True:
            frame = self._next_frame(timeout)
            if frame is None:
                return None
            if frame.opcode == PING:
                self._send(PONG, frame.payload)
            elif frame.opcode == CLOSE:
                self._send(CLOSE, frame.payload)
                return None
            elif frame.opcode != PONG:
                message = self._add(frame)
                if message is not None:
                    return message.decode() if self._opcode == TEXT else message

    def close(self) -> None:
        try:
            self._send(CLOSE, (1000).to_bytes(2, "big"))
        except (OSError, WebSocketError):
            pass  # it has gone already, which is what was asked for
        finally:
            self._socket.close()

    def __enter__(self) -> WebSocket:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _add(self, frame: Frame) -> bytes | None:
        """Joins a message's fragments, section 5.4."""
        if frame.opcode == CONTINUATION and not self._parts:
            raise WebSocketError("a continuation frame continues nothing")
        if frame.opcode != CONTINUATION:
            if self._parts:
                raise WebSocketError("a new message began inside another")
            self._opcode = frame.opcode
        self._parts.append(frame.payload)
        if sum(map(len, self._parts)) > MESSAGE_LIMIT:
            raise WebSocketError("a message is too long")
        if not frame.final:
            return None
        message, self._parts = b"".join(self._parts), []
        return message

    def _next_frame(self, timeout: float | None) -> Frame | None:
        self._socket.settimeout(timeout)
        while (parsed := parse_frame(self._buffer)) is None:
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                raise
            except OSError as error:
                raise WebSocketError(f"the connection broke: {error}") from error
            if not data:
                return None
            self._buffer += data
        frame, used = parsed
        del self._buffer[:used]
        return frame

    def _send(self, opcode: int, payload: bytes) -> None:
        try:
            self._socket.sendall(build_frame(opcode, payload, os.urandom(4)))
        except OSError as error:
            raise WebSocketError(f"the connection broke: {error}") from error


def connect(url: str, timeout: float = 10.0) -> WebSocket:
    """Opens ws://host:port/path?query, section 4.1. Raises WebSocketError."""
    parts = urlsplit(url)
    if parts.scheme != "ws" or not parts.hostname:
        raise WebSocketError(f"{url} is not a ws:// address")
    key = base64.b64encode(os.urandom(16)).decode()
    request = (
        f"GET {parts.path or '/'}{'?' + parts.query if parts.query else ''} HTTP/1.1\r\n"
        f"Host: {parts.netloc}\r\n"
        "Upgrade: websocket\r\n"
        "Connection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n"
    )
    try:
        connection = socket.create_connection((parts.hostname, parts.port or 80), timeout)
    except OSError as error:
        raise WebSocketError(f"{url} cannot be reached: {error}") from error
    try:
        connection.sendall(request.encode("ascii"))
        received = bytearray()
        while b"\r\n\r\n" not in received:
            data = connection.recv(4096)
            if not data or len(received) > 65536:
                raise WebSocketError(f"{url} did not answer the handshake")
            received += data
        head, rest = bytes(received).split(b"\r\n\r\n", 1)
        check_answer(head.decode("latin-1"), key)
    except (OSError, WebSocketError) as error:
        connection.close()
        raise error if isinstance(error, WebSocketError) else WebSocketError(f"{url}: {error}") from error
    return WebSocket(connection, rest)


def check_answer(head: str, key: str) -> None:
    """Raises WebSocketError unless the server's answer accepts our key."""
    first, *lines = head.split("\r\n")
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if first.split(" ")[1:2] != ["101"]:
        raise WebSocketError(f"the server refused the connection: {first}")
    expected = base64.b64encode(hashlib.sha1((key + ACCEPT_KEY).encode()).digest()).decode()
    if fields.get("sec-websocket-accept") != expected:
        raise WebSocketError("the server's answer to the handshake is wrong")
