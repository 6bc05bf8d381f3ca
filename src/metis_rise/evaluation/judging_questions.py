"""What a judge is asked about an answer, benchmark by benchmark, and how its replies are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from string import Template

from metis_rise.benchmarks.base import Benchmark, Item
from metis_rise.benchmarks.options import choices, lettered
from metis_rise.engines.server.referee import Question, comparable, instructions, visible
from metis_rise.errors import InputError
from metis_rise.problems.answers import MAX_ANSWER_CHARS, read_letters
from metis_rise.problems.prompt import without_markers
from metis_rise.types import AnswerType

SHOWN_CHARACTERS = 8000
"""So much of a response is shown, from its end, where the answer stands."""
NONE = ""
"""What is read of a reply that says that there is no answer."""

_THOUGHT = "</think>"
# Small models like to print it in bold.
_LINE = re.compile(r"(?:\*\*)?ANSWER:(?:\*\*)?\s*(?P<answer>\S.*?)\s*(?:\*\*)?|(?:\*\*)?NO ANSWER\.?(?:\*\*)?")
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3})?")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_LIST = re.compile(r"\[([^\[\]]*[^\[\]\s][^\[\]]*)\]")


class Wanted(StrEnum):
    """The form of the answer that is copied out; in words, for the judge."""

    LETTER = "the letter of the one option"
    LETTERS = "the letter of each option, joined by commas"
    NUMBER = "one number in digits, without a unit"
    LIST = "a list of numbers in square brackets, such as [1, 2]"
    TEXT = "the answer as the student wrote it, on one line"


def _mathvista(item: Item) -> Wanted:
    if item.row["question_type"] == "multi_choice":
        return Wanted.LETTER
    kinds = {"integer": Wanted.NUMBER, "float": Wanted.NUMBER, "list": Wanted.LIST}
    return kinds.get(item.row["answer_type"], Wanted.TEXT)


def _dynamath(item: Item) -> Wanted:
    kinds = {"float": Wanted.NUMBER, "multiple choice": Wanted.LETTER}
    return kinds.get(item.row["answer_type"], Wanted.TEXT)


_WANTED: Mapping[str, Callable[[Item], Wanted]] = {
    "mathvista": _mathvista,
    "mathvision": lambda item: Wanted.LETTER if item.problem.answer_type is AnswerType.CHOICE else Wanted.TEXT,
    "mathverse": lambda item: Wanted.TEXT,
    "dynamath": _dynamath,
    "wemath": lambda item: Wanted.LETTER,
    "logicvista": lambda item: Wanted.LETTERS,
}
_LISTED = ("mathvista", "mathvision")
"""Benchmarks whose options are a list in a column."""
COMPARED = ("mathverse",)
"""Benchmarks whose answers are not only copied out by the judge, but also compared with the gold answer."""

TEMPLATES = ("judge_extract", *(f"judge_{name}" for name in _WANTED), *(f"judge_{name}_compare" for name in COMPARED))
"""All that a judge is told."""


def check_judged(benchmark: Benchmark) -> None:
    """InputError for a benchmark that no judge is asked about."""
    if benchmark.name not in _WANTED:
        raise InputError(
            f"{benchmark.title} has no protocol 'judge', which is for {', '.join(_WANTED)}; use --protocol rule"
        )


def wanted(benchmark: Benchmark, item: Item) -> Wanted:
    """The form of the answer to `item`."""
    return _WANTED[benchmark.name](item)


def extraction_question(benchmark: Benchmark, item: Item, text: str, temperature: float) -> Question:
    """Asks for the final answer in `text`. The gold answer is not shown, so none can be made to fit it."""
    words = Template(instructions("judge_extract")).substitute(
        benchmark=instructions(f"judge_{benchmark.name}"), wanted=wanted(benchmark, item)
    )
    # The text of MathVerse is only a request to answer: its question stands in the picture.
    question = {} if benchmark.name in COMPARED else {"question": _plain(item.problem.question)}
    options = {letter: _plain(option) for letter, option in _options(benchmark, item).items()}
    data = question | ({"options": options} if options else {}) | {"response": conclusion(text)}
    return Question(words, data, _note(benchmark, item, "extract"), temperature)


def comparison_question(benchmark: Benchmark, item: Item, answer: str, temperature: float) -> Question | None:
    """Asks whether `answer` is the gold answer; None where it holds what might steer the judge."""
    if not comparable(answer):
        return None
    asked = _plain(item.row["question_for_eval"])
    data = {"question": asked, "reference": _plain(item.row["answer"]), "answer": answer}
    return Question(
        instructions(f"judge_{benchmark.name}_compare"), data, _note(benchmark, item, "compare"), temperature
    )


def conclusion(text: str) -> str:
    """What is shown of a response: what follows its reasoning, if anything does, and of that the end."""
    seen = visible(text).strip()
    return (seen.rpartition(_THOUGHT)[2].strip() or seen)[-SHOWN_CHARACTERS:]


def read_extraction(benchmark: Benchmark, item: Item, reply: str) -> str | None:
    """The answer that a reply copies out, `NONE` where it says that there is none, None where it is no such reply."""
    lines = [line.strip() for line in visible(reply).rpartition(_THOUGHT)[2].splitlines() if line.strip()]
    read = [found for found in map(_LINE.fullmatch, lines) if found]
    if len(read) != 1 or not _LINE.fullmatch(lines[-1]):
        return None
    answer = read[0]["answer"]
    if answer is None:
        return NONE
    # A judge that copies to the letter copies JSON's escapes as well.
    answer = answer.replace("\\u003c", "<").replace("\\\\", "\\")
    return _in_form(wanted(benchmark, item), answer, _options(benchmark, item))


def _in_form(form: Wanted, answer: str, options: Mapping[str, str]) -> str | None:
    """`answer` as the authors' own rules want it, None where it has not the form."""
    match form:
        case Wanted.LETTER:
            letters = read_letters(answer) or ()
            return letters[0] if len(letters) == 1 and letters[0] in (options or letters) else None
        case Wanted.LETTERS:
            return ", ".join(read_letters(answer) or ()) or None
        case Wanted.NUMBER:
            number = _THOUSANDS.sub("", answer.replace("\N{MINUS SIGN}", "-").strip("$%° "))
            return number if _NUMBER.fullmatch(number) else None
        case Wanted.LIST:
            members = _LIST.fullmatch(answer) if len(answer) <= MAX_ANSWER_CHARS else None
            return f"[{', '.join(member.strip() for member in members[1].split(','))}]" if members else None
        case Wanted.TEXT:
            return answer if len(answer) <= MAX_ANSWER_CHARS else None


def _options(benchmark: Benchmark, item: Item) -> Mapping[str, str]:
    """The options' texts, also where the question shows them itself; empty where they are in the picture."""
    return lettered(choices(item.row) if benchmark.name in _LISTED else item.problem.choices or ())


def _plain(text: str) -> str:
    return without_markers(visible(text))


def _note(benchmark: Benchmark, item: Item, step: str) -> Mapping[str, str]:
    return {"benchmark": benchmark.name, "index": item.index, "step": step}
