"""What a run folder says, read into small frozen records.

Everything may be missing: a report of a run in progress is as welcome as one of a finished run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metis_rise.benchmarks.choice import named
from metis_rise.benchmarks.evaluation_folder import SCORE
from metis_rise.errors import InputError
from metis_rise.report.files import as_written, read_object, rows
from metis_rise.run import round_name
from metis_rise.run_format import read_format
from metis_rise.types import Problem, Trajectory

ARMS = {"base": "base", "rl": "after RL", "rise": "after RISE"}
MODES = ("greedy", "sampled")
STAGES = {
    "1-rl": "RL",
    "2-diagnose": "diagnosis",
    "3-distill": "self-distillation",
    "4-expert": "expert",
    "5-sft": "curriculum SFT",
    "6-evaluate": "evaluation",
}
SPLITS = ("train", "dev", "test")
_RECIPE_TYPES: Mapping[str, Any] = {"name": str, "diagnose": dict, "sampling": dict, "evaluate": dict}
_SUMMARY_TYPES: Mapping[str, Any] = {"recipe": str, "arms": dict, "seconds": dict, "peak_memory_mb": int | float}
_DONE_TYPES: Mapping[str, Any] = {
    "seconds": int | float,
    "stages": list,
    **dict.fromkeys(("counts", "dropped", "buckets", "families", "sampling", "solve_rates", "experts"), dict),
}
HELD_OUT = "-heldout"


@dataclass(frozen=True, slots=True)
class Score:
    """Accuracy (right and well formed) of one arm in one mode, 0..1, with its 95 % interval.

    `judge` is the model that was asked about text answers, if any; `by_judge` answers are right by its word alone.
    """

    accuracy: float
    low: float
    high: float
    n: int
    families: Mapping[str, float] = field(default_factory=dict)
    judge: str | None = None
    by_judge: int = 0


@dataclass(frozen=True, slots=True)
class Summary:
    """summary.json: `scores[arm][mode]`, in the order of `ARMS`, only the arms and modes that were evaluated."""

    recipe: str
    scores: Mapping[str, Mapping[str, Score]]
    seconds: Mapping[str, float]
    peak_memory_mb: float | None

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Summary:
        """The typed view of summary.json's content."""
        arms = row.get("arms", {})
        return cls(
            recipe=row["recipe"],
            scores={arm: {m: Score(**arms[arm][m]) for m in MODES if m in arms[arm]} for arm in ARMS if arm in arms},
            seconds=row.get("seconds", {}),
            peak_memory_mb=row.get("peak_memory_mb"),
        )

    @property
    def families(self) -> list[str]:
        """Every family that any score names, sorted."""
        return sorted({f for modes in self.scores.values() for score in modes.values() for f in score.families})

    def mode(self, mode: str) -> dict[str, Score]:
        """The arms evaluated in `mode`, in the order of `ARMS`."""
        return {arm: modes[mode] for arm, modes in self.scores.items() if mode in modes}


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of metrics.jsonl. SFT writes as stage "sft-NAME" and "sft-NAME-heldout", NAME a curriculum stage's."""

    stage: str
    step: int
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class StageRecord:
    """A stage's folder. `result` is the content of its DONE file, None while it is not finished."""

    folder: str
    started: bool
    result: Mapping[str, Any] | None

    @property
    def label(self) -> str:
        """The stage's name in a sentence."""
        return STAGES[self.folder]

    @property
    def state(self) -> str:
        """done, unfinished or not started."""
        return "done" if self.result is not None else "unfinished" if self.started else "not started"

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        seconds: float | None = self._get("seconds", None)
        return seconds

    @property
    def dropped(self) -> Mapping[str, int]:
        """Trajectories left out, by reason, only the reasons that occurred."""
        return {reason: n for reason, n in self._get("dropped", {}).items() if n}

    @property
    def problems(self) -> int | None:
        """Problems that it worked on."""
        rates = self._get("solve_rates", None)
        found: int | None = self._get("counts", {}).get("problems", None if rates is None else len(rates))
        return found

    @property
    def used(self) -> int | None:
        """Trajectories that it used or passed on."""
        counts = self._get("counts", {})
        for name in ("used", "kept", "trajectories", "examples"):
            if name in counts:
                return int(counts[name])
        phases = self.phases
        return sum(p["examples"] + p.get("replay", 0) for p in phases) if phases else None

    @property
    def phases(self) -> Sequence[Mapping[str, Any]]:
        """The curriculum stages of SFT; empty for every other stage."""
        return self._get("stages", []) if self.folder == "5-sft" else []

    def _get(self, name: str, default: Any) -> Any:
        return default if self.result is None else self.result.get(name, default)


