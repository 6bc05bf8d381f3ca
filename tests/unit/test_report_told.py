"""Which answers a page shows of a problem."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fake_run import make_run

from metis_rise.report.data import load_run
from metis_rise.report.told import gather
from metis_rise.run import write_jsonl
from metis_rise.types import Trajectory, Verdict

PROBLEM = "train-angle-0000"


def rollout(version: int, sample: int) -> dict[str, Any]:
    verdict = Verdict(False, True, "1", "box")
    said = ((5,), (-0.5,)) if sample == 0 else ((), ())
    return Trajectory(
        PROBLEM, sample, f"{version}.{sample}", *said, weights_version=version, source="rl", verdict=verdict
    ).to_json()


def shown(run_path: Path, stage: str) -> list[Trajectory]:
    return [each.trajectory for each in gather(load_run(run_path), {PROBLEM}).answers[PROBLEM] if each.stage == stage]


def run_with(folder: Path, groups: list[list[dict[str, Any]]]) -> Path:
    run_path = make_run(folder, problems=12, steps=4)
    for file in (run_path / "1-rl").glob("trajectories-*.jsonl"):
        file.unlink()
    for step, rows in enumerate(groups, start=1):
        write_jsonl(run_path / "1-rl" / f"trajectories-{step:06d}.jsonl", rows)
    return run_path


def test_of_rl_the_beginnings_of_the_first_and_the_last_group_are_shown(tmp_path: Path):
    groups = [[rollout(version, sample) for sample in range(4)] for version in (2, 7, 9)]
    found = shown(run_with(tmp_path / "run", groups), "RL")
    assert [one.text for one in found] == ["2.0", "2.1", "9.0", "9.1"]
    # Those that have their tokens are among them.
    assert [bool(one.tokens) for one in found] == [True, False, True, False]


def test_a_single_group_is_both(tmp_path: Path):
    found = shown(run_with(tmp_path / "run", [[rollout(3, sample) for sample in range(4)]]), "RL")
    assert [one.text for one in found] == ["3.0", "3.1"]


def test_of_diagnosis_right_and_wrong_answers_are_shown_in_order(tmp_path: Path):
    run_path = make_run(tmp_path / "run", problems=12, steps=4)
    rows = [
        Trajectory(PROBLEM, k, str(k), source="rl", verdict=Verdict(k % 4 == 3, True, "1", "box")).to_json()
        for k in range(8)
    ]
    write_jsonl(run_path / "2-diagnose" / "trajectories-0000.jsonl", rows)
    found = shown(run_path, "diagnosis")
    assert [(one.sample, one.strict) for one in found] == [(0, False), (1, False), (3, True), (7, True)]
