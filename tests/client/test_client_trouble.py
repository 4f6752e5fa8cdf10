"""One sentence for each kind of trouble, from what the real host answers."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest
from newbie_pack.client import answers, environment, host
from newbie_pack.client.picture import write
from newbie_pack.client.problem import Problem

sys.path.append(str(Path(__file__).parent / "queue"))
from fake_comfy import FakeComfy

PROMPT = {"2": {"class_type": "NewBieLoader", "inputs": {}, "_meta": {"title": "Loader"}}}


def missing(value: object, choices: str = "['NewBie mini (built in)']") -> dict:
    return {
        "type": "value_not_in_list",
        "message": "Value not in list",
        "details": f"diffusion_model: {value!r} not in {choices}",
        "extra_info": {"input_name": "diffusion_model", "input_config": ["COMBO", {}], "received_value": value},
    }


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            missing("NewBie-Image.safetensors"),
            "ComfyUI has no file 'NewBie-Image.safetensors' for diffusion_model: put it into its models folder, "
            "as ./run models check tells, or choose another.",
        ),
        (missing("fast"), "Value not in list: diffusion_model: 'fast' not in ['NewBie mini (built in)']"),
        (missing(["a"]), "Value not in list: diffusion_model: ['a'] not in ['NewBie mini (built in)']"),
        (
            {
                "type": "missing_node_type",
                "message": "Node 'A' not found.",
                "extra_info": {"class_type": "FaceDetailer"},
            },
            "there is no node FaceDetailer there: install its pack, or update it, and restart that ComfyUI.",
        ),
        ({"type": "missing_node_type", "message": "Node 'A'", "extra_info": 3}, "there is no node Node 'A' there: "),
    ],
)
def test_what_validation_refuses(error, sentence):
    assert answers.reason(error).startswith(sentence)


def test_a_long_list_of_choices_is_cut():
    assert len(answers.reason(missing("x", str(list(range(5000)))))) < 400


@pytest.mark.parametrize(
    ("kind", "message", "sentence"),
    [
        ("torch.OutOfMemoryError", "Allocation on device 0 would exceed allowed memory.\n", "ran out of memory"),
        ("torch.cuda.OutOfMemoryError", "CUDA out of memory. Tried ...", "ran out of memory"),
        ("MemoryError", "", "ran out of memory"),
        (
            "RuntimeError",
            "[enforce fail at x] DefaultCPUAllocator: can't allocate memory",
            "ran out of",
        ),
        ("RuntimeError", "x\nThis error means you ran out of memory on your GPU.\n\nTIPS: ...", "ran out of memory"),
        ("OSError", "[Errno 28] No space left on device: '/out/a.png'", "is full: free some space"),
        ("OSError", "[WinError 112] There is not enough space on the disk", "is full: free some space"),
        ("ValueError", "steps must be 1 or more.", "Loader: steps must be 1 or more."),
    ],
)
def test_what_fails_while_drawing(kind, message, sentence):
    data = {"node_id": "2", "exception_type": kind, "exception_message": message}
    failure = answers.failure(PROMPT, "execution_error", data)
    told = str(failure)
    assert told.startswith("Loader: ") and sentence in told and "\n" not in told
    lacks = {"ran out": answers.NO_MEMORY, "is full": answers.NO_DISK}.get(sentence[:7])
    assert failure.kinds == {kind, lacks} - {None}


@pytest.mark.parametrize(
    ("number", "advice"), [(errno.ENOSPC, "free some space"), (errno.EACCES, "choose another folder")]
)
def test_a_picture_that_cannot_be_written_here(monkeypatch, tmp_path, number, advice):
    def fails(descriptor):
        raise OSError(number, "no")

    monkeypatch.setattr("os.fsync", fails)
    with pytest.raises(Problem, match=advice):
        write(tmp_path / "a.png", b"")
    assert not list(tmp_path.iterdir())


# --- a server that runs already ---------------------------------------------------------------------------------------


@pytest.fixture
def fake():
    server = FakeComfy()
    yield server
    server.kill()


def served(url: str) -> None:
    with host.served(url, environment.locate()):
        pass


def test_a_server_in_order_is_taken(fake):
    served(fake.url)


def test_a_server_that_is_old_is_told(fake):
    fake.version = "0.24.1"
    with pytest.raises(Problem, match=r"is ComfyUI 0\.24\.1: update it to 0\.27 or newer"):
        served(fake.url)


def test_a_server_without_the_pack_is_told(fake):
    fake.kinds.clear()
    with pytest.raises(Problem, match="nodes did not load: put it into custom_nodes there, and restart that ComfyUI"):
        served(fake.url)


def test_a_server_that_is_down_is_told():
    with pytest.raises(Problem, match=r"does not answer \(Connection refused\): start it, or check the address"):
        served(f"http://127.0.0.1:{environment.free_port()}")


@pytest.mark.parametrize(
    ("version", "old"),
    [("0.26.9", True), ("0.27.0", False), ("0.30", False), ("1.0", False), ("v0.3.1", True), ("?", False)],
)
def test_versions(version, old):
    assert environment.too_old(version) is old
