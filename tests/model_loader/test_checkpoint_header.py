from __future__ import annotations

import json
import struct

import pytest
from newbie_pack.model_loader.checkpoint import CheckpointError, read_header


def safetensors(header: dict, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


GOOD = {"__metadata__": {"a": "b"}, "x": {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]}}


def test_reads_metadata_and_shapes(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors(GOOD, bytes(8)))
    header = read_header(path)
    assert header.metadata == {"a": "b"}
    assert header.shapes == {"x": (2, 1)}


def test_a_header_length_that_reads_like_markup_is_no_web_page(tmp_path):
    """0x3c is '<': a header of 60 bytes begins like a page."""
    header = {"__metadata__": {"a": ""}}
    header["__metadata__"]["a"] = "x" * (60 - len(json.dumps(header)))
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors(header))
    assert path.read_bytes()[:1] == b"<"
    assert read_header(path).shapes == {}


def test_tensors_in_any_order_and_empty_ones(tmp_path):
    path = tmp_path / "a.safetensors"
    later = GOOD["x"] | {"shape": [1], "data_offsets": [8, 12]}
    empty = GOOD["x"] | {"shape": [0], "data_offsets": [8, 8]}
    path.write_bytes(safetensors({"z": later, "y": empty} | GOOD, bytes(12)))
    assert read_header(path).shapes == {"z": (1,), "y": (0,), "x": (2, 1)}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html><body>Log in</body></html>", "web page"),
        (b"\n  <html><body>404</body></html>" * 3, "web page"),
        (b"PK\x03\x04" + bytes(range(60)), "pickle"),
        (b"\x80\x02}q\x00(X\x0a\x00\x00\x00state_dict", "pickle"),
        (b"GGUF\x03\x00\x00\x00" + bytes(range(1, 60)), "GGUF"),
        (b"\xef\xbb\xbf<!DOCTYPE html><html><body>Log in</body></html>", "web page"),
        (b"\r\n" * 100 + b"<html></html>", "web page"),
        (b'{"error":"Not allowed"}', r'is JSON, not a model \({"error":"Not allowed"}\)\. Download'),
        (b'\n{\n "map": {\n' + b'  "a": "b",\n' * 900, r'is JSON, not a model \({ "map": { "a": .* \.\.\.'),
        (b"Entry not found", r"is plain text, not a model \(Entry not found\)"),
        ("模型不存在".encode() * 1000, r"is plain text, not a model \(模型不存在"),
        (b"", r"is empty\. Download the model's \.safetensors file again"),
        (b"\x00\x01", "not a safetensors file"),
        (bytes(range(1, 60)), "not a safetensors file"),
        (safetensors(GOOD, bytes(8))[:30], "cut off"),
        (safetensors(GOOD, bytes(3)), "cut off"),
        (struct.pack("<Q", 9) + b'{"a": [1]' + bytes(9), "damaged header"),
        (safetensors({"x": {"shape": [1]}}), "damaged header"),
        (safetensors({"x": GOOD["x"] | {"shape": [float("inf")]}}, bytes(8)), "damaged header"),
        (safetensors({"x": GOOD["x"] | {"data_offsets": [0]}}, bytes(8)), "damaged header"),
        (safetensors(GOOD | {"__metadata__": [1]}, bytes(8)), "damaged header"),
        (safetensors({"x": GOOD["x"] | {"shape": [-2, -1]}}, bytes(8)), "damaged header"),
        (safetensors({"x": GOOD["x"] | {"data_offsets": [8, 0]}}, bytes(8)), "damaged header"),
        (safetensors(GOOD | {"y": GOOD["x"]}, bytes(8)), "damaged header"),  # both in one place
        (safetensors(GOOD | {"y": GOOD["x"] | {"data_offsets": [12, 20]}}, bytes(20)), "damaged header"),  # a gap
        (safetensors(GOOD, bytes(9)), r"is damaged: it has \d+ bytes instead of \d+\. Download it again"),
        (bytes(10_000), r"is an unfinished download \(it begins with zeros\)\. Download the"),
        (struct.pack("<Q", 200_002) + b'{"a":' + b"[" * 199_997, "damaged header"),
    ],
)
def test_says_what_the_file_is_instead(tmp_path, content, says):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=says) as caught:
        read_header(path)
    assert str(path) in str(caught.value)


def test_says_when_there_is_no_file(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        read_header(tmp_path / "nothing.safetensors")


def test_a_file_that_cannot_be_read(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors(GOOD, bytes(8)))

    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(CheckpointError, match=r"a\.safetensors can't be read \(permission denied\): check"):
        read_header(path)
