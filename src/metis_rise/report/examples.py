"""The trajectories that a report shows: chosen by a rule that anybody can repeat, not by hand."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metis_rise.report.data import ARMS, RunData
from metis_rise.report.pictures import PictureBook
from metis_rise.types import Problem, Trajectory

PER_FAMILY = 2
MOST_PROBLEMS = 16
PER_SOURCE = 4
_MOST_PICTURES = 4
_MOST_CHARACTERS = 6000
_TAG = re.compile(r"(</?(?:think|answer)>)")


@dataclass(frozen=True, slots=True)
class Answer:
    """A completion ready to show: `parts` are (is a tag, text) pieces of it, cut at 6000 characters."""

    label: str
    colour: str
    right: bool
    mark: str
    extracted: str | None
    parts: Sequence[tuple[bool, str]]
    cut: int
    stop: str


@dataclass(frozen=True, slots=True)
class Example:
    """A problem with its pictures (None: not to be shown) and some answers to it."""

    problem: Problem
    pictures: Sequence[str | None]
    answers: Sequence[Answer]


def compared(run: RunData, book: PictureBook) -> tuple[list[Example], bool]:
    """Test problems with the greedy answers of every evaluated arm, and whether the arms differ on them.

    Per family, the first problem (by id) of each of the two commonest right-wrong patterns in which the arms differ.
    Where they differ nowhere, the first problem of each family.
    """
    arms = {arm: {t.problem_id: t for t in run.evaluated(arm, "greedy")} for arm in ARMS}
    arms = {arm: answers for arm, answers in arms.items() if answers}
    problems = run.problems["test"]
    everywhere = sorted(i for i in problems if arms and all(i in answers for answers in arms.values()))
    patterns = {i: tuple(answers[i].strict for answers in arms.values()) for i in everywhere}
    differing = [i for i in everywhere if len(set(patterns[i])) > 1]
    chosen: list[str] = []
    for ids in _by_family(differing or everywhere, problems).values():
        chosen += _commonest(ids, patterns)[: PER_FAMILY if differing else 1]
    return [_compare(problems[i], arms, book) for i in chosen[:MOST_PROBLEMS]], bool(differing)


def trained_on(run: RunData, folder: str, book: PictureBook) -> list[Example]:
    """A few trajectories that a stage made for SFT, one per family in turn, in the order of the file."""
    rows = run.produced(folder)
    problems = {row.problem_id: problem for row in rows if (problem := run.problem(row.problem_id)) is not None}
    first = {row.problem_id: row for row in reversed(rows) if row.problem_id in problems}
    families = _by_family([i for i in problems if i in first], problems)
    turns = [ids[turn] for turn in range(PER_SOURCE) for ids in families.values() if turn < len(ids)]
    return [
        Example(problems[i], _pictures(problems[i], book), [_answer(first[i], run.stages[folder].label, "third")])
        for i in turns[:PER_SOURCE]
    ]


def _by_family(ids: Sequence[str], problems: Mapping[str, Problem]) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for problem_id in ids:
        found[problems[problem_id].family].append(problem_id)
    return dict(sorted(found.items()))


def _commonest(ids: Sequence[str], patterns: Mapping[str, tuple[bool, ...]]) -> list[str]:
    """The first id of every pattern, the pattern with most ids first."""
    members: defaultdict[tuple[bool, ...], list[str]] = defaultdict(list)
    for problem_id in ids:
        members[patterns[problem_id]].append(problem_id)
    ranked = sorted(members.items(), key=lambda item: (-len(item[1]), item[0]))
    return [group[0] for _, group in ranked]


def _compare(problem: Problem, arms: Mapping[str, Mapping[str, Trajectory]], book: PictureBook) -> Example:
    answers = [_answer(rows[problem.id], ARMS[arm], arm) for arm, rows in arms.items()]
    return Example(problem, _pictures(problem, book), answers)


def _pictures(problem: Problem, book: PictureBook) -> list[str | None]:
    return [book.uri(key) for key in problem.images[:_MOST_PICTURES]]


def _answer(trajectory: Trajectory, label: str, colour: str) -> Answer:
    text, verdict = trajectory.text, trajectory.verdict
    parts = [(_TAG.fullmatch(part) is not None, part) for part in _TAG.split(text[:_MOST_CHARACTERS]) if part]
    return Answer(
        label=label,
        colour=colour,
        right=trajectory.strict,
        mark=_mark(trajectory),
        extracted=None if verdict is None else verdict.extracted,
        parts=parts,
        cut=max(0, len(text) - _MOST_CHARACTERS),
        stop=trajectory.stop.value,
    )


def _mark(trajectory: Trajectory) -> str:
    verdict = trajectory.verdict
    if verdict is None:
        return "not judged"
    if not verdict.correct:
        return "wrong"
    if not verdict.well_formed:
        return "right, but malformed"
    return "right, but the steps are not" if verdict.chain is False else "right"
