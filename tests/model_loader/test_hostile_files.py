"""`./run models check` comes to its end, and to the whole files, whatever else lies in the folders."""

from __future__ import annotations

import json
import os
import shutil
import struct
import time
from pathlib import Path

import pytest
from newbie_pack.client import models as command
from newbie_pack.model_loader import check

MINI_VAE = Path(__file__).resolve().parents[2] / "mini" / "weights" / "vae.safetensors"
GOOD = "zz good.safetensors"
MANY = 200_000
SECONDS = 2 * 2  # twice the target, of the processor's time: the machine that tests may be slower than a user's


def write(path: Path, names: list[str]) -> None:
    """A whole file of one number a tensor."""
    entries = {
        name: {"dtype": "F32", "shape": [1], "data_offsets": [4 * i, 4 * i + 4]} for i, name in enumerate(names)
    }
    text = json.dumps(entries).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4 * len(names)))


def file(name: bytes):
    return lambda folder: (folder / os.fsdecode(name)).write_bytes(b"x")


def link(name: str, to: str):
    return lambda folder: (folder / name).symlink_to(to)


def tensors(*names: str):
    return lambda folder: write(folder / "a.safetensors", list(names))


HOSTILE = {
    "a name that is not UTF-8": file(b"bad\xff\xfe.safetensors"),
    "terminal escapes": file(b"a\x1b[31mred\x1b]0;title\x07.safetensors"),
    "a line end": file(b"a\nNewBie's files:.safetensors"),
    "turned letters": file("a\u202egnp.safetensors".encode()),
    "the longest name": file(b"a" * 243 + b".safetensors"),
    "an option": file(b"-rf.safetensors"),
    "a dangling link": link("a.safetensors", "/nowhere/x"),
    "a link to itself": link("a.safetensors", "a.safetensors"),
    "a link to an endless device": link("a.safetensors", "/dev/zero"),
    "a pipe": lambda folder: os.mkfifo(folder / "a.safetensors"),
    "a folder": lambda folder: (folder / "a.safetensors").mkdir(),
    "half a surrogate in a tensor's name": tensors("\ud800.weight"),
    "escapes in a tensor's name": tensors("\x1b[2J\x07", "decoder.conv_in.weight"),
    "no tensor": tensors(),
    "a million of layers": tensors("layers.0.post_feedforward_layernorm.weight", "layers.999.a.weight",
                                   *(f"layers.0.{i}.weight" for i in range(999))),
}  # fmt: skip


def checked(folder: Path, capsys) -> str:
    """What the command prints; its exit code is 1, as parts are missing."""
    assert command.main(["check", "--folder", str(folder)]) == 1
    return capsys.readouterr().out


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("place", ["vae", "loras", "diffusers/R/transformer"])
def test_the_check_goes_on_to_the_good_file(tmp_path, capsys, hostile, place):
    for name in ("vae", "diffusers/R/clip_model", place):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(MINI_VAE, tmp_path / "vae" / GOOD)
    hostile(tmp_path / place)
    told = checked(tmp_path, capsys)
    assert f"vae              {GOOD}  0.0 GB, BF16" in told
    assert told.encode("utf-8").isascii() and all(letter.isprintable() or letter == "\n" for letter in told)
    assert told.count("NewBie's files:\n") == 1


def test_a_file_that_vanishes_meanwhile(tmp_path, capsys, monkeypatch):
    """After the folder was read, and after its header was."""
    (tmp_path / "vae").mkdir()
    gone, soon_gone = tmp_path / "vae" / "a.safetensors", tmp_path / "vae" / "b.safetensors"
    for path in (gone, soon_gone, tmp_path / "vae" / GOOD):
        shutil.copy(MINI_VAE, path)
    walk, look = check.walk, check.look_at_files

    def first_gone(*arguments):
        for found in walk(*arguments):
            gone.unlink(missing_ok=True)
            yield found

    def second_gone(*arguments):
        found = look(*arguments)
        soon_gone.unlink()
        return found

    monkeypatch.setattr(check, "walk", first_gone)
    monkeypatch.setattr(check, "look_at_files", second_gone)
    told = checked(tmp_path, capsys)
    assert "a.safetensors does not exist" in told and f"vae              {GOOD}" in told


def test_what_may_not_be_read(tmp_path, capsys):
    (tmp_path / "vae" / "closed").mkdir(parents=True)
    shutil.copy(MINI_VAE, tmp_path / "vae" / GOOD)
    file(b"a.safetensors")(tmp_path / "vae")
    for name in ("a.safetensors", "closed"):
        (tmp_path / "vae" / name).chmod(0)
    if os.access(tmp_path / "vae" / "a.safetensors", os.R_OK):
        pytest.skip("this user may read everything")
    told = checked(tmp_path, capsys)
    assert f"vae              {GOOD}" in told and told.count("can't be read (permission denied)") == 2


@pytest.mark.parametrize("name", [
    lambda i: f"model.diffusion_model.blocks.{i // 20}.attn.part{i % 20}.weight",
    lambda i: f"base_model.model._orig_mod.layers.{i // 2}.attention.qkv.lora_{'AB'[i % 2]}.weight",
    lambda i: f"prefix{i}.cap_embedder.2.weight",
    lambda i: f"layers.{i % 900}.x{i}.weight" if i else "layers.0.post_feedforward_layernorm.weight",
], ids=["a model", "a LoRA", "alike", "layers"])  # fmt: skip
def test_a_file_of_many_tensors_is_looked_at_quickly(tmp_path, name):
    write(tmp_path / "a.safetensors", [name(i) for i in range(MANY)])
    start = time.process_time()
    assert not check.survey({"diffusion_models": [tmp_path]}).complete
    assert time.process_time() - start < SECONDS
