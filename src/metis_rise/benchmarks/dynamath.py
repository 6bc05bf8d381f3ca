"""DynaMath: 501 seed questions in 10 variants each; the leaderboard's number is the worst case."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from importlib import resources

from metis_rise.benchmarks import cells
from metis_rise.benchmarks.base import Benchmark, Headline, Item, Known, Marks, Row
from metis_rise.benchmarks.groups import average, gaps, label
from metis_rise.benchmarks.inline_options import split_options
from metis_rise.benchmarks.short_answer import (
    TOLERANCE,
    authors_extraction,
    find_short_answer,
    json_part,
    typed,
    within_tolerance,
)
from metis_rise.benchmarks.tsv import normal_index
from metis_rise.types import AnswerType, Problem, Reason, Verdict
from metis_rise.verifier.format import format_fault
from metis_rise.verifier.judge import judge

VARIANTS = 10
"""Variants of a seed question, numbered from 1."""

_KINDS = {"float": AnswerType.NUMBER, "multiple choice": AnswerType.CHOICE, "text": AnswerType.TEXT}
_INSTRUCTIONS = {
    AnswerType.NUMBER: "Format the answer as a three-digit floating-point number and provide it in the 'short answer' "
    "key.",
    AnswerType.CHOICE: "Provide the corresponing choice option in the 'short answer' key, such as 'A', 'B', 'C', or "
    "'D'.",
    AnswerType.TEXT: "Float numbers in the answer should be formatted as three-digit floating-point numbers.",
}


def worst_case(items: Sequence[Item], marks: Marks) -> float:
    """1.0 where every variant of a seed is right, else 0.0."""
    return float(all(marks[item.index] for item in items))


class DynaMath(Benchmark):
    """DynaMath as VLMEvalKit's `dynamath` scores it, with worst-case and average accuracy."""

    name = "dynamath"
    title = "DynaMath"
    known = Known(
        dataset="DynaMath",
        md5="b8425ad9a7114571fc9366e013699494",
        rows=5010,
        groups=501,
        columns=("qid", "varid", "question", "answer", "answer_type", "subject", "knowledge_level"),
        source="https://opencompass.openxlab.space/utils/VLMEval/DynaMath.tsv",
        files=("trial1/dataset.json", "samples and result/10trials/trial1/dataset.json"),
    )
    headlines = (
        Headline("worst case", worst_case, ("subject", "level")),
        Headline("average", average, ("subject", "level")),
    )

    def problem(self, row: Row) -> Problem:
        """The question; options at its end become choices."""
        _variant(row)
        kind, answer, question = _kind(row), cells.text(row, "answer"), cells.text(row, "question")
        question, choices = split_options(question, answer) if kind is AnswerType.CHOICE else (question, None)
        return Problem(row.index, question, answer, kind, row.images, choices, source=self.name)

    def prompt(self, row: Row) -> str:
        """The question with the instruction to answer in JSON (VLMEvalKit dynamath, Apache-2.0; their spelling)."""
        return _template().replace("{instruction}", _INSTRUCTIONS[_kind(row)]).replace("{question}", row["question"])

    def group(self, row: Row) -> str:
        """The seed, `qid`."""
        return normal_index(cells.text(row, "qid"))

    def labels(self, row: Row) -> Mapping[str, tuple[str, ...]]:
        """Subject and level of knowledge."""
        return {"subject": label(row, "subject"), "level": label(row, "knowledge_level")}

    def whole(self, items: Sequence[Item]) -> str | None:
        """Which of the ten variants a seed lacks."""
        wanted = [str(number) for number in range(1, VARIANTS + 1)]
        return gaps([str(_variant(item.row)) for item in items], wanted, "variant")

    def rule(self, item: Item, text: str) -> Verdict:
        """The JSON short answer where there is one, else the lenient reading; numbers count up to 0.001 away."""
        short = find_short_answer(text)
        verdict = judge(item.problem, text if short is None else short, strict=False)
        if short is not None:
            fault, rule = format_fault(text), f"short answer, {verdict.rule}"
            verdict = replace(verdict, well_formed=fault is None, fault=fault or "", rule=rule, parts={})
        if item.problem.answer_type is not AnswerType.NUMBER or verdict.extracted is None:
            return verdict
        near = within_tolerance(item.problem.answer, verdict.extracted)
        if near is None:
            return verdict
        reason = f"number, {'at most' if near else 'more than'} {float(TOLERANCE)} away"
        return replace(verdict, correct=near, reason=reason, code=Reason.RIGHT if near else Reason.DIFFERENT, parts={})

    def own_extraction(self, item: Item, text: str) -> str | None:
        """The short answer of valid JSON, else the response where that is an answer (VLMEvalKit dynamath).

        Of a choice the response in any case: `official` then looks at its first characters, as they do.
        """
        found = self.quick(item, text)
        return json_part(text) if found is None and item.problem.answer_type is AnswerType.CHOICE else found

    def quick(self, item: Item, text: str) -> str | None:
        """The short answer of valid JSON, else the response where that is an answer (VLMEvalKit dynamath)."""
        return authors_extraction(text, item.problem.answer_type)

    def official(self, item: Item, extraction: str) -> bool:
        """VLMEvalKit dynamath `DynaMath_auxeval`, but for an empty text, which passes there and is wrong here.

        A number at most 0.001 away; the same letter, or where no letter can be read the gold one among the first
        three characters; a text that is part of the gold answer, case aside.
        """
        gold, kind = item.problem.answer, item.problem.answer_type
        found = typed(extraction, kind)
        if kind is AnswerType.TEXT:
            return bool(extraction) and extraction.lower() in gold.lower()
        if kind is AnswerType.CHOICE:
            return found == gold or (found is None and gold in extraction[:3].upper())
        wanted = typed(gold, kind)
        if not isinstance(found, float) or not isinstance(wanted, float):
            return False
        return math.isfinite(found) and abs(found - wanted) <= float(TOLERANCE)


@lru_cache(maxsize=1)
def _template() -> str:
    file = resources.files("metis_rise").joinpath("templates/prompt_dynamath.txt")
    return file.read_text(encoding="utf-8").rstrip("\n")


def _kind(row: Row) -> AnswerType:
    kind = _KINDS.get(row["answer_type"].strip())
    if kind is None:
        raise cells.fault(row, "answer_type", "unknown", f"write {', '.join(map(repr, _KINDS))}")
    return kind


def _variant(row: Row) -> int:
    number = cells.integer(row, "varid")
    if number is None or not 1 <= number <= VARIANTS:
        raise cells.fault(row, "varid", "no number of a variant", f"write a number from 1 to {VARIANTS}")
    return number
