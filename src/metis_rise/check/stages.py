"""What each stage left against what its DONE file says: nothing lost, nothing doubled, the counts agree."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metis_rise.check.files import Files
from metis_rise.check.findings import Findings
from metis_rise.check.models import Models
from metis_rise.check.problems import Problems
from metis_rise.run import Run, round_name
from metis_rise.types import Bucket, Trajectory

JOURNAL = "trajectories-0000.jsonl"
REPLAY = "replay-0000.jsonl"
OUTCOMES = "outcomes.jsonl"
SOLVE_RATES = "solve-rates.jsonl"
MODEL = "model"
Done = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Checker:
    """What the checks of stages share. `run` is the run at the round that is checked."""

    run: Run
    recipe: Mapping[str, Any]
    problems: Problems
    found: Findings
    files: Files
    models: Models

    def check(self, stage: str, done: Done) -> None:
        """Checks a finished stage, a numbered name, against its result `done`."""
        folder = self.folder(stage)
        try:
            _CHECKS[stage](self, folder, done)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = f"says something else than this version expects ({type(error).__name__}: {error})"
            self.found.fault(folder / "DONE", what, self.anew(stage))
        self.found.looked_at["stages"] += 1

    def folder(self, stage: str) -> Path:
        """The folder of a numbered stage in this round."""
        home = self.run.path if self.run.number == 1 else self.run.path / round_name(self.run.number)
        return home / stage

    def anew(self, stage: str) -> str:
        """How a finished stage is done again from what is still there."""
        name = self.found.name(self.folder(stage))
        return f"restore {name} from a copy, or delete {name}/DONE and the folders of all later stages"

    def trajectories(self, path: Path, ids: Iterable[str], again: bool = False) -> list[tuple[str, int, bool]]:
        """Problem, sample and whether it is right and well formed of a file's trajectories, the last of each sample.

        Those of other problems than `ids` are findings, and those that come twice unless `again`.
        """
        known, seen = set(ids), dict[tuple[str, int], tuple[int, bool]]()
        for row, trajectory in self.files.records(path, Trajectory.from_json):
            key = (trajectory.problem_id, trajectory.sample)
            if key[0] not in known:
                self.found.fault(path, f"problem {key[0]!r} is none of this run's", "delete the line", row)
            if key in seen and not again:
                self.found.fault(path, f"sample {key[1]} of problem {key[0]!r} is there twice", "delete the line", row)
            seen[key] = (row, trajectory.strict)
            self.found.looked_at["trajectories"] += 1
        return [(problem, sample, strict) for (problem, sample), (_, strict) in seen.items()]

    def once(self, path: Path, got: Iterable[str], wanted: Iterable[str], mend: str) -> None:
        """Each of the `wanted` problems is among those that a file has `got`, once."""
        there, asked = Counter(got), dict.fromkeys(wanted)
        for problem in asked:
            if there[problem] != 1:
                said = f"is there {there[problem]} times" if there[problem] else "is missing"
                self.found.fault(path, f"problem {problem!r} {said}", mend)

    def same(self, path: Path, what: str, there: float, said: float, mend: str) -> None:
        """A count or rate agrees with what the stage's DONE says."""
        if not math.isclose(there, said, abs_tol=1e-9):
            self.found.fault(path, f"{what}: {there:g} there, {said:g} in DONE", mend)


def _rl(check: Checker, folder: Path, done: Done) -> None:
    mend, size = check.anew("1-rl"), check.recipe["rl"]["group_size"]
    curve = "rl" if check.run.number == 1 else f"{round_name(check.run.number)}/rl"
    path = check.run.path / "metrics.jsonl"
    rows = [row for _, row in check.files.rows(path) if row.get("stage") == curve]
    steps = Counter(row["step"] for row in rows)
    for step in range(1, done["steps"] + 1):
        if steps[step] != 1:
            check.found.fault(path, f"step {step} of {curve} is there {steps[step]} times", mend)
    sampled = size * sum(row["values"]["groups_sampled"] for row in rows if row["step"] <= done["steps"])
    there = 0
    for file in sorted(folder.glob("trajectories-*.jsonl")):
        for row, trajectory in check.files.records(file, Trajectory.from_json):
            there += 1
            if trajectory.problem_id not in check.problems.ids["train"]:
                what = f"problem {trajectory.problem_id!r} is none of this run's"
                check.found.fault(file, what, "delete the line", row)
    check.found.looked_at["trajectories"] += there
    if there != sampled:
        check.found.fault(folder, f"{there} trajectories are there, {sampled:g} were sampled by metrics.jsonl", mend)
    check.models.model(folder / MODEL, mend)


