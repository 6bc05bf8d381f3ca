"""WeMath: 525 problems of two or three steps, each asked step by step and as a whole; partial credit by problem."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from string import ascii_uppercase

from metis_rise.benchmarks import cells
from metis_rise.benchmarks.base import Benchmark, Headline, Item, Known, Marks, Row
from metis_rise.benchmarks.groups import gaps
from metis_rise.benchmarks.options import can_infer, lettered
from metis_rise.benchmarks.wemath_domains import DOMAINS
from metis_rise.problems.answers import read_letters
from metis_rise.types import AnswerType, Problem, Reason, Verdict
from metis_rise.verifier.format import format_fault
from metis_rise.verifier.judge import judge

MULTI = "multi"
"""The row that asks a problem as a whole; the others are numbered from 1."""

_KEY = re.compile(r"2steps_(?:[12]|multi)|3steps_(?:[123]|multi)")
# Models leave the brackets out. A letter that a word follows may be the article.
_TEMPLATE = re.compile(
    r"<Answer>\s{0,9}(?::?\s{0,9}<{1,2}|:)\s{0,9}\(?([A-H])(?=\)?\s{0,9}(?:[.:,>\n]|\Z))", re.IGNORECASE
)
_CLUTTER = re.compile(r"[><:.]")
_LETTERS = "ABCDEFGH"


class Mastery(StrEnum):
    """What the answers to one problem show (We-Math evaluation/four_dimensional_metrics)."""

    COMPLETE = "CM"
    GENERALIZATION = "IG"
    KNOWLEDGE = "IK"
    ROTE = "RM"


def mastery(steps: Sequence[bool], whole: bool, *, strict: bool) -> Mastery:
    """The class of a problem.

    A right whole is complete mastery where every step is right (loose: any), else rote memorization. A wrong whole is
    inadequate generalization where every step is right, else insufficient knowledge.
    """
    if whole:
        return Mastery.COMPLETE if (all(steps) if strict else any(steps)) else Mastery.ROTE
    return Mastery.GENERALIZATION if all(steps) else Mastery.KNOWLEDGE


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Which rows of a whole problem are right."""

    steps: tuple[bool, ...]
    whole: bool

    @classmethod
    def of(cls, items: Sequence[Item], marks: Marks) -> _Outcome:
        right = {_part(item.row): marks[item.index] for item in items}
        whole = right.pop(MULTI)
        return cls(tuple(right.values()), whole)

    def worth(self, strict: bool) -> float:
        return _WORTH.get(mastery(self.steps, self.whole, strict=strict), 0.0)


_WORTH = {Mastery.COMPLETE: 1.0, Mastery.GENERALIZATION: 0.5}


def strict_score(items: Sequence[Item], marks: Marks) -> float:
    """1.0 for complete mastery, 0.5 for inadequate generalization, else 0.0."""
    return _Outcome.of(items, marks).worth(strict=True)


def loose_score(items: Sequence[Item], marks: Marks) -> float:
    """The same, with complete mastery where the whole and any step are right."""
    return _Outcome.of(items, marks).worth(strict=False)


