"""MathVista, testmini: questions about pictures of many kinds, with options or with a number as the answer.

Source of the official rules: lupantech/MathVista calculate_score; of the judge-free ones: VLMEvalKit MathVista_auxeval.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from metis_rise.benchmarks import cells
from metis_rise.benchmarks.base import Benchmark, Headline, Item, Known, Row
from metis_rise.benchmarks.groups import average, label
from metis_rise.benchmarks.options import REFUSED, can_infer, choices, judge_any, judge_choice, lettered
from metis_rise.benchmarks.questions import bare, placed
from metis_rise.problems.answers import letter_of
from metis_rise.types import AnswerType, Problem, Verdict
from metis_rise.verifier.equivalence import MAX_CHARS

_CHOICE = "multi_choice"
_NUMBERS, _OTHERS = ("integer", "float"), ("list", "text")
_LABELS = ("question type", "answer type", "context", "grade")
_PLACES = {"one decimal place": 1, "two decimal places": 2}
_MAX_PLACES = 10
_LIST = re.compile(r"\[(.*)\]")
_LETTER = re.compile(r"\(([a-zA-Z])\)")


class MathVista(Benchmark):
    """MathVista testmini, 1000 questions; the number is the share of right ones."""

    name = "mathvista"
    title = "MathVista"
    known = Known(
        dataset="MathVista_MINI",
        md5="f199b98e178e5a2a20e7048f5dcb0464",
        rows=1000,
        groups=1000,
        columns=("question", "question_type", "answer_type", "choices", "answer", "task", "skills"),
        source="https://opencompass.openxlab.space/utils/VLMEval/MathVista_MINI.tsv",
        also_called=("MathVista", "MathVista_testmini"),
        files=("testmini.json",),
    )
    headlines = (Headline("accuracy", average, ("task", "skill", *_LABELS)),)

    def problem(self, row: Row) -> Problem:
        """The bare question; the gold answer of a float has as many decimals as are asked for."""
        texts = _options(row)
        question, shown = bare(cells.text(row, "question"), texts)
        answer, kind = _gold(row, texts)
        return Problem(
            id=row.index,
            question=placed(question, len(row.images)),
            answer=answer,
            answer_type=kind,
            images=row.images,
            choices=shown,
            source=self.name,
            family=row["task"],
        )

    def prompt(self, row: Row) -> str:
        """The question with hint and options, as the data file holds it."""
        return row["question"]

    def labels(self, row: Row) -> Mapping[str, tuple[str, ...]]:
        """Task and skills, which VLMEvalKit counts by, and what the authors count by beside them."""
        others = {name: label(row, name.replace(" ", "_")) for name in _LABELS}
        return {"task": label(row, "task"), "skill": _skills(row), **others}

    def rule(self, item: Item, text: str) -> Verdict:
        """Our lenient reading; options by letter or text, members of a list in order whatever their brackets."""
        problem = item.problem
        if problem.answer_type is AnswerType.CHOICE:
            return judge_choice(problem, text, _options(item.row))
        members = _LIST.fullmatch(problem.answer)
        tuples = [replace(problem, answer=f"({members[1]})")] if members else []
        return judge_any([problem, *tuples], text)

    def official(self, item: Item, extraction: str) -> bool:
        """The authors' normalisation, then equality with the gold answer's text.

        An option is "(B) ...", else a letter, else the option with the smallest edit distance; `Z`, which VLMEvalKit
        writes for a refusal, is none. An integer is cut ("14.7" is 14), a float is rounded to its `precision`.
        Extractions over 1,000 characters are wrong.
        """
        if len(extraction) > MAX_CHARS:
            return False
        row = item.row
        if item.problem.answer_type is AnswerType.CHOICE:
            texts = _options(row)
            return _option(extraction.strip(), texts) == lettered(texts)[item.problem.answer]
        if row["answer_type"] == "integer":
            return _integer(extraction) == item.problem.answer
        if row["answer_type"] == "float":
            return _float(extraction, _places(row)) == row["answer"]
        return extraction == row["answer"]

    def quick(self, item: Item, text: str) -> str | None:
        """An option's letter, or a response that is nothing but the gold number (VLMEvalKit post_check)."""
        if item.problem.answer_type is AnswerType.CHOICE:
            return can_infer(text, lettered(_options(item.row)))
        read = {"integer": int, "float": float}.get(item.row["answer_type"])
        try:
            return text.strip() if read is not None and read(text) == read(item.problem.answer) else None
        except ValueError:
            return None


