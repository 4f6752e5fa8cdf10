"""What the registry gets: packed by the rules of its own command, it runs in a real host, and its two commands with it.

`comfy node pack` (comfy-cli 1.23) zips the files that git tracks but for those that .comfyignore matches, read as git
reads its own patterns; we have no includes. Git does the same for us here.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from graphs import ROOT, changed, to_api
from PIL import Image

FILES = 174  # 38 of them help, 26 templates: of each, the host fetches one by one
BYTES = 26_000_000  # of the archive
FIRST = "NewBie first picture (mini)"
META = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def listed(*options: str) -> set[str]:
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", *options]
    names = subprocess.run(command, capture_output=True, check=True).stdout.decode("utf-8").split("\0")
    return {name for name in names if name and (ROOT / name).exists()}


@pytest.fixture(scope="module")
def names():
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("this is not a git checkout")
    return listed() - listed("--ignored", "--exclude-from=.comfyignore")


@pytest.fixture(scope="module")
def archive(names, tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "node.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in sorted(names):
            packed.write(ROOT / name, name)
    return path


@pytest.fixture(scope="module")
def pack(archive, tmp_path_factory):
    """As the host's manager installs it: the archive unpacked into a folder of the pack's name."""
    folder = tmp_path_factory.mktemp("ComfyUI") / "custom_nodes" / META["project"]["name"]
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    return folder


def test_it_is_small(names, archive):
    assert len(names) <= FILES and archive.stat().st_size <= BYTES


def test_it_has_what_a_user_needs_and_nothing_else(names):
    assert not {name for name in names if name.startswith(("tests/", "lab/", "docs/", "setup/", ".", "workflows/api/"))}
    assert "mini/weights/judge.safetensors" not in names
    assert {"client/models.py"} < {name for name in names if name.startswith("client/")} < listed()
    assert {"__init__.py", "pyproject.toml", "requirements.txt", "LICENSE", "README.md", "mini/README.md"} <= names
    assert {f"workflows/{FIRST}{end}" for end in (".json", ".jpg")} <= names


def test_a_host_runs_its_first_template(pack, comfyui, tmp_path_factory):
    from newbie_pack.client import api
    from newbie_pack.client import host as hosts
    from newbie_pack.client.environment import Environment

    environment = Environment(pack, tmp_path_factory.mktemp("home"), Path(sys.executable), comfyui, ours=True)
    with hosts.running(environment, device="cpu") as host:
        server = host.server()
        opened = api.ask(server, f"/api/workflow_templates/{pack.name}/{quote(FIRST)}.json")
        drawn = api.draw(server, changed(to_api(opened, api.ask(server, "/object_info")), "NewBieSample", steps=4))
        (saved,) = [picture for picture in drawn.pictures if picture.kind == "output"]
        picture = np.asarray(Image.open(io.BytesIO(api.download(server, saved))).convert("RGB"))
        told = host.log.read_text("utf-8", "replace")
    assert picture.std() > 10  # a picture, not a plane
    assert str(pack) in told and "IMPORT FAILED" not in told


def test_its_commands_run_in_it(pack, comfyui, tmp_path, monkeypatch):
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    monkeypatch.delenv("COMFYUI_PYTHON", raising=False)

    def run(*words: str) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, "run", *words], cwd=pack, capture_output=True, text=True, check=False)

    (tmp_path / "vae").mkdir()
    shutil.copy(pack / "mini" / "weights" / "vae.safetensors", tmp_path / "vae" / "ae.safetensors")
    checked = run("models", "check", "--folder", str(tmp_path))
    assert checked.returncode == 1 and "vae              ae.safetensors" in checked.stdout and not checked.stderr
    asked = run("demo")
    assert asked.returncode == 2 and "Traceback" not in asked.stderr and "choose from" in asked.stderr
    assert "come with the repository" in run("--help").stdout
    assert "--server" not in run("doctor", "--help").stdout  # which takes the client of a host's API
    alone = run("doctor")  # as if outside of a ComfyUI
    assert alone.returncode == 1 and "set COMFYUI_PATH to your ComfyUI's folder" in alone.stdout and not alone.stderr
    there = {path.name for path in pack.parent.parent.iterdir()}
    for path in comfyui.iterdir() if "main.py" not in there else ():
        if path.name not in there | {"custom_nodes", "user", "output", "temp"}:
            (pack.parent.parent / path.name).symlink_to(path)
    found = run("doctor", "--json")
    assert json.loads(found.stdout.splitlines()[0]) and str(pack.parent.parent) in found.stdout and not found.stderr
    for told in (alone.stdout, found.stdout):  # no advice to type what the archive lacks
        assert set(re.findall(r"\./run (\w+)", told)) <= {"models", "doctor"}, told


def test_the_registrys_metadata():
    project, comfy = META["project"], META["tool"]["comfy"]
    assert "comfyui" not in project["name"].lower()
    assert {"Repository", "Documentation", "Issues"} <= set(project["urls"])
    assert project["dependencies"] == (ROOT / "requirements.txt").read_text("utf-8").split()
    for key, (width, height) in (("Icon", (1, 1)), ("Banner", (21, 9))):
        path = ROOT / "docs" / comfy[key].rpartition("/docs/")[2]
        with Image.open(path) as image:
            assert image.format == "PNG" and image.width * height == image.height * width
            assert key == "Banner" or image.width <= 400
    assert f"## {project['version']} " in (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert json.dumps(META["project"]["classifiers"]).count("Environment :: GPU :: NVIDIA CUDA") == 1


def test_the_pages_extensions_are_named_after_the_pack():
    """Another pack's extension of the same name would take the place of ours."""
    namespace = META["tool"]["comfy"]["DisplayName"].replace(" ", "") + "."
    texts = [path.read_text("utf-8") for path in (ROOT / "web").rglob("*js")]
    names = [name for text in texts for name in re.findall(r'registerExtension\(\{\s*name: "([^"]+)"', text)]
    assert names and all(name.startswith(namespace) for name in names)
