"""What rehearsal counts of its runs; what it calls a fault is in tests/host."""

from __future__ import annotations

from newbie_pack.benchmarks import rehearsal


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
