"""The value that a sentence ends with: its last formula, its last number, or a number in words."""

from __future__ import annotations

import re

from metis_rise.verifier.extraction import Extraction, Rule
from metis_rise.verifier.kinds.quantities import unit_after
from metis_rise.verifier.prose.runs import last_run
from metis_rise.verifier.prose.sentences import FORMULA, formula_of

_TOGETHER = re.compile(r"\s{0,4}(?:,|;|,?\s{0,4}(?:and|or)|\\quad)\s{0,4}")
# Words before a value, or after it, with which it is not said to be the answer.
_HEDGED = re.compile(
    r"(?:\b(?:not|cannot|never|than|at\s(?:least|most)|under|above|below|or|either|if|maybe|perhaps|possibly)|n't)"
    r"(?:\s(?:be|a|an))?\W{0,4}$",
    re.IGNORECASE,
)
_OR_ELSE = re.compile(
    r"\W{0,4}(?:or\b|(?:is|was|are|were)(?:n't|\s(?:not|never|wrong|incorrect|false|impossible))\b)", re.IGNORECASE
)
# A denial in the clause of a value: "I am not sure whether it is 5".
_DENIED = re.compile(
    r"(?:\b(?:not|never|cannot|whether)|n't)\b(?:(?!\b(?:so|thus|hence|therefore|but|and|then|because|is)\b)[^,;:]){0,80}"
    r"(?:\b(?:is|are|be|was)\s)?$",
    re.IGNORECASE,
)
# Without "one", which is more often a pronoun.
_WORDS = {"zero": 0, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
_WORDS |= {"eleven": 11, "twelve": 12, "fifteen": 15, "twenty": 20}
_NUMBER_WORD = re.compile(rf"\b(?:{'|'.join(_WORDS)})\b(?!-)", re.IGNORECASE)
_DIGIT = re.compile(r"\d")


def last_value(sentence: str) -> Extraction:
    """The last formula of `sentence`, else its last number, else its only number in words.

    Values told together ("3 or 5", "$x$ and $y$") come together. None for one that the sentence denies or hedges.
    """
    found = _last(sentence)
    if (
        found is None
        or _HEDGED.search(sentence[max(0, found[0] - 24) : found[0]])
        or _DENIED.search(sentence[max(0, found[0] - 100) : found[0]])
        or _OR_ELSE.match(sentence, found[1])
    ):
        return Extraction(None, Rule.NO_ANSWER)
    # Without its unit, 5 meters would be taken for 5 km, and 5 million for 5.
    unit = unit_after(sentence, found[1])
    return Extraction(f"{found[2]} {unit}".rstrip(), found[3])


def only_value(text: str) -> str | None:
    """The value of `text` if it holds no other number."""
    found = _last(text)
    if found is None or _DIGIT.search(text[: found[0]] + text[found[1] :]):
        return None
    return last_value(text).answer


def _last(sentence: str) -> tuple[int, int, str, Rule] | None:
    """Start, end and text of the last value, and what it is."""
    # The power of a unit (`m$^2$`) is no value.
    formulas = [match for match in FORMULA.finditer(sentence) if (formula_of(match) or "^").strip()[0] != "^"]
    if formulas:
        return *_told_together(sentence, formulas), Rule.FORMULA
    run = last_run(sentence)
    if run is not None:
        return *run, sentence[slice(*run)], Rule.NUMBER
    words = list(_NUMBER_WORD.finditer(sentence))
    if len(words) == 1:
        return words[0].start(), words[0].end(), str(_WORDS[words[0][0].lower()]), Rule.NUMBER_WORD
    return None


def _told_together(sentence: str, formulas: list[re.Match[str]]) -> tuple[int, int, str]:
    """The last formula with those that are told together with it."""
    first = len(formulas) - 1
    text = str(formula_of(formulas[first]))
    while first and (joint := _TOGETHER.fullmatch(sentence, formulas[first - 1].end(), formulas[first].start())):
        first -= 1
        text = f"{formula_of(formulas[first])}{' or ' if 'or' in joint[0] else ', '}{text}"
    return formulas[first].start(), formulas[-1].end(), text
