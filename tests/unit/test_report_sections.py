"""What went wrong, what experts cost, and what benchmarks say, as the page's sections have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import pytest
from fake_run import make_run

from metis_rise.errors import InputError
from metis_rise.report import write_report
from metis_rise.report.benchmarks import benchmark_rows
from metis_rise.report.data import load_run
from metis_rise.report.experts import expert_rows
from metis_rise.report.html import refresh_report
from metis_rise.report.troubles import MOST_WARNINGS, troubles
from metis_rise.run import Run


@pytest.fixture
def run_path(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", problems=12, steps=4)


def add(run_path: Path, *events: dict[str, Any]) -> None:
    with (run_path / "manifest.jsonl").open("a") as file:
        file.writelines(json.dumps({"time": "2026-01-02T03:04:05.678+00:00"} | event) + "\n" for event in events)


def change_done(run_path: Path, stage: str, **values: Any) -> None:
    file = run_path / stage / "DONE"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_interruptions_left_out_rows_and_rollbacks_are_told(run_path: Path):
    add(
        run_path,
        {"kind": "start", "environment": {"python": "3.11.9", "cores": 8}},
        {"kind": "skipped rows", "file": "mine.jsonl", "reasons": {"no answer": 2}},
        {"kind": "import", "file": "theirs.jsonl", "refused": {"wrong answer": 3}},
    )
    change_done(run_path, "1-rl", best_step=0)
    change_done(run_path, "5-sft", stages=[{"name": "self", "examples": 3, "rolled_back": True}])
    found = troubles(load_run(run_path))
    said = [each.text for each in found.fallbacks]
    assert said == [
        "The run was interrupted and taken up again; changed since: cores.",
        "mine.jsonl: rows left out: 2 no answer.",
        "theirs.jsonl: imported answers refused: 3 wrong answer.",
        "RL: no step was better than its start, which went on to the next stage.",
        "SFT: stage self made the model worse and was rolled back.",
    ]
    assert found.fallbacks[0].time == "2026-01-02 03:04:05"
    assert [stage for stage, _, _ in found.dropped] == ["RL", "self-distillation"]
    page = write_report(run_path).read_text()
    assert all(text in page for text in said)


def test_of_very_many_warnings_the_last_are_shown(run_path: Path):
    add(run_path, *({"kind": "warning", "text": f"number {n}"} for n in range(MOST_WARNINGS + 5)))
    found = troubles(load_run(run_path))
    assert len(found.warnings) == MOST_WARNINGS and found.warnings[-1].text == f"number {MOST_WARNINGS + 4}"
    assert f"{found.more} earlier warnings" in write_report(run_path).read_text() and found.more == 6


def test_experts_are_listed_with_what_they_cost(run_path: Path):
    paid = {"kept": 5, "refused": {"wrong": 2}, "calls": 9, "prompt_tokens": 1234, "completion_tokens": 20, "cost": 0.5}
    change_done(run_path, "4-expert", experts={"world": {"kept": 3, "refused": {}}, "big": paid})
    world, big = expert_rows(load_run(run_path))
    assert (world.name, world.kept, world.cost) == ("world", 3, None)
    assert (big.refused, big.calls, big.prompt_tokens, big.cost) == (2, 9, 1234, 0.5)
    page = write_report(run_path).read_text()
    assert "<td>big</td><td>5</td><td>2</td><td>9</td><td>1,234</td><td>20</td><td>0.5</td>" in page
    assert "<td>world</td><td>3</td><td>0</td><td>-</td><td>-</td><td>-</td><td>free</td>" in page


def score(run_path: Path, arm: str, value: float | None, **more: Any) -> Path:
    file = run_path / "benchmarks" / arm / "mathvista" / "score.json"
    file.parent.mkdir(parents=True)
    headlines = {} if value is None else {"accuracy": {"score": value, "low": value - 2, "high": value + 2}}
    row = {"benchmark": "mathvista", "title": "MathVista", "n": 1000, "score": value, "complete": True}
    file.write_text(json.dumps(row | {"metrics": {"headlines": headlines}} | more))
    return file


def test_benchmarks_are_a_table_with_the_best_arm_marked(run_path: Path):
    score(run_path, "base", 60.71)
    score(run_path, "rise", 66.0, complete=False)
    (row,) = benchmark_rows(load_run(run_path))
    assert row.title == "MathVista" and row.best == {"rise"} and row.scores["rise"].partial
    page = write_report(run_path).read_text()
    assert '60.7 <small class="soft">58.7 to 62.7</small>' in page and '<td class="best">66.0 <small' in page


def test_a_benchmark_without_a_score_is_no_row_and_a_damaged_one_is_named(run_path: Path):
    file = score(run_path, "base", None)
    assert benchmark_rows(load_run(run_path)) == []
    file.write_text('{"benchmark": "mathvista", "metrics": [], "score": 3}')
    with pytest.raises(InputError, match=r"mathvista/score\.json: not a score"):
        benchmark_rows(load_run(run_path))


def test_a_run_goes_on_where_its_report_cannot_be_written(run_path: Path):
    run, log = Run(run_path), run_path / "log.txt"
    refresh_report(run)
    assert not log.exists() and (run_path / "report.html").exists()
    (run_path / "summary.json").write_text("{")
    refresh_report(run)
    assert "warning: the report is not brought up to date: " in log.read_text()


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("division by zero"), OSError(5, "Input/output error"), KeyError("x")]
)
def test_nor_does_any_other_fault_of_the_page_end_a_run(
    run_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
):
    def fail(_: Path) -> NoReturn:
        raise error

    monkeypatch.setattr("metis_rise.report.html.write_report", fail)
    refresh_report(Run(run_path))
    assert f"not brought up to date: {type(error).__name__}: " in (run_path / "log.txt").read_text()