def _diagnose(check: Checker, folder: Path, done: Done) -> None:
    mend, journal, rates = check.anew("2-diagnose"), folder / JOURNAL, folder / SOLVE_RATES
    train = check.problems.ids["train"]
    samples: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for problem, _, strict in check.trajectories(journal, train, again=True):
        samples[problem] += 1
        right[problem] += strict
    rows = [row for _, row in check.files.rows(rates)]
    check.once(rates, (row["problem_id"] for row in rows), train, mend)
    buckets = Counter(row["bucket"] for row in rows)
    for row in rows:
        problem = row["problem_id"]
        if row["samples"] > samples[problem]:
            what = f"problem {problem!r}: {samples[problem]} samples there, {row['samples']} counted"
            check.found.fault(journal, what, mend)
        elif row["samples"] == samples[problem] and row["right"] != right[problem]:
            what = f"problem {problem!r}: {right[problem]} right by the journal, {row['right']} counted"
            check.found.fault(rates, what, mend)
        check.same(rates, f"solve rate of {problem!r}", row["solve_rate"], done["solve_rates"].get(problem, -1), mend)
    check.same(rates, "problems", len(rows), done["counts"]["problems"], mend)
    check.same(rates, "samples", sum(row["samples"] for row in rows), done["counts"]["used"], mend)
    for bucket, number in done["buckets"].items():
        check.same(rates, f"{bucket} problems", buckets[bucket], number, mend)


def _distill(check: Checker, folder: Path, done: Done) -> None:
    mend, train = check.anew("3-distill"), check.problems.ids["train"]
    for name, count in ((JOURNAL, "kept"), (REPLAY, "replay")):
        there = check.trajectories(folder / name, train)
        check.same(folder / name, "trajectories", len(there), done["counts"][count], mend)


def _expert(check: Checker, folder: Path, done: Done) -> None:
    mend, rates = check.anew("4-expert"), check.folder("2-diagnose") / SOLVE_RATES
    absent = [row["problem_id"] for _, row in check.files.rows(rates) if row["bucket"] == Bucket.ABSENT]
    outcomes = [row for _, row in check.files.rows(folder / OUTCOMES)]
    check.once(folder / OUTCOMES, (row["problem"] for row in outcomes), absent, mend)
    kept = check.trajectories(folder / JOURNAL, check.problems.ids["train"])
    solved = [row["problem"] for row in outcomes if row["kept"]]
    check.once(folder / JOURNAL, (problem for problem, _, _ in kept), solved, mend)
    check.same(folder / JOURNAL, "trajectories", len(kept), done["counts"]["kept"], mend)
    check.same(folder / OUTCOMES, "problems", len(outcomes), done["counts"]["problems"], mend)


def _sft(check: Checker, folder: Path, done: Done) -> None:
    mend = check.anew("5-sft")
    for stage in done["stages"]:
        if stage["examples"]:
            check.models.model(folder / f"model-{stage['name']}", mend)
    check.models.model(folder / MODEL, mend)


def _evaluate(check: Checker, folder: Path, done: Done) -> None:
    test = check.problems.ids["test"][: check.recipe["evaluate"].get("limit")]
    for arm, modes in done["arms"].items():
        for mode, score in modes.items():
            path = folder / f"{arm}-{mode}.jsonl"
            mend = f"restore it from a copy, or delete it and {check.found.name(folder)}/DONE: it is then sampled again"
            there = check.trajectories(path, test)
            check.once(path, (problem for problem, _, _ in there), test, mend)
            accuracy = sum(strict for _, _, strict in there) / max(1, len(there))
            check.same(path, "accuracy", accuracy, score["accuracy"], mend)


_CHECKS: Mapping[str, Callable[[Checker, Path, Done], None]] = {
    "1-rl": _rl,
    "2-diagnose": _diagnose,
    "3-distill": _distill,
    "4-expert": _expert,
    "5-sft": _sft,
    "6-evaluate": _evaluate,
}
