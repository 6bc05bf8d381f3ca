"""LogicVista: 447 questions with options in the picture; all right letters and no other count."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from metis_rise.benchmarks import cells
from metis_rise.benchmarks.base import Benchmark, Headline, Item, Known, Row
from metis_rise.benchmarks.groups import average
from metis_rise.benchmarks.inline_options import split_options
from metis_rise.benchmarks.options import gold_letters
from metis_rise.problems.answers import read_letters
from metis_rise.types import AnswerType, Problem, Reason, Verdict
from metis_rise.verifier.extraction import Rule
from metis_rise.verifier.judge import judge
from metis_rise.verifier.prose.sentences import last_sentence

SKILLS = ("inductive", "deductive", "numerical", "spatial", "mechanical")
"""A row has each skill that its cell contains (VLMEvalKit utils/logicvista)."""

# An answer that the text marks as such: nothing else that it says takes its place.
_SAID = (Rule.ANSWER_BOX, Rule.TEXT_BOX, Rule.BOXES, Rule.REASONING_BOX, Rule.ANNOUNCED, Rule.ANSWER_BLOCK)
_MARKUP = re.compile(r"\\[A-Za-z]+|[*_$`\\(){}\[\]]")
# One way only to read what is between two letters, or a row of commas takes forever.
_SEVERAL = re.compile(r"(?<![A-Za-z])[A-J](?:(?:[\s,;&/]|\band\b)+[A-J](?![A-Za-z']))+")
_LETTER = re.compile(r"[A-J](?![a-z])")
_DENIED = re.compile(r"\b(?:not|neither|nor|cannot|or)\b|n't\b", re.IGNORECASE)


class LogicVista(Benchmark):
    """LogicVista with our own reading of letters, since its authors have a model read them.

    One gold answer of the official file is the number 3. `rule` counts it; `official`, which reads letters only, never
    does, like VLMEvalKit when the leaderboard was made.
    """

    name = "logicvista"
    title = "LogicVista"
    known = Known(
        dataset="LogicVista",
        md5="41c5d33adf33765c399e0e6ae588c061",
        rows=447,
        groups=447,
        columns=("question", "answer", "skill"),
        source="https://opencompass.openxlab.space/utils/VLMEval/LogicVista.tsv",
        files=("dataset.json",),
    )
    headlines = (Headline("accuracy", average, ("skill",)),)

    def problem(self, row: Row) -> Problem:
        """The question; options at its end become choices, others are in the picture."""
        answer, question = cells.text(row, "answer"), cells.text(row, "question")
        letters = gold_letters(answer)
        if letters is None:
            return Problem(row.index, question, answer, AnswerType.TEXT, row.images, source=self.name)
        gold = ", ".join(letters)
        question, choices = split_options(question, gold)
        return Problem(row.index, question, gold, AnswerType.CHOICE, row.images, choices, source=self.name)

    def prompt(self, row: Row) -> str:
        """The question alone."""
        return row["question"]

    def labels(self, row: Row) -> Mapping[str, tuple[str, ...]]:
        """The skills that the row's cell names."""
        return {"skill": tuple(skill for skill in SKILLS if skill in row["skill"].lower())}

    def rule(self, item: Item, text: str) -> Verdict:
        """The lenient reading; where the gold answer is several letters, also several told in the last sentence."""
        verdict = judge(item.problem, text, strict=False)
        wanted = read_letters(item.problem.answer)
        if verdict.correct or wanted is None or len(wanted) == 1:
            return verdict
        said = verdict.extracted if verdict.rule in _SAID else None
        given = _several(said or last_sentence(text.rpartition("</think>")[2]))
        if given is None:
            return verdict
        right = given == wanted
        code = Reason.RIGHT if right else Reason.DIFFERENT
        return replace(verdict, correct=right, extracted=", ".join(given), reason="option letters", code=code, parts={})

    def official(self, item: Item, extraction: str) -> bool:
        """The same set of letters, capitals close together or listed as in the gold (VLMEvalKit utils/logicvista)."""
        letters = read_letters(item.problem.answer)
        compact = extraction.strip()
        given = tuple(sorted(set(compact))) if re.fullmatch("[A-Z]+", compact) else read_letters(compact)
        return letters is not None and given == letters


def _several(text: str) -> tuple[str, ...] | None:
    """The last letters that are told together ("(B) and (D)"), sorted; None for none, or denied or hedged ones."""
    plain = _MARKUP.sub(" ", text)
    found = list(_SEVERAL.finditer(plain))
    if not found or _DENIED.search(plain):
        return None
    return tuple(sorted(set(_LETTER.findall(found[-1][0]))))