def _options(row: Row) -> tuple[str, ...]:
    return choices(row) if row["question_type"] == _CHOICE else ()


def _skills(row: Row) -> tuple[str, ...]:
    """The skills in the cell, a list or, as VLMEvalKit reads it too, one bare name."""
    return cells.strings(row, "skills") if row["skills"].lstrip().startswith("[") else label(row, "skills")


def _gold(row: Row, options: Sequence[str]) -> tuple[str, AnswerType]:
    """What the rules compare with: an option's letter, a number, a list."""
    gold = cells.text(row, "answer")
    if row["question_type"] == _CHOICE:
        return _gold_letter(row, options), AnswerType.CHOICE
    if row["question_type"] != "free_form":
        raise cells.fault(row, "question_type", "unknown", "write multi_choice or free_form")
    kind = row["answer_type"]
    if kind in _OTHERS:
        return gold, AnswerType.TEXT
    if kind not in _NUMBERS:
        raise cells.fault(row, "answer_type", "unknown", f"write one of {', '.join((*_NUMBERS, *_OTHERS))}")
    known = _integer(gold) if kind == "integer" else _float(gold, _places(row))
    if known is None:
        raise cells.fault(row, "answer", f"no number, but the answer type is {kind}", "mend one of them")
    return (known if kind == "integer" else _with_places(gold, _places(row))), AnswerType.NUMBER


def _gold_letter(row: Row, options: Sequence[str]) -> str:
    if not options:
        raise cells.fault(row, "choices", "no options, but the question type is multi_choice", "mend one of them")
    letter = row["answer_option"].strip()
    if letter and letter not in lettered(options):
        raise cells.fault(row, "answer_option", f"none of the {len(options)} options", "write the letter of one")
    if not letter and row["answer"] not in options:
        raise cells.fault(row, "answer", "none of the options", "write the text of one as it stands in choices")
    return letter or letter_of(options.index(row["answer"]))


def _places(row: Row) -> int:
    """Decimals that are asked for: by the column `precision`, else by the hint, else those of the gold answer."""
    given = cells.integer(row, "precision")
    if given is not None:
        if not 0 <= given <= _MAX_PLACES:
            raise cells.fault(row, "precision", "no number of decimals", f"write 0 to {_MAX_PLACES}")
        return given
    hinted = (places for words, places in _PLACES.items() if words in row["question"])
    return next(hinted, _decimals(row["answer"]))


def _with_places(gold: str, places: int) -> str:
    """A float with so many decimals at least: our rules take what rounds to the decimals that a gold answer shows."""
    return f"{float(gold):.{max(places, _decimals(gold))}f}"


def _decimals(text: str) -> int:
    return min(len(text.strip().partition(".")[2]), _MAX_PLACES)


def _option(extraction: str, options: Sequence[str]) -> str | None:
    """The text of the option that an extraction names."""
    bracketed = _LETTER.search(extraction)
    letter = bracketed[1].upper() if bracketed else extraction
    if letter == REFUSED:
        return None
    named = lettered(options).get(letter)
    return named if named is not None else min(options, key=lambda option: edit_distance(letter, option))


def _integer(text: str) -> str | None:
    try:
        return str(int(float(text)))
    except (ValueError, OverflowError):
        return None


def _float(text: str, places: int) -> str | None:
    try:
        return str(round(float(text), places))
    except (ValueError, OverflowError):
        return None


def edit_distance(first: str, second: str) -> int:
    """The Levenshtein distance: how many characters to insert, take out or replace to make one text of the other."""
    above = list(range(len(second) + 1))
    for row, character in enumerate(first, 1):
        here = [row]
        for column, other in enumerate(second, 1):
            here.append(min(above[column] + 1, here[-1] + 1, above[column - 1] + (character != other)))
        above = here
    return above[-1]
