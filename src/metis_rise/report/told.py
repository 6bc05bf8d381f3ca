"""Which answers a page shows of a problem, stage by stage, read from the journals of a run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from metis_rise.report.data import ARMS, MODES, STAGES, RunData
from metis_rise.report.reading import rollout_files, rows_of, trajectory
from metis_rise.run import round_name
from metis_rise.types import Trajectory

_OF_EACH_GROUP = 2
_OF_EACH_KIND = 2


@dataclass(frozen=True, slots=True)
class Told:
    """An answer to a problem: the stage that it is of, what it is called beside others, and its colour's name."""

    stage: str
    title: str
    colour: str
    trajectory: Trajectory


@dataclass(frozen=True, slots=True)
class Gathered:
    """Answers by problem, in the order of the stages; how many the files that were read hold, and files left out."""

    answers: dict[str, list[Told]]
    read: int
    unread: int


class _Ends:
    """Keeps the first answers of the first group and of the last: of RL, what it began with and what came of it.

    The first of a group is the one that may have its tokens.
    """

    def __init__(self) -> None:
        self._first: list[Trajectory] = []
        self._last: list[Trajectory] = []

    def add(self, one: Trajectory) -> None:
        if not self._first or one.weights_version == self._first[0].weights_version:
            group = self._first
        else:
            if self._last and one.weights_version != self._last[0].weights_version:
                self._last = []
            group = self._last
        if len(group) < _OF_EACH_GROUP:
            group.append(one)

    def kept(self) -> list[Trajectory]:
        return [*self._first, *self._last]


@dataclass(slots=True)
class _Both:
    """Keeps a few right answers and a few others."""

    by_kind: dict[bool, list[Trajectory]] = field(default_factory=lambda: {True: [], False: []})

    def add(self, one: Trajectory) -> None:
        kind = self.by_kind[one.strict]
        if len(kind) < _OF_EACH_KIND:
            kind.append(one)

    def kept(self) -> list[Trajectory]:
        return sorted((*self.by_kind[True], *self.by_kind[False]), key=lambda one: one.sample)


@dataclass(frozen=True, slots=True)
class _Source:
    """Journals of one kind: what keeps a few of their answers to a problem, and how an answer is called."""

    stage: str
    files: list[Path]
    keep: Callable[[], _Ends | _Both]
    colour: str
    title: Callable[[Trajectory], str]
    unread: int = 0


def gather(run: RunData, wanted: Collection[str]) -> Gathered:
    """The answers to the `wanted` problems; of RL and diagnosis a few for each.

    Raises:
        InputError: a journal is damaged.
    """
    found: dict[str, list[Told]] = {}
    read = unread = 0
    for source in _sources(run):
        unread += source.unread
        keepers: dict[str, _Ends | _Both] = {}
        for file in source.files:
            for row in rows_of(file, wanted):
                read += 1
                if row is not None:
                    one = trajectory(row, file)
                    keepers.setdefault(one.problem_id, source.keep()).add(one)
        for key, keeper in keepers.items():
            told = [Told(source.stage, source.title(one), source.colour, one) for one in keeper.kept()]
            found.setdefault(key, []).extend(told)
    return Gathered(found, read, unread)


def _sources(run: RunData) -> Iterator[_Source]:
    for mode in MODES:
        for arm, name in ARMS.items():
            file = run.path / "6-evaluate" / f"{arm}-{mode}.jsonl"
            yield _Source(STAGES["6-evaluate"], [file], _Both, arm, _said(f"{name}, {mode}"))
    for number in range(1, len(run.later_rounds) + 2):
        home = run.path if number == 1 else run.path / round_name(number)
        yield from _of_round(home, "" if number == 1 else f"round {number}: ")


def _of_round(home: Path, prefix: str) -> Iterator[_Source]:
    def journal(stage: str) -> list[Path]:
        return [home / stage / "trajectories-0000.jsonl"]

    def rollout(one: Trajectory) -> str:
        return f"{prefix}RL, after {one.weights_version} update{'' if one.weights_version == 1 else 's'}"

    def sample(one: Trajectory) -> str:
        return f"{prefix}diagnosis, sample {one.sample + 1}"

    files, unread = rollout_files(home / "1-rl")
    yield _Source(STAGES["1-rl"], files, _Ends, "rl", rollout, unread)
    yield _Source(STAGES["2-diagnose"], journal("2-diagnose"), _Both, "rl", sample)
    for stage, title in (("3-distill", "self-distilled"), ("4-expert", "expert")):
        yield _Source(STAGES[stage], journal(stage), _Both, "third", _said(f"{prefix}{title}"))


def _said(title: str) -> Callable[[Trajectory], str]:
    return lambda _: title
