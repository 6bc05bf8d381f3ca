"""Questions with options: VLMEvalKit's reading of an answer without a judge, and our verdict on options that repeat."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from metis_rise.benchmarks import cells
from metis_rise.benchmarks.base import Row
from metis_rise.problems.answers import MAX_CHOICES, letter_of, read_letters
from metis_rise.types import Problem, Verdict
from metis_rise.verifier.judge import judge

REFUSED = "Z"
"""What VLMEvalKit takes for an answer that refuses; no option has this letter."""

_NO_RESULT = "Failed to obtain answer via API"
_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
_PUNCTUATION = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_LAST_TOKENS = 4
_CLOSE = re.compile("[A-J]{2,10}")
# Without a word boundary behind the letter, as there: "the answer is because" gives B.
_ANNOUNCED = re.compile(r"answer\s+is\s+\**([A-D])", re.IGNORECASE)


def choices(row: Row) -> tuple[str, ...]:
    """The options in the cell `choices`, a list; none for a free question. Raises InputError for one or over 26."""
    found = cells.strings(row, "choices")
    if len(found) == 1 or len(found) > MAX_CHOICES:
        raise cells.fault(row, "choices", f"{len(found)} options", f"write a list of 2 to {MAX_CHOICES}, or []")
    return found


def gold_letters(gold: str) -> tuple[str, ...] | None:
    """The sorted letters that a gold answer names, also close together ("BD"); None where it is anything else."""
    return read_letters(", ".join(gold) if _CLOSE.fullmatch(gold) else gold)


def lettered(texts: Sequence[str]) -> dict[str, str]:
    """Options by their letters: A for the first."""
    return {letter_of(index): text for index, text in enumerate(texts)}


def can_infer(answer: str, options: Mapping[str, str]) -> str | None:
    """The letter that VLMEvalKit's rules read out of `answer`, `REFUSED` for a refusal, None where they find nothing.

    In order: the only option letter that is a word of its own (punctuation aside), if its first place is among the
    last four words; "answer is X" with X from A to D; the only option whose text stands in an answer that is at most
    twice as long as all options together. So the article "A" counts as a letter, and letters have to be capitals.
    Source: VLMEvalKit matching_util can_infer @e8e78f05.

    Args:
        answer: a raw response, or what a judge took out of one.
        options: the options' texts by their letters.
    """
    return _by_letter(answer, options) or _by_text(answer, options)


def _by_letter(answer: str, options: Mapping[str, str]) -> str | None:
    if _NO_RESULT in answer:
        return None
    if any(refusal in answer for refusal in _REFUSALS):
        return REFUSED
    words = answer.translate(_PUNCTUATION).split()
    named = [letter for letter in options if letter in words]
    if len(named) == 1 and words.index(named[0]) >= len(words) - _LAST_TOKENS:
        return named[0]
    if not named and REFUSED in words:
        return REFUSED
    said = _ANNOUNCED.search(answer)
    return said[1].upper() if said and said[1].upper() in options else None


def _by_text(answer: str, options: Mapping[str, str]) -> str | None:
    if len(answer) > 2 * sum(map(len, options.values())):
        return None
    named = [letter for letter, text in options.items() if text.lower() in answer.lower()]
    return named[0] if len(named) == 1 else None


def judge_choice(problem: Problem, text: str, texts: Sequence[str]) -> Verdict:
    """Our lenient verdict on a raw response to a question with options.

    Where several options have the gold option's text (MathVista 587 has "20" twice), each of their letters is right.

    Args:
        problem: its own options, which may be letters only where the question already shows them, are not used.
        text: the response.
        texts: the options' texts.
    """
    options = lettered(texts)
    same = [letter for letter, option in options.items() if option == options.get(problem.answer)] or [problem.answer]
    problems = []
    for letter in same:
        # The other ones lose their text, or it would name several options.
        others = tuple(key if key in same and key != letter else option for key, option in options.items())
        problems.append(replace(problem, answer=letter, choices=others))
    return judge_any(problems, text)


def judge_any(problems: Sequence[Problem], text: str) -> Verdict:
    """Our lenient verdict on a raw response that is right by any of the problems' gold answers; else by the first."""
    verdicts = [judge(problem, text, strict=False) for problem in problems]
    return next((verdict for verdict in verdicts if verdict.correct), verdicts[0])
