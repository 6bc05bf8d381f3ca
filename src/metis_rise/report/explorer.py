"""The trajectories of a page as data for its script: problems, their pictures, and what each stage said to them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from tokenizers import Tokenizer

from metis_rise.report.choosing import buckets, changes, chosen
from metis_rise.report.data import RunData
from metis_rise.report.movement import FirstMet
from metis_rise.report.pictures import PictureBook
from metis_rise.report.shading import pieces, tokenizer_of
from metis_rise.report.told import Told, gather
from metis_rise.types import Problem, Trajectory

BUDGET = 7_000_000
"""Bytes of the page for problems, answers and pictures together; the rest of a page is less than 3 MB."""

_MOST_CHARACTERS = 6000
_MOST_PICTURES = 4


@dataclass(frozen=True, slots=True)
class Explorer:
    """JSON for a script element, and how much of what there is it holds.

    answers_read: answers in the files that were read. files_unread: files of RL's rollouts that were not.
    """

    data: Markup
    problems: int
    problems_all: int
    answers: int
    answers_read: int
    files_unread: int
    shaded: int

    @property
    def whole(self) -> bool:
        """Whether nothing was left out."""
        return self.answers == self.answers_read and not self.files_unread


def explorer(run: RunData, met: FirstMet, right: Mapping[str, Mapping[str, Sequence[bool]]]) -> Explorer:
    """Chooses problems and takes them in turn, leaving out those for which the budget has no room.

    Raises:
        InputError: a journal is damaged.
    """
    changed, bucket = changes(run, right), buckets(run)
    problems = chosen(run, met.rates, changed, bucket)
    gathered = gather(run, {problem.id for problem in problems})
    tokenizer, book = tokenizer_of(run), PictureBook(run.path / "images")
    rows: list[str] = []
    pictures: dict[str, str] = {}
    answers = shaded = 0
    left = BUDGET
    for problem in problems:
        told = gathered.answers.get(problem.id, [])
        row = _problem(problem, told, bucket.get(problem.id, ""), changed.get(problem.id, ""), tokenizer)
        text = _json(row)
        shown = {key: uri for key in row["pictures"] if key not in pictures and (uri := book.uri(key)) is not None}
        cost = len(text.encode("utf-8", "replace")) + sum(map(len, shown.values()))
        if cost > left:
            continue
        left -= cost
        rows.append(text)
        pictures |= shown
        answers += len(told)
        shaded += sum("lengths" in answer for answer in row["answers"])
    everything = sum(len(each) for each in run.problems.values())
    data = Markup(f'{{"problems": [{", ".join(rows)}], "pictures": {_json(pictures)}}}')
    return Explorer(data, len(rows), everything, answers, gathered.read, gathered.unread, shaded)


def _json(value: Any) -> str:
    """JSON that cannot end the script element that it stands in, nor open a comment there."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")


def _problem(
    problem: Problem, told: Sequence[Told], bucket: str, change: str, tokenizer: Tokenizer | None
) -> dict[str, Any]:
    return {
        "id": problem.id,
        "family": problem.family or problem.source,
        "level": problem.level,
        "bucket": bucket,
        "change": change,
        "question": problem.question[:_MOST_CHARACTERS],
        "choices": problem.choices,
        "gold": problem.answer,
        "pictures": problem.images[:_MOST_PICTURES],
        "answers": [_answer(one, tokenizer) for one in told],
    }


def _answer(told: Told, tokenizer: Tokenizer | None) -> dict[str, Any]:
    one, verdict = told.trajectory, told.trajectory.verdict
    row = {
        "stage": told.stage,
        "title": told.title,
        "colour": told.colour,
        "source": one.source,
        "right": one.strict,
        "mark": _mark(one),
        "extracted": None if verdict is None else verdict.extracted,
        "why": _why(one),
        "text": one.text[:_MOST_CHARACTERS],
        "cut": max(0, len(one.text) - _MOST_CHARACTERS),
        "stop": one.stop.value,
    }
    return row | (_shades(tokenizer, one) if tokenizer is not None else {})


def _shades(tokenizer: Tokenizer, trajectory: Trajectory) -> dict[str, Any]:
    """Lengths of the tokens' texts, in the units of a script's strings, and hundredths of a nat below certainty."""
    lengths: list[int] = []
    surprises: list[int] = []
    total = 0
    for text, logprob in pieces(tokenizer, trajectory):
        total += len(text)
        if total > _MOST_CHARACTERS:
            break
        lengths.append(len(text.encode("utf-16-le", "replace")) // 2)
        surprises.append(round(-100 * logprob))
    return {"lengths": lengths, "surprises": surprises} if lengths else {}


def _mark(trajectory: Trajectory) -> str:
    verdict = trajectory.verdict
    if verdict is None:
        return "not judged"
    if not verdict.correct:
        return "wrong"
    if not verdict.well_formed:
        return "right, but malformed"
    return "right, but the steps are not" if verdict.chain is False else "right"


def _why(trajectory: Trajectory) -> list[str]:
    """What the verifier says: how it found the answer, what decided, what is against the format, the rewards."""
    verdict = trajectory.verdict
    if verdict is None:
        return []
    fault = f"format: {verdict.fault}" if verdict.fault else ""
    rewards = ", ".join(f"{name} {value:.3g}" for name, value in verdict.parts.items())
    said = ["" if verdict.reason.startswith(verdict.rule) else verdict.rule, verdict.reason, fault]
    return [*(part for part in said if part), *([f"rewards: {rewards}"] if rewards else [])]