class WeMath(Benchmark):
    """WeMath as VLMEvalKit and its authors score it; the leaderboard's number is the strict score."""

    name = "wemath"
    title = "WeMath"
    known = Known(
        dataset="WeMath",
        md5="b5e969a075f01290a542411fb7766388",
        rows=1740,
        groups=525,
        columns=("ID", "key", "knowledge concept", "question", "A", "B", "answer"),
        source="https://opencompass.openxlab.space/utils/VLMEval/WeMath.tsv",
        files=("testmini.json",),
    )
    headlines = (Headline("strict", strict_score, ("problem",)), Headline("loose", loose_score, ("problem",)))

    def problem(self, row: Row) -> Problem:
        """The question with the options of its columns."""
        question, choices = cells.text(row, "question"), cells.options(row, True)
        gold = cells.text(row, "answer")
        answer = ", ".join(read_letters(gold) or (gold,))
        return Problem(row.index, question, answer, AnswerType.CHOICE, row.images, choices, source=self.name)

    def prompt(self, row: Row) -> str:
        """Hint if there is one, question and options (VLMEvalKit WeMath, without the template of WeMath_COT)."""
        hint = row["hint"]
        options = ascii_uppercase[: len(cells.options(row))]
        return "".join(
            (
                "" if hint.strip() in cells.EMPTY_FOR_PANDAS else f"Hint: {hint}\n",
                f"Question: {row['question']}\nOptions:\n",
                *(f"{letter}. {row[letter]}\n" for letter in options),
            )
        )

    def group(self, row: Row) -> str:
        """The problem: its ID, with the number of steps before it where the ID alone would not tell."""
        steps, number = f"{_steps(row)}steps_", cells.text(row, "ID")
        return number if number.startswith(steps) else steps + number

    def labels(self, row: Row) -> Mapping[str, tuple[str, ...]]:
        """By how many steps the row's problem has."""
        return {"problem": (f"{_steps(row)} steps",)}

    def whole(self, items: Sequence[Item]) -> str | None:
        """Which step, or the whole question, a problem lacks."""
        wanted = [str(number) for number in range(1, _steps(items[0].row) + 1)] + [MULTI]
        return gaps([_part(item.row) for item in items], wanted, "step")

    def rule(self, item: Item, text: str) -> Verdict:
        """The letter in the template of WeMath_COT where it is used, else the lenient reading."""
        outside = text.rpartition("</think>")[2]
        filled = _TEMPLATE.findall(outside)
        if not filled:
            return judge(item.problem, text, strict=False)
        letter = filled[-1].upper()
        right = letter == item.problem.answer
        code = Reason.RIGHT if right else Reason.DIFFERENT
        return Verdict(right, format_fault(text) is None, letter, "answer template", reason="option letter", code=code)

    def own_extraction(self, item: Item, text: str) -> str | None:
        """The first letter after the last "Answer" (We-Math evaluation/accuracy).

        So it finds little in responses to a prompt that does not ask for the template of WeMath_COT.
        """
        after = _CLUTTER.sub("", text.rpartition("Answer")[2].strip()).strip()
        return after[0] if after and after[0] in _LETTERS else None

    def quick(self, item: Item, text: str) -> str | None:
        """The option that VLMEvalKit reads out of the response before it asks a judge."""
        return can_infer(text, lettered(item.problem.choices or ()))

    def official(self, item: Item, extraction: str) -> bool:
        """The gold letter, or what VLMEvalKit reads as its option."""
        gold = item.problem.answer
        return extraction.strip() == gold or can_infer(extraction, lettered(item.problem.choices or ())) == gold

    def more(self, scored: Sequence[tuple[Item, bool]]) -> Mapping[str, float]:
        """The four classes, strict and loose, accuracy by number of steps (S1 to S3), and by domain of the steps.

        Rates of the classes are shares of all problems; that of rote memorization is RM / (CM + RM), as the authors
        have it, and is left out where no whole question is right. A domain is the mean of its concepts' accuracies.
        """
        return dict((*_classes(scored), *_by_steps(scored), *_by_domain(scored)))


def _key(row: Row) -> str:
    key = row["key"].strip()
    if not _KEY.fullmatch(key):
        raise cells.fault(row, "key", "no row of a problem", "write 2steps_1, 2steps_2, 2steps_multi, 3steps_1, ...")
    return key


def _steps(row: Row) -> int:
    return int(_key(row)[0])


def _part(row: Row) -> str:
    return _key(row).partition("_")[2]


def _classes(scored: Sequence[tuple[Item, bool]]) -> Iterator[tuple[str, float]]:
    problems: dict[str, list[Item]] = {}
    for item, _ in scored:
        problems.setdefault(item.group, []).append(item)
    marks = {item.index: right for item, right in scored}
    outcomes = [_Outcome.of(items, marks) for items in problems.values()]
    for name, strict in (("strict", True), ("loose", False)):
        counts = Counter(mastery(each.steps, each.whole, strict=strict) for each in outcomes)
        wholes = counts[Mastery.COMPLETE] + counts[Mastery.ROTE]
        for kind in Mastery:
            of = wholes if kind is Mastery.ROTE else len(outcomes)
            if of:
                yield f"{kind} {name}", 100 * counts[kind] / of


def _by_steps(scored: Sequence[tuple[Item, bool]]) -> Iterator[tuple[str, float]]:
    found: dict[str, list[bool]] = {}
    for item, right in scored:
        steps = 1 if _part(item.row) != MULTI else _steps(item.row)
        found.setdefault(f"S{steps}", []).append(right)
    yield from ((name, _percent(found[name])) for name in sorted(found))


def _by_domain(scored: Sequence[tuple[Item, bool]]) -> Iterator[tuple[str, float]]:
    concepts: dict[str, list[bool]] = {}
    for item, right in scored:
        if _part(item.row) != MULTI:
            concepts.setdefault(item.row["knowledge concept"].strip(), []).append(right)
    for domain in dict.fromkeys(DOMAINS.values()):
        means = [_percent(marks) for concept, marks in concepts.items() if DOMAINS.get(concept) == domain]
        if means:
            yield domain, sum(means) / len(means)


def _percent(marks: Sequence[bool]) -> float:
    return 100 * sum(marks) / len(marks)
