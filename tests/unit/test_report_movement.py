"""Problems in their buckets from stage to stage, and what became of each."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from metis_rise.errors import InputError
from metis_rise.report.choosing import change
from metis_rise.report.data import load_run
from metis_rise.report.flow_svg import flow_picture
from metis_rise.report.movement import bucket_of, check_flow, first_met, train_flow
from metis_rise.report.reading import opening_files, outcomes, rollout_files, rows_of
from metis_rise.types import Bucket, Trajectory, Verdict

ABSENT, BETWEEN, MASTERED = Bucket.ABSENT, Bucket.INCONSISTENT, Bucket.MASTERED


def rollout(problem: str, sample: int, version: int, right: bool) -> str:
    one = Trajectory(problem, sample, "t", weights_version=version, verdict=Verdict(right, True, None, ""))
    return json.dumps(one.to_json()) + "\n"


def run_with(folder: Path, rollouts: str, rates: dict[str, float]) -> Path:
    for stage, name, text in (
        ("1-rl", "trajectories-000005.jsonl", rollouts),
        ("2-diagnose", "DONE", json.dumps({"buckets": {}, "solve_rates": rates})),
    ):
        (folder / stage).mkdir(parents=True)
        (folder / stage / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("right", "said"),
    [
        ((True, True, True), "right throughout"),
        ((False, False, False), "wrong throughout"),
        ((False, True, True), "gained by RL"),
        ((False, False, True), "gained by SFT"),
        ((True, False, True), "gained by SFT"),
        ((True, True, False), "lost"),
        ((False, True, False), "lost"),
    ],
)
def test_what_became_of_a_problem(right: tuple[bool, ...], said: str):
    assert change(dict(zip(("base", "rl", "rise"), right, strict=True))) == said


def test_of_one_arm_nothing_can_be_said():
    assert change({"base": True}) == ""
    assert change({"base": False, "rl": True}) == "gained by RL"


def test_only_the_first_group_of_a_problem_counts_as_the_first_sight_of_it(tmp_path: Path):
    early = [rollout("a", k, 0, k == 0) for k in range(4)] + [rollout("b", k, 2, True) for k in range(4)]
    late = [rollout("a", k, 7, True) for k in range(4)] + [rollout("b", k, 2, False) for k in range(4)]
    met = first_met(load_run(run_with(tmp_path, "".join(early + late), {})))
    assert met.rates == {"a": 0.25, "b": 1.0} and met.updates == 1


def test_a_first_sight_in_a_file_that_was_left_out_is_not_made_up(tmp_path: Path):
    run = load_run(run_with(tmp_path, "".join(rollout("a", k, 0, k == 0) for k in range(4)), {}))
    for step in (50, 51, 52):
        text = "".join(rollout("late", k, step, True) for k in range(4))
        (run.path / "1-rl" / f"trajectories-{step:06}.jsonl").write_text(text)
    size = len(text.encode())
    files, unread = rollout_files(run.path / "1-rl", 2 * size)
    assert unread == 2 and len(files) == 2
    assert opening_files(run.path / "1-rl", 2 * size) == files[:1]
    assert opening_files(run.path / "1-rl") == rollout_files(run.path / "1-rl")[0]


def test_a_flow_counts_the_problems_that_all_moments_know(tmp_path: Path):
    lines = [rollout(key, k, 0, k < right) for key, right in (("a", 0), ("b", 1), ("c", 2), ("x", 2)) for k in (0, 1)]
    run = load_run(run_with(tmp_path, "".join(lines), {"a": 0.5, "b": 1.0, "c": 1.0, "y": 0.0}))
    flow = train_flow(run, first_met(run))
    assert flow is not None and flow.problems == 3 and list(flow.columns) == ["first met", "after RL"]
    assert dict(flow.links[0]) == {(ABSENT, BETWEEN): 1, (BETWEEN, MASTERED): 1, (MASTERED, MASTERED): 1}
    assert dict(flow.standing(0)) == {ABSENT: 1, BETWEEN: 1, MASTERED: 1} and dict(flow.standing(1)) == {
        BETWEEN: 1,
        MASTERED: 2,
    }


def test_test_problems_flow_by_their_greedy_and_sampled_answers():
    answers = {"base": {"a": [False, False], "b": [True, False]}, "rl": {"a": [True, False], "b": [True, True]}}
    flow = check_flow(answers)
    assert flow is not None and dict(flow.links[0]) == {(ABSENT, BETWEEN): 1, (BETWEEN, MASTERED): 1}
    assert check_flow({"base": answers["base"]}) is None


def test_bands_are_as_tall_as_the_bars_that_they_join():
    flow = check_flow({"base": {str(i): [i > 3] for i in range(10)}, "rl": {str(i): [i > 1] for i in range(10)}})
    assert flow is not None
    root = ElementTree.fromstring(flow_picture("f", flow))
    tall: dict[str, float] = {}
    for shape in root.iter("rect"):
        left = str(shape.get("x"))
        tall[left] = tall.get(left, 0) + float(shape.get("height", ""))
    assert len(tall) == 2 and max(tall.values()) == pytest.approx(min(tall.values()), abs=0.3)
    titles = [one.text for one in root.iter("title")]
    assert "absent, base, to mastered, RL: 2 of 10 problems" in titles


def test_thresholds_of_the_recipe_settle_the_bucket():
    assert [bucket_of(rate, (0.25, 0.75)) for rate in (0.25, 0.5, 0.75)] == [ABSENT, BETWEEN, MASTERED]


def test_rows_of_others_are_counted_and_not_read(tmp_path: Path):
    file = tmp_path / "t.jsonl"
    file.write_text(rollout("a", 0, 0, True) + '{"problem_id": "b", damaged\n' + rollout("a", 1, 0, True) + '{"torn')
    rows = list(rows_of(file, {"a"}))
    assert [row if row is None else row["sample"] for row in rows] == [0, None, 1]
    with pytest.raises(InputError, match=r"t\.jsonl row 2"):
        list(outcomes(file))
    assert list(rows_of(tmp_path / "none.jsonl")) == []


def test_of_a_long_run_the_first_and_the_last_rollouts_are_read(tmp_path: Path):
    for step in range(10):
        (tmp_path / f"trajectories-{step:06d}.jsonl").write_text("x" * 100)
    files, unread = rollout_files(tmp_path, most=450)
    assert [int(file.stem[-6:]) for file in files] == [0, 1, 8, 9] and unread == 6
    assert rollout_files(tmp_path)[1] == 0
