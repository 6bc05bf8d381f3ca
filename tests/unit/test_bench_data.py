"""`rise bench data`: what it works on, that every part does its work, and what it prints."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from metis_rise.bench import data
from metis_rise.bench.recording import LATEX_EVERY, make_problem, make_trajectories
from metis_rise.cli import app
from metis_rise.run import read_jsonl
from metis_rise.types import StopReason
from metis_rise.verifier.judge import judge

HERE = Path("/proc/self/clear_refs").exists()


def test_the_recording_is_what_the_goal_says():
    """Distinct, 60 tokens and more, a fifth of the answers LaTeX, the same every time."""
    problems = [make_problem(number) for number in range(100)]
    texts = set()
    for number, problem in enumerate(problems):
        assert ("\\" in problem.answer or "(" in problem.answer or "[" in problem.answer) == (number % LATEX_EVERY == 0)
        found = list(make_trajectories(number, problem, 16))
        assert found == list(make_trajectories(number, problem, 16))
        assert min(len(t.tokens) for t in found) >= 60
        assert all(len(t.logprobs) == len(t.tokens) for t in found)
        texts |= {t.text for t in found}
    assert len(texts) == 1600 and len({p.id for p in problems}) == 100


def test_what_is_meant_to_be_right_is_judged_right_and_the_rest_wrong():
    """Else the parts after the verdicts have too little or too much to do."""
    for number in range(60):
        problem = make_problem(number)
        found = [(t, judge(problem, t.text)) for t in make_trajectories(number, problem, 8)]
        whole = [verdict.correct for t, verdict in found if verdict.well_formed and t.stop is StopReason.EOS]
        if problem.meta["rate"] in (0.0, 1.0):
            assert whole and set(whole) == {problem.meta["rate"] == 1.0}, (problem.answer, [t.text for t, _ in found])


def test_every_part_does_its_work(tmp_path: Path):
    result = data.measure(tmp_path, problems=40, samples=16, memory=HERE)
    (row,) = result["rows"]
    case, counts = row["case"], row["counts"]
    assert (case["prompts"], case["group_size"]) == (40, 16) and case["completion_tokens"] >= 60
    assert set(row["seconds"]) == {"verdicts", "diagnosis", "distillation", "selection", "total"}
    assert row["seconds"]["total"] == pytest.approx(sum(v for k, v in row["seconds"].items() if k != "total"), abs=0.05)
    assert set(row["memory_mb"]) == (set(row["seconds"]) - {"total"} if HERE else set())
    assert counts["verdicts"]["trajectories"] == 640
    assert sum(counts["diagnosis"].values()) == 40 and all(counts["diagnosis"].values())
    judged = read_jsonl(tmp_path / "2-diagnose" / "trajectories-0000.jsonl")
    assert len(judged) == 640 and all(r["verdict"] for r in judged)
    assert sum(r["verdict"]["correct"] and r["verdict"]["well_formed"] for r in judged) == counts["verdicts"]["right"]
    kept = read_jsonl(tmp_path / "3-distill" / "trajectories-0000.jsonl")
    assert len(kept) == counts["distillation"]["kept"] > 0
    assert counts["selection"]["self"] >= len(kept)


@pytest.mark.parametrize("memory", [True, False])
def test_the_command(monkeypatch: pytest.MonkeyPatch, memory: bool):
    monkeypatch.setattr(data, "run", partial(data.run, problems=20))
    arguments = ["bench", "data", "--json", *([] if memory and HERE else ["--no-memory"])]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert set(result) == {"environment", "rows"}
    assert bool(result["rows"][0]["memory_mb"]) == (memory and HERE)


def test_options_of_other_measurements_are_refused():
    done = CliRunner().invoke(app, ["bench", "data", "--ragged"])
    assert done.exit_code == 2 and "--ragged is an option of rise bench update and sft, not of data" in done.stderr


def test_the_table(tmp_path: Path):
    row = data.measure(tmp_path, problems=20, samples=16, memory=False)["rows"][0]
    table = data._table(row)
    assert [str(cell) for cell in table.columns[0]._cells] == list(row["seconds"])
