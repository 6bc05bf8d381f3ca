"""Killed at random moments, a run ends bit-identical to one that was left in peace."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from compare import differences
from kills import PLACES, START, Moment, chaos, moments


def test_three_kills_leave_no_trace(tmp_path: Path):
    """One while RL writes, one within the sampling of the diagnosis, one while SFT writes; `make chaos` does more."""
    wanted = [Moment("1-rl", 0.5, write=4), Moment("2-diagnose", 0.5, write=None), Moment("5-sft", 0.5, write=1)]
    tally = chaos(tmp_path, wanted, seed=1, out=sys.stdout)
    assert tally.faults == []
    assert tally.kills.total() == 3


def test_moments_are_those_of_the_seed_and_spread_over_all_places():
    drawn = moments(1, 2 * len(PLACES))
    assert drawn == moments(1, 2 * len(PLACES)) != moments(2, 2 * len(PLACES))
    assert sorted(moment.place for moment in drawn) == sorted(2 * PLACES)
    writes = [moment.write for moment in drawn if moment.place != START]
    assert None in writes and set(writes) > {None}


def test_a_moment_that_did_not_come_is_looked_for_earlier():
    """Else a file that is never written, or a place that is left sooner than measured, is waited for without end."""
    assert Moment("end", 0.8, None).earlier() == Moment("end", 0.4, None)
    third = Moment("end", 0.8, 3)
    assert [third.earlier().write, third.earlier().earlier().earlier().write] == [2, 1]


def make_run(folder: Path) -> Path:
    (folder / "5-sft" / "model").mkdir(parents=True)
    (folder / "logs").mkdir()
    for name in ("log.txt", "report.html"):
        (folder / name).write_text(str(folder))
    (folder / "5-sft" / "model" / "model.safetensors").write_bytes(bytes(99))
    (folder / "5-sft" / "DONE").write_text(json.dumps({"seconds": len(str(folder)), "counts": {"used": 3}}))
    rows = [{"stage": "rl", "step": step, "time": str(folder), "values": {"reward": 0.5}} for step in (1, 2)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "trajectories.jsonl").write_text('{"text": "a", "seconds": 1}\n')
    return folder


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("5-sft/model/model.safetensors", "\0", "\1", "first difference at byte 0"),
        ("5-sft/DONE", "3}", "4}", "row 1"),
        ("metrics.jsonl", '"step": 2', '"step": 3', "row 2"),
        ("metrics.jsonl", '{"stage": "rl", "step": 1', '{"stage": "rl", "step": 1, "more": 1', "row 1"),
        ("trajectories.jsonl", '"seconds": 1', '"seconds": 2', "line 1"),
        ("trajectories.jsonl", "\n", '\n{"text": "b"}\n', "line 2"),
        ("log.txt", None, None, "log.txt: missing"),
        ("5-sft/DONE", None, None, "only in calm"),
    ],
)
def test_a_difference_is_found(name: str, old: str | None, new: str | None, said: str, tmp_path: Path):
    calm, other = make_run(tmp_path / "calm"), make_run(tmp_path / "other-one")
    assert differences(calm, other) == []
    file = other / name
    if old is None:
        file.unlink()
    else:
        file.write_text(file.read_text().replace(old, new, 1))
    (fault,) = differences(calm, other)
    assert said in fault and Path(name).name in fault


def test_a_file_too_many_is_found(tmp_path: Path):
    calm, other = make_run(tmp_path / "calm"), make_run(tmp_path / "other")
    (other / "5-sft" / ".DONE.12.tmp").touch()
    assert differences(calm, other) == ["5-sft/.DONE.12.tmp: only in other"]