@dataclass(frozen=True, slots=True)
class RunData:
    """All that a report needs of a run, trajectories excepted: those are read on demand and may be large."""

    path: Path
    recipe: Mapping[str, Any] | None
    summary: Summary | None
    metrics: Sequence[Metric]
    events: Sequence[Mapping[str, Any]]
    stages: Mapping[str, StageRecord]
    problems: Mapping[str, Mapping[str, Problem]]
    later_rounds: Sequence[Mapping[str, StageRecord]] = ()
    """Stages of the second round and on, evaluation aside, as far as they have begun."""

    @property
    def name(self) -> str:
        """The recipe's name, or the folder's while there is no recipe.json."""
        return str((self.recipe or {}).get("name", self.path.name))

    @property
    def thresholds(self) -> tuple[float, float]:
        """Solve rates up to which a problem is absent and from which it is mastered; the paper's without a recipe."""
        config = (self.recipe or {}).get("diagnose", {})
        return config.get("absent_at", 0.0), config.get("mastered_at", 1.0)

    @property
    def rounds(self) -> int:
        """How many the recipe asks for."""
        asked = (self.recipe or {}).get("rounds", 1)
        return max(asked if isinstance(asked, int) else 1, 1 + len(self.later_rounds))

    def in_order(self) -> Iterator[tuple[int, StageRecord]]:
        """The stages of all rounds, each with its round, begun or not; evaluation, the whole run's, is the last."""
        *first, last = self.stages.values()
        yield from ((1, record) for record in first)
        for turn in range(2, self.rounds + 1):
            begun = turn - 2 < len(self.later_rounds)
            there = self.later_rounds[turn - 2] if begun else {name: StageRecord(name, False, None) for name in STAGES}
            yield from ((turn, record) for name, record in there.items() if name != last.folder)
        yield 1, last

    @property
    def scores(self) -> tuple[int, int]:
        """Of the benchmarks that the recipe names: the models' scores that are there, and how many there will be."""
        asked = (self.recipe or {}).get("evaluate", {}).get("benchmarks", ())
        with as_written(self.path / "recipe.json"):
            names = {benchmark.name for name in asked for benchmark in named(name)}
        files = [self.path / "benchmarks" / arm / name / SCORE for arm in ARMS for name in names]
        return sum(file.exists() for file in files), len(files)

    @property
    def next_stage(self) -> tuple[int, StageRecord] | None:
        """The first stage that is not done, with its round; None where the run is, the recipe's benchmarks too."""
        left = next(((turn, record) for turn, record in self.in_order() if record.state != "done"), None)
        there, wanted = self.scores
        return (1, self.stages["6-evaluate"]) if left is None and there < wanted else left

    @property
    def finished(self) -> tuple[int, int]:
        """How many stages are done, and how many there are; evaluation ends with the recipe's benchmarks."""
        *first, last = self.stages.values()
        begun = [*first, *(record for stages in self.later_rounds for record in stages.values())]
        done = sum(record.state == "done" for record in begun if record.folder != last.folder)
        there, wanted = self.scores
        return done + (last.state == "done" and there == wanted), self.rounds * len(first) + 1

    @property
    def starts(self) -> list[Mapping[str, Any]]:
        """Every start and resume of the run with its environment, oldest first."""
        return [event for event in self.events if event.get("kind") == "start"]

    @property
    def warnings(self) -> list[Mapping[str, Any]]:
        """What the stages reported as going wrong, oldest first."""
        return [event for event in self.events if event.get("kind") == "warning"]

    def problem(self, problem_id: str) -> Problem | None:
        """The problem of any split."""
        return next((split[problem_id] for split in self.problems.values() if problem_id in split), None)

    def evaluated(self, arm: str, mode: str) -> list[Trajectory]:
        """What `arm` answered on the test problems in `mode`; empty while it is not evaluated."""
        return _trajectories(self.path / "6-evaluate" / f"{arm}-{mode}.jsonl")

    def produced(self, folder: str) -> list[Trajectory]:
        """The first file of a stage's trajectories; empty while there is none."""
        return _trajectories(self.path / folder / "trajectories-0000.jsonl")


def load_run(path: Path) -> RunData:
    """The run in folder `path`. InputError where there is no such folder or a JSON file in it is damaged."""
    if not path.is_dir():
        raise InputError(f"{path}: no such run folder; name the folder that holds recipe.json")
    read_format(path)
    return RunData(
        path=path,
        recipe=read_object(path / "recipe.json", _RECIPE_TYPES, ("name",)),
        summary=_summary(path / "summary.json"),
        metrics=_metrics(path / "metrics.jsonl"),
        events=rows(path / "manifest.jsonl"),
        stages=_stages(path),
        problems={split: _problems(path / "problems" / f"{split}.jsonl") for split in SPLITS},
        later_rounds=_later_rounds(path),
    )


def _stages(folder: Path) -> dict[str, StageRecord]:
    return {f: StageRecord(f, (folder / f).is_dir(), _result(folder, f)) for f in STAGES}


def _result(folder: Path, stage: str) -> dict[str, Any] | None:
    return read_object(folder / stage / "DONE", _DONE_TYPES, ("buckets",) if stage == "2-diagnose" else ())


def _later_rounds(path: Path) -> list[Mapping[str, StageRecord]]:
    found: list[Mapping[str, StageRecord]] = []
    while (folder := path / round_name(len(found) + 2)).is_dir():
        found.append(_stages(folder))
    return found


def _summary(path: Path) -> Summary | None:
    content = read_object(path, _SUMMARY_TYPES)
    with as_written(path):
        return None if content is None else Summary.from_json(content)


def _metrics(path: Path) -> list[Metric]:
    """The journal in order; a step that a resumed run did again counts once, with its last values."""
    with as_written(path):
        found = {(row["stage"], row["step"]): _metric(row["stage"], row["step"], row["values"]) for row in rows(path)}
    return list(found.values())


def _metric(stage: Any, step: Any, values: Mapping[str, Any]) -> Metric:
    return Metric(str(stage), int(step), {name: float(value) for name, value in values.items()})


def _problems(path: Path) -> dict[str, Problem]:
    with as_written(path):
        return {problem.id: problem for problem in map(Problem.from_json, rows(path))}


def _trajectories(path: Path) -> list[Trajectory]:
    with as_written(path):
        return [Trajectory.from_json(row) for row in rows(path)]
