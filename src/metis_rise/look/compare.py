"""Two runs side by side: scores, whether they differ on the same problems, and which settings differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from metis_rise.errors import InputError
from metis_rise.journal import parse_object, stream_jsonl
from metis_rise.look.paired import Paired, paired
from metis_rise.recipe.compare import compare
from metis_rise.report.benchmarks import BenchmarkScore, benchmark_rows
from metis_rise.report.data import ARMS, MODES, RunData, Score, load_run
from metis_rise.report.reading import outcomes
from metis_rise.types import Problem

# What a run is called says nothing of what it does.
_NAMES = {"name"}
_VERDICTS = "verdicts.jsonl"


@dataclass(frozen=True, slots=True)
class ScorePair:
    """One arm in one mode: the scores of both runs, None where one has none, and their paired comparison."""

    arm: str
    mode: str
    first: Score | None
    second: Score | None
    test: Paired | None


@dataclass(frozen=True, slots=True)
class BenchmarkPair:
    """One arm on one benchmark; the test is of single rows, which some benchmarks count in groups."""

    title: str
    arm: str
    first: BenchmarkScore | None
    second: BenchmarkScore | None
    test: Paired | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs between two runs. `shared`: test problems that are the same in both, of `tested` in each."""

    first: RunData
    second: RunData
    shared: int
    tested: tuple[int, int]
    scores: tuple[ScorePair, ...]
    benchmarks: tuple[BenchmarkPair, ...]
    settings: Mapping[str, tuple[str, str]]
    environment: Mapping[str, tuple[str, str]]
    seconds: Mapping[str, tuple[float | None, float | None]]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "runs": [str(self.first.path), str(self.second.path)],
            "problems": {"shared": self.shared, "tested": list(self.tested)},
            "scores": [asdict(pair) for pair in self.scores],
            "benchmarks": [asdict(pair) for pair in self.benchmarks],
            "settings": {key: list(pair) for key, pair in self.settings.items()},
            "environment": {key: list(pair) for key, pair in self.environment.items()},
            "seconds": {stage: list(pair) for stage, pair in self.seconds.items()},
        }


def compare_runs(first: Path, second: Path) -> Comparison:
    """The comparison of the runs in two folders; InputError where one is no run."""
    runs = [_load(path) for path in (first, second)]
    tests = [data.problems["test"] for data in runs]
    shared = {key for key, problem in tests[0].items() if _same(problem, tests[1].get(key))}
    one, two = runs
    return Comparison(
        one,
        two,
        len(shared),
        (len(tests[0]), len(tests[1])),
        tuple(_scores(one, two, shared)),
        tuple(_benchmarks(one, two)),
        _settings(one, two),
        _environment(one, two),
        {stage: (one.stages[stage].seconds, two.stages[stage].seconds) for stage in one.stages},
    )


def _load(path: Path) -> RunData:
    data = load_run(path)
    if data.recipe is None:
        raise InputError(f"{path}: no run folder (it holds no recipe.json); name one such as runs/tiny")
    return data


def _same(problem: Problem, other: Problem | None) -> bool:
    """Whether two runs ask the same under one id: another file may have used the id for something else."""
    if other is None:
        return False
    return (problem.question, problem.answer, problem.images) == (other.question, other.answer, other.images)


def _scores(one: RunData, two: RunData, shared: set[str]) -> Iterator[ScorePair]:
    for arm in ARMS:
        for mode in MODES:
            first, second = _score(one, arm, mode), _score(two, arm, mode)
            if first is None and second is None:
                continue
            test = None
            if first is not None and second is not None:
                rights = [_rights(data.path / "6-evaluate" / f"{arm}-{mode}.jsonl") for data in (one, two)]
                common = shared & rights[0].keys() & rights[1].keys()
                test = paired((rights[0][key], rights[1][key]) for key in sorted(common))
            yield ScorePair(arm, mode, first, second, test)


def _score(data: RunData, arm: str, mode: str) -> Score | None:
    return None if data.summary is None else data.summary.scores.get(arm, {}).get(mode)


def _rights(file: Path) -> dict[str, bool]:
    return {outcome.problem_id: outcome.right for outcome in outcomes(file)}


def _benchmarks(one: RunData, two: RunData) -> Iterator[BenchmarkPair]:
    rows = [{row.title: row for row in benchmark_rows(data)} for data in (one, two)]
    for title in sorted(rows[0].keys() | rows[1].keys()):
        found = [side[title].scores if title in side else {} for side in rows]
        for arm in ARMS:
            first, second = (scores.get(arm) for scores in found)
            if first is None and second is None:
                continue
            test = None
            if first is not None and second is not None:
                rights = [_row_rights(data, arm, title) for data in (one, two)]
                test = paired((rights[0][key], rights[1][key]) for key in sorted(rights[0].keys() & rights[1].keys()))
            yield BenchmarkPair(title, arm, first, second, test)


def _row_rights(data: RunData, arm: str, title: str) -> dict[tuple[str, str], bool]:
    """Whether the first sample of each row is right, by the row's index and gold answer."""
    for file in sorted((data.path / "benchmarks" / arm).glob("*/score.json")):
        said = parse_object(file.read_bytes()) or {}
        verdicts = file.with_name(_VERDICTS)
        if said.get("title") == title and verdicts.exists():
            rows = (row for _, row in stream_jsonl(verdicts))
            return {(str(row["index"]), str(row["gold"])): bool(row["verdicts"][0]["correct"]) for row in rows}
    return {}


def _settings(one: RunData, two: RunData) -> dict[str, tuple[str, str]]:
    found = compare(one.recipe or {}, two.recipe or {})
    return {key: pair for key, pair in found.items() if key not in _NAMES}


def _environment(one: RunData, two: RunData) -> dict[str, tuple[str, str]]:
    first, second = (_flat(data.starts[-1]["environment"]) if data.starts else {} for data in (one, two))
    pairs = {key: (first.get(key, "-"), second.get(key, "-")) for key in {**first, **second}}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def _flat(environment: Mapping[str, Any]) -> dict[str, str]:
    """What a run was computed with, packages by their names."""
    packages = environment.get("packages", {})
    return {key: str(value) for key, value in {**environment, **packages}.items() if key != "packages"}
