"""One problem of a run: what every stage knows of it, and what was answered."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from metis_rise.errors import InputError
from metis_rise.journal import stream_jsonl
from metis_rise.report.data import ARMS, MODES, RunData, load_run
from metis_rise.report.movement import bucket_of
from metis_rise.report.reading import rollout_files, rows_of, trajectory
from metis_rise.run import round_name
from metis_rise.types import Problem, Trajectory

_MOST_NAMED = 6
_MOST_COMPARED = 2000
_PARTS = re.compile(r"[^a-z0-9]+")
_JOURNAL = "trajectories-0000.jsonl"
_TAUGHT = {"3-distill": "taught, self-distilled", "4-expert": "taught, by an expert"}


@dataclass(frozen=True, slots=True)
class Answers:
    """What one source answered: `where` in words, such as "RL" or "after RISE, greedy"."""

    where: str
    trajectories: tuple[Trajectory, ...]

    @property
    def right(self) -> int:
        """How many are right and well formed."""
        return sum(t.strict for t in self.trajectories)


@dataclass(frozen=True, slots=True)
class Found:
    """A problem of a run. standings: bucket and solve rate by round. unread: files of RL's rollouts left out."""

    run: RunData
    problem: Problem
    split: str
    standings: tuple[tuple[str, float], ...]
    answers: tuple[Answers, ...]
    unsolved: str
    unread: int

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; trajectories without their tokens."""
        return {
            "problem": self.problem.to_json(),
            "split": self.split,
            "standings": [{"bucket": bucket, "solve_rate": rate} for bucket, rate in self.standings],
            "expert": self.unsolved,
            "answers": [
                {"where": each.where, "right": each.right, "trajectories": [_row(t) for t in each.trajectories]}
                for each in self.answers
            ],
            "rollout_files_left_out": self.unread,
        }


def find(path: Path, name: str) -> Found:
    """The problem `name` (an id, or a part of one alone) of the run in `path`; InputError where there is none."""
    data = load_run(path)
    split, problem = _problem(data, name)
    homes = [path, *(path / round_name(number) for number in range(2, len(data.later_rounds) + 2))]
    rollouts = [rollout_files(home / "1-rl") for home in homes]
    return Found(
        data,
        problem,
        split,
        tuple(_standings(data, problem.id)),
        tuple(each for each in _answers(homes, problem.id, [files for files, _ in rollouts]) if each.trajectories),
        _unsolved(homes, problem.id),
        sum(unread for _, unread in rollouts),
    )


def _problem(data: RunData, name: str) -> tuple[str, Problem]:
    known = {key: (split, problem) for split, found in data.problems.items() for key, problem in found.items()}
    if name in known:
        return known[name]
    if not known:
        raise InputError(f"{data.path}: has no problems yet; wait until the run has made or read them")
    parts = [key for key in known if name in key]
    if len(parts) == 1:
        return known[parts[0]]
    if parts:
        more = f" and {len(parts) - _MOST_NAMED} more" if len(parts) > _MOST_NAMED else ""
        raise InputError(f"{name!r} is a part of {len(parts)} ids: {', '.join(parts[:_MOST_NAMED])}{more}; give more")
    likely = near(name, known)
    raise InputError(f"{data.path}: no problem {name!r}; its problems folder has {', '.join(likely)} and others")


def near(name: str, ids: Iterable[str]) -> list[str]:
    """Three ids that share most parts with `name`, in whatever order, the most alike first."""
    wanted = set(_PARTS.split(name.lower()))
    shared = {key: len(wanted & set(_PARTS.split(key.lower()))) for key in ids}
    most = max(shared.values())
    likely = [key for key, count in shared.items() if count == most][:_MOST_COMPARED]
    return sorted(likely, key=lambda key: -SequenceMatcher(None, _ordered(name), _ordered(key)).ratio())[:3]


def _ordered(name: str) -> str:
    return "-".join(sorted(_PARTS.split(name.lower())))


def _standings(data: RunData, key: str) -> Iterator[tuple[str, float]]:
    for stages in (data.stages, *data.later_rounds):
        rates = (stages["2-diagnose"].result or {}).get("solve_rates", {})
        if key in rates:
            yield bucket_of(rates[key], data.thresholds).value, rates[key]


def _answers(homes: Sequence[Path], key: str, rollouts: Sequence[Sequence[Path]]) -> Iterator[Answers]:
    """In the order in which a run makes them, evaluation last; `homes` are the folders of the rounds."""
    for number, (home, files) in enumerate(zip(homes, rollouts, strict=True), start=1):
        prefix = "" if number == 1 else f"round {number}: "
        yield Answers(f"{prefix}RL", tuple(t for file in files for t in _of(file, key)))
        yield Answers(f"{prefix}diagnosis", tuple(_of(home / "2-diagnose" / _JOURNAL, key)))
        for folder, said in _TAUGHT.items():
            yield Answers(f"{prefix}{said}", tuple(_of(home / folder / _JOURNAL, key)))
    for arm, label in ARMS.items():
        for mode in MODES:
            yield Answers(f"{label}, {mode}", tuple(_of(homes[0] / "6-evaluate" / f"{arm}-{mode}.jsonl", key)))


def _of(file: Path, key: str) -> Iterator[Trajectory]:
    """The trajectories of a problem in a journal, each sample of the same weights once."""
    rows = (trajectory(row, file) for row in rows_of(file, {key}) if row is not None)
    yield from {(t.weights_version, t.sample, t.text): t for t in rows}.values()


def _unsolved(homes: Sequence[Path], key: str) -> str:
    """Why the last round that asked experts kept no answer; "" where one was kept, or none was asked."""
    files = (home / "4-expert" / "outcomes.jsonl" for home in reversed(homes))
    rows = (row for file in files if file.exists() for _, row in stream_jsonl(file))
    last = next((row for row in rows if row["problem"] == key), None)
    return "" if last is None or last["kept"] else str(last["reason"])


def _row(t: Trajectory) -> dict[str, Any]:
    return {key: value for key, value in t.to_json().items() if key not in ("tokens", "logprobs")}
