"""One answer from the prose of a completion, by the shape of what was asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from metis_rise.problems.answers import MAX_ANSWER_CHARS
from metis_rise.verifier.extraction import Extraction, Rule, Shape
from metis_rise.verifier.prose.announced import announced
from metis_rise.verifier.prose.options import leading_option, named_letter, named_text
from metis_rise.verifier.prose.sentences import last_sentence
from metis_rise.verifier.prose.values import last_value

_COMMAND = re.compile(r"\\[A-Za-z]+")
_WORD = re.compile(r"[^\W\d_]{2,}")
_SAYS = re.compile(
    r"\b(?:is|are|was|were|be|equals?|has|have|gets?|contains?|makes?|gives?|so|therefore|thus|hence|the|there|we|it)\b|:\s",
    re.IGNORECASE,
)
_YES_OR_NO = re.compile(r"(yes|no|true|false)(?=[.,;:!])", re.IGNORECASE)
_SAID = re.compile(r".*\b(?:is|are|was|were|called)\s+(?:an?\s+|the\s+)?([^,;:]{1,60}?)[.!]?$")
_BARE_WORDS = 4


def read_prose(text: str, shape: Shape, choices: Sequence[str] | None, whole: Rule) -> Extraction:
    """The answer that `text` gives without a box.

    In order: an announced answer; a text that is nothing but an answer; for options the letter, then the option's
    text that the final sentence names; for words the yes or no that it begins with, or
    what the final sentence says that something is; the final sentence's last formula
    or number; a short text as a whole.

    Args:
        text: a completion, or its answer block.
        shape: what was asked for.
        choices: the options, where there are any.
        whole: the rule to name where the text as a whole is the answer.
    """
    text = text.strip()
    if not text:
        return Extraction(None, Rule.NO_ANSWER)
    found = announced(text, shape, choices)
    if found is not None:
        return found
    short = len(text) <= MAX_ANSWER_CHARS
    if shape is Shape.WORDS:
        if plain := _YES_OR_NO.match(text):
            return Extraction(plain[0], Rule.YES_OR_NO)
        if said := _SAID.match(last_sentence(text)):
            return Extraction(said[1], Rule.PREDICATE)
        return Extraction(text, whole) if short else Extraction(None, Rule.NO_ANSWER)
    if shape is Shape.CHOICE:
        return _option(text, choices, whole if short else None)
    if short and _bare(text):
        return Extraction(text, whole)
    if shape is Shape.UNKNOWN and (letter := named_letter(text)).rule is not Rule.NO_ANSWER:
        return letter
    value = last_value(last_sentence(text))
    return Extraction(text, whole) if value.answer is None and short else value


def _option(text: str, choices: Sequence[str] | None, whole: Rule | None) -> Extraction:
    if option := leading_option(text, choices):
        return option
    letter = named_letter(text)
    if letter.rule is not Rule.NO_ANSWER:
        return letter
    if whole is not None and _bare(text):
        return Extraction(text, whole)
    if choices:
        sentence = last_sentence(text)
        named = named_text(sentence, choices)
        return named if named.rule is not Rule.NO_ANSWER else last_value(sentence)
    return letter if whole is None else Extraction(text, whole)


def _bare(text: str) -> bool:
    """Whether `text` says a value and nothing about it."""
    plain = _COMMAND.sub(" ", text)
    return not _SAYS.search(plain) and sum(1 for _ in _WORD.finditer(plain)) <= _BARE_WORDS
