"""The three forms of `rise eval`, and what each hands over; nothing is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from metis_rise.benchmarks.base import Protocol, Style
from metis_rise.benchmarks.choice import ALL, chosen, mean_of_six, why_no_mean
from metis_rise.benchmarks.registry import SIX
from metis_rise.cli import app
from metis_rise.errors import InputError
from metis_rise.evaluation import command, score_command
from metis_rise.evaluation.options import Options

JUDGE = ("--judge-url", "http://j/v1", "--judge-model", "m")


def called(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, *arguments: str) -> tuple[tuple, dict]:
    """What the command hands to a function that is replaced."""
    calls: list[tuple[tuple, dict]] = []
    monkeypatch.setattr(module, name, lambda *values, **named: calls.append((values, named)))
    done = CliRunner().invoke(app, ["eval", *arguments])
    assert done.exit_code == 0, done.output
    (call,) = calls
    return call


def test_a_model_is_evaluated_with_the_options_that_were_given(monkeypatch: pytest.MonkeyPatch):
    asked = ("--style", "vlmevalkit", "--system", "none", "--samples", "4", "--temperature", "0.6", "--limit", "3")
    judged = ("--protocol", "judge", *JUDGE, "--judge-concurrency", "5")
    values, named = called(
        monkeypatch, command, "evaluate_model", "my-vlm", "-b", "wemath", "--data", "d", *asked, *judged, "--json"
    )
    model, names, data, options = values
    assert (model, names, data) == ("my-vlm", "wemath", Path("d")) and named == {"threads": 0, "as_json": True}
    assert options == Options(
        style=Style.VLMEVALKIT,
        system=None,
        samples=4,
        temperature=0.6,
        limit=3,
        protocol=Protocol.JUDGE,
        judge=options.judge,
    )
    assert (options.judge.url, options.judge.model, options.judge.concurrency) == ("http://j/v1", "m", 5)


def test_predictions_are_scored_by_the_rules_unless_a_protocol_is_asked_for(monkeypatch: pytest.MonkeyPatch):
    values, named = called(monkeypatch, score_command, "score_predictions", "--score", "p.tsv", "-b", "mathvista")
    assert values == (Path("p.tsv"), "mathvista", None, None, None, None, None) and named == {"as_json": False}
    given = ("--protocol", "official", "--limit", "2", "--verdicts", "v.jsonl", "--json")
    values, named = called(
        monkeypatch, score_command, "score_predictions", "--score", "p.tsv", "-b", "mathvista", *given
    )
    assert values[3:] == (Protocol.OFFICIAL, None, 2, Path("v.jsonl")) and named == {"as_json": True}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give a recipe, a model with --benchmark, or predictions with --score"),
        (("tiny", "--data", "d"), "--data: this command does stage 6 of a recipe, since it has no --benchmark"),
        (("tiny", "-b", "mathvista", "--name", "x"), "--name: this command asks a model"),
        (("tiny", "rl.steps=1", "-b", "mathvista"), "KEY=VALUE: this command asks a model"),
        (("--score", "p.tsv", "-b", "mathvista", "--style", "rise"), "--style: this command scores predictions"),
        (("--score", "p.tsv"), "--score p.tsv: add --benchmark"),
        (("-b", "mathvista"), "--benchmark mathvista: name a model before it"),
        (("tiny", "-b", "mathvista", *JUDGE), "protocol rule asks no model; add --protocol judge"),
        (("tiny", "-b", "mathvista", "--protocol", "judge"), "--protocol judge: add --judge-url"),
        (("tiny", "-b", "mathvsita", "--data", "."), "did you mean mathvista?"),
        (("tiny", "-b", "mathvista,MathVista_MINI", "--data", "{data}"), "one is named twice"),
        (("tiny", "-b", "all", "--data", "{data}/MathVista_MINI.tsv"), "is no folder, and 6 benchmarks need one"),
        (("tiny", "-b", "mathvista", "--data", "{data}", "--protocol", "official"), "no official protocol for raw"),
        (("no/such/model", "-b", "mathvista", "--data", "{data}"), "no/such/model: no such folder"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
):
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    (data / "MathVista_MINI.tsv").write_text("")
    done = CliRunner().invoke(app, ["eval", *(argument.format(data=data) for argument in arguments)])
    assert done.exit_code == 2 and done.stderr.startswith("error: ") and said in done.stderr, done.output
    assert not (tmp_path / "evals").exists()


def test_scoring_a_file_loads_no_torch():
    code = (
        "import sys; sys.argv = ['rise', 'eval', '--score', 'none.tsv', '-b', 'mathvista']\n"
        "from metis_rise.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code, {'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "2 set()\n" and "none.tsv" in done.stderr


def row(name: str, score: float = 50.0, subset: str | None = None) -> dict[str, Any]:
    return {"title": name, "score": score, "complete": subset is None, "protocol": {"subset": subset}}


def test_the_mean_is_of_six_whole_sets_and_of_nothing_less():
    scores = (75.8, 28.7, 51.0, 27.7, 45.2, 49.7)
    rows = {name: row(name, score) for name, score in zip(SIX, scores, strict=True)}
    assert mean_of_six(rows) == 46.35 and why_no_mean(rows) is None
    assert mean_of_six(rows | {"world": row("world", 99.0, "3/9")}) == mean_of_six(rows)
    partial = rows | {"wemath": row("WeMath", 90.0, "10/1740")}
    assert mean_of_six(partial) is None and why_no_mean(partial) == "not whole: WeMath 10/1740"
    del rows["dynamath"]
    assert mean_of_six(rows) is None and why_no_mean(rows) == "no dynamath"


def test_all_is_the_six_in_the_order_of_the_leaderboard(tmp_path: Path):
    for dataset in ("MathVista_MINI", "MathVision", "MathVerse_MINI_Vision_Only", "DynaMath", "WeMath", "LogicVista"):
        (tmp_path / f"{dataset}.tsv").write_text("")
    found = chosen([ALL], tmp_path)
    assert tuple(benchmark.name for benchmark in found) == SIX
    assert all(file is not None and file.parent == tmp_path for file in found.values())
    with pytest.raises(InputError, match="one is named twice"):
        chosen([ALL, "wemath"], tmp_path)
