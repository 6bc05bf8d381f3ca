"""Items and predictions become verdicts, group by group; what cannot be scored is left out and named."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from metis_rise.benchmarks.base import Benchmark, Item, Prediction, Protocol, Scored
from metis_rise.errors import InputError
from metis_rise.terminal import Loop
from metis_rise.types import Reason, Verdict
from metis_rise.verifier.format import format_fault

UNDECIDED = "judge undecided"
"""The rule in a verdict of our own rules, where the judge gave no usable reply."""
_NAMED = 5
_GIVEN = "verdict given"


class Judging(typing.Protocol):
    """A model that judges; `evaluation.judging` has one."""

    def verdicts(self, benchmark: Benchmark, answers: Iterable[tuple[Item, str]]) -> Iterator[Verdict]:
        """A verdict for each answer, in their order."""

    def record(self) -> Mapping[str, Any]:
        """What the judge is, for the protocol line."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A group that does not count: how many rows of it there are, and why."""

    group: str
    rows: int
    why: str


@dataclass(frozen=True, slots=True)
class Scores:
    """What came out for every row.

    scored: the rows of whole groups, in the order of the data, each with `samples` verdicts.
    left_out: the other groups. total: rows of the data. strangers: indices of predictions that no row has.
    empty: indices of scored rows with an answer that is blank, which counts as wrong.
    truncated: share of the scored answers that were cut at the longest allowed, None where no file says so.
    """

    scored: tuple[Scored, ...]
    left_out: tuple[LeftOut, ...]
    total: int
    samples: int
    strangers: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    truncated: float | None = None


def score(
    benchmark: Benchmark,
    items: Sequence[Item],
    predictions: Iterable[Prediction],
    protocol: Protocol | None,
    judge: Judging | None = None,
    rows: int | None = None,
) -> Scores:
    """Judges the predictions of all whole groups.

    A group with a missing row or a missing prediction is left out: it counts neither as right nor as wrong. Where
    answers were sampled several times, a row with fewer samples than others has a missing prediction.

    Args:
        benchmark: whose rules judge.
        items: rows of the data that are scored.
        predictions: at most one for each index.
        protocol: who judges; None takes the verdicts that the predictions carry.
        judge: the model of protocol `judge`.
        rows: of the whole data file; None where `items` are all.

    Raises:
        InputError: protocol `official` where there is neither an extraction nor a rule of the authors for one.
    """
    answered = [each for each in predictions if (each.verdict is not None if protocol is None else each.texts)]
    found = {prediction.index: prediction for prediction in answered}
    known = {item.index for item in items}
    samples = 1 if protocol is None else max((len(found[i].texts) for i in found if i in known), default=1)
    left_out = list[LeftOut]()
    whole = set[str]()
    for group, members in _groups(items).items():
        why = benchmark.whole(members) or _unanswered(members, found, samples)
        if why is None:
            whole.add(group)
        else:
            left_out.append(LeftOut(group, len(members), why))
    kept = [(item, found[item.index]) for item in items if item.group in whole]
    return Scores(
        tuple(_judged(benchmark, kept, samples, protocol, judge)),
        tuple(left_out),
        len(items) if rows is None else rows,
        samples,
        tuple(index for index in found if index not in known),
        tuple(item.index for item, answer in kept if not all(text.strip() for text in answer.texts)),
        _truncated(prediction for _, prediction in kept),
    )


def verdict(benchmark: Benchmark, item: Item, text: str, protocol: Protocol, extraction: str | None = None) -> Verdict:
    """The verdict of one answer by protocol `rule` or `official`. Raises InputError as `score`."""
    if protocol is Protocol.RULE:
        return benchmark.rule(item, text)
    if protocol is Protocol.JUDGE:
        raise ValueError("a model's verdicts come from Judging.verdicts")
    rule = "extraction given"
    if extraction is None:
        if not has_own_rules(benchmark):
            raise InputError(
                f"{item.row.place}: the authors of {benchmark.title} take the answer out of a text with a model, so "
                f"the official protocol needs a column `extraction`; give one, or use --protocol rule or judge"
            )
        extraction, rule = benchmark.own_extraction(item, text), "the authors' own extraction"
    correct = extraction is not None and benchmark.official(item, extraction)
    code = Reason.RIGHT if correct else Reason.NO_ANSWER if extraction is None else Reason.DIFFERENT
    return Verdict(correct, format_fault(text) is None, extraction, rule, code=code)


def has_own_rules(benchmark: Benchmark) -> bool:
    """Whether the benchmark's authors take answers out of texts by rules, not with a model."""
    return type(benchmark).own_extraction is not Benchmark.own_extraction


def verdict_rows(scores: Scores) -> Iterator[dict[str, Any]]:
    """One JSON row per scored item: index, group, gold, our verdicts by sample, and what others said of it."""
    for scored in scores.scored:
        verdicts = [
            {"correct": each.correct, "extracted": each.extracted, "rule": each.rule, "reason": each.reason}
            for each in scored.verdicts
        ]
        row = {"index": scored.item.index, "group": scored.item.group, "gold": scored.item.problem.answer}
        given = {} if scored.given is None else {"given": scored.given}
        yield row | {"verdicts": verdicts} | given


def undecided(scores: Scores) -> tuple[str, ...]:
    """Indices of rows for which the judge gave no usable reply, so that our rules decided."""
    rules = ((one.item.index, [verdict.rule for verdict in one.verdicts]) for one in scores.scored)
    return tuple(index for index, found in rules if UNDECIDED in found)


def _groups(items: Sequence[Item]) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = {}
    for item in items:
        found.setdefault(item.group, []).append(item)
    return found


def _unanswered(members: Sequence[Item], found: Mapping[str, Prediction], samples: int) -> str | None:
    """Which rows of a group lack an answer, in a few words; None where none does."""
    none = [item.index for item in members if item.index not in found]
    few = [item.index for item in members if item.index in found and len(found[item.index].texts) < samples > 1]
    parts = (f"no prediction for {_named(none)}" if none else "", f"too few samples of {_named(few)}" if few else "")
    return "; ".join(filter(None, parts)) or None


def _named(indices: Sequence[str]) -> str:
    more = len(indices) - _NAMED
    return f"index {', '.join(indices[:_NAMED])}" + (f" and {more} more" if more > 0 else "")


def _judged(
    benchmark: Benchmark,
    kept: Sequence[tuple[Item, Prediction]],
    samples: int,
    protocol: Protocol | None,
    judge: Judging | None,
) -> Iterator[Scored]:
    if protocol is Protocol.JUDGE:
        if judge is None:
            raise ValueError("protocol judge without a judge")
        verdicts = judge.verdicts(benchmark, ((item, text) for item, answer in kept for text in answer.texts))
    else:
        verdicts = _by_rules(benchmark, kept, protocol)
    for item, answer in Loop(kept, desc="score", unit="row"):
        given = None if protocol is None else answer.verdict
        yield Scored(item, tuple(islice(verdicts, samples)), given)


def _by_rules(
    benchmark: Benchmark, kept: Sequence[tuple[Item, Prediction]], protocol: Protocol | None
) -> Iterator[Verdict]:
    for item, answer in kept:
        if protocol is None:
            right = bool(answer.verdict)
            yield Verdict(right, False, None, _GIVEN, code=Reason.RIGHT if right else Reason.DIFFERENT)
        else:
            for text in answer.texts:
                yield verdict(benchmark, item, text, protocol, answer.extraction)


def _truncated(answers: Iterable[Prediction]) -> float | None:
    known = [ended for answer in answers for ended in answer.ended if ended is not None]
    return None if not known else 1 - sum(known) / len(known)
