"""No module of the pack has the means to fetch a file or to run what one brings along."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = [  # without tests, and without what lies in hidden folders
    path
    for folder in ROOT.iterdir()
    if folder.name != "tests" and not folder.name.startswith(".")
    for path in ([folder] if folder.suffix == ".py" else sorted(folder.rglob("*.py")))
]
RUNS = {"pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"}  # modules that run what they read
FETCHES = {"requests", "httpx", "urllib3", "huggingface_hub", "modelscope", "gdown", "ftplib"}
ASKS = {"urllib.request", "http.client", "socket", "aiohttp"}  # with which client/ talks to the host on loopback
NAMES = {"from_pretrained", "hf_hub_download", "snapshot_download", "urlopen", "urlretrieve"}
BUILT_IN = {"eval", "exec", "__import__"}


def found_in(source: str, client: bool = False) -> set[str]:
    """What a module must not use, of all that it names; what it says in texts and comments doesn't count."""
    forbidden = RUNS | FETCHES | (set() if client else ASKS)
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            named = {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            named = {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
            if {alias.name for alias in node.names} == {"web"}:  # of aiohttp: answers, and asks nobody
                named.discard("aiohttp")
            found |= NAMES & {alias.name for alias in node.names}
        else:
            named = set()
        named.discard("aiohttp.web")
        found |= {module for module in forbidden if any(f"{name}.".startswith(f"{module}.") for name in named)}
        if isinstance(node, ast.Attribute):
            found |= NAMES & {node.attr} | {"torch.load"} & {ast.unparse(node)}
        if isinstance(node, ast.Name):
            found |= (NAMES | BUILT_IN) & {node.id}
        if isinstance(node, ast.keyword) and (
            node.arg == "trust_remote_code" or (node.arg == "allow_pickle" and ast.unparse(node.value) != "False")
        ):
            found.add(node.arg)
    return found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import pickle", {"pickle"}),
        ("from huggingface_hub import hf_hub_download", {"huggingface_hub", "hf_hub_download"}),
        ("from urllib import request", {"urllib.request"}),
        ("from aiohttp import web", set()),
        ("from aiohttp import web, ClientSession", {"aiohttp"}),
        ("import aiohttp", {"aiohttp"}),
        ("import urllib.request\nurllib.request.urlopen(x)", {"urllib.request", "urlopen"}),
        ("torch.load(path)", {"torch.load"}),
        ("AutoModel.from_pretrained('a/b', trust_remote_code=True)", {"from_pretrained", "trust_remote_code"}),
        ("np.load(path, allow_pickle=True)", {"allow_pickle"}),
        ("np.load(path, allow_pickle=False)", set()),
        ("eval(text)", {"eval"}),
        ("model.eval()  # no pickle\n'torch.load'", set()),
    ],
)
def test_what_is_looked_for_is_found(source, found):
    assert found_in(source) == found


def test_no_module_of_the_pack_fetches_or_runs_a_file():
    assert len(FILES) > 50
    client = ROOT / "client"
    used = {path.relative_to(ROOT): found_in(path.read_text("utf-8"), client in path.parents) for path in FILES}
    assert {str(path): found for path, found in used.items() if found} == {}
