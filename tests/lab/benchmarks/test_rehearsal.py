"""What rehearsal counts of its runs, and what it calls a fault; a real host is in tests/host."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest
from newbie_pack.client.problem import Problem
from newbie_pack.lab.benchmarks import rehearsal
from newbie_pack.xml_prompt import parse


def ran(seconds: float, **others: float) -> rehearsal.Row:
    return {"pictures": 1, "sample_s": seconds, "seconds": seconds + 1, "held_gb": 15.0} | others


def test_the_warm_up_and_the_watched_run_are_not_timed():
    turns = [ran(90, load_s=5.0), ran(3), ran(9)], [ran(70, load_s=5.0), ran(2), ran(5), ran(80, peak_gb=16.0)]
    row = rehearsal.joined(turns)
    assert (row["sample_s"], row["seconds"], row["peak_gb"], row["held_gb"]) == (4, 5, 16.0, 15.0)
    assert row["load_s"] == 0


def test_any_run_that_broke_is_told():
    turns = [ran(1), {"error": "out of memory"}, ran(1)], [ran(1), ran(1), ran(1, peak_gb=1)]
    assert rehearsal.joined(turns) == {"error": "out of memory"}


def test_ratios_of_what_both_finished():
    rows = [{"way": way, "size": size, "batch": 1, **found} for way, size, found in (
        ("stock", "a", ran(4, peak_gb=10.0)), ("ours", "a", ran(4.4, peak_gb=10.1)),
        ("stock", "b", {"error": "out of memory"}), ("ours", "b", ran(1, peak_gb=1.0)))]
    (ratio,) = rehearsal.ratios(rows)
    assert ratio["size"] == "a" and ratio["way"] == "ours/stock"
    assert (ratio["sample_s"], ratio["peak_gb"]) == (1.1, 1.01) and "load_s" not in ratio
    assert "held_gb" not in ratio


def pair(ours, stock):
    return [{"way": way, "size": "a", "batch": 1, **found} for way, found in (("stock", stock), ("ours", ours))]


@pytest.mark.parametrize(
    ("ours", "key"),
    [
        (ran(4.12, peak_gb=10.3, encode_s=0.9, decode_s=0.9), None),  # encoding and decoding are not judged alone
        (ran(4.2, peak_gb=10.0) | {"seconds": 5.0}, "sample_s is 1.050"),
        (ran(4.0, peak_gb=10.4), "peak_gb is 1.040"),
        (ran(4.0, peak_gb=10.0) | {"seconds": 5.2}, "seconds is 1.040"),
    ],
)
def test_ours_over_the_target_is_a_fault(ours, key):
    found = rehearsal.faults(pair(ours, ran(4.0, peak_gb=10.0, encode_s=0.1, decode_s=0.1)))
    assert found == ([f"a x 1: {key} of the stock nodes', above 1.03"] if key else [])


def in_a_row(seconds=(9, 2, 2, 2, 2), held=(5.0,) * 5, ram=(20.0,) * 5, made=(3, 0, 0, 0, 0), load=(5.0, 0, 0, 0, 0)):
    columns = zip(seconds, held, ram, made, load, strict=True)
    return [
        {"way": "ours", "prompt": i, "size": "64x64", "batch": 1, "made": m, "load_s": s}
        | {"seconds": whole, "held_gb": h, "ram_gb": r}
        for i, (whole, h, r, m, s) in enumerate(columns, 1)
    ]


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        (in_a_row((9, 4, 2, 2, 2.2), (0.0, 5.0, 5.0, 5.0, 5.0), (9, 25, 20, 20, 20.4)), []),  # the first two warm up
        (in_a_row(held=(5, 5, 5, 5.1, 5.2)),
         ["0.20 GB more of the device are taken after the last prompt than after the third"]),
        (in_a_row(ram=(9, 20, 20, 20.3, 20.6)),
         ["0.60 GB more of main memory are taken after the last prompt than after the third"]),
        (in_a_row((9, 2, 2, 4, 2)), ["prompt 4 took 4.0 s where 2.0 s are usual"]),
        (in_a_row(load=(5, 0, 0, 0.3, 0.01)), ["prompt 4 loaded again: 0.3 s in the loader"]),
        (in_a_row(load=(5, 0.3, 0, 0, 0)), ["prompt 2 loaded again: 0.3 s in the loader"]),
        (in_a_row(made=(3, 0, 1, 0, 0)),
         ["prompt 3 made models from their files again, as ComfyUI's log says: 1"]),
        ([row | {"error": "out of memory"} for row in in_a_row()[:1]], ["ours 64x64 x 1: out of memory"]),
    ],
)  # fmt: skip
def test_prompts_in_a_row_must_neither_grow_nor_load_again(rows, found):
    assert rehearsal.faults(rows) == found


def test_what_the_log_says_of_models(tmp_path):
    log = tmp_path / "host.log"
    log.write_text(
        "model weight dtype torch.bfloat16, manual cast: None\nmodel_type FLOW\nRequested to load NewBie\n"
        "\x1b[32mVAE load device: cuda:0, offload device: cpu, dtype: torch.bfloat16\x1b[0m\n"
        "CLIP/text encoder model load device: cuda:0, offload device: cpu, current: cpu, dtype: torch.bfloat16\n"
    )
    assert rehearsal.models_made(log) == 3


@pytest.fixture
def card(monkeypatch):
    """A device with 2 of 8 GiB free, in the place of whatever there is."""
    device = SimpleNamespace(mem_get_info=lambda: (2 * rehearsal.GIB, 8 * rehearsal.GIB))
    monkeypatch.setattr(rehearsal.torch.accelerator, "current_accelerator", lambda: rehearsal.torch.device("cpu"))
    monkeypatch.setattr(rehearsal.torch, "get_device_module", lambda _device: device)


def test_a_card_larger_than_what_is_free_is_one_sentence(card):
    says = r"^The card has 2\.0 GB free, less than --card 2\.5: name a smaller size\.$"
    with pytest.raises(Problem, match=says), rehearsal.smaller_card(2.5):
        pass


def test_what_is_taken_before_is_asked_of_the_device_ahead_of_the_host(card, monkeypatch):
    assert rehearsal.taken_before(True) == 0.0
    happened = []

    @contextlib.contextmanager
    def running(_here, flags):
        happened.append("host")
        yield SimpleNamespace(url="", alive=None, log=None)

    def tables(_at, before, *_rest):
        happened.append(before)
        return iter(())

    own = rehearsal.taken_before
    monkeypatch.setattr(rehearsal, "taken_before", lambda cpu: happened.append("asked") or own(cpu))
    monkeypatch.setattr(rehearsal, "on_cpu", lambda _here: False)
    monkeypatch.setattr(rehearsal.environment, "locate", lambda _root: None)
    monkeypatch.setattr(rehearsal.host, "running", running)
    monkeypatch.setattr(rehearsal.host, "check_pack", lambda _running: None)
    monkeypatch.setattr(rehearsal, "tables", tables)
    monkeypatch.setattr(rehearsal, "setting", lambda _at, _log: "")
    assert rehearsal.main([]) == 0
    assert happened == ["asked", "host", 6.0]


def test_prompts_in_a_row_need_ours(capsys):
    with pytest.raises(SystemExit) as end:
        rehearsal.main(["--prompts", "3", "--ways", "stock"])
    assert end.value.code == 2
    assert capsys.readouterr().err.endswith("error: --prompts draws with ours alone: leave --ways out.\n")


@pytest.mark.parametrize("people", [2, 4])
@pytest.mark.parametrize("graph", [rehearsal.ours, rehearsal.stock])
def test_the_prompt_has_so_many_people_and_each_number_another_first(graph, people):
    files = dict.fromkeys(("diffusion_model", "gemma", "jina", "vae"), "none")
    for number in (1, 2):
        nodes = graph(files, 2, people)(number, (64, 64), 1).values()
        texts = [text for node in nodes for text in node["inputs"].values() if "character" in str(text)]
        assert len(texts) == 1
        characters = parse(texts[0]).characters
        assert [c.name for c in characters][:2] == [f"character {number}", "kaito"] and len(characters) == people


def test_four_people_have_the_tokens_that_two_have_with_the_real_tokenizers():
    sentencepiece = pytest.importorskip("sentencepiece")
    model = rehearsal.ROOT / "lab" / "training" / "vocabulary" / "gemma.model"
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(model))
    two, four = (len(tokenizer.encode(rehearsal.xml_of(10, people))) for people in (2, 4))
    assert two == 70 and abs(four - 130) < 5
