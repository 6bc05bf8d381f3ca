"""MathVerse, the Vision-Only version of testmini: the question stands in the picture, the text only says how to answer.

Source of the rules: ZrrSkywalker/MathVerse score_answer_s2, where a model takes the answer out and compares it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from metis_rise.benchmarks import cells
from metis_rise.benchmarks.base import Benchmark, Headline, Item, Known, Row
from metis_rise.benchmarks.groups import average, label
from metis_rise.benchmarks.options import gold_letters, judge_choice
from metis_rise.problems.answers import MAX_CHOICES, letter_of, option_letter
from metis_rise.types import AnswerType, Problem, Reason, Verdict
from metis_rise.verifier.gold import infer_type
from metis_rise.verifier.judge import judge
from metis_rise.verifier.kinds.choices import text_with_label

_CHOICE, _FREE = "multi-choice", "free-form"
_HEADING = "Choices:"
_LABEL = re.compile(r"^\s*([A-Z])\s*[:.]", re.MULTILINE)


class MathVerse(Benchmark):
    """MathVerse Vision Only, 788 questions; the number is the share of right ones."""

    name = "mathverse"
    title = "MathVerse"
    known = Known(
        dataset="MathVerse_MINI_Vision_Only",
        md5="68a11d4680014ac881fa37adeadea3a4",
        rows=788,
        groups=788,
        columns=("question", "answer", "question_type", "metadata"),
        source="http://opencompass.openxlab.space/utils/benchmarks/MathVerse/MathVerse_MINIVOnly.tsv",
        also_called=("MathVerse", "MathVerse_MINIVOnly", "MathVerse_MINI_Vision_Only_cot"),
        files=("testmini.json",),
    )
    headlines = (Headline("accuracy", average, ("subject", "subfield")),)

    def problem(self, row: Row) -> Problem:
        """The instruction that lets a model reason first, where the file has it.

        The options are in the picture: the problem has none, or the text would give away what only vision should show.
        """
        cells.text(row, "question")
        gold, kind = _gold(row)
        return Problem(
            id=row.index,
            question=row["query_cot"].strip() or row["question"].strip(),
            answer=gold,
            answer_type=kind,
            images=row.images,
            source=self.name,
            family=_metadata(row, "subject"),
        )

    def prompt(self, row: Row) -> str:
        """The data file's instruction, which asks for an answer at once."""
        return row["question"]

    def labels(self, row: Row) -> Mapping[str, tuple[str, ...]]:
        """Subject and subfield, and the version of the question, which is Vision Only in the official file."""
        named = {key: tuple(filter(None, (_metadata(row, key),))) for key in ("subject", "subfield")}
        return named | {"version": label(row, "problem_version")}

    def rule(self, item: Item, text: str) -> Verdict:
        """Our lenient reading, with the question and the options that the picture shows.

        A response that is the gold answer and nothing else is right, also where that has several lines.
        """
        shown = item.row["question_for_eval"]
        problem = replace(item.problem, question=shown)
        options = _options(shown)
        if problem.answer_type is AnswerType.CHOICE and options:
            verdict = judge_choice(problem, text, options)
        else:
            verdict = judge(problem, text, strict=False)
        if verdict.correct or not self.official(item, text):
            return verdict
        return replace(verdict, correct=True, extracted=text.strip(), reason="identical", code=Reason.RIGHT, parts={})

    def official(self, item: Item, extraction: str) -> bool:
        """Whether an extraction is the gold answer, character by character: the authors' quick match.

        Otherwise they ask a model, for which protocol `judge` stands.
        """
        return extraction.strip().splitlines() == item.row["answer"].strip().splitlines()

    def quick(self, item: Item, text: str) -> str | None:
        """A response that is the gold answer and nothing else, for which no judge is needed."""
        return text.strip() if self.official(item, text) else None


def _metadata(row: Row, key: str) -> str:
    """What the row is counted by, "" where it is not said: a breakdown is no reason to drop a row."""
    return str(cells.mapping(row, "metadata").get(key) or "")


def _gold(row: Row) -> tuple[str, AnswerType]:
    """What the rules compare with: letters for a question with options, else a text of one line."""
    lines = [line.strip() for line in cells.text(row, "answer").splitlines() if line.strip()]
    kind = row["question_type"].strip().lower().replace("_", "-")
    if kind not in (_CHOICE, _FREE):
        raise cells.fault(row, "question_type", "unknown", f"write {_CHOICE} or {_FREE}")
    if kind == _CHOICE:
        letters = _letters(lines, _options(row["question_for_eval"]))
        if letters is not None:
            return letters, AnswerType.CHOICE
    gold = "; ".join(lines)
    return gold, infer_type(gold)


def _letters(lines: list[str], options: tuple[str, ...]) -> str | None:
    """The letters of `B`, of `C` and `D` on a line each, of `A:40°` or of an option's text, joined by ", "."""
    letters = gold_letters(", ".join(lines))
    if letters is not None:
        return ", ".join(letters)
    if len(lines) != 1:
        return None
    labelled = text_with_label(lines[0])
    return labelled[0] if labelled else option_letter(lines[0], options)


def _options(question: str) -> tuple[str, ...]:
    """The options at the end of a question, `A:Yes` on a line each; none where they are not complete."""
    listed = question.rpartition(_HEADING)[2] if _HEADING in question else ""
    found = list(_LABEL.finditer(listed))
    letters = [match[1] for match in found]
    if not 2 <= len(letters) <= MAX_CHOICES or letters != [letter_of(index) for index in range(len(letters))]:
        return ()
    ends = [match.start() for match in found[1:]] + [len(listed)]
    texts = tuple(listed[match.end() : end].strip() for match, end in zip(found, ends, strict=True))
    return texts if all(texts) else ()
