"""The rehearsal in a real host, with the built-in model in the full one's place."""

from __future__ import annotations

import re

from newbie_pack.lab.benchmarks import rehearsal


def test_stages_and_pictures_of_every_size_and_batch(server):
    wanted = [("192x192", 2), ("256x128", 1)]
    rows = list(rehearsal.tables(server, 0.0, {"ours": rehearsal.ours({}, 2)}, wanted, rounds=1))
    assert [(row["size"], row["batch"], row["pictures"]) for row in rows] == [(*each, each[1]) for each in wanted]
    for row in rows:
        stages = [row[f"{stage}_s"] for stage in ("encode", "sample", "decode")]
        assert all(seconds > 0 for seconds in stages)
        assert sum(stages) <= row["seconds"]
        assert row["peak_gb"] == 0  # a CPU's memory is everyone's
    assert rehearsal.faults(rows) == []


def test_what_a_user_would_be_told_is_the_rows_error(server):
    graph = rehearsal.ours({"diffusion_model": "missing.safetensors"}, 2)
    (row,) = rehearsal.tables(server, 0.0, {"ours": graph}, [("192x192", 1)], rounds=1)
    assert row["error"].startswith("NewBie Loader: ")
    (fault,) = rehearsal.faults([row])
    assert fault == f"ours 192x192 x 1: {row['error']}"


def test_prompts_in_a_row_make_no_model_again(server, host):
    rows = list(rehearsal.in_a_row(server, 0.0, rehearsal.ours({}, 2), 3, "64x64", host.log))
    assert [row["made"] for row in rows[1:]] == [0, 0]
    assert all(row["ram_gb"] > 0 and "load_s" not in row for row in rows[1:])
    assert rehearsal.models_made(host.log) >= 3  # the log does say when one is made


def test_a_model_that_is_made_again_is_in_the_log(server, host):
    """Another precision is another model to the loader, in the same words of the log."""

    def graph(*given):
        prompt = rehearsal.ours({}, 2)(*given)
        (loader,) = (node["inputs"] for node in prompt.values() if node["class_type"] == "NewBieLoader")
        loader["precision"] = "fp32" if given[0] % 2 else "bf16"
        return prompt

    rows = list(rehearsal.in_a_row(server, 0.0, graph, 2, "64x64", host.log))
    assert rows[1]["made"] >= 1 and rows[1]["load_s"] > 0, rows  # the mini is read in less than LOADED here and there


def test_the_figures_say_what_they_are_of(server, host):
    told = rehearsal.setting(server, host.log)
    assert re.fullmatch(r"ComfyUI \d\S*, torch \d\S* on \S.*, kernels: .*\beager\b.*", told), told
