"""A host whose NewBie is small, and files of both release forms for it, random."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def forms(tmp_path_factory):
    """A models folder with the same weights as split files and as the authors' folder."""
    from newbie_pack.lab.benchmarks import fullsize_files as files

    folder = tmp_path_factory.mktemp("models")
    weights = files.Weights(0)
    for write in files.FORMS.values():
        write(folder, files.TINY, weights, "bf16")
    return folder


@pytest.fixture
def models(forms, monkeypatch):
    """`forms` as the host's models folder, with a host that takes its sizes."""
    import folder_paths
    from newbie_pack.lab.benchmarks import fullsize_files as files
    from newbie_pack.lab.benchmarks.small_host import shrunk

    known = folder_paths.folder_names_and_paths
    for name in ("diffusion_models", "text_encoders", "vae", "diffusers", "loras"):
        monkeypatch.setitem(known, name, ([str(forms / name)], known[name][1]))
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    with shrunk(files.TINY):
        yield forms
